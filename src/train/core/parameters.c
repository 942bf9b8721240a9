/*
 * The table of tensors, and which shapes there can be.
 */
#include "train/core/parameters.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What the rows of a layer's table are computed from. */
typedef enum size_of { WIDTH, QUERIES, KEYS, HEADS, FEED_FORWARD, ONE } size_of;

typedef struct layer_row {
    const char *name;
    wr_parameter_kind kind;
    size_of rows, columns;
    bool onto_residual; /* its result is added to the residual stream */
} layer_row;

static const layer_row layer_rows[WR_PARAMETERS_PER_LAYER] = {
    {"attn_norm", WR_PARAMETER_NORM, ONE, WIDTH, false},
    {"attn_q", WR_PARAMETER_MATRIX, QUERIES, WIDTH, false},
    {"attn_k", WR_PARAMETER_MATRIX, KEYS, WIDTH, false},
    {"attn_v", WR_PARAMETER_MATRIX, KEYS, WIDTH, false},
    {"attn_output", WR_PARAMETER_MATRIX, WIDTH, QUERIES, true},
    {"attn_sinks", WR_PARAMETER_SINK, ONE, HEADS, false},
    {"ffn_norm", WR_PARAMETER_NORM, ONE, WIDTH, false},
    {"ffn_gate", WR_PARAMETER_MATRIX, FEED_FORWARD, WIDTH, false},
    {"ffn_up", WR_PARAMETER_MATRIX, FEED_FORWARD, WIDTH, false},
    {"ffn_down", WR_PARAMETER_MATRIX, WIDTH, FEED_FORWARD, true},
};

static int64_t size_in(const weir_train_shape *shape, size_of which) {
    switch (which) {
    case WIDTH:
    case QUERIES: /* heads * head_dim is the width */
        return shape->width;
    case KEYS:
        return shape->kv_heads * (shape->width / shape->heads);
    case HEADS:
        return shape->heads;
    case FEED_FORWARD:
        return shape->feed_forward;
    case ONE:
        break;
    }
    return 1;
}

/* Rows of the layer's table that a shape has: the sink logits only where they are learned. */
static int64_t rows_per_layer(const weir_train_shape *shape) {
    return WR_PARAMETERS_PER_LAYER - (shape->sink != WEIR_TRAIN_SINK_LOGIT);
}

static const layer_row *row_at(const weir_train_shape *shape, int64_t i) {
    for (int row = 0;; row++) {
        bool absent =
            layer_rows[row].kind == WR_PARAMETER_SINK && shape->sink != WEIR_TRAIN_SINK_LOGIT;
        if (!absent && i-- == 0) {
            return &layer_rows[row];
        }
    }
}

int64_t wr_parameters_count(const weir_train_shape *shape) {
    return 2 + (shape->tied ? 0 : 1) + shape->layers * rows_per_layer(shape);
}

static void describe(const weir_train_shape *shape, int64_t i, wr_parameter *out) {
    const double spread = 0.02; /* of GPT-2 and Llama */
    const int64_t per_layer = rows_per_layer(shape), in_layers = shape->layers * per_layer;
    *out = (wr_parameter){.rows = 1, .columns = shape->width};
    if (i == 0 || i == in_layers + 2) {
        strcpy(out->name, i == 0 ? "token_embd.weight" : "output.weight");
        out->kind = i == 0 ? WR_PARAMETER_EMBEDDING : WR_PARAMETER_MATRIX;
        out->rows = shape->vocabulary;
        out->deviation = spread;
    } else if (i == in_layers + 1) {
        strcpy(out->name, "output_norm.weight");
        out->kind = WR_PARAMETER_NORM;
    } else {
        const layer_row *row = row_at(shape, (i - 1) % per_layer);
        snprintf(out->name, sizeof out->name, "blk.%d.%s.weight", (int)((i - 1) / per_layer),
                 row->name);
        out->kind = row->kind;
        out->rows = size_in(shape, row->rows);
        out->columns = size_in(shape, row->columns);
        /* what is added to the residual stream 2 * layers times is drawn smaller (GPT-2, 2.3) */
        double depth = row->onto_residual ? sqrt(2.0 * (double)shape->layers) : 1;
        out->deviation = row->kind == WR_PARAMETER_MATRIX ? spread / depth : 0;
    }
    out->start = out->kind == WR_PARAMETER_NORM ? 1 : 0;
    out->decays = out->kind == WR_PARAMETER_MATRIX || out->kind == WR_PARAMETER_EMBEDDING;
}

static size_t padded(const wr_parameter *parameter) {
    return ((size_t)(parameter->rows * parameter->columns) + 15) / 16 * 16;
}

void wr_parameters_get(const weir_train_shape *shape, int64_t i, wr_parameter *out) {
    size_t offset = 0;
    for (int64_t before = 0; before < i; before++) {
        describe(shape, before, out);
        offset += padded(out);
    }
    describe(shape, i, out);
    out->offset = offset;
}

size_t wr_parameters_size(const weir_train_shape *shape) {
    wr_parameter last;
    wr_parameters_get(shape, wr_parameters_count(shape) - 1, &last);
    return last.offset + padded(&last);
}

int64_t wr_parameters_learned(const weir_train_shape *shape) {
    int64_t learned = 0;
    for (int64_t i = 0; i < wr_parameters_count(shape); i++) {
        wr_parameter parameter;
        describe(shape, i, &parameter);
        learned += parameter.rows * parameter.columns;
    }
    return learned;
}

/* ---- which shapes there can be --------------------------------------------------------------- */

typedef struct bound {
    const char *name;
    size_t at;
    int64_t low, high;
} bound;

#define AT(field) offsetof(weir_train_shape, field)
static const bound bounds[] = {
    {"layers", AT(layers), 1, WR_PARAMETERS_MAX_LAYERS},
    {"width", AT(width), 2, 16384},
    {"heads", AT(heads), 1, 512},
    {"kv_heads", AT(kv_heads), 1, 512},
    {"feed_forward", AT(feed_forward), 1, 65536},
    {"context", AT(context), 2, 65536},
    {"vocabulary", AT(vocabulary), 2, 1 << 20},
};
#undef AT

weir_status wr_shape_check(const weir_train_shape *shape, weir_error *error) {
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        int64_t value;
        memcpy(&value, (const char *)shape + bounds[i].at, sizeof value);
        if (value < bounds[i].low || value > bounds[i].high) {
            return weir_error_set(error, WEIR_USAGE, "%s must be from %lld to %lld, not %lld",
                                  bounds[i].name, (long long)bounds[i].low,
                                  (long long)bounds[i].high, (long long)value);
        }
    }
    if (shape->width % shape->heads != 0 || shape->width / shape->heads % 2 != 0) {
        return weir_error_set(error, WEIR_USAGE,
                              "width (%lld) must be heads (%lld) times an even number",
                              (long long)shape->width, (long long)shape->heads);
    }
    if (shape->heads % shape->kv_heads != 0) {
        return weir_error_set(error, WEIR_USAGE,
                              "heads (%lld) must be a multiple of kv_heads (%lld)",
                              (long long)shape->heads, (long long)shape->kv_heads);
    }
    if (!(shape->rope_base > 1) || !(shape->norm_epsilon > 0 && shape->norm_epsilon < 1)) {
        return weir_error_set(error, WEIR_USAGE,
                              "the rotary base must be above 1 and the epsilon of norms in (0, 1)");
    }
    return WEIR_OK;
}
