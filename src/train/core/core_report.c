/*
 * What is said about a model in training: where a number went wrong, how much attention its sinks
 * draw, how much work it is.
 */
#include <math.h>
#include <string.h>

#include "train/core/core_inside.h"

bool wr_core_finite(const real *x, int64_t count) {
    /* 0 * x is 0, or NaN where x is infinite or NaN */
    real sum = 0;
    for (int64_t i = 0; i < count; i++) sum += 0 * x[i];
    return sum == 0;
}

/* ---- NaN ------------------------------------------------------------------------------------- */

static weir_status went_wrong(weir_error *error, int64_t layer, const char *part) {
    return weir_error_set(error, WEIR_NAN, "layer %lld, %s: not a number", (long long)layer, part);
}

weir_status wr_core_report_forward(const wr_core *core, int64_t samples, weir_error *error) {
    const weir_train_shape *shape = &core->shape;
    const int64_t n = samples * shape->context, all = n * shape->width;
    if (!wr_core_finite(core->layers[0].x, all))
        return weir_error_set(error, WEIR_NAN, "the embedding: not a number");
    for (int64_t i = 0; i < shape->layers; i++) {
        const wr_core_layer *layer = &core->layers[i];
        const real *after = i + 1 < shape->layers ? core->layers[i + 1].x : core->stream;
        if (!wr_core_finite(layer->projected, n * layer->projection.rows))
            return went_wrong(error, i, "queries, keys and values");
        if (!wr_core_finite(layer->attended, all)) return went_wrong(error, i, "attention");
        if (!wr_core_finite(layer->mixed, all)) return went_wrong(error, i, "attention's output");
        if (core->feed == NULL && !wr_core_finite(layer->gated, n * layer->gates.rows))
            return went_wrong(error, i, "the feed-forward gates");
        if (!wr_core_finite(after, all)) return went_wrong(error, i, "the feed-forward output");
    }
    return weir_error_set(error, WEIR_NAN, "the logits: not a number");
}

/* In the order of backward: the last tensor of the table first. */
weir_status wr_core_report_backward(const wr_core *core, weir_error *error) {
    for (int64_t i = wr_parameters_count(&core->shape) - 1; i >= 0; i--) {
        wr_parameter parameter;
        wr_parameters_get(&core->shape, i, &parameter);
        const real *gradient = core->gradients + parameter.offset;
        if (!wr_core_finite(gradient, parameter.rows * parameter.columns))
            return weir_error_set(error, WEIR_NAN, "%s: its gradient is not a number",
                                  parameter.name);
    }
    return weir_error_set(error, WEIR_NAN, "the gradient of the embedding: not a number");
}

/* ---- sinks ----------------------------------------------------------------------------------- */

typedef struct sinks_job {
    wr_core *core;
    int64_t samples;
    double *out; /* [layers, heads, 2] */
} sinks_job;

/* Element i of a head's row x, turned to position t. */
static double turned(const wr_core *core, const real *x, int64_t i, int64_t t) {
    if (core->cosines == NULL) return (double)x[i];
    const int64_t padded = (core->head_dim + WR_HEAD_PADDING - 1) / WR_HEAD_PADDING;
    const int64_t at = t * padded * WR_HEAD_PADDING + i;
    return (double)x[i] * (double)core->cosines[at] + (double)x[i ^ 1] * (double)core->sines[at];
}

/* Item = layer * heads + head. */
static void sinks_task(void *context, int64_t begin, int64_t end, int worker) {
    const sinks_job *job = context;
    const wr_core *core = job->core;
    const weir_train_shape *shape = &core->shape;
    const int64_t dim = core->head_dim, n = job->samples * shape->context;
    (void)worker;
    for (int64_t item = begin; item < end; item++) {
        const wr_core_layer *layer = &core->layers[item / shape->heads];
        const int64_t head = item % shape->heads;
        const wr_part q = wr_linear_part(&layer->projection, layer->projected, 0, n);
        const wr_part k = wr_linear_part(&layer->projection, layer->projected, 1, n);
        const int64_t kv_head = head / (shape->heads / shape->kv_heads);
        double first = 0, term = 0;
        for (int64_t row = 0; row < n; row++) {
            const int64_t t = row % shape->context;
            if (t == 0) continue;
            const real *query = q.x + row * q.stride + head * dim;
            const real *key = k.x + (row - t) * k.stride + kv_head * dim;
            const double l = (double)layer->l[row * shape->heads + head];
            double s = 0;
            for (int64_t i = 0; i < dim; i++)
                s += turned(core, query, i, t) * turned(core, key, i, 0);
            first += exp(s / sqrt((double)dim) - (double)core->slopes[head] * (double)t - l);
            if (shape->sink == WEIR_TRAIN_SINK_ZERO) term += exp(-l);
            if (shape->sink == WEIR_TRAIN_SINK_LOGIT)
                term += exp((double)core->parameters[layer->sinks + (size_t)head] - l);
        }
        const double queries = (double)(n - job->samples);
        job->out[2 * item] = first / queries;
        job->out[2 * item + 1] = term / queries;
    }
}

weir_status wr_core_sinks(wr_core *core, const int32_t *tokens, int64_t samples, double *out,
                          weir_error *error) {
    double nll;
    int64_t scored;
    weir_status status = wr_core_score(core, tokens, samples, &nll, &scored, NULL, error);
    if (status != WEIR_OK) return status;
    sinks_job job = {core, samples, out};
    wr_core_run(core, core->shape.layers * core->shape.heads, 1, sinks_task, &job);
    return WEIR_OK;
}

/* ---- work ------------------------------------------------------------------------------------ */

double wr_core_operations(const weir_train_shape *shape) {
    double weights = (double)shape->vocabulary * (double)shape->width; /* the head */
    for (int64_t i = 0; i < wr_parameters_count(shape); i++) {
        wr_parameter parameter;
        wr_parameters_get(shape, i, &parameter);
        if (parameter.kind != WR_PARAMETER_MATRIX) continue;
        if (strcmp(parameter.name, "output.weight") == 0) continue;
        weights += (double)(parameter.rows * parameter.columns);
    }
    const double keys = (double)(shape->context + 1) / 2; /* on average */
    return 6 * weights + 12 * (double)shape->width * keys * (double)shape->layers;
}
