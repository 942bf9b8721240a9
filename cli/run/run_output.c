/* What `weir run` says: text as it is made, JSON, statistics. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/interrupt.h"
#include "common/words.h"
#include "run/run_session.h"

bool run_json_lines(const run_session *session) {
    const run_arguments *arguments = session->arguments;
    return session->call->json && (arguments->n.count < 0 || arguments->ask.given);
}

/* ---- statistics ------------------------------------------------------------------------------ */

static void excerpt_add(run_excerpt *excerpt, const char *text, size_t size) {
    if (size > EXCERPT_MAX) {
        text += size - EXCERPT_MAX;
        size = EXCERPT_MAX;
    }
    size_t keep = EXCERPT_MAX - size < excerpt->size ? EXCERPT_MAX - size : excerpt->size;
    memmove(excerpt->text, excerpt->text + excerpt->size - keep, keep);
    memcpy(excerpt->text + keep, text, size);
    excerpt->size = keep + size;
}

/* The last words, about `width` characters of them, with no line ends. */
static void excerpt_print(const run_excerpt *excerpt, size_t width) {
    size_t from = excerpt->size, characters = 0;
    while (from > 0 && characters < width) {
        from--;
        characters += ((unsigned char)excerpt->text[from] & 0xc0) != 0x80;
    }
    const char *word = from > 0 ? memchr(excerpt->text + from, ' ', excerpt->size - from) : NULL;
    for (size_t i = word != NULL ? (size_t)(word - excerpt->text) + 1 : from; i < excerpt->size;
         i++) {
        unsigned char c = (unsigned char)excerpt->text[i];
        fputc(c < 0x20 || c == 0x7f ? ' ' : c, stderr);
    }
}

static void end_terminal_line(run_session *session) {
    if (session->forgetting.mid_line) {
        fputc('\n', stderr);
        session->forgetting.mid_line = false;
    }
}

static void print_stats(run_session *session) {
    int64_t every = session->arguments->stats.count, made = session->made.tokens;
    char a[WORD_MAX], b[WORD_MAX], c[WORD_MAX], d[WORD_MAX];
    weir_stream_state state;
    weir_stream_get_state(session->stream, &state);
    end_terminal_line(session);
    if (made == every) {
        fprintf(stderr, "%10s %10s %10s %9s   %s\n", "tokens", "forgotten", "memory", "tokens/s",
                "text");
    }
    double now = now_seconds();
    fprintf(stderr, "%10s %10s %10s %9s   ", word_count(state.index, a),
            word_count(state.evicted, b), word_bytes(weir_memory_resident(), c),
            word_speed((double)every / (now - session->stats_at), d));
    excerpt_print(&session->excerpt, 60);
    fputc('\n', stderr);
    session->stats_at = now;
}

/* ---- text ------------------------------------------------------------------------------------ */

static weir_status write_json_line(run_session *session, int32_t token, const char *text,
                                   size_t size, weir_error *error) {
    weir_stream_state state;
    weir_stream_get_state(session->stream, &state);
    return output_json(json_pack("{s:I,s:i,s:o}", "index", (json_int_t)state.index - 1, "token",
                                 (int)token, "text", json_text(text, size)),
                       error);
}

static weir_status keep_text(run_session *session, int32_t token, const char *text, size_t size,
                             weir_error *error) {
    bool kept = bytes_add(&session->text, text, size);
    if (!kept || (token >= 0 && !tokens_add(&session->tokens, token))) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for the text made so far");
    }
    return WEIR_OK;
}

static weir_status show_text(run_session *session, const char *text, size_t size,
                             weir_error *error) {
    if (size > 0 && session->terminal) {
        session->forgetting.mid_line = text[size - 1] != '\n';
    }
    return output_text(text, size, error);
}

bool run_take_text(void *context, int32_t token, const char *text, size_t size) {
    run_session *session = context;
    weir_error *error = &session->output_error;
    weir_status status;
    if (run_json_lines(session) && session->arguments->n.count < 0) {
        status = write_json_line(session, token, text, size, error);
    } else if (session->call->json) {
        status = keep_text(session, token, text, size, error);
    } else {
        status = show_text(session, text, size, error);
    }
    session->made.tokens += token >= 0; /* -1: text that a stop string had held back */
    if (session->arguments->stats.given) {
        excerpt_add(&session->excerpt, text, size);
        if (token >= 0 && session->made.tokens % session->arguments->stats.count == 0) {
            print_stats(session);
        }
    }
    session->timed_out = session->deadline > 0 && now_seconds() >= session->deadline;
    return status == WEIR_OK && !session->timed_out && !interrupted();
}

