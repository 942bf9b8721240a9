/*
 * Weights bound by name, every shape checked before anything uses it.
 *
 * The same walk runs twice over the model's arena: measuring (which finds every missing or
 * misshapen tensor), then bound. Matrices are borrowed from the mapping; vectors become floats of
 * our own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file/name.h"
#include "model/network.h"
#include "position/alibi.h"

typedef struct binder {
    weir_model *model;
    wr_arena *arena;
    weir_error *error;
    weir_status status;           /* the first failure; nothing is done after it */
    const wr_gguf_tensor **found; /* [found_count] while measuring, room for all of the file */
    size_t found_count;
} binder;

static void describe_dims(const int64_t *dim, int32_t dims, char *out, size_t size) {
    if (dims > 2)
        snprintf(out, size, "[%lld, %lld, %lld]", (long long)dim[2], (long long)dim[1],
                 (long long)dim[0]);
    else if (dims == 1)
        snprintf(out, size, "[%lld]", (long long)dim[0]);
    else
        snprintf(out, size, "[%lld, %lld]", (long long)dim[1], (long long)dim[0]);
}

/* The tensor called `name` with shape [depth, rows, columns] (depth 0: [rows, columns], rows 0: a
 * vector [columns]), or NULL with the status set. An absent optional tensor is NULL without a
 * failure. */
static const wr_gguf_tensor *find_deep(binder *b, const char *name, int64_t depth, int64_t rows,
                                       int64_t columns, bool optional) {
    const char *path = b->model->info.path;
    if (b->status != WEIR_OK) return NULL;
    const wr_gguf_tensor *tensor = wr_gguf_find_tensor(b->model->gguf, name);
    if (!tensor) {
        if (!optional)
            b->status =
                weir_error_set(b->error, WEIR_DAMAGED, "%s: the tensor %s is missing", path, name);
        return NULL;
    }
    bool right = tensor->dim[0] == columns && tensor->dim[1] == (rows > 0 ? rows : 1) &&
                 tensor->dim[2] == (depth > 0 ? depth : 1) && tensor->dim[3] == 1;
    if (!right) {
        char want[64];
        char have[64];
        describe_dims((const int64_t[]){columns, rows, depth},
                      depth > 0  ? 3
                      : rows > 0 ? 2
                                 : 1,
                      want, sizeof want);
        describe_dims(tensor->dim, tensor->dims, have, sizeof have);
        b->status = weir_error_set(b->error, WEIR_DAMAGED, "%s: %s: expected %s, the file has %s",
                                   path, name, want, have);
        return NULL;
    }
    if (tensor->foreign) {
        const char *format = wr_format_foreign_name(tensor->number);
        b->status = weir_error_set(b->error, WEIR_UNSUPPORTED,
                                   "%s: %s: the tensor format %s (%u) is not supported", path, name,
                                   format ? format : "unknown", (unsigned)tensor->number);
        return NULL;
    }
    if (!b->arena->base) b->found[b->found_count++] = tensor;
    return tensor;
}

static const wr_gguf_tensor *find(binder *b, const char *name, int64_t rows, int64_t columns,
                                  bool optional) {
    return find_deep(b, name, 0, rows, columns, optional);
}

static int compare_tensors(const void *a, const void *b) {
    const uintptr_t x = (uintptr_t) * (const wr_gguf_tensor *const *)a;
    const uintptr_t y = (uintptr_t) * (const wr_gguf_tensor *const *)b;
    return x < y ? -1 : x > y;
}

/* A block with a tensor that nobody reads is another block than the one that would be computed. */
static weir_status check_blocks(const binder *b) {
    const wr_gguf *gguf = b->model->gguf;
    qsort(b->found, b->found_count, sizeof *b->found, compare_tensors);
    for (int64_t i = 0; i < wr_gguf_tensor_count(gguf); i++) {
        const wr_gguf_tensor *tensor = wr_gguf_tensor_at(gguf, i);
        if (tensor->name.size < 4 || memcmp(tensor->name.data, "blk.", 4) != 0) continue;
        if (bsearch(&tensor, b->found, b->found_count, sizeof *b->found, compare_tensors)) continue;
        return weir_error_set(
            b->error, WEIR_UNSUPPORTED, "%s: the tensor %s is none that the family %s has there",
            b->model->info.path, wr_name_quote(tensor->name).text, b->model->family->name);
    }
    return WEIR_OK;
}

