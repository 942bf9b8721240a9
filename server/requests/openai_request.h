/* What OpenAI's clients ask for, checked: nothing is accepted and then ignored. */
#ifndef WEIR_SERVER_OPENAI_REQUEST_H
#define WEIR_SERVER_OPENAI_REQUEST_H

#include "requests/conversation.h"
#include "requests/generate_request.h"
#include "requests/stream_request.h"

typedef struct openai_request {
    generate_request generate;
    stream_request stream;
    const char *model, *stream_id; /* borrowed from the object; NULL: unsaid */
    int logprobs;                  /* alternatives with each token; -1: none */
    /* completions: one of them; tokens are the request's own */
    const char *text;
    size_t text_size;
    int32_t *tokens;
    int64_t token_count;
    /* chat */
    server_conversation conversation;
} openai_request;

/* `object` is borrowed, and must stay while the request is used. Given back with
 * openai_request_free, also after a failure. */
weir_status openai_read_completion(json_t *object, int32_t vocabulary, int64_t most_tokens,
                                   openai_request *out, weir_error *error);
weir_status openai_read_chat(json_t *object, int32_t vocabulary, int64_t most_tokens,
                             openai_request *out, weir_error *error);
void openai_request_free(openai_request *request);

#endif
