/*
 * Norms, SwiGLU, cross entropy and AdamW, a row or a block at a time. Rows need not be a whole
 * number of vectors long: the last one is read with zeros behind it.
 */
#include <math.h>

#include "train/kernels/lanes/train_simd.h"

#ifdef WR_TRAIN_DOUBLE
static inline real root_of(real x) { return sqrt(x); }
static inline real log_of(real x) { return log(x); }
#else
static inline real root_of(real x) { return sqrtf(x); }
static inline real log_of(real x) { return logf(x); }
#endif

/* for (int64_t i = 0; i < count; i += LANES), whole vectors first. `body` sees i and `some`. */
INLINE lanes row_load(const real *x, int64_t some) {
    return some >= (int)LANES ? load(x) : load_some(x, some);
}
INLINE void row_store(real *x, lanes v, int64_t some) {
    if (some >= (int)LANES)
        store(x, v);
    else
        store_some(x, v, some);
}

static void norm(void *context, int64_t begin, int64_t end, int worker) {
    const wr_norm_job *job = context;
    const int64_t width = job->width;
    (void)worker;
    for (int64_t row = begin; row < end; row++) {
        const real *x = job->x + row * width;
        lanes squares = {0};
        for (int64_t i = 0; i < width; i += LANES) {
            lanes s = row_load(x + i, width - i);
            if (job->added != NULL) {
                s += row_load(job->added + row * width + i, width - i);
                row_store(job->sum + row * width + i, s, width - i);
            }
            squares += s * s;
        }
        if (job->added != NULL) x = job->sum + row * width;
        const real r = 1 / root_of(sum_of(squares) / (real)width + job->epsilon);
        for (int64_t i = 0; i < width; i += LANES) {
            lanes y = row_load(job->gain + i, width - i) * (row_load(x + i, width - i) * r);
            row_store(job->y + row * width + i, y, width - i);
        }
        job->r[row] = r;
    }
}

/* One row of norm_back; adds to the block's sums for the gain. */
INLINE void norm_back_row(const wr_norm_back *job, int64_t row, real *partial) {
    const int64_t width = job->width, at = row * width;
    const real *x = job->x + at, *dy = job->dy + at;
    real *y = job->y + at, *dx = job->dx + at;
    const real *before = job->before != NULL ? job->before + at : NULL;
    const real r = job->r[row];
    lanes sum = {0};
    for (int64_t i = 0; i < width; i += LANES) {
        const int64_t some = width - i;
        sum += row_load(job->gain + i, some) * row_load(dy + i, some) * row_load(x + i, some);
    }
    const real mean = sum_of(sum) * r / (real)width; /* of u x^ */
    for (int64_t i = 0; i < width; i += LANES) {
        const int64_t some = width - i;
        const lanes gain = row_load(job->gain + i, some), d = row_load(dy + i, some);
        const lanes normed = row_load(x + i, some) * r;
        lanes change = (gain * d - normed * mean) * r;
        if (before != NULL) change += row_load(before + i, some);
        row_store(dx + i, change, some);
        row_store(partial + i, row_load(partial + i, some) + d * normed, some);
        row_store(y + i, gain * normed, some);
    }
}

static void norm_back(void *context, int64_t begin, int64_t end, int worker) {
    const wr_norm_back *job = context;
    (void)worker;
    for (int64_t block = begin; block < end; block++) {
        real *partial = job->partial + block * job->width;
        memset(partial, 0, (size_t)job->width * sizeof(real));
        const int64_t first = block * WR_NORM_BLOCK;
        const int64_t last = first + WR_NORM_BLOCK < job->rows ? first + WR_NORM_BLOCK : job->rows;
        for (int64_t row = first; row < last; row++) norm_back_row(job, row, partial);
    }
}

static void swiglu(void *context, int64_t begin, int64_t end, int worker) {
    const wr_swiglu_job *job = context;
    (void)worker;
    for (int64_t row = begin; row < end; row++) {
        const real *gate = job->gate + row * job->stride, *up = job->up + row * job->stride;
        real *hidden = job->hidden + row * job->width;
        for (int64_t i = 0; i < job->width; i += LANES) {
            const int64_t some = job->width - i;
            const lanes g = row_load(gate + i, some);
            row_store(hidden + i, g / (exp_of(-g) + 1) * row_load(up + i, some), some);
        }
    }
}

