/* PNG: drawn by Cairo into memory, two pixels for each unit. See canvas.h. */
#include <math.h>

#include "plot/canvas.h"

static void set_colour(cairo_t *cairo, wr_plot_colour colour) {
    cairo_set_source_rgb(cairo, colour.red / 255.0, colour.green / 255.0, colour.blue / 255.0);
}

static void begin(wr_plot_canvas *canvas, const char *title) {
    (void)title; /* a PNG has no place for it that anybody reads */
    set_colour(canvas->cairo, (wr_plot_colour){255, 255, 255});
    cairo_paint(canvas->cairo);
}

static void trace(cairo_t *cairo, const wr_plot_path *path, bool closed) {
    cairo_new_path(cairo);
    bool down = false;
    for (size_t i = 0; i < path->count; i++) {
        wr_plot_point point = path->points[i];
        if (isnan(point.x)) {
            if (closed && down) cairo_close_path(cairo);
            down = false;
        } else if (down) {
            cairo_line_to(cairo, point.x, point.y);
        } else {
            cairo_move_to(cairo, point.x, point.y);
            down = true;
        }
    }
    if (closed && down) cairo_close_path(cairo);
}

static void line(wr_plot_canvas *canvas, const wr_plot_path *path, const wr_plot_stroke *stroke) {
    int dashes = 0;
    while (dashes < 6 && stroke->dash[dashes] > 0) dashes++;
    trace(canvas->cairo, path, false);
    set_colour(canvas->cairo, stroke->colour);
    cairo_set_line_width(canvas->cairo, stroke->width);
    cairo_set_line_join(canvas->cairo, CAIRO_LINE_JOIN_ROUND);
    cairo_set_dash(canvas->cairo, stroke->dash, dashes, 0);
    cairo_stroke(canvas->cairo);
}

static void fill(wr_plot_canvas *canvas, const wr_plot_path *path, wr_plot_colour colour) {
    trace(canvas->cairo, path, true);
    set_colour(canvas->cairo, colour);
    cairo_fill(canvas->cairo);
}

static void text(wr_plot_canvas *canvas, wr_plot_point at, const char *words,
                 const wr_plot_style *style) {
    double width = wr_plot_text_width(canvas, words, style);
    double back = style->anchor == WR_PLOT_START ? 0 : style->anchor == WR_PLOT_END ? 1 : 0.5;
    cairo_t *cairo = canvas->cairo;
    cairo_save(cairo);
    set_colour(cairo, style->colour);
    cairo_translate(cairo, at.x, at.y);
    if (style->upright) cairo_rotate(cairo, -M_PI / 2);
    cairo_move_to(cairo, -back * width, 0);
    cairo_show_text(cairo, words);
    cairo_restore(cairo);
}

static void image(wr_plot_canvas *canvas, wr_plot_box box, const wr_plot_image *pixels) {
    cairo_surface_t *surface = cairo_image_surface_create_for_data(
        (unsigned char *)(uintptr_t)pixels->pixels, CAIRO_FORMAT_RGB24, pixels->width,
        pixels->height, 4 * pixels->width);
    cairo_t *cairo = canvas->cairo;
    cairo_save(cairo);
    cairo_translate(cairo, box.left, box.top);
    cairo_scale(cairo, (box.right - box.left) / pixels->width,
                (box.bottom - box.top) / pixels->height);
    cairo_set_source_surface(cairo, surface, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(cairo), CAIRO_FILTER_NEAREST);
    cairo_pattern_set_extend(cairo_get_source(cairo), CAIRO_EXTEND_PAD);
    cairo_rectangle(cairo, 0, 0, pixels->width, pixels->height);
    cairo_fill(cairo);
    cairo_restore(cairo);
    cairo_surface_finish(surface); /* the caller's pixels are not ours any more */
    cairo_surface_destroy(surface);
}

static void clip(wr_plot_canvas *canvas, const wr_plot_box *box) {
    cairo_reset_clip(canvas->cairo);
    if (box == NULL) return;
    cairo_rectangle(canvas->cairo, box->left, box->top, box->right - box->left,
                    box->bottom - box->top);
    cairo_clip(canvas->cairo);
}

static cairo_status_t keep(void *context, const unsigned char *data, unsigned int size) {
    wr_plot_bytes *bytes = context;
    wr_plot_bytes_add(bytes, data, size);
    return bytes->failed ? CAIRO_STATUS_NO_MEMORY : CAIRO_STATUS_SUCCESS;
}

static void end(wr_plot_canvas *canvas) {
    cairo_surface_t *surface = cairo_get_target(canvas->cairo);
    if (cairo_surface_write_to_png_stream(surface, keep, &canvas->out) != CAIRO_STATUS_SUCCESS)
        canvas->failed = true;
}

const wr_plot_format wr_plot_png = {
    .ending = ".png",
    .pixels = 2,
    .begin = begin,
    .line = line,
    .fill = fill,
    .text = text,
    .image = image,
    .clip = clip,
    .end = end,
};
