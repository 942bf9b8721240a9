/*
 * The legend: which name belongs to which look, in a place where no data are.
 */
#ifndef WR_PLOT_LEGEND_H
#define WR_PLOT_LEGEND_H

#include "plot/label.h"

typedef struct wr_plot_legend_entry {
    size_t series;
    char text[WR_PLOT_LABEL];
} wr_plot_legend_entry;

typedef struct wr_plot_legend {
    char title[WR_PLOT_LABEL];
    wr_plot_legend_entry entries[WEIR_PLOT_SERIES_MAX];
    size_t count;
    bool bars;            /* squares of colour instead of lines */
    double width, height; /* once measured */
} wr_plot_legend;

/* Leaves out a NULL or empty name. */
void wr_plot_legend_add(wr_plot_legend *legend, wr_plot_canvas *canvas, size_t series,
                        const char *name, double longest);
void wr_plot_legend_title(wr_plot_legend *legend, wr_plot_canvas *canvas, const char *title,
                          double longest);

/* A place in `box` that no line of the paths crosses: its top left corner. false: there is none. */
bool wr_plot_legend_place(const wr_plot_legend *legend, const wr_plot_box *box,
                          const wr_plot_path *const *paths, size_t path_count, wr_plot_point *at);

/* `marked[i]`: series i is drawn with marks; NULL: none is. */
void wr_plot_legend_draw(const wr_plot_legend *legend, wr_plot_canvas *canvas, wr_plot_point at,
                         const bool *marked);

/* Does the line from a to b touch the box? */
bool wr_plot_segment_touches(wr_plot_point a, wr_plot_point b, const wr_plot_box *box);

#endif
