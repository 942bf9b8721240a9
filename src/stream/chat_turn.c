/*
 * A turn of a conversation becomes the stream's past.
 *
 * Between an answer and the next message stands the head: what closes the answer and opens the
 * turn. The model may have written the beginning of it: the token that ends an answer, or, where a
 * format has none, the words that open the user's turn. That part is not fed again.
 */
#include "stream/stream_private.h"
#include "text/chat.h"
#include "weir/batch.h"
#include "weir/chat.h"

#define HEAD_TOKENS 64 /* more than any format has between two messages */

typedef struct head {
    wr_chat_speaker speaker;
    const wr_vocab *vocab;
    int32_t tokens[HEAD_TOKENS];
    int64_t count;
    bool over; /* the message itself has begun */
} head;

static weir_status note_head(void *context, const int32_t *tokens, int64_t count,
                             weir_error *error) {
    head *h = context;
    (void)error;
    for (int64_t i = 0; i < count && h->count < HEAD_TOKENS; i++) h->tokens[h->count++] = tokens[i];
    return WEIR_OK;
}

static weir_status take_head(void *context, wr_chat_part part, wr_string text, weir_error *error) {
    head *h = context;
    h->over = h->over || part == WR_PART_TEXT || part == WR_PART_BORDER;
    return h->over ? WEIR_OK : wr_chat_speak(&h->speaker, part, text, error);
}

static wr_chat_speaker make_speaker(weir_stream *stream, wr_token_emit emit, void *context) {
    const wr_past *past = &stream->past;
    const wr_vocab *vocab = stream->model->vocab;
    bool first = past->index == 0;
    int32_t last = first ? -1 : wr_past_token(past, past->index - 1);
    return (wr_chat_speaker){.chat = &stream->model->chat,
                             .vocab = vocab,
                             .tokenizer = past->tokenizer,
                             .emit = emit,
                             .context = context,
                             .behind_a_mark =
                                 first || wr_vocab_type(vocab, last) == WR_TOKEN_CONTROL};
}

static weir_status read_head(weir_stream *stream, const weir_message *messages, int64_t count,
                             head *h, weir_error *error) {
    *h = (head){.vocab = stream->model->vocab};
    h->speaker = make_speaker(stream, note_head, h);
    weir_status status = wr_chat_write(&stream->model->chat, messages, count, (wr_chat_turn){0},
                                       take_head, h, error);
    return status == WEIR_OK ? wr_tokenizer_flush(stream->past.tokenizer, note_head, h, error)
                             : status;
}

/* Where the head has this control token: how many tokens of it stand up to there; else 0. */
static int64_t find_mark(const head *h, int32_t token) {
    if (wr_vocab_type(h->vocab, token) != WR_TOKEN_CONTROL) return 0;
    for (int64_t i = 0; i < h->count; i++)
        if (h->tokens[i] == token) return i + 1;
    return 0;
}

/* How many tokens of the head the stream ends with already. */
static int64_t count_written(const wr_past *past, const head *h) {
    int64_t most = h->count < past->index ? h->count : past->index;
    int64_t mark = past->index > 0 ? find_mark(h, wr_past_token(past, past->index - 1)) : 0;
    if (mark > 0) return mark;
    for (int64_t size = most; size > 0; size--) {
        int64_t same = 0;
        if (!wr_past_remembers(past, past->index - size, past->index)) continue;
        while (same < size && wr_past_token(past, past->index - size + same) == h->tokens[same])
            same++;
        if (same == size) return size;
    }
    return 0;
}

/* A token that ends text, but not as this format ends an answer, is taken back. */
static weir_status take_back_end(weir_stream *stream, const head *h, weir_error *error) {
    const wr_past *past = &stream->past;
    weir_stream_state state;
    int32_t last = past->index > 0 ? wr_past_token(past, past->index - 1) : -1;
    if (!wr_vocab_ends_text(stream->model->vocab, last) || find_mark(h, last) > 0) return WEIR_OK;
    weir_stream_get_state(stream, &state);
    if (past->index < 2 || state.reachable > past->index - 1) return WEIR_OK;
    return weir_stream_rewind(stream, past->index - 1, error);
}

/* ---- feeding --------------------------------------------------------------------------------- */

typedef struct turn {
    weir_stream *stream;
    int64_t skip;          /* tokens that the stream has already */
    weir_chat_token_fn fn; /* NULL: they are fed; else they are handed over */
    void *context;
} turn;

static weir_status hand_over(const turn *t, const int32_t *tokens, int64_t count, bool border,
                             weir_error *error) {
    weir_status status = count > 0 || border ? t->fn(t->context, tokens, count, border) : WEIR_OK;
    return status == WEIR_OK ? status
                             : weir_error_set(error, status, "%s", weir_status_text(status));
}

static weir_status gather_turn(void *context, const int32_t *tokens, int64_t count,
                               weir_error *error) {
    turn *t = context;
    int64_t skip = t->skip < count ? t->skip : count;
    t->skip -= skip;
    if (t->fn) return hand_over(t, tokens + skip, count - skip, false, error);
    return wr_stream_gather(t->stream, tokens + skip, count - skip, error);
}

static weir_status mark_border(void *context, weir_error *error) {
    turn *t = context;
    if (t->fn) return hand_over(t, NULL, 0, true, error);
    weir_status status = wr_stream_end_text(t->stream, WEIR_OK, error);
    if (status == WEIR_OK) wr_cache_border(t->stream->past.cache);
    return status;
}

static weir_status feed_turn(weir_stream *stream, const weir_message *messages, int64_t count,
                             turn *t, weir_error *error) {
    wr_chat_speaker speaker = make_speaker(stream, gather_turn, t);
    wr_chat_turn how = {.begins = stream->past.index == 0, .invites = true};
    speaker.border = mark_border;
    stream->past.text_begun = true; /* BOS, if any, is the format's */
    weir_status status =
        wr_chat_write(&stream->model->chat, messages, count, how, wr_chat_speak, &speaker, error);
    if (status == WEIR_OK)
        status = wr_tokenizer_flush(stream->past.tokenizer, gather_turn, t, error);
    return t->fn ? status : wr_stream_end_text(stream, status, error);
}

static weir_status write_turn(weir_stream *stream, const weir_message *messages, int64_t count,
                              turn t, weir_error *error) {
    weir_status status = weir_chat_usable(stream->model, error);
    if (status == WEIR_OK) status = weir_stream_flush(stream, error);
    if (status == WEIR_OK && stream->past.index > 0) {
        head h;
        status = read_head(stream, messages, count, &h, error);
        if (status == WEIR_OK) status = take_back_end(stream, &h, error);
        if (status == WEIR_OK) t.skip = count_written(&stream->past, &h);
    }
    return status == WEIR_OK ? feed_turn(stream, messages, count, &t, error) : status;
}

weir_status weir_stream_feed_chat(weir_stream *stream, const weir_message *messages, int64_t count,
                                  weir_error *error) {
    return write_turn(stream, messages, count, (turn){.stream = stream}, error);
}

weir_status weir_batch_tokenize_chat(weir_stream *stream, const weir_message *messages,
                                     int64_t count, weir_chat_token_fn fn, void *context,
                                     weir_error *error) {
    turn t = {.stream = stream, .fn = fn, .context = context};
    return write_turn(stream, messages, count, t, error);
}
