/* What /v1/embeddings is asked for. */
#ifndef WEIR_SERVER_EMBED_REQUEST_H
#define WEIR_SERVER_EMBED_REQUEST_H

#include <stdint.h>

#include "parts/json.h"

#define EMBED_INPUTS 2048

/* A text, or tokens. */
typedef struct embed_input {
    const char *text; /* borrowed from the object; NULL: tokens */
    size_t size;      /* bytes, or tokens */
    int32_t *tokens;  /* own */
} embed_input;

typedef struct embed_request {
    const char *model; /* borrowed; NULL: unsaid */
    bool base64;       /* vectors as the bytes of little-endian floats */
    embed_input *inputs;
    int64_t count;
} embed_request;

/* `object` must stay while the request is used. `width`: of the model's vectors. Given back with
 * embed_request_free, also after a failure. */
weir_status embed_request_read(json_t *object, int32_t vocabulary, int64_t width,
                               embed_request *out, weir_error *error);
void embed_request_free(embed_request *request);

/* Bytes as base64, NUL-terminated; the caller free()s it. NULL: no memory. */
char *base64_encode(const void *data, size_t size);

#endif
