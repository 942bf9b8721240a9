/* Writing a conversation as its parts, and its parts as tokens. */
#include "text/chat.h"

#include <stdio.h>
#include <string.h>

#include "text/vocab_inside.h"

static wr_string string_of(const char *text) {
    return (wr_string){text ? text : "", text ? strlen(text) : 0};
}

/* ---- which format ---------------------------------------------------------------------------- */

static void list_names(char *out, size_t capacity) {
    size_t used = 0;
    for (const wr_chat_format *row = wr_chat_rows; row->name && used < capacity; row++)
        used +=
            (size_t)snprintf(out + used, capacity - used, "%s%s", used > 0 ? ", " : "", row->name);
}

weir_status wr_chat_choose(wr_string chat_template, const char *name, const wr_vocab *vocab,
                           wr_chat *out, weir_error *error) {
    bool adds_bos = wr_vocab_adds_bos(vocab);
    *out = (wr_chat){.bos = adds_bos};
    if (!name && chat_template.size > 0) {
        out->format = wr_chat_format_of(chat_template);
        out->bos = adds_bos || wr_chat_writes_bos(chat_template);
        if (out->format && strncmp(out->format->name, "chatml", 6) == 0)
            out->default_system = wr_chat_default_system(chat_template);
        return WEIR_OK;
    }
    out->format = wr_chat_format_named(string_of(name ? name : "plain"));
    if (out->format) {
        out->bos = adds_bos || out->format->bos;
        return WEIR_OK;
    }
    char names[512];
    list_names(names, sizeof names);
    return weir_error_set(error, WEIR_USAGE,
                          "there is no chat template %.40s, neither in the file nor in weir, which "
                          "knows %s",
                          name, names);
}

weir_status wr_chat_known(const wr_chat *chat, weir_error *error) {
    char names[512];
    if (chat->format) return WEIR_OK;
    list_names(names, sizeof names);
    return weir_error_set(error, WEIR_UNSUPPORTED,
                          "the file's chat template is none that weir knows: choose one of its own "
                          "with --template NAME (%s)",
                          names);
}

/* ---- marks ----------------------------------------------------------------------------------- */

/* The control token that stands at the beginning of a format's text, or -1. */
static int32_t mark_at(const wr_vocab *vocab, wr_string text) {
    wr_literal_match match =
        wr_literals_match(vocab, &vocab->special, (const uint8_t *)text.data, text.size);
    return match.token;
}

static bool looks_like_a_mark(wr_string piece) {
    return piece.size > 2 && (piece.data[0] == '<' || piece.data[0] == '[');
}

static bool take_marks_of(wr_vocab *vocab, const char *pattern) {
    bool changed = false;
    for (wr_string rest = string_of(pattern); rest.size > 0; rest.data++, rest.size--) {
        int32_t token = mark_at(vocab, rest);
        if (token < 0 || vocab->types[token] != WR_TOKEN_USER_DEFINED ||
            !looks_like_a_mark(wr_piece_of(vocab, token)))
            continue;
        vocab->types[token] = WR_TOKEN_CONTROL;
        changed = true;
    }
    return changed;
}

weir_status wr_chat_take_marks(const wr_chat *chat, wr_vocab *vocab, weir_error *error) {
    const wr_chat_format *format = chat->format;
    if (!format || vocab->size == 0) return WEIR_OK;
    const char *patterns[] = {format->begin,     format->system,     format->user,
                              format->assistant, format->invitation, format->end};
    bool changed = false;
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        changed |= take_marks_of(vocab, patterns[i]);
    int32_t end = format->end ? wr_vocab_find(vocab, format->end, strlen(format->end)) : -1;
    if (end >= 0 && vocab->types[end] == WR_TOKEN_CONTROL) vocab->eot = end;
    return changed ? wr_literals_rebuild(vocab, error) : WEIR_OK;
}

/* ---- a conversation as parts ----------------------------------------------------------------- */

typedef struct writer {
    const wr_chat *chat;
    const wr_chat_format *format;
    wr_chat_take take;
    void *context;
    weir_error *error;
    weir_status status;
    bool behind_bos; /* never two in a row */
} writer;

static void put(writer *w, wr_chat_part part, wr_string text) {
    bool empty = text.size == 0 && (part == WR_PART_FORMAT || part == WR_PART_TEXT);
    if (w->status != WEIR_OK || empty || (part == WR_PART_BOS && w->behind_bos)) return;
    if (part != WR_PART_BORDER) w->behind_bos = part == WR_PART_BOS;
    w->status = w->take(w->context, part, text, w->error);
}

/* Write a pattern up to its text, or from there on; returns what is left of it. */
static const char *put_pattern(writer *w, const char *pattern, bool borders) {
    static const char stands_for[] = {WR_CHAT_BOS[0], WR_CHAT_EOS[0], WR_CHAT_BORDER[0],
                                      WR_CHAT_TEXT[0], '\0'};
    while (pattern && *pattern) {
        size_t size = strcspn(pattern, stands_for);
        put(w, WR_PART_FORMAT, (wr_string){pattern, size});
        pattern += size;
        if (*pattern == '\0') break;
        char what = *pattern++;
        if (what == WR_CHAT_TEXT[0]) return pattern;
        if (what == WR_CHAT_BOS[0]) put(w, WR_PART_BOS, (wr_string){0});
        if (what == WR_CHAT_EOS[0]) put(w, WR_PART_EOS, (wr_string){0});
        if (what == WR_CHAT_BORDER[0] && borders) put(w, WR_PART_BORDER, (wr_string){0});
    }
    return "";
}

