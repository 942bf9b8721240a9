/*
 * Feeding: tokens and text become the stream's past, a chunk at a time.
 *
 * Text goes through the tokenizer, which holds back what later bytes could change; its tokens are
 * gathered in `pending` and computed together. A chunk is prepared, computed and only then
 * committed, so a failure leaves the stream at a token border.
 */
#include <assert.h>
#include <string.h>

#include "base/largest.h"
#include "stream/stream_private.h"

/* --- What is remembered of the tokens --------------------------------------------------------- */

int64_t wr_past_history_begin(const wr_past *past) {
    int64_t begin = past->index - past->history_size;
    return begin > past->history_begin ? begin : past->history_begin;
}

bool wr_past_remembers(const wr_past *past, int64_t begin, int64_t end) {
    int64_t history = wr_past_history_begin(past);
    if (begin >= end) return true;
    return begin >= 0 && end <= past->index &&
           (end <= past->early_size || begin >= history || history <= past->early_size);
}

int32_t wr_past_token(const wr_past *past, int64_t index) {
    assert(wr_past_remembers(past, index, index + 1));
    return index < past->early_size ? past->early[index]
                                    : past->history[index % past->history_size];
}

static void remember(wr_past *past, int32_t token) {
    if (past->index < past->early_size) past->early[past->index] = token;
    past->history[past->index % past->history_size] = token;
    past->index++;
    wr_sampler_accept(past->sampler, token);
}

/* --- One chunk -------------------------------------------------------------------------------- */

bool wr_stream_cancelled(weir_stream *stream, weir_error *error) {
    if (!atomic_load_explicit(&stream->cancel, memory_order_relaxed)) return false;
    atomic_store_explicit(&stream->cancel, false, memory_order_relaxed);
    weir_error_set(error, WEIR_CANCELLED, "cancelled");
    return true;
}

wr_segment wr_stream_segment(weir_stream *stream, const int32_t *tokens, int64_t count,
                             const atomic_bool *cancel) {
    stream->ahead.count = 0; /* the forward pass forgets another chunk's rows */
    wr_cache_prepare(stream->past.cache, count);
    return (wr_segment){.cache = stream->past.cache,
                        .ropes = stream->settings.ropes,
                        .tokens = tokens,
                        .count = count,
                        .cancel = cancel,
                        .observer = &stream->observer};
}

static void keep_hidden(weir_stream *stream, const float *hidden) {
    memcpy(stream->past.hidden, hidden, (size_t)stream->model->width * sizeof *hidden);
    stream->past.hidden_ready = true;
    stream->logits_ready = false;
}

static weir_status compute_rows(weir_stream *stream, const int32_t *tokens, int64_t count,
                                const atomic_bool *cancel) {
    wr_segment segment = wr_stream_segment(stream, tokens, count, cancel);
    return wr_forward_chunk(stream->forward, &segment, 1);
}

/* Rows [row, row + count) of the chunk that was computed, the next ones, are committed to the
 * cache; the last hidden state is kept. The tokens that left the window are [evicted[0],
 * evicted[1]). */
static void commit_rows(weir_stream *stream, int64_t row, int64_t count, int64_t evicted[2]) {
    wr_cache_commit(stream->past.cache, count, &evicted[0], &evicted[1]);
    keep_hidden(stream, wr_forward_hidden(stream->forward, row + count - 1));
}

/* Compute a chunk and commit it. Fails only when cancelled. */
static weir_status compute(weir_stream *stream, const int32_t *tokens, int64_t count,
                           const atomic_bool *cancel, int64_t evicted[2]) {
    weir_status status = compute_rows(stream, tokens, count, cancel);
    if (status == WEIR_OK) commit_rows(stream, 0, count, evicted);
    return status;
}

static weir_status cancelled(weir_stream *stream, weir_error *error) {
    wr_stream_cancelled(stream, error);
    return WEIR_CANCELLED;
}

static void tell_evicted(const weir_stream *stream, int64_t first, int64_t end) {
    if (stream->evicted && first < end) stream->evicted(stream->evicted_context, first, end);
}

void wr_stream_commit(weir_stream *stream, const wr_segment *segment, const float *hidden) {
    int64_t first, end;
    wr_cache_commit(stream->past.cache, segment->count, &first, &end);
    keep_hidden(stream, hidden);
    for (int64_t i = 0; i < segment->count; i++) remember(&stream->past, segment->tokens[i]);
    tell_evicted(stream, first, end);
}

/* --- Recompute: the window again from nothing ------------------------------------------------- */

