/*
 * How parameters begin, and how they change: AdamW after clipping.
 */
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "train/core/core_inside.h"

/* ---- the start ------------------------------------------------------------------------------- */

/* FNV-1a of the name: a tensor has the same numbers whatever others there are. */
static uint64_t name_hash(const char *name) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name != '\0'; name++) hash = (hash ^ (uint8_t)*name) * 0x100000001b3u;
    return hash;
}

typedef struct draw_job {
    uint64_t seed, stream;
    double deviation;
    real *out;
} draw_job;

static void draw_task(void *context, int64_t begin, int64_t end, int worker) {
    const draw_job *job = context;
    (void)worker;
    for (int64_t i = begin; i < end; i++)
        job->out[i] =
            (real)(float)(job->deviation * wr_random_normal(job->seed, job->stream, (uint64_t)i));
}

void wr_core_start(wr_core *core, uint64_t seed) {
    memset(core->parameters, 0, core->numbers * sizeof(real));
    memset(core->gradients, 0, core->numbers * sizeof(real));
    memset(core->moments[0], 0, core->numbers * sizeof(real));
    memset(core->moments[1], 0, core->numbers * sizeof(real));
    for (int64_t i = 0; i < wr_parameters_count(&core->shape); i++) {
        wr_parameter parameter;
        wr_parameters_get(&core->shape, i, &parameter);
        const int64_t count = parameter.rows * parameter.columns;
        real *out = core->parameters + parameter.offset;
        for (int64_t j = 0; j < count; j++) out[j] = (real)parameter.start;
        if (parameter.deviation == 0) continue;
        draw_job job = {seed, name_hash(parameter.name), parameter.deviation, out};
        wr_core_run(core, count, 1024, draw_task, &job);
    }
    wr_core_parameters_changed(core);
}

/* ---- the update ------------------------------------------------------------------------------ */

/* Sum of squares, blocks in order. */
static double sum_of_squares(wr_core *core, const real *x, int64_t count) {
    const int64_t blocks = (count + WR_UPDATE_BLOCK - 1) / WR_UPDATE_BLOCK;
    wr_squares_job job = {.count = count, .x = x, .sums = core->sums};
    wr_core_run(core, blocks, 4, core->kernels->squares, &job);
    double sum = 0;
    for (int64_t i = 0; i < blocks; i++) sum += core->sums[i];
    return sum;
}

static weir_status report_gradient(wr_core *core, weir_error *error) {
    for (int64_t i = 0; i < wr_parameters_count(&core->shape); i++) {
        wr_parameter parameter;
        wr_parameters_get(&core->shape, i, &parameter);
        const real *gradient = core->gradients + parameter.offset;
        if (isfinite(sum_of_squares(core, gradient, parameter.rows * parameter.columns))) continue;
        return weir_error_set(error, WEIR_NAN,
                              "%s: its gradient is not a number, or too large for one",
                              parameter.name);
    }
    return weir_error_set(error, WEIR_NAN, "the norm of all gradients is not a number");
}

static weir_status check_update(const wr_core_update *update, weir_error *error) {
    const bool good = update->rate >= 0 && update->rate <= 10 && update->beta1 >= 0 &&
                      update->beta1 < 1 && update->beta2 >= 0 && update->beta2 < 1 &&
                      update->epsilon > 0 && update->decay >= 0 && update->decay <= 10 &&
                      update->clip >= 0 && update->gradient_scale > 0 &&
                      isfinite(update->gradient_scale) && update->step >= 1;
    if (good) return WEIR_OK;
    return weir_error_set(error, WEIR_USAGE,
                          "an update wants a rate and a decay from 0 to 10, betas in [0, 1), and "
                          "an epsilon above 0");
}

static void update_tensor(wr_core *core, const wr_parameter *parameter,
                          const wr_core_update *update, double scale) {
    const double c1 = 1 - pow(update->beta1, (double)update->step);
    const double c2 = 1 - pow(update->beta2, (double)update->step);
    const double decay = parameter->decays ? update->decay : 0;
    wr_update_job job = {.count = parameter->rows * parameter->columns,
                         .parameter = core->parameters + parameter->offset,
                         .gradient = core->gradients + parameter->offset,
                         .first = core->moments[0] + parameter->offset,
                         .second = core->moments[1] + parameter->offset,
                         .scale = (real)scale,
                         .shrink = (real)(1 - update->rate * decay),
                         .new1 = (real)(1 - update->beta1),
                         .beta2 = (real)update->beta2,
                         .new2 = (real)(1 - update->beta2),
                         .epsilon = (real)update->epsilon,
                         .step_rate = (real)(update->rate / c1),
                         .second_unit = (real)(1 / sqrt(c2))};
    const int64_t blocks = (job.count + WR_UPDATE_BLOCK - 1) / WR_UPDATE_BLOCK;
    wr_core_run(core, blocks, 2, core->kernels->update, &job);
}

weir_status wr_core_step(wr_core *core, const wr_core_update *update, double *norm,
                         weir_error *error) {
    weir_status status = check_update(update, error);
    if (status != WEIR_OK) return status;
    *norm = sqrt(sum_of_squares(core, core->gradients, (int64_t)core->numbers)) *
            update->gradient_scale;
    if (!isfinite(*norm)) return report_gradient(core, error);
    double scale = update->gradient_scale;
    if (update->clip > 0 && *norm > update->clip) scale *= update->clip / *norm;
    for (int64_t i = 0; i < wr_parameters_count(&core->shape); i++) {
        wr_parameter parameter;
        wr_parameters_get(&core->shape, i, &parameter);
        update_tensor(core, &parameter, update, scale);
    }
    wr_core_parameters_changed(core);
    return WEIR_OK;
}
