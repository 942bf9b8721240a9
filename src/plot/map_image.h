/*
 * From the cells of a heat map to pixels.
 */
#ifndef WR_PLOT_MAP_IMAGE_H
#define WR_PLOT_MAP_IMAGE_H

#include "plot/axis.h"

/*
 * The cells [height, width] as an image of about `pixels_wide` x `pixels_high`: every cell becomes
 * as many equal pixels as fit, so that viewers which smooth an image blur no more than its edges;
 * where cells are more than pixels, a pixel is the mean of its cells. `scale` says the colours.
 * false when there is no memory; the caller frees image->pixels.
 */
bool wr_plot_map_image(const float *cells, size_t height, size_t width, int32_t pixels_wide,
                       int32_t pixels_high, const wr_plot_axis *scale, wr_plot_image *image);

/* The colours of the whole scale, the highest on top. The same ownership. */
bool wr_plot_scale_image(wr_plot_image *image);

#endif
