#include "api/openai_reply.h"

#include <string.h>

/* ---- what both have -------------------------------------------------------------------------- */

/* What only this server says: where the stream stands, and how much of it is forgotten. */
static json_t *weir_object(const server_answer *answer) {
    return json_pack("{s:s?,s:I,s:I,s:I,s:I,s:I}", "stream_id",
                     answer->stream_id[0] != '\0' ? answer->stream_id : NULL, "index",
                     (json_int_t)answer->state.index, "forgotten_tokens",
                     (json_int_t)answer->state.evicted, "sinks", (json_int_t)answer->state.sinks,
                     "window", (json_int_t)answer->state.window, "seed",
                     (json_int_t)answer->request.seed);
}

static json_t *envelope(const server_answer *answer, const char *object, json_t *choices) {
    json_t *made =
        json_pack("{s:s,s:s,s:I,s:s,s:o}", "id", answer->id, "object", object, "created",
                  (json_int_t)answer->created, "model", answer->model_name, "choices", choices);
    if (answer->request.stream && answer->request.usage) {
        json_object_set_new(made, "usage", json_null());
    }
    return made;
}

static json_t *usage_chunk(const server_answer *answer, const char *object) {
    if (!answer->request.usage) {
        return NULL;
    }
    json_t *made = envelope(answer, object, json_array());
    json_object_set_new(made, "usage", answer_usage(answer));
    return made;
}

static json_t *text_of(const text_buffer *text) {
    return json_stringn(text->size > 0 ? text->data : "", text->size);
}

static json_t *whole_answer(server_answer *answer, const char *object,
                            json_t *(*choice)(const struct server_answer *answer, int i)) {
    json_t *choices = json_array();
    for (int i = 0; i < answer->choices; i++) {
        json_array_append_new(choices, choice(answer, i));
    }
    json_t *made = envelope(answer, object, choices);
    json_object_set_new(made, "usage", answer_usage(answer));
    json_object_set_new(made, "weir", weir_object(answer));
    return made;
}

/* ---- completions ----------------------------------------------------------------------------- */

#define COMPLETION "text_completion"

/* The lists of old: tokens, token_logprobs, top_logprobs, text_offset. */
static json_t *old_logprobs(json_t *entries) {
    size_t i, k, offset = 0;
    json_t *entry, *other;
    json_t *tokens = json_array(), *own = json_array(), *tops = json_array(), *at = json_array();
    json_array_foreach(entries, i, entry) {
        json_t *token = json_object_get(entry, "token"), *top = json_object();
        json_array_append(tokens, token);
        json_array_append(own, json_object_get(entry, "logprob"));
        json_array_foreach(json_object_get(entry, "top_logprobs"), k, other) {
            json_object_set(top, json_string_value(json_object_get(other, "token")),
                            json_object_get(other, "logprob"));
        }
        json_array_append_new(tops, top);
        json_array_append_new(at, json_integer((json_int_t)offset));
        offset += json_string_length(token);
    }
    return json_pack("{s:o,s:o,s:o,s:o}", "tokens", tokens, "token_logprobs", own, "top_logprobs",
                     tops, "text_offset", at);
}

static json_t *completion_choice(json_t *text, int index, json_t *logprobs, const char *reason) {
    return json_pack("{s:o,s:i,s:o,s:s?}", "text", text, "index", index, "logprobs",
                     logprobs != NULL ? logprobs : json_null(), "finish_reason", reason);
}

static json_t *completion_piece(server_answer *answer, int choice, int32_t token, const char *text,
                                size_t size, json_t *logprob) {
    (void)token;
    json_t *entries = json_array(), *logprobs = NULL;
    if (logprob != NULL) {
        json_array_append(entries, logprob);
        logprobs = old_logprobs(entries);
    }
    json_decref(entries);
    json_t *one =
        completion_choice(json_stringn(size > 0 ? text : "", size), choice, logprobs, NULL);
    return envelope(answer, COMPLETION, json_pack("[o]", one));
}

