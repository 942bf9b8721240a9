/*
 * The furniture of a chart: title, axes with their ticks and grid, notes.
 *
 *     +----------------------------------+
 *     |              title               |
 *     |       (names of marker lines)    |
 *     | l  10 +---------------+          |
 *     | a     |      box      |  (names, |
 *     | b   1 +---------------+  legend) |
 *     | e     0      50     100          |
 *     | l           label                |
 *     +----------------------------------+
 */
#ifndef WR_PLOT_FRAME_H
#define WR_PLOT_FRAME_H

#include "plot/axis.h"
#include "plot/label.h"

#define WR_PLOT_PAD 16.0 /* from the page's edge, in units */
#define WR_PLOT_TITLE_SIZE 21.0
#define WR_PLOT_LABEL_SIZE 18.0
#define WR_PLOT_TICK_SIZE 16.0
#define WR_PLOT_NOTE_SIZE 14.0

/* An upright label ends so far from the page's upper and lower edge: below title, above x label. */
#define WR_PLOT_HIGHEST (WR_PLOT_PAD + WR_PLOT_TITLE_SIZE + 8)
#define WR_PLOT_LOWEST (WR_PLOT_PAD + WR_PLOT_LABEL_SIZE + 8)

typedef struct wr_plot_frame {
    wr_plot_canvas *canvas;
    wr_plot_box box; /* where the data are */
    wr_plot_axis x, y;
} wr_plot_frame;

/* Where the box begins below the title, and ends above the x axis' label. */
double wr_plot_frame_top(const char *title);
double wr_plot_frame_bottom(const wr_plot_canvas *canvas, const char *x_label, bool note);

/* With box.top and box.bottom set: the y axis' ticks, and box.left so that they have room. */
void wr_plot_frame_fit_y(wr_plot_frame *frame, const char *label);

/* With the box set: the x axis' ticks, as many as do not touch. */
void wr_plot_frame_fit_x(wr_plot_frame *frame);

double wr_plot_ticks_width(wr_plot_canvas *canvas, const wr_plot_axis *axis, double size);

double wr_plot_title_width(wr_plot_canvas *canvas, const char *title); /* that a page needs */
void wr_plot_frame_title(wr_plot_canvas *canvas, const char *title);
void wr_plot_frame_grid(wr_plot_frame *frame);
void wr_plot_frame_x_axis(wr_plot_frame *frame);
void wr_plot_frame_y_axis(wr_plot_frame *frame, const char *label);
void wr_plot_frame_x_label(wr_plot_frame *frame, const char *label, bool note);
void wr_plot_frame_note(wr_plot_canvas *canvas, const char *note);
void wr_plot_frame_no_data(wr_plot_frame *frame);

/* "3 values at or below zero are not on the logarithmic axis"; "" when there are none. */
void wr_plot_note_text(char out[WR_PLOT_LABEL], size_t not_positive);

#endif
