/* What every format shares: lists of points and bytes, the measuring of text. See canvas.h. */
#include "plot/canvas.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const wr_plot_format *const wr_plot_formats[] = {&wr_plot_png, &wr_plot_svg};

const wr_plot_format *wr_plot_format_of(const char *path) {
    size_t length = strlen(path);
    for (size_t i = 0; i < sizeof wr_plot_formats / sizeof *wr_plot_formats; i++) {
        size_t ending = strlen(wr_plot_formats[i]->ending);
        if (length > ending && path[length - ending - 1] != '/' &&
            strcasecmp(path + length - ending, wr_plot_formats[i]->ending) == 0)
            return wr_plot_formats[i];
    }
    return NULL;
}

/* Room for `more` elements of `size` bytes in a list that doubles. */
static bool reserve(void **list, size_t *capacity, size_t count, size_t more, size_t size) {
    if (more <= *capacity - count) return true;
    size_t wanted = *capacity < 64 ? 64 : *capacity;
    while (wanted - count < more) {
        if (wanted > SIZE_MAX / 2 / size) return false;
        wanted *= 2;
    }
    void *larger = realloc(*list, wanted * size);
    if (larger == NULL) return false;
    *list = larger;
    *capacity = wanted;
    return true;
}

void wr_plot_path_add(wr_plot_path *path, double x, double y) {
    void *points = path->points;
    if (path->failed || !reserve(&points, &path->capacity, path->count, 1, sizeof *path->points)) {
        path->failed = true;
        return;
    }
    path->points = points;
    path->points[path->count++] = (wr_plot_point){x, y};
}

void wr_plot_path_gap(wr_plot_path *path) {
    if (path->count > 0 && !isnan(path->points[path->count - 1].x))
        wr_plot_path_add(path, (double)NAN, (double)NAN);
}

void wr_plot_path_release(wr_plot_path *path) {
    free(path->points);
    *path = (wr_plot_path){0};
}

void wr_plot_bytes_add(wr_plot_bytes *bytes, const void *data, size_t size) {
    void *list = bytes->data;
    if (bytes->failed || !reserve(&list, &bytes->capacity, bytes->size, size, 1)) {
        bytes->failed = true;
        return;
    }
    bytes->data = list;
    memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
}

bool wr_plot_canvas_init(wr_plot_canvas *canvas, const wr_plot_format *format, int32_t width,
                         int32_t height) {
    *canvas = (wr_plot_canvas){.format = format, .width = width, .height = height};
    int pixels_wide = format->pixels > 0 ? (int)(format->pixels * width) : 1;
    int pixels_high = format->pixels > 0 ? (int)(format->pixels * height) : 1;
    cairo_surface_t *surface =
        cairo_image_surface_create(CAIRO_FORMAT_RGB24, pixels_wide, pixels_high);
    canvas->cairo = cairo_create(surface);
    cairo_surface_destroy(surface); /* the context holds it */
    if (format->pixels > 0) cairo_scale(canvas->cairo, format->pixels, format->pixels);
    /* Neither the screen's settings nor the scale may move a letter. */
    cairo_font_options_t *options = cairo_font_options_create();
    cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY);
    cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE);
    cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
    cairo_set_font_options(canvas->cairo, options);
    cairo_font_options_destroy(options);
    return cairo_status(canvas->cairo) == CAIRO_STATUS_SUCCESS;
}

void wr_plot_canvas_deinit(wr_plot_canvas *canvas) {
    cairo_destroy(canvas->cairo);
    free(canvas->out.data);
    *canvas = (wr_plot_canvas){0};
}

static void choose_font(wr_plot_canvas *canvas, const wr_plot_style *style) {
    cairo_select_font_face(canvas->cairo, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL,
                           style->bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(canvas->cairo, style->size);
}

double wr_plot_text_width(wr_plot_canvas *canvas, const char *text, const wr_plot_style *style) {
    choose_font(canvas, style);
    cairo_text_extents_t extents = {0};
    cairo_text_extents(canvas->cairo, text, &extents);
    return extents.x_advance;
}

void wr_plot_text(wr_plot_canvas *canvas, double x, double y, const char *text,
                  const wr_plot_style *style) {
    if (text[0] == '\0') return;
    choose_font(canvas, style);
    canvas->format->text(canvas, (wr_plot_point){x, y}, text, style);
}

void wr_plot_line(wr_plot_canvas *canvas, const wr_plot_path *path, const wr_plot_stroke *stroke) {
    if (path->failed) canvas->failed = true;
    if (path->count > 0) canvas->format->line(canvas, path, stroke);
}

void wr_plot_fill(wr_plot_canvas *canvas, const wr_plot_path *path, wr_plot_colour colour) {
    if (path->failed) canvas->failed = true;
    if (path->count > 0) canvas->format->fill(canvas, path, colour);
}

void wr_plot_segment(wr_plot_canvas *canvas, double x0, double y0, double x1, double y1,
                     const wr_plot_stroke *stroke) {
    wr_plot_point points[] = {{x0, y0}, {x1, y1}};
    wr_plot_line(canvas, &(wr_plot_path){.points = points, .count = 2}, stroke);
}

void wr_plot_rectangle(wr_plot_canvas *canvas, wr_plot_box box, wr_plot_colour colour) {
    wr_plot_point points[] = {
        {box.left, box.top}, {box.right, box.top}, {box.right, box.bottom}, {box.left, box.bottom}};
    wr_plot_fill(canvas, &(wr_plot_path){.points = points, .count = 4}, colour);
}

void wr_plot_image_draw(wr_plot_canvas *canvas, wr_plot_box box, const wr_plot_image *image) {
    canvas->format->image(canvas, box, image);
}

void wr_plot_clip(wr_plot_canvas *canvas, const wr_plot_box *box) {
    canvas->format->clip(canvas, box);
}
