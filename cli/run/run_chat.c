/* `weir run --template`: the prompt is a user's message. */
#include <string.h>

#include "run/run_session.h"
#include "weir/chat.h"

/* The messages of this run, at most two; a loaded talk has its system message already. */
static int64_t messages_of(const run_session *session, weir_message out[2]) {
    const run_arguments *arguments = session->arguments;
    int64_t count = 0;
    if (arguments->system.given) {
        const char *text = arguments->system.text;
        out[count++] = (weir_message){WEIR_ROLE_SYSTEM, text, strlen(text)};
    }
    const char *prompt = arguments->prompt.text;
    out[count++] = (weir_message){WEIR_ROLE_USER, prompt, strlen(prompt)};
    return count;
}

weir_status run_chat_check(const run_arguments *arguments, weir_error *error) {
    if (!arguments->chat_template.given) {
        return WEIR_OK;
    }
    if (!arguments->prompt.given || arguments->ask.given) {
        return weir_error_set(error, WEIR_USAGE,
                              "--template is for a prompt that is a message: give --prompt TEXT, "
                              "or leave it out");
    }
    if (arguments->sampling.stop.given == RUN_STOPS) {
        return weir_error_set(error, WEIR_USAGE,
                              "--stop can be given %d times at most with --template",
                              RUN_STOPS - 1);
    }
    return WEIR_OK;
}

weir_status run_open_model(run_session *session, const char *path, weir_error *error) {
    const cli_value *chosen = &session->arguments->chat_template;
    const engine_arguments *engine = &session->arguments->engine;
    if (!chosen->given) {
        return open_model(path, engine, false, &session->model, error);
    }
    const char *name = strcmp(chosen->text, "file") == 0 ? NULL : chosen->text;
    weir_status status = open_chat_model(path, engine, name, &session->model, error);
    return status == WEIR_OK ? weir_chat_usable(session->model, error) : status;
}

static weir_status add_count(void *context, const int32_t *tokens, int64_t count, bool border) {
    int64_t *sum = context;
    (void)tokens, (void)border;
    *sum += count;
    return WEIR_OK;
}

weir_status run_chat_count(const run_session *session, int64_t *count, weir_error *error) {
    weir_message messages[2];
    int64_t have = messages_of(session, messages);
    return weir_chat_tokenize(session->model, messages, have, true, add_count, count, error);
}

weir_status run_chat_keep(const run_session *session, weir_stream_options *stream,
                          weir_error *error) {
    weir_message messages[2];
    int64_t tokens = 0, pin = session->arguments->pin.count;
    bool system = messages_of(session, messages) > 1;
    weir_status status =
        weir_chat_count_pinned(session->model, system ? messages : NULL, &tokens, error);
    if (status != WEIR_OK) {
        return status;
    }
    return tokens > pin ? keep_tokens(stream, session->model, tokens,
                                      system ? "--system" : "the chat template", error)
                        : keep_tokens(stream, session->model, pin, "--pin", error);
}

weir_status run_chat_feed(run_session *session, weir_error *error) {
    weir_message messages[2];
    int64_t count = messages_of(session, messages);
    return weir_stream_feed_chat(session->stream, messages, count, error);
}

int run_stops(run_session *session) {
    const cli_texts *given = &session->arguments->sampling.stop;
    const char *own =
        session->arguments->chat_template.given ? weir_chat_stop(session->model) : NULL;
    int count = 0;
    for (int i = 0; i < given->given; i++) {
        session->stop[count++] = given->items[i];
    }
    if (own != NULL) {
        session->stop[count++] = own;
    }
    return count;
}
