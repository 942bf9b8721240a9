/*
 * From the points of a series to a line on the page, with no more points than pixels can show.
 */
#ifndef WR_PLOT_SERIES_PATH_H
#define WR_PLOT_SERIES_PATH_H

#include "plot/axis.h"

enum { WR_PLOT_MARKED = 60 }; /* a series of up to so many points has marks and error bars */

double wr_plot_series_x(const weir_plot_series *series, size_t i);

/* Adds the line. `columns`: pixels along the x axis; fewer than two points for each are all kept.
 */
void wr_plot_series_path(const weir_plot_series *series, const wr_plot_axis *x,
                         const wr_plot_axis *y, int columns, wr_plot_path *path);

/* Adds the error bars, each with its two ends. */
void wr_plot_error_path(const weir_plot_series *series, const wr_plot_axis *x,
                        const wr_plot_axis *y, wr_plot_path *path);

/* The ends of the error bar of point i; false: it has none. */
bool wr_plot_error_ends(const weir_plot_series *series, size_t i, double *low, double *high);

/* One error bar on the page, `reach` to each side. The lower end of what a logarithmic axis cannot
 * show is the axis. */
void wr_plot_error_bar(wr_plot_path *path, const wr_plot_axis *y, double at, double low,
                       double high, double reach);

#endif
