/*
 * Weights bound by name, every shape checked before anything uses it.
 *
 * The same walk runs twice over the model's arena: measuring (which finds every missing or
 * misshapen tensor), then bound. Matrices are borrowed from the mapping; vectors become floats of
 * our own.
 */
#include <stdio.h>
#include <string.h>

#include "file/name.h"
#include "model/network.h"
#include "position/alibi.h"

typedef struct binder {
    weir_model *model;
    wr_arena *arena;
    weir_error *error;
    weir_status status; /* the first failure; nothing is done after it */
} binder;

static void describe_dims(const int64_t *dim, int32_t dims, char *out, size_t size) {
    if (dims == 1)
        snprintf(out, size, "[%lld]", (long long)dim[0]);
    else
        snprintf(out, size, "[%lld, %lld]", (long long)dim[1], (long long)dim[0]);
}

/* The tensor called `name` with shape [rows, columns] (rows 0: a vector [columns]), or NULL with
 * the status set. An absent optional tensor is NULL without a failure. */
static const wr_gguf_tensor *find(binder *b, const char *name, int64_t rows, int64_t columns,
                                  bool optional) {
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
                 tensor->dim[2] == 1 && tensor->dim[3] == 1;
    if (!right) {
        char want[64];
        char have[64];
        describe_dims((const int64_t[]){columns, rows}, rows > 0 ? 2 : 1, want, sizeof want);
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
    return tensor;
}

static wr_matrix bind_matrix(binder *b, const char *name, int64_t rows, int64_t columns,
                             bool optional) {
    const wr_gguf_tensor *tensor = find(b, name, rows, columns, optional);
    if (!tensor) return (wr_matrix){0};
    return (wr_matrix){
        .data = tensor->data, .format = tensor->format, .rows = rows, .columns = columns};
}

static const float *bind_vector(binder *b, const char *name, int64_t size, bool optional) {
    const wr_gguf_tensor *tensor = find(b, name, 0, size, optional);
    if (!tensor) return NULL;
    float *vector = wr_arena_take(b->arena, (size_t)size, sizeof *vector);
    if (vector) b->model->kernels->decode(tensor->format, tensor->data, vector, size);
    return vector;
}

/* --- Blocks ----------------------------------------------------------------------------------- */

static const char *part_name(char name[64], int32_t layer, wr_block_part part, const char *what) {
    snprintf(name, 64, "blk.%d.%s.%s", (int)layer, wr_block_part_names[part], what);
    return name;
}

static void note_input(binder *b, const wr_matrix *w) {
    if (w->data) b->model->takes[b->model->kernels->input_of(w->format)] = true;
}

static wr_linear bind_linear(binder *b, int32_t layer, wr_block_part part, int64_t rows,
                             int64_t columns) {
    char name[64];
    wr_linear linear;
    linear.matrix = bind_matrix(b, part_name(name, layer, part, "weight"), rows, columns, false);
    linear.bias = bind_vector(b, part_name(name, layer, part, "bias"), rows, true);
    note_input(b, &linear.matrix);
    return linear;
}

static wr_norm bind_norm(binder *b, int32_t layer, wr_block_part part) {
    char name[64];
    int64_t width = b->model->width;
    wr_norm norm;
    norm.weight = bind_vector(b, part_name(name, layer, part, "weight"), width, false);
    norm.bias = bind_vector(b, part_name(name, layer, part, "bias"), width, true);
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

static wr_block bind_block(binder *b, int32_t layer) {
    const weir_model *m = b->model;
    int64_t width = m->width;
    int64_t query = (int64_t)m->heads * m->key_dim;
    int64_t key = (int64_t)m->kv_heads * m->key_dim;
    int64_t value = (int64_t)m->kv_heads * m->value_dim;
    int64_t attended = (int64_t)m->heads * m->value_dim;
    wr_block block = {0};
    block.attention_norm = bind_norm(b, layer, WR_ATTN_NORM);
    block.q = bind_linear(b, layer, WR_ATTN_Q, query, width);
    block.k = bind_linear(b, layer, WR_ATTN_K, key, width);
    block.v = bind_linear(b, layer, WR_ATTN_V, value, width);
    block.out = bind_linear(b, layer, WR_ATTN_OUT, width, attended);
    block.sink_logits = bind_sinks(b, layer);
    block.feed_forward_norm = bind_norm(b, layer, WR_FFN_NORM);
    if (m->family->gated) block.gate = bind_linear(b, layer, WR_FFN_GATE, m->feed_forward, width);
    block.up = bind_linear(b, layer, WR_FFN_UP, m->feed_forward, width);
    block.down = bind_linear(b, layer, WR_FFN_DOWN, width, m->feed_forward);
    return block;
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

static const float *make_slopes(binder *b) {
    const int32_t heads = b->model->heads;
    if (b->model->positions != WR_POSITIONS_ALIBI) return NULL;
    float *slopes = wr_arena_take(b->arena, (size_t)heads, sizeof *slopes);
    for (int32_t head = 0; slopes && head < heads; head++)
        slopes[head] = (float)wr_alibi_slope(head, heads, b->model->alibi_bias);
    return slopes;
}

static void bind_all(binder *b) {
    weir_model *m = b->model;
    m->embedding = bind_matrix(b, "token_embd.weight", m->vocabulary, m->width, false);
    m->final_norm.weight = bind_vector(b, "output_norm.weight", m->width, false);
    m->final_norm.bias = bind_vector(b, "output_norm.bias", m->width, true);
    m->head.matrix = bind_matrix(b, "output.weight", m->vocabulary, m->width, true);
    m->head.bias = bind_vector(b, "output.bias", m->vocabulary, true);
    if (!m->head.matrix.data) m->head.matrix = m->embedding; /* tied */
    note_input(b, &m->head.matrix);
    m->slopes = make_slopes(b);
    m->blocks = wr_arena_take(b->arena, (size_t)m->layers, sizeof *m->blocks);
    for (int32_t layer = 0; layer < m->layers && b->status == WEIR_OK; layer++) {
        wr_block block = bind_block(b, layer);
        if (m->blocks) m->blocks[layer] = block;
    }
    bind_rope(b);
}

weir_status wr_model_bind(weir_model *model, weir_error *error) {
    binder measure = {.model = model, .arena = &model->arena, .error = error, .status = WEIR_OK};
    bind_all(&measure);
    if (measure.status != WEIR_OK) return measure.status;
    if (wr_arena_bind(&model->arena, wr_model_allocator(model)) != WEIR_OK)
        return weir_error_set(error, WEIR_MEMORY, "%s: no memory for its tables", model->info.path);
    binder bound = {.model = model, .arena = &model->arena, .error = error, .status = WEIR_OK};
    bind_all(&bound);
    model->bound = bound.status == WEIR_OK;
    return bound.status;
}