static void swiglu_back(void *context, int64_t begin, int64_t end, int worker) {
    const wr_swiglu_job *job = context;
    (void)worker;
    for (int64_t row = begin; row < end; row++) {
        real *gate = job->gate + row * job->stride, *up = job->up + row * job->stride;
        real *hidden = job->hidden + row * job->width;
        for (int64_t i = 0; i < job->width; i += LANES) {
            const int64_t some = job->width - i;
            const lanes g = row_load(gate + i, some), u = row_load(up + i, some);
            const lanes d = row_load(hidden + i, some);
            const lanes s = 1 / (exp_of(-g) + 1), silu = g * s;
            row_store(hidden + i, silu * u, some);
            row_store(up + i, d * silu, some);
            row_store(gate + i, d * u * (s + silu * (1 - s)), some);
        }
    }
}

/* ---- cross entropy --------------------------------------------------------------------------- */

INLINE real largest_of_row(const real *x, int64_t count) {
    int64_t i = 0;
    real largest = x[0];
    lanes most = all(x[0]);
    for (; i + (int)LANES <= count; i += LANES) {
        const lanes v = load(x + i);
        most = select(v > most, v, most);
    }
    for (; i < count; i++) largest = x[i] > largest ? x[i] : largest;
    const real of_lanes = largest_of(most);
    return of_lanes > largest ? of_lanes : largest;
}

/* sum exp(x - m); with `keep`, x becomes exp(x - m). The last vector's missing lanes count 0. */
INLINE real exponentials(real *x, int64_t count, real m, bool keep) {
    lanes sum = {0};
    int64_t i = 0;
    for (; i + (int)LANES <= count; i += LANES) {
        const lanes e = exp_of(load(x + i) - m);
        if (keep) store(x + i, e);
        sum += e;
    }
    real total = sum_of(sum);
    if (i < count) {
        const lanes e = exp_of(load_some(x + i, count - i) - m);
        if (keep) store_some(x + i, e, count - i);
        for (int64_t rest = 0; rest < count - i; rest++) total += e[rest];
    }
    return total;
}

static void loss(void *context, int64_t begin, int64_t end, int worker) {
    const wr_loss_job *job = context;
    (void)worker;
    for (int64_t row = begin; row < end; row++) {
        real *logits = job->logits + row * job->vocabulary;
        const int32_t target = job->targets[row];
        if (target < 0) {
            job->nll[row] = 0;
            if (job->gradients) memset(logits, 0, (size_t)job->vocabulary * sizeof(real));
            continue;
        }
        const real m = largest_of_row(logits, job->vocabulary), aim = logits[target] - m;
        const real total = exponentials(logits, job->vocabulary, m, job->gradients);
        job->nll[row] = log_of(total) - aim;
        if (!job->gradients) continue;
        const real inverse = 1 / total;
        int64_t i = 0;
        for (; i + (int)LANES <= job->vocabulary; i += LANES)
            store(logits + i, load(logits + i) * inverse);
        for (; i < job->vocabulary; i++) logits[i] *= inverse;
        logits[target] -= 1;
    }
}

/* ---- AdamW ----------------------------------------------------------------------------------- */

static void squares(void *context, int64_t begin, int64_t end, int worker) {
    const wr_squares_job *job = context;
    (void)worker;
    for (int64_t block = begin; block < end; block++) {
        const int64_t first = block * WR_UPDATE_BLOCK;
        const int64_t last =
            first + WR_UPDATE_BLOCK < job->count ? first + WR_UPDATE_BLOCK : job->count;
        lanes sum = {0};
        for (int64_t i = first; i < last; i += LANES) {
            const lanes x = row_load(job->x + i, last - i);
            sum += x * x;
        }
        job->sums[block] = (double)sum_of(sum);
    }
}

INLINE lanes roots_of(lanes x) {
    UNROLLED_16
    for (int i = 0; i < (int)LANES; i++) x[i] = root_of(x[i]);
    return x;
}

INLINE void update_some(const wr_update_job *job, int64_t i, int64_t some) {
    const lanes g = row_load(job->gradient + i, some) * job->scale;
    lanes m = row_load(job->first + i, some), v = row_load(job->second + i, some);
    lanes p = row_load(job->parameter + i, some) * job->shrink;
    m += (g - m) * job->new1;
    v = v * job->beta2 + (g * g) * job->new2;
    p -= job->step_rate * m / (roots_of(v) * job->second_unit + job->epsilon);
    row_store(job->parameter + i, p, some);
    row_store(job->first + i, m, some);
    row_store(job->second + i, v, some);
    row_store(job->gradient + i, (lanes){0}, some);
}

static void update(void *context, int64_t begin, int64_t end, int worker) {
    const wr_update_job *job = context;
    (void)worker;
    for (int64_t block = begin; block < end; block++) {
        const int64_t first = block * WR_UPDATE_BLOCK;
        const int64_t last =
            first + WR_UPDATE_BLOCK < job->count ? first + WR_UPDATE_BLOCK : job->count;
        for (int64_t i = first; i < last; i += LANES) update_some(job, i, last - i);
    }
}
