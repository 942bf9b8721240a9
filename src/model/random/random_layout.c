/* Keys and tensors of a random model, as its family's row has them. */
#include <stdio.h>
#include <string.h>

#include "model/random/random_inside.h"

/* ---- keys ------------------------------------------------------------------------------------ */

static const char *key_of(const wr_random_shape *shape, const char *suffix, char key[64]) {
    snprintf(key, 64, "%s.%s", shape->family->name, suffix);
    return key;
}

/* What is not said is not there. */
static void put_sink(wr_gguf_writer *writer, const wr_random_shape *shape) {
    char key[64];
    if (strcmp(shape->sink, "token") == 0) {
        wr_gguf_put_bool(writer, "weir.sink_token", true);
    } else if (strcmp(shape->sink, "none") != 0 && shape->family->sink_key != NULL) {
        wr_gguf_put_string(writer, key_of(shape, shape->family->sink_key, key), shape->sink);
    }
    if (shape->family->positions_key != NULL && shape->positions != WR_POSITIONS_ROPE) {
        wr_gguf_put_string(writer, key_of(shape, shape->family->positions_key, key),
                           wr_positions_name(shape->positions));
    }
}

/* What only some families have, and a variant has otherwise. */
static void put_choices(wr_gguf_writer *writer, const wr_random_shape *shape) {
    const bool variant = shape->asked.variant;
    char key[64];
    if (shape->family->residual == WR_RESIDUAL_BY_KEY) {
        wr_gguf_put_bool(writer, key_of(shape, "use_parallel_residual", key), !variant);
    }
    if (shape->family->scaled_embedding && (shape->family->norms & WR_NORM_AFTER) != 0 && variant) {
        wr_gguf_put_float(writer, key_of(shape, "attn_logit_softcapping", key), 5.0f);
        wr_gguf_put_float(writer, key_of(shape, "final_logit_softcapping", key), 3.0f);
    }
    if (shape->family->positions == WR_POSITIONS_ALIBI) {
        wr_gguf_put_float(writer, key_of(shape, "attention.max_alibi_bias", key),
                          variant ? 4.0f : 8.0f);
        if (variant) {
            wr_gguf_put_float(writer, key_of(shape, "attention.clamp_kqv", key), 0.75f);
        }
    }
}

static void put_counts(wr_gguf_writer *writer, const wr_random_shape *shape) {
    const weir_random_model *asked = &shape->asked;
    const int64_t rotary = asked->rotary_dim > 0 ? asked->rotary_dim : shape->head_dim;
    char key[64];
    const struct {
        const char *suffix;
        int64_t value; /* 0: left out */
    } counts[] = {
        {"block_count", asked->layers},
        {"context_length", asked->context},
        {"embedding_length", asked->width},
        {"feed_forward_length", asked->feed_forward},
        {"expert_count", asked->experts},
        {"expert_used_count", asked->experts_used},
        {"expert_feed_forward_length", asked->experts > 0 ? asked->feed_forward : 0},
        {"attention.head_count", asked->heads},
        {"attention.head_count_kv", asked->kv_heads},
        {"attention.key_length", asked->head_dim},
        {"attention.value_length", asked->head_dim},
        {"attention.sliding_window", asked->layer_window},
        {"rope.dimension_count", shape->positions == WR_POSITIONS_ROPE ? rotary : 0},
        {"vocab_size", asked->vocabulary},
    };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        if (counts[i].value > 0) {
            wr_gguf_put_int(writer, key_of(shape, counts[i].suffix, key), WR_GGUF_U32,
                            counts[i].value);
        }
    }
}

void wr_random_keys(wr_gguf_writer *writer, const wr_random_shape *shape) {
    const bool rms = shape->family->norm == WR_NORM_RMS;
    char key[64];
    wr_gguf_put_string(writer, "general.architecture", shape->family->name);
    wr_gguf_put_string(writer, "general.name", "random");
    put_counts(writer, shape);
    wr_gguf_put_float(
        writer,
        key_of(shape, rms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon",
               key),
        1e-5f);
    if (shape->positions == WR_POSITIONS_ROPE) {
        wr_gguf_put_float(writer, key_of(shape, "rope.freq_base", key), 10000.0f);
    }
    put_choices(writer, shape);
    put_sink(writer, shape);
}

/* ---- tensors --------------------------------------------------------------------------------- */

