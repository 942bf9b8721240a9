/* The rules of sampling: their defaults, their ranges and the sentences about them. */
#include "weir/sampling.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

weir_sampling weir_sampling_default(void) {
    return (weir_sampling){
        .temperature = 0.8f,
        .top_k = 40,
        .top_p = 0.95f,
        .min_p = 0.05f,
        .typical = 1.0f,
        .repetition_penalty = 1.0f,
        .presence_penalty = 0.0f,
        .frequency_penalty = 0.0f,
        .penalty_window = 256,
        .seed = 0,
        .bias = NULL,
        .bias_count = 0,
    };
}

typedef enum ends { CLOSED, LOW_OPEN, HIGH_OPEN } ends;

typedef struct range {
    const char *name;
    size_t offset; /* of a float in weir_sampling */
    float low, high;
    ends ends;
    const char *text; /* the range in words */
} range;

#define FIELD(name) #name, offsetof(weir_sampling, name)
#define ANY 3.4e38f /* finite */

static const range ranges[] = {
    {FIELD(temperature), 0, ANY, CLOSED, "0 (greedy) or more"},
    {FIELD(top_p), 0, 1, LOW_OPEN, "above 0 and at most 1"},
    {FIELD(min_p), 0, 1, HIGH_OPEN, "at least 0 and below 1"},
    {FIELD(typical), 0, 1, LOW_OPEN, "above 0 and at most 1"},
    {FIELD(repetition_penalty), 0, ANY, LOW_OPEN, "above 0 (1 is none)"},
    {FIELD(presence_penalty), -ANY, ANY, CLOSED, "a number"},
    {FIELD(frequency_penalty), -ANY, ANY, CLOSED, "a number"},
};

static bool inside(const range *r, float value) {
    if (isnan(value) || value < r->low || value > r->high) return false;
    if (r->ends == LOW_OPEN && value == r->low) return false;
    return !(r->ends == HIGH_OPEN && value == r->high);
}

static weir_status check_bias(const weir_sampling *sampling, int32_t n_vocab, weir_error *error) {
    if (sampling->bias_count < 0 || sampling->bias_count > WEIR_MAX_LOGIT_BIAS)
        return weir_error_set(error, WEIR_USAGE, "logit bias: %d entries, it must be 0 to %d",
                              (int)sampling->bias_count, WEIR_MAX_LOGIT_BIAS);
    if (sampling->bias_count > 0 && !sampling->bias)
        return weir_error_set(error, WEIR_USAGE, "logit bias: %d entries, but bias is NULL",
                              (int)sampling->bias_count);
    for (int32_t i = 0; i < sampling->bias_count; i++) {
        weir_logit_bias entry = sampling->bias[i];
        if (entry.token < 0 || entry.token >= n_vocab)
            return weir_error_set(error, WEIR_USAGE,
                                  "logit bias: token %d, the vocabulary has 0 to %d",
                                  (int)entry.token, (int)n_vocab - 1);
        if (isnan(entry.bias) || entry.bias == INFINITY)
            return weir_error_set(error, WEIR_USAGE,
                                  "logit bias of token %d is %g, it must be a number or -infinity",
                                  (int)entry.token, (double)entry.bias);
    }
    return WEIR_OK;
}

weir_status weir_sampling_check(const weir_sampling *sampling, int32_t n_vocab, weir_error *error) {
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        float value = *(const float *)((const char *)sampling + ranges[i].offset);
        if (!inside(&ranges[i], value))
            return weir_error_set(error, WEIR_USAGE, "%s is %g, it must be %s", ranges[i].name,
                                  (double)value, ranges[i].text);
    }
    if (sampling->top_k < 0)
        return weir_error_set(error, WEIR_USAGE, "top_k is %d, it must be 0 (all) or more",
                              (int)sampling->top_k);
    if (sampling->penalty_window < 0 || sampling->penalty_window > WEIR_MAX_PENALTY_WINDOW)
        return weir_error_set(error, WEIR_USAGE, "penalty_window is %d, it must be 0 to %d",
                              (int)sampling->penalty_window, WEIR_MAX_PENALTY_WINDOW);
    return check_bias(sampling, n_vocab, error);
}
