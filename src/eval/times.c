/* Percentiles of durations. */
#include <math.h>
#include <stdlib.h>

#include "weir/machine.h"

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The value at place part * (count - 1), counted from 0. */
static double at_part(const double *sorted, int64_t count, double part) {
    const double place = part * (double)(count - 1);
    const int64_t below = (int64_t)place;
    if (below + 1 >= count) return sorted[count - 1];
    const double rest = place - (double)below;
    const double between = sorted[below] + rest * (sorted[below + 1] - sorted[below]);
    return fmin(between, sorted[below + 1]); /* rounding must not turn the order about */
}

void weir_times_sum_up(double *values, int64_t count, weir_times *out) {
    const double none = (double)NAN;
    *out = (weir_times){0, none, none, none, none, none};
    if (count <= 0) return;
    qsort(values, (size_t)count, sizeof *values, compare);
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += values[i];
    out->count = count;
    out->mean = sum / (double)count;
    out->p50 = at_part(values, count, 0.5);
    out->p90 = at_part(values, count, 0.9);
    out->p99 = at_part(values, count, 0.99);
    out->slowest = values[count - 1];
}