static json_t *completion_end(server_answer *answer, int choice) {
    json_t *one =
        completion_choice(json_string(""), choice, NULL, answer_reason(&answer->choice[choice]));
    json_t *made = envelope(answer, COMPLETION, json_pack("[o]", one));
    json_object_set_new(made, "weir", weir_object(answer));
    return made;
}

static json_t *completion_usage(server_answer *answer) { return usage_chunk(answer, COMPLETION); }

static json_t *completion_one(const server_answer *answer, int i) {
    const answer_choice *choice = &answer->choice[i];
    json_t *logprobs = choice->logprobs != NULL ? old_logprobs(choice->logprobs) : NULL;
    return completion_choice(text_of(&choice->text), i, logprobs, answer_reason(choice));
}

static json_t *completion_whole(server_answer *answer) {
    return whole_answer(answer, COMPLETION, completion_one);
}

const answer_shape completion_shape = {
    .piece = completion_piece,
    .end = completion_end,
    .usage = completion_usage,
    .whole = completion_whole,
    .says_done = true,
};

/* ---- chat ------------------------------------------------------------------------------------ */

#define CHUNK "chat.completion.chunk"

static json_t *delta_chunk(const server_answer *answer, int choice, json_t *delta, json_t *logprobs,
                           const char *reason) {
    json_t *one = json_pack("{s:i,s:o,s:o,s:s?}", "index", choice, "delta", delta, "logprobs",
                            logprobs != NULL ? logprobs : json_null(), "finish_reason", reason);
    return envelope(answer, CHUNK, json_pack("[o]", one));
}

static json_t *chat_begin(server_answer *answer, int choice) {
    return delta_chunk(answer, choice, json_pack("{s:s,s:s}", "role", "assistant", "content", ""),
                       NULL, NULL);
}

static json_t *chat_piece(server_answer *answer, int choice, int32_t token, const char *text,
                          size_t size, json_t *logprob) {
    (void)token;
    weir_answer_part part = answer->choice[choice].part;
    const char *name = part == WEIR_ANSWER_THOUGHT ? "reasoning_content" : "content";
    if (part == WEIR_ANSWER_MARK) {
        size = 0;
    }
    json_t *delta = json_pack("{s:s%}", name, size > 0 ? text : "", size);
    json_t *logprobs = logprob != NULL ? json_pack("{s:[O]}", "content", logprob) : NULL;
    return delta_chunk(answer, choice, delta, logprobs, NULL);
}

static json_t *chat_end(server_answer *answer, int choice) {
    json_t *made =
        delta_chunk(answer, choice, json_object(), NULL, answer_reason(&answer->choice[choice]));
    json_object_set_new(made, "weir", weir_object(answer));
    return made;
}

static json_t *chat_usage(server_answer *answer) { return usage_chunk(answer, CHUNK); }

static json_t *chat_one(const server_answer *answer, int i) {
    const answer_choice *choice = &answer->choice[i];
    json_t *message = json_pack("{s:s,s:o,s:n}", "role", "assistant", "content",
                                text_of(&choice->text), "refusal");
    if (choice->thoughts.size > 0) {
        json_object_set_new(message, "reasoning_content", text_of(&choice->thoughts));
    }
    json_t *logprobs =
        choice->logprobs != NULL ? json_pack("{s:O}", "content", choice->logprobs) : json_null();
    return json_pack("{s:i,s:o,s:o,s:s}", "index", i, "message", message, "logprobs", logprobs,
                     "finish_reason", answer_reason(choice));
}

static json_t *chat_whole(server_answer *answer) {
    return whole_answer(answer, "chat.completion", chat_one);
}

const answer_shape chat_shape = {
    .begin = chat_begin,
    .piece = chat_piece,
    .end = chat_end,
    .usage = chat_usage,
    .whole = chat_whole,
    .says_done = true,
};
