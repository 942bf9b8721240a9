/*
 * Colours: of the ink, of series, and of a heat map.
 */
#ifndef WR_PLOT_COLOUR_H
#define WR_PLOT_COLOUR_H

#include "plot/canvas.h"

extern const wr_plot_colour wr_plot_ink, wr_plot_soft_ink, wr_plot_grid_ink, wr_plot_paper;

wr_plot_colour wr_plot_series_colour(size_t series);
wr_plot_stroke wr_plot_series_stroke(size_t series, double width);

/* Adds the mark of a series around a point, as a shape to be filled. */
void wr_plot_series_mark(wr_plot_path *path, size_t series, double x, double y, double radius);

/* `share` 0 … 1 of the way from the lowest to the highest value, as 0x00RRGGBB. */
uint32_t wr_plot_map_colour(double share);

#endif