/* Bytes of the white space that begins here (Unicode's, and the separators of ASCII), or 0. */
static size_t white_size(const uint8_t *text, size_t size) {
    static const char *const wide[] = {
        "\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x81",
        "\xE2\x80\x82", "\xE2\x80\x83", "\xE2\x80\x84", "\xE2\x80\x85", "\xE2\x80\x86",
        "\xE2\x80\x87", "\xE2\x80\x88", "\xE2\x80\x89", "\xE2\x80\x8A", "\xE2\x80\xA8",
        "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80"};
    if (size == 0) return 0;
    if ((text[0] >= 9 && text[0] <= 13) || (text[0] >= 28 && text[0] <= 32)) return 1;
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++) {
        size_t bytes = strlen(wide[i]);
        if (size >= bytes && memcmp(text, wide[i], bytes) == 0) return bytes;
    }
    return 0;
}

static wr_string trim_left(wr_string text) {
    for (size_t white; (white = white_size((const uint8_t *)text.data, text.size)) > 0;) {
        text.data += white;
        text.size -= white;
    }
    return text;
}

static wr_string trim_right(wr_string text) {
    for (size_t bytes = 1; bytes <= 3 && bytes <= text.size; bytes++) {
        const uint8_t *last = (const uint8_t *)text.data + text.size - bytes;
        if (white_size(last, bytes) != bytes) continue;
        text.size -= bytes;
        bytes = 0;
    }
    return text;
}

static wr_string message_text(const weir_message *message) {
    return (wr_string){message->text ? message->text : "", message->text ? message->size : 0};
}

/* What a template says for a missing system message is written there with escapes. */
static void put_escaped(writer *w, wr_string text) {
    while (text.size > 0) {
        const char *slash = memchr(text.data, '\\', text.size);
        size_t plain = slash ? (size_t)(slash - text.data) : text.size;
        put(w, WR_PART_TEXT, (wr_string){text.data, plain});
        text.data += plain;
        text.size -= plain;
        if (text.size == 0) break;
        size_t skip = text.size > 1 ? 2 : 1;
        const char *means = text.size > 1 && text.data[1] == 'n'   ? "\n"
                            : text.size > 1 && text.data[1] == 't' ? "\t"
                                                                   : NULL;
        put(w, WR_PART_TEXT, means ? string_of(means) : (wr_string){text.data + skip - 1, 1});
        text.data += skip;
        text.size -= skip;
    }
}

static void put_system(writer *w, const weir_message *message) {
    const char *rest = put_pattern(w, w->format->system, true);
    if (message) {
        wr_string text = message_text(message);
        if (w->format->trim == WR_TRIM_ALL) text = trim_right(trim_left(text));
        put(w, WR_PART_TEXT, text);
    } else if (w->chat->default_system.data) {
        put_escaped(w, w->chat->default_system);
    } else {
        put(w, WR_PART_TEXT, string_of(w->format->default_system));
    }
    put_pattern(w, rest, true);
}

/* `system`: the message that stands inside this turn, or NULL. The border is behind it then. */
static void put_user(writer *w, const weir_message *message, const weir_message *system) {
    const wr_chat_format *format = w->format;
    wr_string text = message_text(message);
    if (format->trim != WR_TRIM_NOTHING) text = trim_right(text);
    if (format->trim != WR_TRIM_NOTHING && !(system && format->trim == WR_TRIM_TURN))
        text = trim_left(text);
    if (!strstr(format->user, WR_CHAT_BORDER)) put(w, WR_PART_BORDER, (wr_string){0});
    const char *rest = put_pattern(w, format->user, !system);
    if (system) {
        put_system(w, system);
        put(w, WR_PART_BORDER, (wr_string){0});
    }
    put(w, WR_PART_TEXT, text);
    put_pattern(w, rest, true);
}

static void put_assistant(writer *w, const weir_message *message) {
    wr_string text = message_text(message);
    if (w->format->trim != WR_TRIM_NOTHING) text = trim_right(trim_left(text));
    const char *rest = put_pattern(w, w->format->assistant, true);
    put(w, WR_PART_TEXT, text);
    put_pattern(w, rest, true);
}

/* What the model wrote ends as an answer ends. */
static void close_answer(writer *w) {
    put_pattern(w, strstr(w->format->assistant, WR_CHAT_TEXT) + 1, true);
}