weir_status run_print_answer(run_session *session, const weir_stream_state *asked_at,
                             const token_list *tokens, const byte_buffer *answer,
                             weir_error *error) {
    const char *question = session->arguments->ask.text;
    if (session->call->json) {
        return output_json(json_pack("{s:I,s:I,s:o,s:o,s:I}", "index", (json_int_t)asked_at->index,
                                     "evicted", (json_int_t)asked_at->evicted, "ask",
                                     json_word(question), "answer",
                                     json_text(answer->data, answer->size), "answer_tokens",
                                     (json_int_t)tokens->count),
                           error);
    }
    char count[WORD_MAX];
    printf("--- after %s tokens: %s\n", word_count(asked_at->index, count), question);
    fwrite(answer->data, 1, answer->size, stdout);
    printf("\n---\n");
    return output_flush(error);
}

/* ---- the end --------------------------------------------------------------------------------- */

static double rate(int64_t tokens, double seconds) {
    return tokens > 0 && seconds > 0 ? (double)tokens / seconds : (double)NAN;
}

static const char *reason_name(const run_session *session, weir_status status) {
    static const char *const names[] = {"length", "end", "stop", "interrupted"};
    return status == WEIR_CANCELLED ? "interrupted"
           : session->timed_out     ? "seconds"
                                    : names[session->made.reason];
}

static json_t *summary_json(const run_session *session, weir_status status) {
    weir_stream_state state;
    weir_stream_get_state(session->stream, &state);
    return json_pack(
        "{s:I,s:o,s:o,s:o,s:I,s:s}", "prompt_tokens", (json_int_t)session->prompt_tokens, "seconds",
        json_number(session->feed_seconds + session->idle_seconds + session->generate_seconds),
        "decode_tokens_per_second",
        json_number(rate(session->made.tokens, session->generate_seconds)),
        "prefill_tokens_per_second",
        json_number(rate(session->prompt_tokens, session->feed_seconds)), "evicted",
        (json_int_t)state.evicted, "reason", reason_name(session, status));
}

static void add_lookup(const run_session *session, json_t *summary) {
    if (session->arguments->lookup.given) {
        json_object_set_new(summary, "drafted", json_integer(session->made.drafted));
        json_object_set_new(summary, "accepted", json_integer(session->made.accepted));
    }
}

static weir_status print_summary(const run_session *session, weir_status status,
                                 weir_error *error) {
    json_t *object = summary_json(session, status);
    if (object == NULL) {
        return output_json(NULL, error);
    }
    add_lookup(session, object);
    if (run_json_lines(session) && session->arguments->n.count < 0) {
        json_object_set_new(object, "generated", json_integer(session->made.tokens));
        return output_json(object, error);
    }
    json_t *tokens = json_array();
    for (int64_t i = 0; i < session->tokens.count; i++) {
        json_array_append_new(tokens, json_integer(session->tokens.items[i]));
    }
    json_object_set_new(object, "tokens", tokens);
    json_object_set_new(object, "text", json_text(session->text.data, session->text.size));
    return output_json(object, error);
}

/* The last line of --stats. */
static void print_lookup(run_session *session) {
    char a[WORD_MAX], b[WORD_MAX];
    if (session->arguments->stats.given && session->arguments->lookup.count > 0) {
        end_terminal_line(session);
        fprintf(stderr, "looked back: %s tokens drafted, %s of them right\n",
                word_count(session->made.drafted, a), word_count(session->made.accepted, b));
    }
}

weir_status run_finish_output(run_session *session, weir_status status, weir_error *error) {
    print_lookup(session);
    if (session->call->json) {
        bool good = status == WEIR_OK || status == WEIR_CANCELLED;
        return good ? print_summary(session, status, error) : WEIR_OK;
    }
    if (session->forgetting.mid_line) {
        session->forgetting.mid_line = false;
        return output_text("\n", 1, error);
    }
    return WEIR_OK;
}
