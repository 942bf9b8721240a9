/*
 * What a request says about making text: how tokens are drawn, and when the text ends. The same
 * names everywhere; OpenAI's where OpenAI has one.
 */
#ifndef WEIR_SERVER_GENERATE_REQUEST_H
#define WEIR_SERVER_GENERATE_REQUEST_H

#include "parts/json.h"
#include "weir/sampling.h"
#include "weir/stream.h"

#define REQUEST_STOPS 16
#define REQUEST_STOP_BYTES 256
#define REQUEST_CHOICES 16
#define REQUEST_TOP 20 /* alternatives that a logprob comes with, at most */

typedef struct generate_request {
    /* as the tables fill it */
    float temperature, top_p, min_p, typical, repetition_penalty, presence_penalty,
        frequency_penalty;
    int64_t top_k, penalty_window, max_tokens, max_completion_tokens, n;
    uint64_t seed;
    json_t *stop, *logit_bias, *stream_options;
    bool stream, ignore_eos;
    unsigned said; /* bit i: the body has row i of sampling_fields */

    /* as it was understood */
    weir_sampling sampling; /* its bias is `bias` */
    weir_logit_bias *bias;
    char *stops[REQUEST_STOPS];
    int stop_count;
    bool usage; /* a last event with the usage */
} generate_request;

/* Everything unsaid: the rules of `weir run`, max_tokens as given, one choice, a seed of its own.
 * To be given back with generate_request_free, also after a failure. */
void generate_request_init(generate_request *request, int64_t max_tokens);
/* The rows that fill it, for json_read_parts. */
extern const json_field generate_fields[]; /* how text is made */
extern const json_field sampling_fields[]; /* how tokens are drawn */

/* After the rows of `body`: lists, ranges, what belongs together. */
weir_status generate_request_finish(generate_request *request, json_t *body, int32_t vocabulary,
                                    int64_t most, weir_error *error);
/* What the body did not say about drawing is as `rules` have it; the seed only where `seeded`. */
void generate_request_inherit(generate_request *request, const weir_sampling *rules, bool seeded);
weir_status generate_request_stop(generate_request *request, const char *text, size_t size,
                                  weir_error *error); /* one more stop string */
void generate_request_free(generate_request *request);

#endif
