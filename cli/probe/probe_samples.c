/*
 * Samples for `weir probe`.
 *
 * At sentences: a sample takes whole sentences until it has tokens enough, and what is too much of
 * the last one is dropped; the next sample begins with the next sentence. A sentence ends with
 * . ! or ? (and quotes or brackets that close) before white space, or at an empty line. That is
 * wrong about "Mr. Pickwick" and needs no dictionary.
 *
 * At tokens: the tokens of the whole text, cut every `length`.
 */
#include <string.h>

#include "probe/probe_session.h"

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* Bytes of the quote or bracket at `text` that closes, or 0. */
static size_t closing(const char *text, size_t size) {
    static const char *const marks[] = {"\"", "'", ")", "]", "\u201d", "\u2019", "\u00bb"};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        size_t length = strlen(marks[i]);
        if (length <= size && memcmp(text, marks[i], length) == 0) {
            return length;
        }
    }
    return 0;
}

/* The first byte from `at` on that is no white space, and how many line ends come before it. */
static size_t skip_spaces(const char *text, size_t size, size_t at, int *lines) {
    for (*lines = 0; at < size && is_space(text[at]); at++) {
        *lines += text[at] == '\n';
    }
    return at;
}

/* The first beginning of a sentence after `at`, or `size`. */
static size_t next_sentence(const char *text, size_t size, size_t at) {
    bool ended = false; /* nothing but closing marks since . ! ? */
    while (at < size) {
        int lines;
        size_t next = skip_spaces(text, size, at, &lines);
        if (next > at && (ended || lines > 1)) {
            return next;
        }
        ended = next > at ? false : ended;
        at = next;
        if (at == size) {
            break;
        }
        size_t quote = ended ? closing(text + at, size - at) : 0;
        if (quote == 0) {
            ended = strchr(".!?", text[at]) != NULL && text[at] != '\0';
        }
        at += quote > 0 ? quote : 1;
    }
    return size;
}

/* The first beginning of a sentence at or after `least`, from the one at `at` on. */
static size_t sentence_after(const char *text, size_t size, size_t at, size_t least) {
    do {
        at = next_sentence(text, size, at);
    } while (at < least && at < size);
    return at;
}

static int32_t bos_of(const weir_model *model) {
    const weir_model_info *info = weir_model_get_info(model);
    return info->adds_bos ? info->bos : -1;
}

/* What an encoder has behind every text; a stream's sample is text that goes on. */
static int32_t end_of(const weir_model *model) {
    const weir_model_info *info = weir_model_get_info(model);
    return info->encoder && info->adds_eos ? info->eos : -1;
}

static weir_status no_memory(weir_error *error) {
    return weir_error_set(error, WEIR_MEMORY, "no memory for the samples");
}

/* The sample that begins at *at: its tokens are added when there are enough of them before the text
 * ends. *at becomes where the next one begins. */
static weir_status take_sentences(probe_session *session, const byte_buffer *text, size_t *at,
                                  weir_error *error) {
    token_list *tokens = &session->tokens;
    int32_t bos = bos_of(session->model), end_token = end_of(session->model);
    int64_t begin = tokens->count, full = begin + session->length - (end_token >= 0);
    size_t end = *at, least = *at + 1;
    weir_status status = WEIR_OK;
    while (status == WEIR_OK && tokens->count < full && end < text->size) {
        end = sentence_after(text->data, text->size, end, least);
        tokens->count = begin;
        tokens->most = full;
        if (bos >= 0 && !tokens_add(tokens, bos)) {
            return no_memory(error);
        }
        byte_buffer piece = {.data = text->data + *at, .size = end - *at};
        status = input_tokenize(session->model, &piece, false, tokens, error);
        int64_t have = tokens->count - begin;
        if (have > 0 && have < session->length) { /* as much more as it looks like */
            least = *at + (size_t)((double)piece.size * (double)session->length / (double)have);
        }
    }
    *at = end;
    tokens->most = 0;
    if (tokens->count < full) {
        tokens->count = begin;
    } else if (end_token >= 0 && !tokens_add(tokens, end_token)) {
        return no_memory(error);
    }
    return status;
}

static weir_status cut_sentences(probe_session *session, const byte_buffer *text,
                                 weir_error *error) {
    int lines;
    size_t at = skip_spaces(text->data, text->size, 0, &lines);
    weir_status status = WEIR_OK;
    while (status == WEIR_OK && at < text->size && session->samples < session->wanted) {
        status = take_sentences(session, text, &at, error);
        session->samples = session->tokens.count / session->length;
    }
    return status;
}

static weir_status cut_tokens(probe_session *session, const byte_buffer *text, weir_error *error) {
    int32_t bos = bos_of(session->model);
    int32_t end_token = end_of(session->model);
    int64_t own = session->length - (bos >= 0) - (end_token >= 0); /* of the text */
    if (own < 1) {
        return weir_error_set(
            error, WEIR_USAGE,
            "--length %lld has no room for text beside what the model puts around "
            "it: give more",
            (long long)session->length);
    }
    token_list all = {.most = own * session->wanted};
    weir_status status = input_tokenize(session->model, text, false, &all, error);
    int64_t samples = all.count / own;
    bool room = true;
    for (int64_t i = 0; status == WEIR_OK && room && i < samples; i++) {
        room = bos < 0 || tokens_add(&session->tokens, bos);
        for (int64_t k = 0; room && k < own; k++) {
            room = tokens_add(&session->tokens, all.items[i * own + k]);
        }
        room = room && (end_token < 0 || tokens_add(&session->tokens, end_token));
    }
    tokens_free(&all);
    session->samples = samples;
    return status == WEIR_OK && !room ? no_memory(error) : status;
}

weir_status probe_cut(probe_session *session, const byte_buffer *text, weir_error *error) {
    bool sentences = session->arguments->cut.count == 0;
    weir_status status =
        sentences ? cut_sentences(session, text, error) : cut_tokens(session, text, error);
    if (status == WEIR_OK && session->samples == 0) {
        return weir_error_set(
            error, WEIR_USAGE,
            "%s: too short for one sample of %lld tokens%s: give a longer text or "
            "a smaller --length",
            session->arguments->text.text, (long long)session->length,
            bos_of(session->model) >= 0 ? ", BOS included" : "");
    }
    return status;
}