static wr_matrix bind_matrix(binder *b, const char *name, int64_t rows, int64_t columns,
                             bool optional) {
    const wr_gguf_tensor *tensor = find(b, name, rows, columns, optional);
    if (!tensor) return (wr_matrix){0};
    return (wr_matrix){
        .data = tensor->data, .format = tensor->format, .rows = rows, .columns = columns};
}

/* `rows` of them one after another; 0: one. */
static const float *bind_vectors(binder *b, const char *name, int64_t rows, int64_t size,
                                 bool optional) {
    const wr_gguf_tensor *tensor = find(b, name, rows, size, optional);
    if (!tensor) return NULL;
    const int64_t numbers = size * (rows > 0 ? rows : 1);
    float *vectors = wr_arena_take(b->arena, (size_t)numbers, sizeof *vectors);
    if (vectors) b->model->kernels->decode(tensor->format, tensor->data, vectors, numbers);
    return vectors;
}

static const float *bind_vector(binder *b, const char *name, int64_t size, bool optional) {
    return bind_vectors(b, name, 0, size, optional);
}

/* --- Parts of a block ------------------------------------------------------------------------- */

static const char *part_name(char name[64], int32_t layer, wr_block_part part, const char *what) {
    snprintf(name, 64, "blk.%d.%s.%s", (int)layer, wr_block_parts[part].name, what);
    return name;
}

static bool has_part(const binder *b, int32_t layer, wr_block_part part) {
    char name[64];
    return wr_gguf_find_tensor(b->model->gguf, part_name(name, layer, part, "weight")) != NULL;
}

static const float *bind_bias(binder *b, int32_t layer, wr_block_part part, int64_t size) {
    char name[64];
    const bool optional = (b->model->family->biases & wr_block_parts[part].bias) == 0;
    return bind_vector(b, part_name(name, layer, part, "bias"), size, optional);
}

static void note_input(binder *b, const wr_matrix *w) {
    if (w->data) b->model->takes[b->model->kernels->input_of(w->format)] = true;
}

static wr_linear bind_linear(binder *b, int32_t layer, wr_block_part part, int64_t rows,
                             int64_t columns) {
    char name[64];
    wr_linear linear;
    linear.matrix = bind_matrix(b, part_name(name, layer, part, "weight"), rows, columns, false);
    linear.bias = bind_bias(b, layer, part, rows);
    note_input(b, &linear.matrix);
    return linear;
}

/* The next `rows` of a fused weight: a view of what it still holds. */
static wr_linear split_rows(wr_linear *fused, int64_t rows) {
    wr_linear part = *fused;
    wr_matrix *rest = &fused->matrix;
    part.matrix.rows = rows;
    if (rest->data)
        rest->data = (const uint8_t *)rest->data +
                     (size_t)rows * wr_format_row_bytes(rest->format, rest->columns);
    if (fused->bias) fused->bias += rows;
    return part;
}

static wr_norm bind_norm(binder *b, int32_t layer, wr_block_part part) {
    char name[64];
    const int64_t width = b->model->width;
    wr_norm norm;
    norm.weight = bind_vector(b, part_name(name, layer, part, "weight"), width, false);
    norm.bias = bind_bias(b, layer, part, width);
    return norm;
}

/* Of queries or keys. */
static wr_norm bind_head_norm(binder *b, int32_t layer, wr_block_part part, int32_t heads) {
    const int64_t dim = b->model->key_dim;
    char name[64];
    wr_norm norm = {0};
    part_name(name, layer, part, "weight");
    switch (b->model->family->head_norm) {
    case WR_HEAD_NORM_NONE:
        break;
    case WR_HEAD_NORM_SHARED:
        norm.weight = bind_vector(b, name, dim, false);
        break;
    case WR_HEAD_NORM_OWN:
        norm.weight = bind_vectors(b, name, heads, dim, true);
        break;
    case WR_HEAD_NORM_WHOLE:
        norm.weight = bind_vector(b, name, heads * dim, false);
        break;
    }
    return norm;
}

