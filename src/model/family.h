/*
 * A model family is a row of data: what its blocks are made of, and what its files call it. One
 * block executor (forward_block.c) runs them all; it never asks for a family by name.
 *
 *     n = norm(x)        x += after(attention(n))       n' = norm'(x)       x += after'(feed(n'))
 *
 * In encoders x = sum(x + attention(x)) and so on: every token sees the whole text, and there are
 * no logits.
 *
 * A block has a norm before a half, after it, or both (`norms`); its second half reads x as the
 * first left it, or, in parallel, as the first found it (`residual`). What one row cannot say for
 * all models of a family (which biases, which norms) the file says by having the tensor.
 *
 * Names of tensors and keys are GGUF's; keys follow "FAMILY.".
 */
#ifndef WR_FAMILY_H
#define WR_FAMILY_H

#include "file/gguf.h"
#include "tensor/kernels.h"

typedef enum wr_norm_kind {
    WR_NORM_RMS,  /* x / rms(x) * weight */
    WR_NORM_LAYER /* (x - mean) / deviation * weight + bias */
} wr_norm_kind;

/* Where a half block has norms. */
enum {
    WR_NORM_BEFORE = 1, /* of what it reads: attn_norm, ffn_norm */
    WR_NORM_AFTER = 2,  /* of what it adds: post_attention_norm, post_ffw_norm */
    WR_NORM_SUM = 4     /* of x once it has added: attn_output_norm, layer_output_norm */
};

typedef enum wr_residual {
    WR_RESIDUAL_SEQUENTIAL,
    WR_RESIDUAL_BY_KEY,  /* parallel, each half with a norm of its own, unless the key
                            "use_parallel_residual" is false */
    WR_RESIDUAL_BY_NORM, /* parallel where the file has no ffn_norm: both halves read one norm */
    WR_RESIDUAL_SHARED   /* parallel, both read attn_norm; but where the file has attn_norm_2,
                            attention reads that one */
} wr_residual;

/* Over what queries and keys are normed before they are rotated: attn_q_norm, attn_k_norm. */
typedef enum wr_head_norm {
    WR_HEAD_NORM_NONE,
    WR_HEAD_NORM_SHARED, /* each head, with the same weights [key_dim] */
    WR_HEAD_NORM_OWN,    /* each head, with its own [heads, key_dim]; where the file has them */
    WR_HEAD_NORM_WHOLE   /* all heads together, [heads * key_dim] */
} wr_head_norm;

typedef enum wr_activation {
    WR_ACTIVATION_SILU,
    WR_ACTIVATION_GELU,      /* by the normal distribution */
    WR_ACTIVATION_GELU_TANH, /* its approximation, which is what the model was trained with */
    WR_ACTIVATION_CUT_SILU   /* gate and up cut at 7, g / (1 + e^(-1.702 g)) * (up + 1) */
} wr_activation;

/* Whether the second half of a block is a choice of experts: "expert_count" says how many. */
typedef enum wr_experts { WR_EXPERTS_NONE, WR_EXPERTS_MAY, WR_EXPERTS_ALWAYS } wr_experts;

/* What has a bias in every file of the family. Others are taken where a file has them. */
enum {
    WR_BIAS_NORM = 1,
    WR_BIAS_QKV = 2,
    WR_BIAS_OUT = 4,
    WR_BIAS_FEED = 8,
    WR_BIAS_HEAD = 16,
    WR_BIAS_BLOCK = WR_BIAS_QKV | WR_BIAS_OUT | WR_BIAS_FEED
};

/* What its files keep in one tensor, rows after rows: files with and without are both read. */
enum {
    WR_FUSED_QKV = 1,    /* attn_qkv: q, k, v */
    WR_FUSED_GATE_UP = 2 /* ffn_up: gate, up */
};

/* The term that the softmax of attention has beside its keys (STREAMING.md, "Sink variants"). */
typedef enum wr_sink_term {
    WR_SINK_TERM_NONE,
    WR_SINK_TERM_ZERO, /* z = 0 */
    WR_SINK_TERM_LOGIT /* z learned, one number for each head */
} wr_sink_term;

