/*
 * Figures: line charts, bar charts and grids of heat maps, as PNG or SVG (libweir-lab, Cairo).
 *
 * A figure is a struct that the caller fills and a function that draws it into a file. Everything
 * in it is borrowed for the call, nothing is kept. Members left out (zero, NULL) mean "choose".
 *
 *     double ppl[] = {5158.1, 11.9, 11.2, 10.9, 10.9};
 *     double sinks[] = {0, 1, 2, 4, 8};
 *     weir_plot_series series = {.label = "S + W = 256", .x = sinks, .y = ppl, .count = 5};
 *     weir_plot_lines figure = {
 *         .title = "Perplexity by number of sinks",
 *         .x = {.label = "sinks (tokens)"},
 *         .y = {.label = "perplexity", .scale = WEIR_PLOT_LOG},
 *         .series = &series, .series_count = 1};
 *     weir_error error;
 *     if (weir_plot_lines_save(&figure, "sinks.svg", &error) != WEIR_OK) puts(error.message);
 *
 * The rules that hold for every figure:
 * - The path's ending says the kind of file: .png or .svg, in either case; others are WEIR_USAGE.
 *   The file appears under its name only when it is whole, else nothing changes there.
 * - The same figure gives the same bytes on a machine with the same Cairo and fonts.
 * - Sizes are in units of an SVG; a PNG has two pixels for each. 0: the default, else 400 to 4096.
 * - A label is UTF-8 and may be NULL. What is not UTF-8 becomes U+FFFD, what does not fit is cut
 *   and ends in "…". Put the unit into the label of an axis: "time per token (ms)".
 * - A value that is not finite (or beyond ±1e300) is a gap: no point, no bar, a blank cell. So is a
 *   value at or below zero on a logarithmic axis, and then the figure says below how many there
 *   were. A figure with nothing to show is drawn, with "no data" in it.
 * - Errors: WEIR_USAGE for what the caller can set right, WEIR_MEMORY, WEIR_IO with the path.
 */
#ifndef WEIR_PLOT_H
#define WEIR_PLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_PLOT_SERIES_MAX 10  /* series of a line chart, bars of a group */
#define WEIR_PLOT_MARKERS_MAX 8  /* marker lines of a line chart */
#define WEIR_PLOT_GROUPS_MAX 200 /* groups of a bar chart */
#define WEIR_PLOT_PANELS_MAX 256 /* rows, and columns, of a grid of heat maps */

typedef enum weir_plot_scale {
    WEIR_PLOT_LINEAR,
    WEIR_PLOT_LOG, /* decades */
    WEIR_PLOT_LOG2 /* ticks at powers of two: cache sizes, distances */
} weir_plot_scale;

typedef struct weir_plot_axis {
    const char *label;
    weir_plot_scale scale;
    double from, to; /* the ends; both 0: chosen from the data, else from < to (by 1e-10 or more) */
} weir_plot_axis;

/* Is `path` one that a figure could be saved to: a known ending, in a folder that is there and can
 * be written to? Ask before long work. */
WEIR_API weir_status weir_plot_path_check(const char *path, weir_error *error);

/* ---- line charts ---------------------------------------------------------------------------- */

/* What becomes of points that follow each other in one column of pixels, when there are many;
 * either way a file stays small. */
typedef enum weir_plot_reduce {
    WEIR_PLOT_ENVELOPE, /* their first, lowest, highest and last: looks as if all were drawn */
    WEIR_PLOT_MEAN      /* their mean */
} weir_plot_reduce;

typedef struct weir_plot_series {
    const char *label;   /* in the legend; NULL: not there */
    const double *x, *y; /* [count]; points are joined in this order; x NULL: 0, 1, 2, … */
    const double
        *error; /* [count] half an error bar, in units of y; up to 60 points; may be NULL */
    const double *error_below; /* [count] the half below y where it is another; may be NULL */
    size_t count;
    weir_plot_reduce reduce;
} weir_plot_series;

/* A dashed line across the chart, named outside its frame: "trained context", "chance". */
typedef struct weir_plot_marker {
    const char *label;
    double at;
    bool on_y; /* false: vertical, at this x */
} weir_plot_marker;

typedef struct weir_plot_lines {
    const char *title;
    int32_t width, height; /* 0: 1000 x 640 */
    weir_plot_axis x, y;
    const weir_plot_series *series;
    size_t series_count; /* 1 to WEIR_PLOT_SERIES_MAX */
    const weir_plot_marker *markers;
    size_t marker_count; /* 0 to WEIR_PLOT_MARKERS_MAX */
} weir_plot_lines;

/* Series differ in colour (also to the colour-blind), dashes and, where points are few, in marks.
 * The legend stands in the emptiest corner, or right of the chart where none is empty. */
WEIR_API weir_status weir_plot_lines_save(const weir_plot_lines *figure, const char *path,
                                          weir_error *error);

/* ---- bar charts ----------------------------------------------------------------------------- */

typedef struct weir_plot_bars {
    const char *title;
    int32_t width, height; /* 0: 1000 x 640 */
    const char *x_label;
    weir_plot_axis y;          /* linear bars stand on 0, logarithmic ones on the lower end */
    const char *const *groups; /* [group_count] names along the x axis */
    size_t group_count;        /* 1 to WEIR_PLOT_GROUPS_MAX */
    const char *const *series; /* [series_count] names in the legend; NULL: no legend */
    const char *series_title;  /* above them: "cache (tokens)" */
    size_t series_count;       /* bars in each group: 1 to WEIR_PLOT_SERIES_MAX */
    const double *values;      /* [group_count, series_count], the last index fastest */
    const double *errors;      /* the same shape: half an error bar; may be NULL */
    bool hide_values;          /* do not write each value above its bar */
} weir_plot_bars;

/* A value without a bar is marked "n/a". */
WEIR_API weir_status weir_plot_bars_save(const weir_plot_bars *figure, const char *path,
                                         weir_error *error);

/* ---- heat maps ------------------------------------------------------------------------------ */

typedef struct weir_plot_maps {
    const char *title;
    int32_t width, height;        /* of the figure; 0: as the grid needs */
    size_t rows, columns;         /* of panels: layers and heads, say; 1 to WEIR_PLOT_PANELS_MAX */
    size_t map_height, map_width; /* cells of each panel: queries and keys, say */
    const float *values;          /* [rows, columns, map_height, map_width]; row 0 on top */
    const char *row_label;        /* what a row of panels is: "layer" */
    const char *column_label;     /* "head" */
    const char *const *row_names; /* [rows] headings; NULL: 0, 1, 2, … */
    const char *const *column_names; /* [columns] */
    const char *const *panel_titles; /* [rows, columns] above each panel; NULL: none */
    const char *x_label, *y_label;   /* "key (index)", "query (index)" */
    weir_plot_axis colour;           /* one scale for all panels, at the right */
} weir_plot_maps;

/* Blank cells (NaN: a causal mask) stay white. A map with more cells than pixels is averaged. */
WEIR_API weir_status weir_plot_maps_save(const weir_plot_maps *figure, const char *path,
                                         weir_error *error);

#ifdef __cplusplus
}
#endif
#endif
