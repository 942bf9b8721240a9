/* Conversations of a model: which format it has, and messages as text and as tokens. */
#include <stdio.h>
#include <string.h>

#include "model/network.h"
#include "text/chat.h"
#include "weir/chat.h"

/* ---- which format ---------------------------------------------------------------------------- */

/* The template that the file has under this name (NULL: its own). */
static wr_string stored_template(const wr_gguf *gguf, const char *name) {
    char key[128];
    wr_string value = {"", 0};
    if (!name) wr_gguf_get_string(gguf, "tokenizer.chat_template", &value, NULL);
    if (value.size > 0) return value;
    snprintf(key, sizeof key, "tokenizer.chat_template.%.80s", name ? name : "default");
    wr_gguf_get_string(gguf, key, &value, NULL);
    return value;
}

weir_status wr_model_choose_chat(weir_model *model, const char *name, weir_error *error) {
    wr_string stored = stored_template(model->gguf, NULL);
    model->info.chat_template = stored.data;
    model->info.chat_template_size = stored.size;
    if (name && !wr_chat_format_named((wr_string){name, strlen(name)})) {
        wr_string named = stored_template(model->gguf, name);
        if (named.size > 0) {
            stored = named;
            name = NULL;
        }
    }
    weir_status status = wr_chat_choose(stored, name, model->vocab, &model->chat, error);
    if (status == WEIR_OK) status = wr_chat_take_marks(&model->chat, model->vocab, error);
    const wr_chat_format *format = model->chat.format;
    model->info.chat_format = format ? format->name : "";
    return status;
}

const char *weir_chat_format_name(int i) {
    for (const wr_chat_format *row = wr_chat_rows; row->name; row++)
        if (i-- == 0) return row->name;
    return NULL;
}

weir_status weir_chat_usable(const weir_model *model, weir_error *error) {
    weir_status status = wr_vocab_usable(model->vocab, error);
    return status == WEIR_OK ? wr_chat_known(&model->chat, error) : status;
}

const char *weir_chat_stop(const weir_model *model) {
    return model->chat.format ? model->chat.format->stop : NULL;
}

/* ---- as text --------------------------------------------------------------------------------- */

typedef struct rendering {
    const wr_vocab *vocab;
    weir_chat_text_fn fn;
    void *context;
} rendering;

static weir_status render_part(void *context, wr_chat_part part, wr_string text,
                               weir_error *error) {
    const rendering *to = context;
    if (part == WR_PART_BORDER) return WEIR_OK;
    if (part == WR_PART_BOS) text = wr_vocab_piece(to->vocab, wr_vocab_bos(to->vocab));
    if (part == WR_PART_EOS) text = wr_vocab_piece(to->vocab, wr_vocab_eos(to->vocab));
    weir_status status = text.size > 0 ? to->fn(to->context, text.data, text.size) : WEIR_OK;
    return status == WEIR_OK ? status
                             : weir_error_set(error, status, "%s", weir_status_text(status));
}

weir_status weir_chat_render(const weir_model *model, const weir_message *messages, int64_t count,
                             bool invites, weir_chat_text_fn fn, void *context, weir_error *error) {
    rendering to = {model->vocab, fn, context};
    wr_chat_turn turn = {.begins = true, .invites = invites};
    return wr_chat_write(&model->chat, messages, count, turn, render_part, &to, error);
}

/* ---- as tokens ------------------------------------------------------------------------------- */

typedef struct speaking {
    weir_chat_token_fn fn;
    void *context;
} speaking;

static weir_status pass(const speaking *to, const int32_t *tokens, int64_t count, bool border,
                        weir_error *error) {
    weir_status status = to->fn(to->context, tokens, count, border);
    return status == WEIR_OK ? status
                             : weir_error_set(error, status, "%s", weir_status_text(status));
}

static weir_status pass_tokens(void *context, const int32_t *tokens, int64_t count,
                               weir_error *error) {
    return pass(context, tokens, count, false, error);
}

static weir_status pass_border(void *context, weir_error *error) {
    return pass(context, NULL, 0, true, error);
}

