/*
 * What a model in training is made of: one row for each tensor, in the order of the file. All of
 * them lie in one array of numbers (so do gradients and moments), each beginning at a multiple
 * of 16.
 *
 *   token_embd.weight                     [vocabulary, width]
 *   blk.N.attn_norm.weight                [width]
 *   blk.N.attn_q|k|v.weight               [heads|kv_heads|kv_heads * head_dim, width]
 *   blk.N.attn_output.weight              [width, heads * head_dim]
 *   blk.N.attn_sinks.weight               [heads]                       only with the sink "logit"
 *   blk.N.ffn_norm.weight                 [width]
 *   blk.N.ffn_gate|up.weight              [feed_forward, width]
 *   blk.N.ffn_down.weight                 [width, feed_forward]
 *   output_norm.weight                    [width]
 *   output.weight                         [vocabulary, width]           only where not tied
 */
#ifndef WR_PARAMETERS_H
#define WR_PARAMETERS_H

#include <stddef.h>

#include "weir/train.h"

typedef enum wr_parameter_kind {
    WR_PARAMETER_EMBEDDING,
    WR_PARAMETER_MATRIX,
    WR_PARAMETER_NORM,
    WR_PARAMETER_SINK
} wr_parameter_kind;

typedef struct wr_parameter {
    char name[48]; /* GGUF's */
    wr_parameter_kind kind;
    int64_t rows;     /* 1 for a vector */
    int64_t columns;  /* the fastest dimension */
    size_t offset;    /* first number in the array */
    bool decays;      /* weight decay: matrices and embeddings; not norms and sink logits */
    double deviation; /* of the normal draw at the start; 0: all `start` */
    double start;     /* 1 for norms, 0 for sink logits */
} wr_parameter;

enum {
    WR_PARAMETERS_PER_LAYER = 10,
    WR_PARAMETERS_MAX_LAYERS = 256,
};

/* How many tensors a shape has. */
int64_t wr_parameters_count(const weir_train_shape *shape);
/* Tensor i of them. */
void wr_parameters_get(const weir_train_shape *shape, int64_t i, wr_parameter *out);
/* Numbers in the array, padding included. */
size_t wr_parameters_size(const weir_train_shape *shape);
/* Numbers that are learned. */
int64_t wr_parameters_learned(const weir_train_shape *shape);

/* WEIR_USAGE names what is out of range or does not divide. */
weir_status wr_shape_check(const weir_train_shape *shape, weir_error *error);

#endif
