/* What a request says about a stream that it creates, and in what form. */
#ifndef WEIR_SERVER_STREAM_REQUEST_H
#define WEIR_SERVER_STREAM_REQUEST_H

#include "parts/json.h"
#include "weir/stream.h"

typedef struct stream_request {
    const char *policy, *cache_type, *evict, *system; /* borrowed from the object */
    int64_t sinks, window, cache, context;
    bool beyond;
} stream_request;

extern const json_field stream_fields[];

void stream_request_init(stream_request *request);
/* Over what `options` holds: the server's own. A policy or size that is given replaces all of
 * them. */
weir_status stream_request_apply(const stream_request *request, weir_stream_options *options,
                                 weir_error *error);
/* Sink policy: the first `count` tokens are pinned; S + W stays. */
weir_status stream_request_pin(const weir_model *model, weir_stream_options *options, int64_t count,
                               weir_error *error);

#endif
