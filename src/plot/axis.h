/*
 * An axis: which values it shows, where they lie on the page, and where its ticks are.
 *
 *     value   low ----------------- high        (data; linear or logarithmic between)
 *     page    start ---------------- end         (units; a y axis has start > end)
 */
#ifndef WR_PLOT_AXIS_H
#define WR_PLOT_AXIS_H

#include "plot/canvas.h"

enum { WR_PLOT_TICKS = 128 };

typedef struct wr_plot_tick {
    double value;
    char text[40]; /* "" for a small tick */
} wr_plot_tick;

typedef struct wr_plot_axis {
    weir_plot_scale scale;
    double low, high; /* low < high; both > 0 when logarithmic */
    double start, end;
    wr_plot_tick ticks[WR_PLOT_TICKS];
    size_t tick_count;
} wr_plot_axis;

/* The lowest and highest of the values given so far that an axis of this scale can show. */
typedef struct wr_plot_span {
    weir_plot_scale scale;
    double low, high;    /* low > high: none yet */
    size_t not_positive; /* finite, but without a logarithm */
} wr_plot_span;

wr_plot_span wr_plot_span_begin(weir_plot_scale scale);
bool wr_plot_span_add(wr_plot_span *span, double value); /* false: not shown */
bool wr_plot_scale_shows(weir_plot_scale scale, double value);

typedef enum wr_plot_room {
    WR_PLOT_EXACT,  /* the ends are those of the data, or a round number close by */
    WR_PLOT_MARGIN, /* a little more, so that marks are whole */
    WR_PLOT_ROUND   /* out to round numbers */
} wr_plot_room;

/* Sets scale, low and high: as `asked`, else from the data. */
void wr_plot_axis_range(wr_plot_axis *axis, const weir_plot_axis *asked, const wr_plot_span *span,
                        wr_plot_room room);

/* Sets about `wanted` ticks with text (at least 2), and small ones between decades. */
void wr_plot_axis_ticks(wr_plot_axis *axis, int wanted);

double wr_plot_axis_share(const wr_plot_axis *axis, double value); /* 0 at low, 1 at high */
double wr_plot_axis_at(const wr_plot_axis *axis, double value);    /* on the page, kept near it */

#endif