static weir_status check_messages(const wr_chat_format *format, const weir_message *messages,
                                  int64_t count, bool begins, weir_error *error) {
    for (int64_t i = 0; i < count; i++) {
        if (messages[i].role > WEIR_ROLE_ASSISTANT)
            return weir_error_set(error, WEIR_USAGE, "message %lld has no role that there is",
                                  (long long)i);
        if (messages[i].role != WEIR_ROLE_SYSTEM || !format->system_inside) continue;
        if (!begins || i > 0 || count < 2 || messages[1].role != WEIR_ROLE_USER)
            return weir_error_set(error, WEIR_USAGE,
                                  "in the chat template %s a system message stands first, before a "
                                  "user's: message %lld has no place",
                                  format->name, (long long)i);
    }
    return WEIR_OK;
}

static void put_message(writer *w, const weir_message *messages, int64_t i) {
    bool inside = w->format->system_inside;
    const weir_message *before =
        i > 0 && inside && messages[i - 1].role == WEIR_ROLE_SYSTEM ? &messages[i - 1] : NULL;
    if (messages[i].role == WEIR_ROLE_USER)
        put_user(w, &messages[i], before);
    else if (messages[i].role == WEIR_ROLE_ASSISTANT)
        put_assistant(w, &messages[i]);
    else if (!inside)
        put_system(w, &messages[i]);
}

weir_status wr_chat_write(const wr_chat *chat, const weir_message *messages, int64_t count,
                          wr_chat_turn turn, wr_chat_take take, void *context, weir_error *error) {
    writer w = {
        .chat = chat, .format = chat->format, .take = take, .context = context, .error = error};
    weir_status status = wr_chat_known(chat, error);
    if (status == WEIR_OK)
        status = check_messages(chat->format, messages, count, turn.begins, error);
    if (status != WEIR_OK) return status;
    bool first = turn.begins;
    if (turn.begins) {
        bool says = chat->default_system.data || chat->format->default_system;
        if (chat->bos) put(&w, WR_PART_BOS, (wr_string){0});
        put(&w, WR_PART_FORMAT, string_of(chat->format->begin));
        if (says && (count == 0 || messages[0].role != WEIR_ROLE_SYSTEM)) put_system(&w, NULL);
    } else {
        close_answer(&w);
    }
    for (int64_t i = 0; i < count; i++) {
        if (!first) put(&w, WR_PART_FORMAT, string_of(chat->format->separator));
        put_message(&w, messages, i);
        first = false;
    }
    if (turn.invites) {
        if (!first) put(&w, WR_PART_FORMAT, string_of(chat->format->separator));
        put(&w, WR_PART_FORMAT, string_of(chat->format->invitation));
    }
    return w.status;
}

/* ---- parts as tokens ------------------------------------------------------------------------- */

static weir_status flush(wr_chat_speaker *s, weir_error *error) {
    return wr_tokenizer_flush(s->tokenizer, s->emit, s->context, error);
}

static weir_status say_mark(wr_chat_speaker *s, int32_t token, weir_error *error) {
    if (token < 0) return WEIR_OK;
    weir_status status = flush(s, error);
    s->behind_a_mark = true;
    s->swallowing = s->chat->format->swallows && s->vocab->kind == &wr_kind_sentencepiece;
    return status == WEIR_OK ? s->emit(s->context, &token, 1, error) : status;
}

static weir_status say_text(wr_chat_speaker *s, wr_string text, weir_error *error) {
    if (s->swallowing) text = trim_left(text);
    if (text.size == 0) return WEIR_OK;
    if (s->behind_a_mark) wr_tokenizer_reset(s->tokenizer, text.data[0] != ' ');
    s->swallowing = s->behind_a_mark = false;
    return wr_tokenizer_feed(s->tokenizer, text.data, text.size, false, s->emit, s->context, error);
}

/* The format's own text: its control tokens one by one, and what stands between them. */
static weir_status say_format(wr_chat_speaker *s, wr_string text, weir_error *error) {
    weir_status status = WEIR_OK;
    size_t at = 0;
    while (at < text.size && status == WEIR_OK) {
        int32_t token = mark_at(s->vocab, (wr_string){text.data + at, text.size - at});
        if (token < 0 || s->vocab->types[token] != WR_TOKEN_CONTROL) {
            at++;
            continue;
        }
        size_t size = wr_piece_of(s->vocab, token).size;
        status = say_text(s, (wr_string){text.data, at}, error);
        if (status == WEIR_OK) status = say_mark(s, token, error);
        text.data += at + size;
        text.size -= at + size;
        at = 0;
    }
    return status == WEIR_OK ? say_text(s, text, error) : status;
}

weir_status wr_chat_speak(void *context, wr_chat_part part, wr_string text, weir_error *error) {
    wr_chat_speaker *s = context;
    weir_status status = WEIR_OK;
    switch (part) {
    case WR_PART_FORMAT:
        return say_format(s, text, error);
    case WR_PART_TEXT:
        return say_text(s, text, error);
    case WR_PART_BOS:
        return say_mark(s, wr_vocab_bos(s->vocab), error);
    case WR_PART_EOS:
        return say_mark(s, wr_vocab_eos(s->vocab), error);
    case WR_PART_BORDER:
        status = flush(s, error);
        return status == WEIR_OK && s->border ? s->border(s->context, error) : status;
    }
    return status;
}