static weir_status speak(wr_chat_speaker *speaker, const weir_message *messages, int64_t count,
                         bool invites, weir_error *error) {
    wr_chat_turn turn = {.begins = true, .invites = invites};
    wr_tokenizer_reset(speaker->tokenizer, true);
    weir_status status =
        wr_chat_write(speaker->chat, messages, count, turn, wr_chat_speak, speaker, error);
    return status == WEIR_OK
               ? wr_tokenizer_flush(speaker->tokenizer, speaker->emit, speaker->context, error)
               : status;
}

weir_status weir_chat_tokenize(const weir_model *model, const weir_message *messages, int64_t count,
                               bool invites, weir_chat_token_fn fn, void *context,
                               weir_error *error) {
    const weir_allocator *allocator = wr_model_allocator(model);
    weir_status status = weir_chat_usable(model, error);
    if (status != WEIR_OK) return status;
    wr_arena arena = {0};
    wr_tokenizer_layout(&arena, model->vocab);
    if (wr_arena_bind(&arena, allocator) != WEIR_OK)
        return weir_error_set(error, WEIR_MEMORY, "no memory for a tokenizer");
    speaking to = {fn, context};
    wr_chat_speaker speaker = {.chat = &model->chat,
                               .vocab = model->vocab,
                               .tokenizer = wr_tokenizer_layout(&arena, model->vocab),
                               .emit = pass_tokens,
                               .border = pass_border,
                               .context = &to,
                               .behind_a_mark = true};
    status = speak(&speaker, messages, count, invites, error);
    wr_arena_release(&arena, allocator);
    return status;
}

typedef struct counting {
    int64_t tokens;
    bool over;
} counting;

static weir_status count_tokens(void *context, const int32_t *tokens, int64_t count, bool border) {
    counting *sum = context;
    (void)tokens;
    sum->over |= border;
    if (!sum->over) sum->tokens += count;
    return WEIR_OK;
}

weir_status weir_chat_count_pinned(const weir_model *model, const weir_message *system,
                                   int64_t *count, weir_error *error) {
    counting sum = {0};
    weir_message messages[2] = {{0}, {WEIR_ROLE_USER, "", 0}};
    if (system) messages[0] = *system;
    weir_status status = weir_chat_tokenize(model, system ? messages : messages + 1, system ? 2 : 1,
                                            false, count_tokens, &sum, error);
    *count = sum.tokens;
    return status;
}

/* ---- what an answer is made of --------------------------------------------------------------- */

enum { READING_FINAL, READING_NAME, READING_HEADER, READING_THOUGHT };

static bool is_piece(const weir_model *model, int32_t token, const char *name) {
    return wr_string_is(wr_vocab_piece(model->vocab, token), name);
}

/* Between a channel's mark and its message: the name gathers. */
static void read_name(const weir_model *model, weir_answer_reader *reader, int32_t token) {
    wr_string piece = wr_vocab_piece(model->vocab, token);
    for (size_t i = 0; i < piece.size && reader->size + 1 < sizeof reader->channel; i++)
        reader->channel[reader->size++] = piece.data[i];
}

weir_answer_part weir_chat_part(const weir_model *model, weir_answer_reader *reader,
                                int32_t token) {
    if (!model->chat.format || !model->chat.format->channels) return WEIR_ANSWER_TEXT;
    if (is_piece(model, token, "<|channel|>")) {
        reader->state = READING_NAME;
        reader->size = 0;
        memset(reader->channel, 0, sizeof reader->channel);
    } else if (is_piece(model, token, "<|message|>")) {
        bool final = reader->state != READING_NAME ||
                     strncmp(reader->channel, "final", sizeof "final" - 1) == 0;
        reader->state = final ? READING_FINAL : READING_THOUGHT;
    } else if (wr_vocab_type(model->vocab, token) == WR_TOKEN_CONTROL) {
        reader->state = READING_HEADER;
    } else if (reader->state == READING_NAME) {
        read_name(model, reader, token);
    } else if (reader->state == READING_FINAL) {
        return WEIR_ANSWER_TEXT;
    } else if (reader->state == READING_THOUGHT) {
        return WEIR_ANSWER_THOUGHT;
    }
    return WEIR_ANSWER_MARK;
}