/* The arena is cleared: what is only taken is 0. */
static const float *bind_sinks(binder *b, int32_t layer) {
    char name[64];
    const weir_model *m = b->model;
    if (m->sink_term == WR_SINK_TERM_NONE) return NULL;
    if (m->sink_term == WR_SINK_TERM_ZERO)
        return wr_arena_take(b->arena, (size_t)m->heads, sizeof(float));
    return bind_vector(b, part_name(name, layer, WR_ATTN_SINKS, "weight"), m->heads, false);
}

/* --- A block ---------------------------------------------------------------------------------- */

static void bind_norms(binder *b, int32_t layer, wr_block *block) {
    const wr_family *family = b->model->family;
    if (family->norms & WR_NORM_AFTER) {
        block->attention_after = bind_norm(b, layer, WR_ATTN_POST_NORM);
        block->feed_forward_after = bind_norm(b, layer, WR_FFN_POST_NORM);
    }
    if (family->norms & WR_NORM_SUM) {
        block->attention_sum = bind_norm(b, layer, WR_ATTN_SUM_NORM);
        block->feed_forward_sum = bind_norm(b, layer, WR_FFN_SUM_NORM);
    }
    if (!(family->norms & WR_NORM_BEFORE)) return;
    block->attention_norm = bind_norm(b, layer, WR_ATTN_NORM);
    if (family->residual == WR_RESIDUAL_SHARED && has_part(b, layer, WR_ATTN_NORM_2)) {
        block->feed_forward_norm = block->attention_norm;
        block->attention_norm = bind_norm(b, layer, WR_ATTN_NORM_2);
    } else if (!b->model->parallel || family->residual == WR_RESIDUAL_BY_KEY) {
        block->feed_forward_norm =
            bind_norm(b, layer, family->norm_between ? WR_ATTN_POST_NORM : WR_FFN_NORM);
    }
}

static int32_t rope_of(const weir_model *m, int32_t layer) {
    const int32_t unrotated = m->family->unrotated;
    if (m->rope_count == 0 || (unrotated > 0 && (layer + 1) % unrotated == 0)) return -1;
    const bool local = m->layer_windows && m->layer_windows[layer] > 0;
    return local ? m->rope_count - 1 : 0;
}

static void bind_attention(binder *b, int32_t layer, wr_block *block) {
    const weir_model *m = b->model;
    const int64_t query = (int64_t)m->heads * m->key_dim;
    const int64_t key = (int64_t)m->kv_heads * m->key_dim;
    const int64_t value = (int64_t)m->kv_heads * m->value_dim;
    if (has_part(b, layer, WR_ATTN_QKV)) {
        wr_linear fused = bind_linear(b, layer, WR_ATTN_QKV, query + key + value, m->width);
        block->q = split_rows(&fused, query);
        block->k = split_rows(&fused, key);
        block->v = split_rows(&fused, value);
    } else {
        block->q = bind_linear(b, layer, WR_ATTN_Q, query, m->width);
        block->k = bind_linear(b, layer, WR_ATTN_K, key, m->width);
        block->v = bind_linear(b, layer, WR_ATTN_V, value, m->width);
    }
    block->q_norm = bind_head_norm(b, layer, WR_ATTN_Q_NORM, m->heads);
    block->k_norm = bind_head_norm(b, layer, WR_ATTN_K_NORM, m->kv_heads);
    block->rope = rope_of(m, layer);
    block->out = bind_linear(b, layer, WR_ATTN_OUT, m->width, (int64_t)m->heads * m->value_dim);
    block->sink_logits = bind_sinks(b, layer);
}

