/* What requests to /v1/streams say, checked. Texts are borrowed from the object. */
#ifndef WEIR_SERVER_STREAMS_REQUEST_H
#define WEIR_SERVER_STREAMS_REQUEST_H

#include "requests/conversation.h"
#include "requests/generate_request.h"
#include "requests/stream_request.h"

/* POST /v1/streams */
typedef struct create_request {
    stream_request stream;
    generate_request sampling; /* of requests on the stream that say nothing about it */
    const char *chat_system;
} create_request;
weir_status create_request_read(json_t *object, int32_t vocabulary, create_request *out,
                                weir_error *error);
void create_request_free(create_request *request);

/* append, generate, ask: what goes in first, then what comes out. */
typedef struct text_request {
    generate_request generate;
    json_t *text_field, *messages; /* as they stand there */
    const char *text;              /* NULL: none */
    size_t text_size;
    bool border, flush;
    int64_t logprobs;
    server_conversation conversation;
} text_request;
/* `makes`: the fields of text that is made are known too. */
weir_status text_request_read(json_t *object, bool makes, int32_t vocabulary, int64_t most_tokens,
                              text_request *out, weir_error *error);
void text_request_free(text_request *request);

/* marks and rewind */
typedef struct place_request {
    const char *name; /* NULL: none */
    int64_t index;    /* -1: none */
} place_request;
weir_status mark_request_read(json_t *object, place_request *out, weir_error *error);
weir_status rewind_request_read(json_t *object, place_request *out, weir_error *error);

#endif
