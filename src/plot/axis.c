/* Axes: ranges and places. The ticks are in ticks.c. See axis.h. */
#include "plot/axis.h"

#include <math.h>

#define LARGEST 1e300 /* so that a difference of two values is finite */
#define FAR 20000.0   /* units beyond the page at which a line may as well end */

bool wr_plot_scale_shows(weir_plot_scale scale, double value) {
    if (!(fabs(value) <= LARGEST)) return false;
    return scale == WEIR_PLOT_LINEAR || value >= 1 / LARGEST;
}

wr_plot_span wr_plot_span_begin(weir_plot_scale scale) {
    return (wr_plot_span){.scale = scale, .low = (double)INFINITY, .high = -(double)INFINITY};
}

bool wr_plot_span_add(wr_plot_span *span, double value) {
    if (!wr_plot_scale_shows(span->scale, value)) {
        if (fabs(value) <= LARGEST) span->not_positive++;
        return false;
    }
    span->low = fmin(span->low, value);
    span->high = fmax(span->high, value);
    return true;
}

/* 1, 2 or 5 times a power of ten: the next at or beyond `value`, downwards or upwards. */
static double round_down(double value) {
    double power = pow(10, floor(log10(value) + 1e-9));
    double digit = value / power * (1 + 1e-9);
    return (digit >= 5 ? 5 : digit >= 2 ? 2 : 1) * power;
}

static double round_up(double value) {
    double power = pow(10, floor(log10(value) + 1e-9));
    double digit = value / power * (1 - 1e-9);
    return (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10) * power;
}

/* All values equal, or so nearly that ticks between them would need too many digits. */
static void widen(double *low, double *high) {
    double size = fmax(fabs(*low), fabs(*high));
    if (*high - *low > fmax(1e-10 * size, 1 / LARGEST)) return;
    double more = size > 10 / LARGEST ? 0.1 * size : 1;
    *low -= more;
    *high += more;
}

static void linear_range(wr_plot_axis *axis, wr_plot_room room) {
    widen(&axis->low, &axis->high);
    double span = axis->high - axis->low;
    if (room == WR_PLOT_MARGIN) {
        axis->low -= 0.03 * span;
        axis->high += 0.03 * span;
    } else if (room == WR_PLOT_EXACT) {
        /* 0 ... 999,999 had better be 0 ... 1M */
        double step = round_up(span / 10), near = 0.01 * span;
        double low = step * floor(axis->low / step), high = step * ceil(axis->high / step);
        axis->low = axis->low - low < near ? low : axis->low;
        axis->high = high - axis->high < near ? high : axis->high;
    } else {
        /* A range that begins near zero had better begin at zero. */
        if (axis->low > 0 && axis->low < 0.3 * axis->high) axis->low = 0;
        double step = round_up((axis->high - axis->low) / 8);
        axis->low = step * floor(axis->low / step + 1e-9);
        axis->high = step * ceil(axis->high / step - 1e-9);
    }
}

static void log_range(wr_plot_axis *axis, wr_plot_room room) {
    if (axis->high / axis->low < 1 + 1e-6) {
        axis->low /= 2;
        axis->high *= 2;
    }
    if (room == WR_PLOT_MARGIN) {
        double more = exp(0.03 * (log(axis->high) - log(axis->low)));
        axis->low = fmax(axis->low / more, 1 / LARGEST);
        axis->high = fmin(axis->high * more, LARGEST);
    } else if (room == WR_PLOT_ROUND && axis->scale == WEIR_PLOT_LOG2) {
        axis->low = exp2(floor(log2(axis->low) + 1e-9));
        axis->high = exp2(ceil(log2(axis->high) - 1e-9));
    } else if (room == WR_PLOT_ROUND) {
        axis->low = round_down(axis->low);
        axis->high = round_up(axis->high);
    }
}

void wr_plot_axis_range(wr_plot_axis *axis, const weir_plot_axis *asked, const wr_plot_span *span,
                        wr_plot_room room) {
    bool logarithmic = asked->scale != WEIR_PLOT_LINEAR;
    axis->scale = asked->scale;
    axis->low = asked->from;
    axis->high = asked->to;
    if (asked->from != 0 || asked->to != 0) return;
    bool empty = span->low > span->high;
    axis->low = empty ? (logarithmic ? 1 : 0) : span->low;
    axis->high = empty ? (logarithmic ? 10 : 1) : span->high;
    if (logarithmic)
        log_range(axis, room);
    else
        linear_range(axis, room);
}

double wr_plot_axis_share(const wr_plot_axis *axis, double value) {
    if (axis->scale == WEIR_PLOT_LINEAR) return (value - axis->low) / (axis->high - axis->low);
    double low = log(axis->low);
    return (log(value) - low) / (log(axis->high) - low);
}

double wr_plot_axis_at(const wr_plot_axis *axis, double value) {
    double place = axis->start + (axis->end - axis->start) * wr_plot_axis_share(axis, value);
    return fmin(fmax(place, -FAR), FAR);
}
