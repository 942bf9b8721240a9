/*
 * From a figure to a file: chooses the format, draws into memory, and only then touches the disk.
 */
#ifndef WR_PLOT_FIGURE_FILE_H
#define WR_PLOT_FIGURE_FILE_H

#include "plot/canvas.h"

typedef struct wr_plot_job {
    const char *title;
    int32_t width, height; /* 0: 1000 x 640; WEIR_USAGE for what is not in 400 … 4096 */
    void (*draw)(wr_plot_canvas *canvas, const void *figure);
    const void *figure;
} wr_plot_job;

weir_status wr_plot_save(wr_plot_job *job, const char *path, weir_error *error);

/* WEIR_USAGE when the ends of an axis cannot be. `name`: "x axis". */
weir_status wr_plot_axis_check(const weir_plot_axis *axis, const char *name, weir_error *error);

#endif
