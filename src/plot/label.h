/*
 * Labels: whatever the caller gives becomes clean UTF-8 of bounded length that fits its place.
 */
#ifndef WR_PLOT_LABEL_H
#define WR_PLOT_LABEL_H

#include "plot/canvas.h"

enum { WR_PLOT_LABEL = 1024 }; /* bytes of a clean label, its end included */

/* Invalid bytes become U+FFFD, control characters spaces; NULL is "". */
void wr_plot_label_clean(char out[WR_PLOT_LABEL], const char *label);

/* Clean and cut, with "…" at the end, to at most `width` units. Returns the width it has. */
double wr_plot_label_fit(wr_plot_canvas *canvas, char out[WR_PLOT_LABEL], const char *label,
                         const wr_plot_style *style, double width);

/* A value as a person would write it above a bar: 5158, 123.4, 10.92, 0.0123, 1.5e-07. `whole`:
 * all values of the figure are whole numbers. */
void wr_plot_value_text(char out[32], double value, bool whole);

#endif
