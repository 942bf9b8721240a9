#include "api/streams_reply.h"

static const char *reason_name(const answer_choice *choice) {
    static const char *const names[] = {"length", "end", "stop", "stop"};
    return names[choice->generated.reason];
}

static json_t *piece(server_answer *answer, int choice, int32_t token, const char *text,
                     size_t size, json_t *logprob) {
    (void)answer, (void)choice;
    json_t *made = json_pack("{s:s%}", "text", size > 0 ? text : "", size);
    if (token >= 0) {
        json_object_set_new(made, "token", json_integer(token));
    }
    if (logprob != NULL) {
        json_object_set(made, "logprob", logprob);
    }
    return made;
}

static json_t *end(server_answer *answer, int choice) {
    return json_pack(
        "{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "reason", reason_name(&answer->choice[choice]),
        "prompt_tokens", (json_int_t)answer->prompt_tokens, "made",
        (json_int_t)answer_tokens(answer), "index", (json_int_t)answer->state.index, "evicted",
        (json_int_t)answer->state.evicted, "sinks", (json_int_t)answer->state.sinks, "window",
        (json_int_t)answer->state.window, "seed", (json_int_t)answer->request.seed);
}

static json_t *whole(server_answer *answer) {
    answer_choice *choice = &answer->choice[0];
    json_t *made = end(answer, 0);
    json_object_set_new(
        made, "text",
        json_stringn(choice->text.size > 0 ? choice->text.data : "", choice->text.size));
    json_object_set(made, "tokens", choice->tokens);
    if (choice->logprobs != NULL) {
        json_object_set(made, "logprobs", choice->logprobs);
    }
    return made;
}

const answer_shape stream_shape = {
    .piece = piece,
    .end = end,
    .whole = whole,
    .piece_event = "token",
    .end_event = "end",
};