/* Hands tensors on until one fails. */
typedef struct listing {
    const wr_random_shape *shape;
    wr_random_tensor_fn fn;
    void *context;
    long long layer;
    weir_status status;
} listing;

static void put(listing *to, const wr_random_tensor *tensor) {
    if (to->status == WEIR_OK) {
        to->status = to->fn(to->context, tensor);
    }
}

static void put_part(listing *to, wr_block_part part, const char *what, wr_random_tensor tensor) {
    snprintf(tensor.name, sizeof tensor.name, "blk.%lld.%s.%s", to->layer,
             wr_block_parts[part].name, what);
    put(to, &tensor);
}

/* Where the family has one, or a variant, which has all that may be there. */
static void put_bias(listing *to, wr_block_part part, int64_t size) {
    const unsigned of = wr_block_parts[part].bias;
    const bool linear = (of & WR_BIAS_BLOCK) != 0;
    if ((to->shape->family->biases & of) != 0 || (linear && to->shape->asked.variant)) {
        put_part(to, part, "bias", (wr_random_tensor){.columns = size, .deviation = 0.1f});
    }
}

static void put_norm(listing *to, wr_block_part part) {
    const int64_t width = to->shape->asked.width;
    put_part(to, part, "weight",
             (wr_random_tensor){.columns = width, .mean = 1, .deviation = 0.1f});
    put_bias(to, part, width);
}

static void put_linear(listing *to, wr_block_part part, int64_t rows, int64_t columns) {
    put_part(to, part, "weight",
             (wr_random_tensor){.rows = rows, .columns = columns, .matrix = true});
    put_bias(to, part, rows);
}

static void put_head_norm(listing *to, wr_block_part part, int64_t heads) {
    const wr_random_shape *shape = to->shape;
    wr_random_tensor tensor = {.columns = shape->head_dim, .mean = 1, .deviation = 0.1f};
    switch (shape->family->head_norm) {
    case WR_HEAD_NORM_NONE:
        return;
    case WR_HEAD_NORM_SHARED:
        break;
    case WR_HEAD_NORM_OWN:
        if (!shape->asked.variant) {
            return;
        }
        tensor.rows = heads;
        break;
    case WR_HEAD_NORM_WHOLE:
        tensor.columns *= heads;
        break;
    }
    put_part(to, part, "weight", tensor);
}

static void put_attention(listing *to) {
    const wr_random_shape *shape = to->shape;
    const int64_t width = shape->asked.width, query = shape->query_width, key = shape->key_width;
    if ((shape->family->fused & WR_FUSED_QKV) != 0) {
        put_linear(to, WR_ATTN_QKV, query + 2 * key, width);
    } else {
        put_linear(to, WR_ATTN_Q, query, width);
        put_linear(to, WR_ATTN_K, key, width);
        put_linear(to, WR_ATTN_V, key, width);
    }
    put_head_norm(to, WR_ATTN_Q_NORM, shape->asked.heads);
    put_head_norm(to, WR_ATTN_K_NORM, shape->asked.kv_heads);
    put_linear(to, WR_ATTN_OUT, width, query);
}

/* One part of all experts. */
static void put_expert_part(listing *to, wr_block_part part, int64_t rows, int64_t columns) {
    const int64_t experts = to->shape->asked.experts;
    put_part(
        to, part, "weight",
        (wr_random_tensor){.rows = rows, .columns = columns, .depth = experts, .matrix = true});
    if ((to->shape->family->biases & wr_block_parts[part].bias) != 0) {
        put_part(to, part, "bias",
                 (wr_random_tensor){.rows = experts, .columns = rows, .deviation = 0.1f});
    }
}

/* The router is F32, as everywhere, and decided. */
static void put_experts(listing *to) {
    const int64_t width = to->shape->asked.width, hidden = to->shape->asked.feed_forward;
    const int64_t experts = to->shape->asked.experts;
    put_part(to, WR_FFN_ROUTER, "weight",
             (wr_random_tensor){.rows = experts, .columns = width, .deviation = 0.3f});
    put_bias(to, WR_FFN_ROUTER, experts);
    put_expert_part(to, WR_FFN_GATES, hidden, width);
    put_expert_part(to, WR_FFN_UPS, hidden, width);
    put_expert_part(to, WR_FFN_DOWNS, width, hidden);
}

