/*
 * What a figure is drawn on: a page in SVG units, x to the right, y downwards.
 *
 * Figures know five strokes and no file format. A format is a wr_plot_format with a name in it; to
 * add one: write its file and list it in wr_plot_formats (canvas.c). Text is measured by Cairo for
 * all of them, so that a figure has the same layout in each.
 *
 * A canvas that runs out of memory says so in `failed`; later strokes then do nothing, and nobody
 * needs to look before wr_plot_save does.
 */
#ifndef WR_PLOT_CANVAS_H
#define WR_PLOT_CANVAS_H

#include <cairo.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/plot.h"

typedef struct wr_plot_colour {
    uint8_t red, green, blue;
} wr_plot_colour;

typedef struct wr_plot_point {
    double x, y; /* x NaN: the pen is lifted */
} wr_plot_point;

typedef struct wr_plot_box {
    double left, top, right, bottom;
} wr_plot_box;

/* A growing list of points. */
typedef struct wr_plot_path {
    wr_plot_point *points;
    size_t count, capacity;
    bool failed; /* memory ran out */
} wr_plot_path;

void wr_plot_path_add(wr_plot_path *path, double x, double y);
void wr_plot_path_gap(wr_plot_path *path); /* lifts the pen; twice is once */
void wr_plot_path_release(wr_plot_path *path);

typedef struct wr_plot_stroke {
    wr_plot_colour colour;
    double width;
    double dash[6]; /* lengths, ended by 0; {0}: solid */
} wr_plot_stroke;

typedef enum wr_plot_anchor { WR_PLOT_START, WR_PLOT_MIDDLE, WR_PLOT_END } wr_plot_anchor;

typedef struct wr_plot_style {
    double size; /* of the font */
    wr_plot_colour colour;
    wr_plot_anchor anchor;
    bool bold;
    bool upright; /* turned a quarter to the left: reads from below */
} wr_plot_style;

/* Rows of opaque pixels, 0x00RRGGBB. */
typedef struct wr_plot_image {
    const uint32_t *pixels; /* [height, width] */
    int32_t width, height;
} wr_plot_image;

typedef struct wr_plot_bytes {
    unsigned char *data;
    size_t size, capacity;
    bool failed;
} wr_plot_bytes;

void wr_plot_bytes_add(wr_plot_bytes *bytes, const void *data, size_t size);

typedef struct wr_plot_canvas wr_plot_canvas;

typedef struct wr_plot_format {
    const char *ending; /* ".png" */
    double pixels;      /* of its surface for each unit; 0: it only measures */
    void (*begin)(wr_plot_canvas *canvas, const char *title);
    void (*line)(wr_plot_canvas *canvas, const wr_plot_path *path, const wr_plot_stroke *stroke);
    void (*fill)(wr_plot_canvas *canvas, const wr_plot_path *path, wr_plot_colour colour);
    void (*text)(wr_plot_canvas *canvas, wr_plot_point at, const char *text,
                 const wr_plot_style *style);
    void (*image)(wr_plot_canvas *canvas, wr_plot_box box, const wr_plot_image *image);
    void (*clip)(wr_plot_canvas *canvas, const wr_plot_box *box); /* NULL: the whole page again */
    void (*end)(wr_plot_canvas *canvas);                          /* fills `out` */
} wr_plot_format;

extern const wr_plot_format wr_plot_png, wr_plot_svg;

struct wr_plot_canvas {
    const wr_plot_format *format;
    double width, height;
    cairo_t *cairo;
    wr_plot_bytes out; /* the file */
    int clips;         /* made so far: they are numbered */
    bool failed;
};

/* NULL when no format has this ending. */
const wr_plot_format *wr_plot_format_of(const char *path);

bool wr_plot_canvas_init(wr_plot_canvas *canvas, const wr_plot_format *format, int32_t width,
                         int32_t height);
void wr_plot_canvas_deinit(wr_plot_canvas *canvas);

/* ---- strokes: `text` is clean (see label.h) ----------------------------------------------- */

double wr_plot_text_width(wr_plot_canvas *canvas, const char *text, const wr_plot_style *style);
void wr_plot_text(wr_plot_canvas *canvas, double x, double y, const char *text,
                  const wr_plot_style *style); /* y of the baseline */
void wr_plot_line(wr_plot_canvas *canvas, const wr_plot_path *path, const wr_plot_stroke *stroke);
void wr_plot_fill(wr_plot_canvas *canvas, const wr_plot_path *path, wr_plot_colour colour);
void wr_plot_segment(wr_plot_canvas *canvas, double x0, double y0, double x1, double y1,
                     const wr_plot_stroke *stroke);
void wr_plot_rectangle(wr_plot_canvas *canvas, wr_plot_box box, wr_plot_colour colour);
void wr_plot_image_draw(wr_plot_canvas *canvas, wr_plot_box box, const wr_plot_image *image);
void wr_plot_clip(wr_plot_canvas *canvas, const wr_plot_box *box);

#endif