/* One part of every expert: views of one tensor [experts, rows, columns]. */
static void bind_expert_part(binder *b, int32_t layer, wr_block_part part, int64_t rows,
                             int64_t columns, wr_linear *out) {
    const int64_t experts = b->model->experts;
    const bool optional = (b->model->family->biases & wr_block_parts[part].bias) == 0;
    char name[64];
    const wr_gguf_tensor *tensor =
        find_deep(b, part_name(name, layer, part, "weight"), experts, rows, columns, false);
    const float *bias =
        bind_vectors(b, part_name(name, layer, part, "bias"), experts, rows, optional);
    if (!tensor || !out) return;
    const size_t bytes = (size_t)rows * wr_format_row_bytes(tensor->format, columns);
    for (int64_t e = 0; e < experts; e++) {
        out[e].matrix = (wr_matrix){.data = tensor->data + bytes * (size_t)e,
                                    .format = tensor->format,
                                    .rows = rows,
                                    .columns = columns};
        out[e].bias = bias ? bias + e * rows : NULL;
        note_input(b, &out[e].matrix);
    }
}

static void bind_experts(binder *b, int32_t layer, wr_block *block) {
    const weir_model *m = b->model;
    const int64_t n = m->experts;
    block->router = bind_linear(b, layer, WR_FFN_ROUTER, n, m->width);
    block->experts = wr_arena_take(b->arena, (size_t)(n * WR_EXPERT_PARTS), sizeof(wr_linear));
    wr_linear *all = block->experts;
    bind_expert_part(b, layer, WR_FFN_GATES, m->feed_forward, m->width,
                     all ? all + WR_EXPERT_GATE * n : NULL);
    bind_expert_part(b, layer, WR_FFN_UPS, m->feed_forward, m->width,
                     all ? all + WR_EXPERT_UP * n : NULL);
    bind_expert_part(b, layer, WR_FFN_DOWNS, m->width, m->feed_forward,
                     all ? all + WR_EXPERT_DOWN * n : NULL);
}

static void bind_feed_forward(binder *b, int32_t layer, wr_block *block) {
    const weir_model *m = b->model;
    if (m->experts > 0) {
        bind_experts(b, layer, block);
        return;
    }
    if (m->family->fused & WR_FUSED_GATE_UP && !has_part(b, layer, WR_FFN_GATE)) {
        wr_linear fused = bind_linear(b, layer, WR_FFN_UP, (int64_t)2 * m->feed_forward, m->width);
        block->gate = split_rows(&fused, m->feed_forward);
        block->up = split_rows(&fused, m->feed_forward);
    } else {
        if (m->family->gated)
            block->gate = bind_linear(b, layer, WR_FFN_GATE, m->feed_forward, m->width);
        block->up = bind_linear(b, layer, WR_FFN_UP, m->feed_forward, m->width);
    }
    block->down = bind_linear(b, layer, WR_FFN_DOWN, m->width, m->feed_forward);
}

/* --- The whole model -------------------------------------------------------------------------- */

/* There are frequencies for the shortest stream and the longest. */
static void check_rope(binder *b) {
    const weir_model *m = b->model;
    wr_rope rope;
    weir_error inner;
    for (int64_t slots = 0; b->status == WEIR_OK && slots <= INT32_MAX; slots += INT32_MAX) {
        b->status = wr_rope_init(&rope, m->family->pairing, &m->rope_recipes[0], slots, &inner);
        if (b->status != WEIR_OK)
            weir_error_set(b->error, b->status, "%s: %s", m->info.path, inner.message);
    }
}

static void bind_rope(binder *b) {
    weir_model *m = b->model;
    wr_rope_recipe *first = &m->rope_recipes[0];
    const int32_t pairs = first->dim / 2;
    const bool lists = first->scaling == WEIR_ROPE_LONGROPE;
    if (pairs == 0) return;
    first->divisors = bind_vector(b, "rope_freqs.weight", pairs, true);
    if (m->has_rope_lists) {
        first->short_divisors = bind_vector(b, "rope_factors_short.weight", pairs, !lists);
        first->long_divisors = bind_vector(b, "rope_factors_long.weight", pairs, !lists);
    }
    if (m->blocks) check_rope(b); /* not while measuring */
}

