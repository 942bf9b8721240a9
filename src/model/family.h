/*
 * A model family is a row of data: what its blocks are made of, and what its tensors are called.
 * One block executor (forward.c) runs them all; it never asks for a family by name.
 *
 * Names of tensors and keys are GGUF's. In names %d is the layer; keys follow "FAMILY.".
 */
#ifndef WR_FAMILY_H
#define WR_FAMILY_H

#include "file/gguf.h"
#include "tensor/kernels.h"

typedef enum wr_norm_kind {
    WR_NORM_RMS,  /* x / rms(x) * weight */
    WR_NORM_LAYER /* (x - mean) / deviation * weight + bias */
} wr_norm_kind;

typedef enum wr_activation { WR_ACTIVATION_SILU, WR_ACTIVATION_GELU } wr_activation;

/* The term that the softmax of attention has beside its keys (STREAMING.md, "Sink variants"). */
typedef enum wr_sink_term {
    WR_SINK_TERM_NONE,
    WR_SINK_TERM_ZERO, /* z = 0 */
    WR_SINK_TERM_LOGIT /* z learned, one number for each head */
} wr_sink_term;

typedef enum wr_positions {
    WR_POSITIONS_ROPE, /* keys and queries are rotated */
    WR_POSITIONS_ALIBI /* scores lose slope * distance */
} wr_positions;

typedef struct wr_family {
    const char *name; /* general.architecture */
    wr_norm_kind norm;
    wr_activation activation;
    bool gated; /* down(act(gate(x)) * up(x)); otherwise down(act(up(x))) */
    wr_rotary_pairing pairing;
    const char *norm_epsilon_key; /* after "FAMILY." */
    const char *sink_key;         /* after "FAMILY.": "none", "zero", "logit"; NULL: always none */
    const char *positions_key;    /* after "FAMILY.": "rope", "alibi"; NULL: always rope */
} wr_family;

/* The family called `name`, or NULL. To add one: a row in family.c, see CONTRIBUTING. */
const wr_family *wr_family_find(wr_string name);
/* "llama, ...": for messages. */
const char *wr_family_names(void);

/* The matrices and vectors of a block, in the order of the table in family.c. */
typedef enum wr_block_part {
    WR_ATTN_NORM,
    WR_ATTN_Q,
    WR_ATTN_K,
    WR_ATTN_V,
    WR_ATTN_OUT,
    WR_ATTN_SINKS,
    WR_FFN_NORM,
    WR_FFN_GATE,
    WR_FFN_UP,
    WR_FFN_DOWN,
    WR_BLOCK_PARTS
} wr_block_part;

/* "attn_q", ...: the tensor is "blk.%d.attn_q.weight", its bias "blk.%d.attn_q.bias". */
extern const char *const wr_block_part_names[WR_BLOCK_PARTS];

#endif
