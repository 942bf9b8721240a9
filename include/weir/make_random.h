/*
 * Random models: a valid GGUF file of any shape with random weights, for tests and benchmarks.
 * The same options give the same bytes.
 */
#ifndef WEIR_MAKE_RANDOM_H
#define WEIR_MAKE_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/memory.h"
#include "weir/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_random_model {
    /* Any that weir runs: "llama", "gptneox", ... NULL: llama, or weir where sink or positions want
     * it. */
    const char *family;
    const char *format; /* of the matrices: "F32", "Q8_0", "Q4_K", ...; norms are F32 */
    uint64_t seed;
    int64_t layers;
    int64_t width;
    int64_t heads;
    int64_t kv_heads;
    int64_t head_dim;     /* 0: width / heads */
    int64_t rotary_dim;   /* elements of a head that are rotated; 0: all */
    int64_t feed_forward; /* of an expert, where there are some */
    int64_t experts;      /* in a block; 0: none, or 4 in families that always have some */
    int64_t experts_used; /* by each token; 0: half of them */
    int64_t vocabulary;   /* >= 260: control tokens, 256 bytes, then made-up pieces */
    int64_t context;
    int64_t layer_window;  /* 0: none */
    bool tied;             /* the output matrix is the embedding */
    const char *sink;      /* "none", "zero", "logit", "token"; NULL: none */
    const char *positions; /* "rope", "alibi"; NULL: the family's */
    /* The family's other form, where it has two (parallel or not, two norms or one), with all that
     * a file of it may have: biases, norms of heads, limits. */
    bool variant;
} weir_random_model;

/* A tiny llama: 2 layers, 64 wide, 4 heads, 2 KV heads, vocabulary 320, context 256, F32. */
WEIR_API weir_random_model weir_random_model_default(void);

/* WEIR_USAGE when a number is out of range or a width is no multiple of the format's block. */
WEIR_API weir_status weir_make_random(const char *path, const weir_random_model *options,
                                      weir_error *error);

#ifdef __cplusplus
}
#endif
#endif
