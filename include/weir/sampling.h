/*
 * Sampling: how the next token is drawn from the logits.
 *
 * The order is fixed: logit bias, penalties over a bounded history, then (temperature 0: the
 * largest logit, the lowest id among equals) top-k, typical, top-p, min-p, temperature, and one
 * seeded draw. A draw is a function of (seed, stream index, logits), so the same stream gives the
 * same text.
 *
 *     weir_sampling sampling = weir_sampling_default();
 *     sampling.temperature = 0.8f;
 *     sampling.top_p = 0.95f;
 */
#ifndef WEIR_SAMPLING_H
#define WEIR_SAMPLING_H

#include <stdint.h>

#include "weir/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_MAX_PENALTY_WINDOW 4096
#define WEIR_MAX_LOGIT_BIAS 1024

typedef struct weir_logit_bias {
    int32_t token;
    float bias; /* added to the logit; -INFINITY forbids the token */
} weir_logit_bias;

typedef struct weir_sampling {
    float temperature;        /* >= 0; 0 is greedy */
    int32_t top_k;            /* keep the k most probable tokens; 0: all */
    float top_p;              /* (0, 1]: keep the smallest set with this probability; 1: all */
    float min_p;              /* [0, 1): drop tokens under min_p times the most probable; 0: none */
    float typical;            /* (0, 1]: locally typical sampling (Meister et al. 2023); 1: all */
    float repetition_penalty; /* > 0: positive logits are divided, negative multiplied; 1: none */
    float presence_penalty;   /* subtracted once from every token in the history; 0: none */
    float frequency_penalty;  /* subtracted once per occurrence in the history; 0: none */
    int32_t penalty_window;   /* tokens of history, 0 ... WEIR_MAX_PENALTY_WINDOW */
    uint64_t seed;
    const weir_logit_bias *bias; /* borrowed during the call that takes it; then copied */
    int32_t bias_count;          /* 0 ... WEIR_MAX_LOGIT_BIAS */
} weir_sampling;

/* Temperature 0.8, top-k 40, top-p 0.95, min-p 0.05, no penalties, penalty window 256, seed 0. */
WEIR_API weir_sampling weir_sampling_default(void);

/* WEIR_USAGE and one sentence when a value is out of its range. */
WEIR_API weir_status weir_sampling_check(const weir_sampling *sampling, int32_t n_vocab,
                                         weir_error *error);

#ifdef __cplusplus
}
#endif
#endif