static void put_feed_forward(listing *to) {
    const wr_family *family = to->shape->family;
    const int64_t width = to->shape->asked.width, hidden = to->shape->asked.feed_forward;
    if (to->shape->asked.experts > 0) {
        put_experts(to);
        return;
    }
    if ((family->fused & WR_FUSED_GATE_UP) != 0) {
        put_linear(to, WR_FFN_UP, 2 * hidden, width);
    } else {
        if (family->gated) {
            put_linear(to, WR_FFN_GATE, hidden, width);
        }
        put_linear(to, WR_FFN_UP, hidden, width);
    }
    put_linear(to, WR_FFN_DOWN, width, hidden);
}

static void put_layer(listing *to) {
    const wr_random_shape *shape = to->shape;
    const wr_family *family = shape->family;
    const bool before = (family->norms & WR_NORM_BEFORE) != 0;
    const bool after = (family->norms & WR_NORM_AFTER) != 0;
    const bool sum = (family->norms & WR_NORM_SUM) != 0;
    const bool variant = shape->asked.variant;
    const bool shares = family->residual == WR_RESIDUAL_SHARED ||
                        (family->residual == WR_RESIDUAL_BY_NORM && variant);
    if (before) {
        put_norm(to, WR_ATTN_NORM);
    }
    if (family->residual == WR_RESIDUAL_SHARED && variant) {
        put_norm(to, WR_ATTN_NORM_2);
    }
    put_attention(to);
    if (after) {
        put_norm(to, WR_ATTN_POST_NORM);
    }
    if (sum) {
        put_norm(to, WR_ATTN_SUM_NORM);
    }
    if (before && !shares) {
        put_norm(to, family->norm_between ? WR_ATTN_POST_NORM : WR_FFN_NORM);
    }
    put_feed_forward(to);
    if (after) {
        put_norm(to, WR_FFN_POST_NORM);
    }
    if (sum) {
        put_norm(to, WR_FFN_SUM_NORM);
    }
    if (strcmp(shape->sink, "logit") == 0) { /* as far apart as scores are */
        put_part(to, WR_ATTN_SINKS, "weight",
                 (wr_random_tensor){.columns = shape->asked.heads, .mean = 1, .deviation = 1});
    }
}

static void put_encoder(listing *to) {
    const int64_t width = to->shape->asked.width;
    put(to, &(wr_random_tensor){
                .name = "token_types.weight", .rows = 2, .columns = width, .deviation = 0.3f});
    put(to, &(wr_random_tensor){
                .name = "token_embd_norm.weight", .columns = width, .mean = 1, .deviation = 0.1f});
    put(to,
        &(wr_random_tensor){.name = "token_embd_norm.bias", .columns = width, .deviation = 0.1f});
}

/* What comes before the blocks and after them; the output matrix may be the embedding. */
static void put_ends(listing *to) {
    const wr_random_shape *shape = to->shape;
    const weir_random_model *asked = &shape->asked;
    const unsigned biases = shape->family->biases;
    put(to, &(wr_random_tensor){.name = "token_embd.weight",
                                .rows = asked->vocabulary,
                                .columns = asked->width,
                                .matrix = true});
    if (shape->positions == WR_POSITIONS_LEARNED) {
        put(to, &(wr_random_tensor){.name = "position_embd.weight",
                                    .rows = asked->context,
                                    .columns = asked->width,
                                    .matrix = true});
    }
    if (shape->family->encoder) {
        put_encoder(to);
        return;
    }
    put(to,
        &(wr_random_tensor){
            .name = "output_norm.weight", .columns = asked->width, .mean = 1, .deviation = 0.1f});
    if ((biases & WR_BIAS_NORM) != 0) {
        put(to, &(wr_random_tensor){
                    .name = "output_norm.bias", .columns = asked->width, .deviation = 0.1f});
    }
    if (!asked->tied) {
        put(to, &(wr_random_tensor){.name = "output.weight",
                                    .rows = asked->vocabulary,
                                    .columns = asked->width,
                                    .matrix = true});
    }
    if ((biases & WR_BIAS_HEAD) != 0) {
        put(to, &(wr_random_tensor){
                    .name = "output.bias", .columns = asked->vocabulary, .deviation = 0.1f});
    }
}

weir_status wr_random_tensors(const wr_random_shape *shape, wr_random_tensor_fn fn, void *context) {
    listing to = {.shape = shape, .fn = fn, .context = context, .status = WEIR_OK};
    put_ends(&to);
    for (; to.layer < shape->asked.layers; to.layer++) {
        put_layer(&to);
    }
    return to.status;
}
