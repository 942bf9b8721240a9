/*
 * Marker lines: dashed lines across a chart. The names of vertical ones hang like flags above the
 * frame, to the right of their line, in as many rows as they need; those of horizontal ones stand
 * right of it. So neither covers data.
 */
#ifndef WR_PLOT_MARKERS_H
#define WR_PLOT_MARKERS_H

#include "plot/frame.h"

typedef struct wr_plot_flag {
    const weir_plot_marker *marker;
    char text[WR_PLOT_LABEL];
    double width; /* of the text */
    double x, y;  /* where the text begins (its baseline), when shown */
    double line;  /* where its line is */
    int row;      /* of a vertical one: 0 is next to the frame */
    bool shown;
} wr_plot_flag;

typedef struct wr_plot_markers {
    wr_plot_flag flags[WEIR_PLOT_MARKERS_MAX];
    size_t count;
    int rows;           /* of names above the frame */
    double side;        /* width of the names right of it */
    wr_plot_path lines; /* all of them; the caller releases it */
} wr_plot_markers;

void wr_plot_markers_begin(wr_plot_markers *markers, wr_plot_canvas *canvas,
                           const weir_plot_marker *list, size_t count);
double wr_plot_markers_height(const wr_plot_markers *markers); /* above the frame */
double wr_plot_markers_width(const wr_plot_markers *markers);  /* right of it */

/* With the frame's box and axes set; again after they changed. */
void wr_plot_markers_place(wr_plot_markers *markers, const wr_plot_frame *frame);
void wr_plot_markers_draw(const wr_plot_markers *markers, wr_plot_canvas *canvas);

#endif
