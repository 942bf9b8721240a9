/*
 * Perplexity of a token sequence under a cache policy (libweir-lab).
 *
 * Token i is scored with the logits that follow token i - 1: nll_i = -log p(token_i | what the
 * policy lets token i - 1 attend). The first token is context only.
 */
#ifndef WEIR_EVAL_H
#define WEIR_EVAL_H

#include "weir/model.h"
#include "weir/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Receives the negative log-likelihood in nats of the token at stream index `index`. */
typedef weir_status (*weir_nll_fn)(void *context, int64_t index, int32_t token, double nll);

typedef struct weir_eval_result {
    int64_t tokens;    /* fed */
    int64_t scored;    /* tokens - 1, or fewer after an interruption */
    double nll;        /* mean, nats */
    double error;      /* standard error of the mean */
    double nll_before; /* mean over indices up to `after`; NaN when there are none */
    int64_t scored_before;
    double nll_after;   /* mean over indices beyond `after`; NaN when there are none */
    double error_after; /* standard error of nll_after */
    int64_t scored_after;
    double seconds;
    int64_t peak_memory; /* highest weir_memory_resident() seen during the run; -1: unknown */
} weir_eval_result;

typedef struct weir_eval_options {
    int64_t after;  /* count indices > after for nll_after, the others for nll_before */
    weir_nll_fn fn; /* may be NULL */
    void *context;
    /* May be NULL: called now and then with the tokens done; false ends the run early, cleanly. */
    bool (*progress)(void *context, int64_t done, int64_t total);
    void *progress_context;
} weir_eval_options;

/* Feed tokens to an empty stream and score them. A result is filled on failure too, with what was
 * scored until then. */
WEIR_API weir_status weir_eval(weir_stream *stream, const int32_t *tokens, int64_t count,
                               const weir_eval_options *options, weir_eval_result *out,
                               weir_error *error);

/* Makes the tokens of a text: calls `emit` with them in order, in pieces of any size, and passes on
 * what that returns. */
typedef weir_status (*weir_eval_source)(void *source_context, weir_token_fn emit, void *context);

/* The same for tokens that need not lie in memory all at once; the figures are the same to the last
 * bit. `total`: how many there will be, for the progress. A failure of the source is passed on. */
WEIR_API weir_status weir_eval_from(weir_stream *stream, weir_eval_source source,
                                    void *source_context, int64_t total,
                                    const weir_eval_options *options, weir_eval_result *out,
                                    weir_error *error);

#ifdef __cplusplus
}
#endif
#endif
