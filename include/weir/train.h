/*
 * Training: small models of Llama's kind from scratch, with and without a sink. (libweir-lab)
 *
 * Attention sinks exist because softmax must sum to one (Xiao et al., ICLR 2024, 3.3). So a model
 * may be trained with a place of its own for the excess:
 *
 *     none    ordinary softmax
 *     zero    softmax-off-by-one: one more score, 0, in the denominator ("zero sink")
 *     logit   one more score, a learned number for each head (gpt-oss)
 *     token   a learnable token at the front of every sample, stored as the model's BOS
 *
 *     weir_train_options options = weir_train_options_default();
 *     weir_train_preset("3m", &options.shape, &error);
 *     options.data = files; options.data_count = 2;
 *     options.out = "small.gguf";
 *     weir_train_plan plan;
 *     weir_train_plan_make(&options, &plan, &error);      parameters, memory, work; all refusals
 *     weir_train_run(&options, &error);                   resumes where a checkpoint stands
 */
#ifndef WEIR_TRAIN_H
#define WEIR_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/memory.h"
#include "weir/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum weir_train_sink {
    WEIR_TRAIN_SINK_NONE,
    WEIR_TRAIN_SINK_ZERO,
    WEIR_TRAIN_SINK_LOGIT,
    WEIR_TRAIN_SINK_TOKEN
} weir_train_sink;

typedef enum weir_train_positions {
    WEIR_TRAIN_ROPE, /* rotary, pairs (2i, 2i + 1), every element of a head */
    WEIR_TRAIN_ALIBI /* - slope[head] * distance */
} weir_train_positions;

/* RMSNorm, grouped queries, SwiGLU, no biases; heads are width / heads wide. */
typedef struct weir_train_shape {
    int64_t layers;
    int64_t width;
    int64_t heads;    /* divides width; width / heads is even */
    int64_t kv_heads; /* divides heads */
    int64_t feed_forward;
    int64_t context; /* tokens that one sample feeds, the sink token included */
    int64_t vocabulary;
    bool tied; /* the output matrix is the embedding */
    weir_train_sink sink;
    weir_train_positions positions;
    double rope_base;
    double norm_epsilon;
} weir_train_shape;

#ifdef __cplusplus
}
#endif
#endif