typedef enum wr_positions {
    WR_POSITIONS_ROPE,   /* keys and queries are rotated */
    WR_POSITIONS_ALIBI,  /* scores lose slope * distance; without "attention.max_alibi_bias" by
                            largest bias 8, and where that key is 0 the family's are learned */
    WR_POSITIONS_LEARNED /* a row of position_embd is added to each embedding */
} wr_positions;

/* A local_base: that of the other layers. */
#define WR_LOCAL_BASE_SAME (-1.0)

typedef struct wr_family {
    const char *name; /* general.architecture */

    wr_norm_kind norm;
    unsigned norms; /* WR_NORM_BEFORE, WR_NORM_AFTER */
    wr_residual residual;
    wr_head_norm head_norm;
    wr_activation activation;
    bool encoder; /* every token sees the whole text; token_types and token_embd_norm before the
                     blocks, nothing behind them */
    bool gated;   /* down(act(gate(x)) * up(x)); otherwise down(act(up(x))) */
    unsigned biases;
    unsigned fused;
    wr_experts experts;
    bool norm_between;     /* the norm before the second half is called post_attention_norm */
    bool scaled_embedding; /* embeddings are multiplied by the root of the width */
    int32_t wide_layers;   /* a model of so many layers scales its scores by the root of width /
                              heads, not of key_dim, and its file does not say so; 0: none does */

    wr_positions positions;
    wr_rotary_pairing pairing;
    int32_t unrotated; /* every n-th layer rotates nothing; 0: all rotate */
    int32_t global;    /* every n-th layer sees past the window of the others; 0: none does. The key
                          "attention.sliding_window_pattern" goes before */

    int32_t window; /* of the layers that have one, where the file does not say it; 0: none */
    float attention_cap, final_cap; /* soft-caps where the file does not say them; 0: none */
    double local_base; /* layers with a window have frequencies of their own, which nothing scales,
                          of this base, unless "rope.freq_base_swa" says another; 0: only where
                          that key is */
    bool broken_ramp;  /* YaRN's ramp begins between two pairs, and the file does not say so */

    wr_sink_term sink;         /* without a sink_key */
    const char *sink_key;      /* "none", "zero", "logit"; NULL: always `sink` */
    const char *positions_key; /* "rope", "alibi"; NULL: always `positions` */
} wr_family;

/* The family called `name`, or NULL. To add one: a row in family.c, see CONTRIBUTING. */
const wr_family *wr_family_find(wr_string name);
/* Family i in the table's order, or NULL behind the last. */
const wr_family *wr_family_at(int i);
/* "llama, ...": for messages. */
#define WR_FAMILY_NAMES 320
const char *wr_family_names(char out[WR_FAMILY_NAMES]);
const char *wr_positions_name(wr_positions positions); /* "rope", "alibi", "learned" */

/* The matrices and vectors of a block. */
typedef enum wr_block_part {
    WR_ATTN_NORM,
    WR_ATTN_NORM_2,
    WR_ATTN_QKV,
    WR_ATTN_Q,
    WR_ATTN_K,
    WR_ATTN_V,
    WR_ATTN_Q_NORM,
    WR_ATTN_K_NORM,
    WR_ATTN_OUT,
    WR_ATTN_SINKS,
    WR_ATTN_POST_NORM,
    WR_ATTN_SUM_NORM,
    WR_FFN_NORM,
    WR_FFN_GATE,
    WR_FFN_UP,
    WR_FFN_DOWN,
    WR_FFN_ROUTER,
    WR_FFN_GATES, /* of the experts, one after another; and so: */
    WR_FFN_UPS,
    WR_FFN_DOWNS,
    WR_FFN_POST_NORM,
    WR_FFN_SUM_NORM,
    WR_BLOCK_PARTS
} wr_block_part;

/* The tensor is "blk.N.NAME.weight", its bias "blk.N.NAME.bias". */
typedef struct wr_block_part_info {
    const char *name; /* "attn_q" */
    unsigned bias;    /* which of a family's `biases` speaks of it; 0: it never has one */
} wr_block_part_info;
extern const wr_block_part_info wr_block_parts[WR_BLOCK_PARTS];

#endif
