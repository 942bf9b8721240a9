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
#include "text/chat.h"
#include "weir/model.h"

/* A weight and, where the file has one, its bias. */
typedef struct wr_linear {
    wr_matrix matrix;  /* data NULL: the block has no such part */
    const float *bias; /* [rows] or NULL */
} wr_linear;

typedef struct wr_norm {
    const float *weight; /* [width], or as wr_head_norm says. NULL: the block has no such norm */
    const float *bias;   /* as many, or NULL */
} wr_norm;

/* A weight that its file keeps with others in one tensor is a view of its rows. */
typedef struct wr_block {
    wr_norm attention_norm; /* none: attention reads x */
    wr_linear q, k, v, out;
    wr_norm q_norm, k_norm;
    const float *sink_logits;   /* [heads] z, or NULL where the softmax has no such term */
    int32_t rope;               /* of the model's; -1: the layer rotates nothing */
    wr_norm attention_after;    /* of what attention adds to x */
    wr_norm attention_sum;      /* of x, once attention is added */
    wr_norm feed_forward_norm;  /* none: reads what attention read (parallel), or x */
    wr_linear gate, up, down;   /* no data where there are experts */
    wr_linear router;           /* [experts, width] */
    wr_linear *experts;         /* [WR_EXPERT_PARTS, experts]; NULL: there are none */
    wr_norm feed_forward_after; /* of what this half adds to x */
    wr_norm feed_forward_sum;   /* of x, once this half is added */
} wr_block;

/* The parts of an expert, in the order of a block's table. */
typedef enum wr_expert_part {
    WR_EXPERT_GATE,
    WR_EXPERT_UP,
    WR_EXPERT_DOWN,
    WR_EXPERT_PARTS
} wr_expert_part;

/* Sets of rotary frequencies that the layers of one model may differ in. */
#define WR_ROPES 2

struct weir_model {
    weir_allocator allocator;
    bool has_allocator;
    wr_gguf *gguf;
    wr_vocab *vocab;
    const wr_kernels *kernels;
    wr_chat chat;
    weir_model_info info;
    char *strings; /* copies behind info */
    size_t strings_size;

    bool described; /* the numbers below are checked; otherwise `flaw` says why not */
    weir_error flaw;
    const wr_family *family;
    int32_t layers, width, heads, kv_heads, key_dim, value_dim, feed_forward, vocabulary;
    int32_t experts, experts_used; /* in each block, and by each row; 0: none. feed_forward then is
                                      that of an expert */
    float norm_epsilon;
    float attention_scale;
    float attention_cap; /* scores and logits are cut softly, c tanh(s / c); 0: they are not */
    float final_cap;
    float embedding_scale; /* of a token's embedding */
    int32_t rotary_dim;
    /* What the file says; a stream's options may say otherwise of the first. */
    wr_rope_recipe rope_recipes[WR_ROPES];
    int32_t rope_count;     /* 0: nothing is rotated */
    bool knows_original;    /* its context before any scaling is in the file, or is the trained
                               one because nothing is scaled */
    bool has_rope_lists;    /* of LongRoPE's divisors */
    int64_t scaled_context; /* that its own frequencies reach */
    int64_t *layer_windows; /* [layers] 0: none; NULL: no layer has one */
    wr_sink_term sink_term;
    wr_positions positions;
    double alibi_bias; /* the largest of linear biases: 8 */
    float qkv_limit;   /* queries, keys and values are cut to [-limit, limit]; 0: are not */
    bool parallel;     /* the second half of a block reads x as the first found it */

    bool bound;          /* weights are there, and all below */
    wr_arena arena;      /* the tables below, and vectors as floats whatever the file stores */
    const float *slopes; /* [heads] of linear biases, or NULL */
    wr_matrix embedding; /* [vocabulary, width] */
    wr_matrix position_embedding; /* [trained context, width]; data NULL: none */
    const float *token_type;      /* [width] added to every embedding, or NULL */
    wr_norm embedding_norm;       /* of embeddings as they enter the blocks, or none */
    wr_norm final_norm;           /* none in encoders, and no head */
    wr_linear head;               /* [vocabulary, width] */
    wr_block *blocks;             /* [layers] */
    bool takes[WR_INPUTS];        /* which inputs the products of this model read */

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
/* The part of it that is about rotary positions (describe_rope.c). */
weir_status wr_model_describe_rope(weir_model *model, weir_error *error);
/* The recipes that a stream's options ask for, and the context that it reaches. WEIR_USAGE: options
 * that do not apply, or need another. */
weir_status wr_model_choose_rope(const weir_model *model, const weir_rope_options *options,
                                 wr_rope_recipe out[WR_ROPES], int64_t *context, weir_error *error);
/* The chat template of this name, or the file's (converse.c). */
weir_status wr_model_choose_chat(weir_model *model, const char *name, weir_error *error);
/* Bind every weight by name (bind.c). */
weir_status wr_model_bind(weir_model *model, weir_error *error);
/* Rearrange the bound weights for the kernels (pack.c). */
weir_status wr_model_pack(weir_model *model, const weir_model_options *options, weir_error *error);

#endif