/* The paper's slopes are 2^(-8 ...), where 8 may be another number. */
static const float *make_slopes(binder *b) {
    const int32_t heads = b->model->heads;
    if (b->model->positions != WR_POSITIONS_ALIBI) return NULL;
    float *slopes = wr_arena_take(b->arena, (size_t)heads, sizeof *slopes);
    for (int32_t head = 0; slopes && head < heads; head++)
        slopes[head] = (float)wr_alibi_slope(head, heads, b->model->alibi_bias);
    return slopes;
}

/* What only encoders have before the blocks. A text is all of the first type. */
static void bind_encoder(binder *b) {
    weir_model *m = b->model;
    const wr_gguf_tensor *types = wr_gguf_find_tensor(m->gguf, "token_types.weight");
    const int64_t rows = types && types->dim[1] > 1 ? types->dim[1] : 0;
    m->token_type = bind_vectors(b, "token_types.weight", rows, m->width, true);
    m->embedding_norm.weight = bind_vector(b, "token_embd_norm.weight", m->width, false);
    m->embedding_norm.bias = bind_vector(b, "token_embd_norm.bias", m->width, false);
}

/* What comes before the blocks and after them. */
static void bind_ends(binder *b) {
    weir_model *m = b->model;
    const unsigned biases = m->family->biases;
    m->embedding = bind_matrix(b, "token_embd.weight", m->vocabulary, m->width, false);
    if (m->positions == WR_POSITIONS_LEARNED)
        m->position_embedding =
            bind_matrix(b, "position_embd.weight", m->info.trained_context, m->width, false);
    if (m->family->encoder) {
        bind_encoder(b);
        return;
    }
    m->final_norm.weight = bind_vector(b, "output_norm.weight", m->width, false);
    m->final_norm.bias = bind_vector(b, "output_norm.bias", m->width, (biases & WR_BIAS_NORM) == 0);
    m->head.matrix = bind_matrix(b, "output.weight", m->vocabulary, m->width, true);
    m->head.bias = bind_vector(b, "output.bias", m->vocabulary, (biases & WR_BIAS_HEAD) == 0);
    if (!m->head.matrix.data) m->head.matrix = m->embedding; /* tied */
    note_input(b, &m->head.matrix);
}

static void bind_all(binder *b) {
    weir_model *m = b->model;
    bind_ends(b);
    m->slopes = make_slopes(b);
    m->blocks = wr_arena_take(b->arena, (size_t)m->layers, sizeof *m->blocks);
    for (int32_t layer = 0; layer < m->layers && b->status == WEIR_OK; layer++) {
        wr_block block = {0};
        bind_norms(b, layer, &block);
        bind_attention(b, layer, &block);
        bind_feed_forward(b, layer, &block);
        if (m->blocks) m->blocks[layer] = block;
    }
    bind_rope(b);
}

static weir_status bind_twice(binder *b) {
    weir_model *m = b->model;
    bind_all(b);
    if (b->status == WEIR_OK) b->status = check_blocks(b);
    if (b->status != WEIR_OK) return b->status;
    if (wr_arena_bind(&m->arena, wr_model_allocator(m)) != WEIR_OK)
        return weir_error_set(b->error, WEIR_MEMORY, "%s: no memory for its tables", m->info.path);
    bind_all(b);
    m->bound = b->status == WEIR_OK;
    return b->status;
}

weir_status wr_model_bind(weir_model *model, weir_error *error) {
    const weir_allocator *allocator = wr_model_allocator(model);
    const size_t tensors = (size_t)wr_gguf_tensor_count(model->gguf);
    binder b = {.model = model, .arena = &model->arena, .error = error, .status = WEIR_OK};
    b.found = wr_allocate_array(allocator, tensors, sizeof *b.found);
    if (!b.found)
        return weir_error_set(error, WEIR_MEMORY, "%s: no memory for its tables", model->info.path);
    weir_status status = bind_twice(&b);
    wr_release(allocator, b.found, tensors * sizeof *b.found);
    return status;
}