/* The cache becomes the window of the last token, at positions 0 ... W - 1. */
static weir_status recompute_window(weir_stream *stream, weir_error *error) {
    wr_past *past = &stream->past;
    int64_t window = stream->settings.window;
    int64_t begin = past->index > window ? past->index - window : 0;
    weir_status status = wr_cache_rewind(past->cache, 0, error);
    for (int64_t at = begin; at < past->index && status == WEIR_OK;) {
        int64_t ignored[2];
        int64_t count = past->index - at;
        if (count > stream->settings.chunk) count = stream->settings.chunk;
        for (int64_t i = 0; i < count; i++) stream->pending[i] = wr_past_token(past, at + i);
        status = compute(stream, stream->pending, count, &stream->cancel, ignored);
        if (status != WEIR_OK) cancelled(stream, error);
        at += count;
    }
    past->stale = status != WEIR_OK;
    past->hidden_ready = status == WEIR_OK;
    return status;
}

/* Under recompute only the tokens are noted; the window is computed when somebody looks. While it
 * has not slid yet, appending to the cache is the same as computing it again. */
static weir_status note_recompute(weir_stream *stream, const int32_t *tokens, int64_t count,
                                  weir_error *error) {
    wr_past *past = &stream->past;
    int64_t window = stream->settings.window;
    if (past->index + count <= window && !past->stale) {
        int64_t ignored[2];
        if (compute(stream, tokens, count, &stream->cancel, ignored) != WEIR_OK)
            return cancelled(stream, error);
    } else {
        past->stale = true;
        past->hidden_ready = false;
        stream->logits_ready = false;
    }
    int64_t first = past->index > window ? past->index - window : 0;
    for (int64_t i = 0; i < count; i++) remember(past, tokens[i]);
    int64_t end = past->index > window ? past->index - window : 0;
    tell_evicted(stream, first, end);
    return WEIR_OK;
}

/* --- The last token's hidden state ------------------------------------------------------------ */

weir_status wr_stream_ready(weir_stream *stream, weir_error *error) {
    wr_past *past = &stream->past;
    if (past->index == 0)
        return weir_error_set(error, WEIR_USAGE,
                              "the stream is empty: feed it a token before reading from it");
    if (past->hidden_ready) return WEIR_OK;
    if (stream->settings.policy == WEIR_RECOMPUTE) return recompute_window(stream, error);
    /* After a rewind: the last token once more. Its row comes out with the bits it had. Never
     * cancelled: the token has been fed, and must not be half there. */
    const atomic_bool never = false;
    int64_t ignored[2];
    bool border = wr_cache_border_pending(past->cache);
    int32_t token = wr_past_token(past, past->index - 1);
    weir_status status = wr_cache_take_back(past->cache, error);
    if (status == WEIR_OK) status = compute(stream, &token, 1, &never, ignored);
    if (status == WEIR_OK && border) wr_cache_border(past->cache);
    return status;
}

void wr_stream_skip_to(weir_stream *stream, int64_t index) {
    wr_cache_skip_to(stream->past.cache, index);
    stream->past.index = index;
    stream->past.hidden_ready = stream->logits_ready = false;
}

/* --- Feeding tokens --------------------------------------------------------------------------- */

weir_status wr_stream_check_tokens(const weir_stream *stream, const int32_t *tokens, int64_t count,
                                   weir_error *error) {
    int32_t vocabulary = stream->model->vocabulary;
    if (count < 0)
        return weir_error_set(error, WEIR_USAGE, "cannot feed %lld tokens", (long long)count);
    for (int64_t i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= vocabulary)
            return weir_error_set(error, WEIR_USAGE,
                                  "token %d is outside the vocabulary of %d (0 to %d)",
                                  (int)tokens[i], (int)vocabulary, (int)vocabulary - 1);
    int64_t capacity = stream->settings.window;
    int64_t room = capacity - stream->past.index - stream->pending_count;
    if (stream->settings.policy == WEIR_DENSE && count > room)
        return weir_error_set(
            error, WEIR_LIMIT,
            "%lld more tokens do not fit: the dense policy keeps every token and "
            "has room for %lld of its %lld; choose a larger --context, or the sink "
            "policy, which never fills",
            (long long)count, (long long)room, (long long)capacity);
    return WEIR_OK;
}

weir_status wr_stream_not_a_number(int64_t index, weir_error *error) {
    return weir_error_set(
        error, WEIR_NAN,
        "the logits after token %lld are not numbers: the model's weights are damaged",
        (long long)index);
}

