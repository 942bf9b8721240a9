/*
 * A model as the engine sees it: numbers checked, weights bound by name with every shape checked.
 * Weights are borrowed from the mapping. Immutable once open.
 */
#ifndef WR_NETWORK_H
#define WR_NETWORK_H

#include "base/arena.h"
#include "file/gguf.h"
#include "model/family.h"
#include "position/rope.h"
#include "text/vocab.h"
#include "weir/model.h"

/* A weight and, where the file has one, its bias. */
typedef struct wr_linear {
    wr_matrix matrix;  /* data NULL: the block has no such part */
    const float *bias; /* [rows] or NULL */
} wr_linear;

typedef struct wr_norm {
    const float *weight; /* [width] */
    const float *bias;   /* [width] or NULL */
} wr_norm;

typedef struct wr_block {
    wr_norm attention_norm;
    wr_linear q, k, v, out;
    const float *sink_logits; /* [heads] z, or NULL where the softmax has no such term */
    wr_norm feed_forward_norm;
    wr_linear gate, up, down;
} wr_block;

struct weir_model {
    weir_allocator allocator;
    bool has_allocator;
    wr_gguf *gguf;
    wr_vocab *vocab;
    const wr_kernels *kernels;
    weir_model_info info;
    char *strings; /* copies behind info */
    size_t strings_size;

    bool described; /* the numbers below are checked; otherwise `flaw` says why not */
    weir_error flaw;
    const wr_family *family;
    int32_t layers, width, heads, kv_heads, key_dim, value_dim, feed_forward, vocabulary;
    float norm_epsilon;
    float attention_scale;
    int32_t rotary_dim;
    double rope_base;
    double rope_scale;
    int64_t *layer_windows; /* [layers] 0: none; NULL: no layer has one */
    wr_sink_term sink_term;
    wr_positions positions;

    bool bound;     /* weights are there, and all below */
    wr_arena arena; /* the tables below, and vectors as floats whatever the file stores */
    wr_rope rope;
    const float *slopes; /* [heads] of linear biases, or NULL */
    wr_matrix embedding; /* [vocabulary, width] */
    wr_norm final_norm;
    wr_linear head;        /* [vocabulary, width] */
    wr_block *blocks;      /* [layers] */
    bool takes[WR_INPUTS]; /* which inputs the products of this model read */

    uint8_t *packed;     /* the block behind every panel; NULL: rows are packed as they are read */
    size_t packed_block; /* its bytes */
};

static inline const weir_allocator *wr_model_allocator(const weir_model *model) {
    return model->has_allocator ? &model->allocator : NULL;
}

/* Fill what `info` can say of any file, known family or not. */
void wr_model_survey(weir_model *model);
/* Check the family and its numbers. */
weir_status wr_model_describe(weir_model *model, weir_error *error);
/* Bind every weight by name (bind.c). */
weir_status wr_model_bind(weir_model *model, weir_error *error);
/* Rearrange the bound weights for the kernels (pack.c). */
weir_status wr_model_pack(weir_model *model, const weir_model_options *options, weir_error *error);

#endif