weir_status wr_stream_hand_over(const weir_stream *stream, int64_t index, const float *logits,
                                weir_logits_fn fn, void *context, weir_error *error) {
    int32_t vocabulary = stream->model->vocabulary;
    if (!wr_all_finite(logits, vocabulary)) return wr_stream_not_a_number(index, error);
    weir_status status = fn(context, index, logits, vocabulary);
    if (status != WEIR_OK)
        weir_error_set(error, status, "stopped by the caller: %s", weir_status_text(status));
    return status;
}

/* Logits after rows of the chunk just computed, those of token `first` in row `row` and every
 * `step`-th row from there on. */
static weir_status score(weir_stream *stream, int64_t first, int64_t count, int64_t row,
                         int64_t step, weir_logits_fn fn, void *context, weir_error *error) {
    wr_logit_row wanted[WR_LOGIT_ROWS];
    weir_status status = WEIR_OK;
    for (int64_t at = 0; at < count; at += stream->logit_rows) {
        int64_t rows = count - at < stream->logit_rows ? count - at : stream->logit_rows;
        for (int64_t i = 0; i < rows; i++)
            wanted[i] =
                (wr_logit_row){.hidden = wr_forward_hidden(stream->forward, row + (at + i) * step),
                               .index = first + at + i,
                               .observer = &stream->observer};
        wr_forward_logits(stream->forward, wanted, rows, stream->rows);
        for (int64_t i = 0; i < rows && status == WEIR_OK; i++)
            status = wr_stream_hand_over(stream, wanted[i].index,
                                         stream->rows + i * stream->model->vocabulary, fn, context,
                                         error);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

static weir_status feed_chunk(weir_stream *stream, const int32_t *tokens, int64_t count,
                              weir_error *error) {
    if (stream->settings.policy == WEIR_RECOMPUTE)
        return note_recompute(stream, tokens, count, error);
    wr_segment segment = wr_stream_segment(stream, tokens, count, &stream->cancel);
    if (wr_forward_chunk(stream->forward, &segment, 1) != WEIR_OK) return cancelled(stream, error);
    wr_stream_commit(stream, &segment, wr_forward_hidden(stream->forward, count - 1));
    return WEIR_OK;
}

/* --- Recompute, scored: every token needs its own window once the first has slid ----------------
 */

/* The windows of the last `count` tokens, side by side: those of the last one in the stream's own
 * cache, as recompute_window leaves it. */
static weir_status recompute_windows(weir_stream *stream, int64_t count, weir_error *error) {
    wr_past *past = &stream->past;
    int64_t window = stream->settings.window;
    wr_segment segments[WR_LOGIT_ROWS];
    for (int64_t w = 0; w < count; w++) {
        wr_cache *cache = w == count - 1 ? past->cache : stream->windows[w];
        int32_t *tokens = stream->pending + w * window;
        int64_t begin = past->index - count + w + 1 - window;
        for (int64_t i = 0; i < window; i++) tokens[i] = wr_past_token(past, begin + i);
        weir_status status = wr_cache_rewind(cache, 0, error);
        if (status != WEIR_OK) return status;
        wr_cache_prepare(cache, window);
        segments[w] = (wr_segment){.cache = cache,
                                   .ropes = stream->settings.ropes,
                                   .tokens = tokens,
                                   .count = window,
                                   .cancel = &stream->cancel,
                                   .observer = &stream->observer};
    }
    if (wr_forward_chunk(stream->forward, segments, (int32_t)count) != WEIR_OK)
        return cancelled(stream, error);
    int64_t ignored[2];
    for (int64_t w = 0; w < count; w++)
        wr_cache_commit(segments[w].cache, window, &ignored[0], &ignored[1]);
    keep_hidden(stream, wr_forward_hidden(stream->forward, count * window - 1));
    past->stale = false;
    return WEIR_OK;
}

/* How many of the next `count` tokens are computed together, and whether they only append to the
 * window, because it has not slid yet. */
static int64_t recompute_together(const weir_stream *stream, int64_t count, bool *append) {
    int64_t room = stream->settings.window - stream->past.index;
    int64_t most = stream->window_count + 1;
    *append = room > 0 && !stream->past.stale;
    if (*append)
        most = room < stream->settings.chunk ? room : stream->settings.chunk;
    else if (room > 1)
        most = 1; /* after a rewind: the next window is not a full one */
    return count < most ? count : most;
}

static weir_status score_recomputed(weir_stream *stream, const int32_t *tokens, int64_t count,
                                    weir_logits_fn fn, void *context, weir_error *error) {
    weir_status status = WEIR_OK;
    for (int64_t at = 0; at < count && status == WEIR_OK;) {
        bool append;
        int64_t first = stream->past.index;
        int64_t together = recompute_together(stream, count - at, &append);
        if (wr_stream_cancelled(stream, error)) return WEIR_CANCELLED;
        status = note_recompute(stream, tokens + at, together, error);
        if (status != WEIR_OK) return status;
        if (append) {
            status = score(stream, first, together, 0, 1, fn, context, error);
        } else if (together > 1) {
            int64_t window = stream->settings.window;
            status = recompute_windows(stream, together, error);
            if (status == WEIR_OK)
                status = score(stream, first, together, window - 1, window, fn, context, error);
        } else {
            const float *logits;
            status = weir_stream_logits(stream, &logits, error);
            if (status == WEIR_OK)
                status = wr_stream_hand_over(stream, first, logits, fn, context, error);
        }
        at += together;
    }
    return status;
}

static weir_status feed_checked(weir_stream *stream, const int32_t *tokens, int64_t count,
                                weir_logits_fn fn, void *context, weir_error *error) {
    if (fn && stream->settings.policy == WEIR_RECOMPUTE)
        return score_recomputed(stream, tokens, count, fn, context, error);
    weir_status status = WEIR_OK;
    for (int64_t at = 0; at < count && status == WEIR_OK; at += stream->settings.chunk) {
        int64_t left = count - at;
        int64_t rows = left < stream->settings.chunk ? left : stream->settings.chunk;
        int64_t first = stream->past.index;
        if (wr_stream_cancelled(stream, error)) return WEIR_CANCELLED;
        status = feed_chunk(stream, tokens + at, rows, error);
        if (status == WEIR_OK && fn) status = score(stream, first, rows, 0, 1, fn, context, error);
    }
    return status;
}

/* After text that was fed, generated text does not begin a stream any more. */
void wr_stream_note_fed(weir_stream *stream, const int32_t *tokens, int64_t count) {
    wr_detokenizer *detokenizer = &stream->past.detokenizer;
    detokenizer->held_size = 0;
    for (int64_t i = 0; i < count && !detokenizer->begun; i++)
        detokenizer->begun = wr_vocab_type(stream->model->vocab, tokens[i]) != WR_TOKEN_CONTROL;
}

weir_status weir_stream_feed_scored(weir_stream *stream, const int32_t *tokens, int64_t count,
                                    weir_logits_fn fn, void *context, weir_error *error) {
    weir_status status = weir_stream_flush(stream, error);
    if (status == WEIR_OK) status = wr_stream_check_tokens(stream, tokens, count, error);
    if (status == WEIR_OK) status = feed_checked(stream, tokens, count, fn, context, error);
    if (status == WEIR_OK && count > 0) wr_stream_note_fed(stream, tokens, count);
    return status;
}

weir_status weir_stream_feed_tokens(weir_stream *stream, const int32_t *tokens, int64_t count,
                                    weir_error *error) {
    return weir_stream_feed_scored(stream, tokens, count, NULL, NULL, error);
}

/* --- Ahead of the stream ---------------------------------------------------------------------- */

/* Somebody sees every row that is computed: so none is computed in vain. */
static bool is_observed(const weir_stream *stream) {
    return stream->observer.fn || stream->observer.scores_fn;
}

int64_t wr_stream_room_ahead(const weir_stream *stream, int64_t most) {
    int64_t room = stream->settings.chunk - 1;
    /* A batch's forward pass belongs to its other streams, too. */
    if (stream->settings.batch || is_observed(stream)) return 0;
    if (stream->settings.policy == WEIR_DENSE) {
        int64_t left = stream->settings.window - stream->past.index - 1;
        room = left < room ? left : room;
    }
    if (most > room) most = room;
    return most > 0 ? wr_cache_room_ahead(stream->past.cache, 1 + most) - 1 : 0;
}

bool wr_stream_is_ahead(const weir_stream *stream, int32_t token) {
    const wr_ahead *ahead = &stream->ahead;
    /* Whatever a callback did to the stream meanwhile has unprepared the rows. */
    return ahead->next < ahead->count && ahead->tokens[ahead->next] == token &&
           wr_cache_prepared(stream->past.cache) == ahead->count - ahead->next &&
           !is_observed(stream);
}

weir_status wr_stream_take_ahead(weir_stream *stream, weir_error *error) {
    wr_ahead *ahead = &stream->ahead;
    int64_t evicted[2];
    int64_t row = ahead->next;
    if (wr_stream_cancelled(stream, error)) return WEIR_CANCELLED;
    ahead->next++;
    commit_rows(stream, row, 1, evicted);
    if (ahead->scored) {
        size_t vocabulary = (size_t)stream->model->vocabulary;
        memcpy(stream->logits, stream->rows + (size_t)row * vocabulary,
               vocabulary * sizeof *stream->logits);
        stream->logits_ready = stream->logits_unasked = true;
    }
    remember(&stream->past, ahead->tokens[row]);
    tell_evicted(stream, evicted[0], evicted[1]);
    return WEIR_OK;
}

weir_status wr_stream_feed_ahead(weir_stream *stream, const int32_t *tokens, int64_t count,
                                 weir_error *error) {
    wr_ahead *ahead = &stream->ahead;
    wr_logit_row wanted[1 + WEIR_MAX_LOOKUP];
    weir_status status = wr_stream_check_tokens(stream, tokens, 1, error);
    if (status != WEIR_OK) return status;
    if (wr_stream_cancelled(stream, error)) return WEIR_CANCELLED;
    if (compute_rows(stream, tokens, count, &stream->cancel) != WEIR_OK)
        return cancelled(stream, error);
    memcpy(ahead->tokens, tokens, (size_t)count * sizeof *tokens);
    ahead->count = count;
    ahead->next = 0;
    /* A row that is not a number may be one that is never taken: whoever looks will find out. */
    for (int64_t i = 0; i < count; i++)
        wanted[i] = (wr_logit_row){.hidden = wr_forward_hidden(stream->forward, i),
                                   .index = stream->past.index + i,
                                   .observer = &stream->observer};
    wr_forward_logits(stream->forward, wanted, count, stream->rows);
    ahead->scored = wr_all_finite(stream->rows, count * stream->model->vocabulary);
    return wr_stream_take_ahead(stream, error);
}

/* --- Feeding text ----------------------------------------------------------------------------- */

static weir_status feed_pending(weir_stream *stream, weir_error *error) {
    int64_t count = stream->pending_count;
    stream->pending_count = 0;
    if (count == 0) return WEIR_OK;
    weir_status status = feed_checked(stream, stream->pending, count, NULL, NULL, error);
    if (status == WEIR_OK) wr_stream_note_fed(stream, stream->pending, count);
    return status;
}

/* After the tokenizer: what waits is fed. Text that failed is lost; when it was the first, the next
 * one is, with BOS and the space prefix as far as they are not there yet. */
weir_status wr_stream_end_text(weir_stream *stream, weir_status status, weir_error *error) {
    wr_past *past = &stream->past;
    weir_status rest = feed_pending(stream, status == WEIR_OK ? error : NULL);
    if (status == WEIR_OK) status = rest;
    if (status != WEIR_OK && past->tokenizer && !past->detokenizer.begun)
        wr_tokenizer_reset(past->tokenizer, true);
    if (status != WEIR_OK && past->index == 0) past->text_begun = false;
    return status;
}

weir_status wr_stream_gather(void *context, const int32_t *tokens, int64_t count,
                             weir_error *error) {
    weir_stream *stream = context;
    weir_status status = wr_stream_check_tokens(stream, tokens, count, error);
    for (int64_t i = 0; i < count && status == WEIR_OK; i++) {
        stream->pending[stream->pending_count++] = tokens[i];
        if (stream->pending_count == stream->settings.chunk) status = feed_pending(stream, error);
    }
    return status;
}

static weir_status begin_text(weir_stream *stream, weir_error *error) {
    const wr_vocab *vocab = stream->model->vocab;
    weir_status status = wr_vocab_usable(vocab, error);
    if (status != WEIR_OK || stream->past.text_begun) return status;
    stream->past.text_begun = true;
    int32_t bos = wr_vocab_bos(vocab);
    if (stream->past.index == 0 && wr_vocab_adds_bos(vocab) && bos >= 0)
        status = wr_stream_gather(stream, &bos, 1, error);
    return status;
}

weir_status weir_stream_feed_text(weir_stream *stream, const char *text, size_t size,
                                  weir_error *error) {
    weir_status status = begin_text(stream, error);
    if (status == WEIR_OK)
        status = wr_tokenizer_feed(stream->past.tokenizer, text, size, false, wr_stream_gather,
                                   stream, error);
    return wr_stream_end_text(stream, status, error);
}

weir_status weir_stream_flush(weir_stream *stream, weir_error *error) {
    if (!stream->past.tokenizer || wr_tokenizer_held(stream->past.tokenizer) == 0) return WEIR_OK;
    weir_status status =
        wr_tokenizer_flush(stream->past.tokenizer, wr_stream_gather, stream, error);
    return wr_stream_end_text(stream, status, error);
}

weir_status weir_stream_border(weir_stream *stream, weir_error *error) {
    weir_status status = weir_stream_flush(stream, error);
    if (status == WEIR_OK) wr_cache_border(stream->past.cache);
    return status;
}
