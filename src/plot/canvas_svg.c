/*
 * SVG, written by ourselves: Cairo's own would number its surfaces through the life of a process
 * (so that the same figure twice gives different bytes) and turn every letter into a shape that
 * nobody can search, copy or read aloud. Cairo measures the text and packs images.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plot/canvas.h"

static void say(wr_plot_canvas *canvas, const char *format, ...) WEIR_FORMAT(2, 3);

static void say(wr_plot_canvas *canvas, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (size > 0 && (size_t)size < sizeof text)
        wr_plot_bytes_add(&canvas->out, text, (size_t)size);
    else
        canvas->failed = true;
}

/* A coordinate to a hundredth, without what it does not need: 12.5, 3, -0.25. */
static const char *number(char text[32], double value) {
    snprintf(text, 32, "%.2f", value);
    char *last = text + strlen(text) - 1;
    while (*last == '0') *last-- = '\0';
    if (*last == '.') *last = '\0';
    return strcmp(text, "-0") == 0 ? "0" : text;
}

static void say_number(wr_plot_canvas *canvas, double value) {
    char text[32];
    const char *digits = number(text, value);
    wr_plot_bytes_add(&canvas->out, digits, strlen(digits));
}

/* ` NAME="VALUE"` */
static void attribute(wr_plot_canvas *canvas, const char *name, double value) {
    char text[32];
    say(canvas, " %s=\"%s\"", name, number(text, value));
}

static void colour_attribute(wr_plot_canvas *canvas, const char *name, wr_plot_colour colour) {
    say(canvas, " %s=\"#%02x%02x%02x\"", name, colour.red, colour.green, colour.blue);
}

static void escaped(wr_plot_canvas *canvas, const char *text) {
    for (; *text != '\0'; text++) {
        const char *name = *text == '&'   ? "&amp;"
                           : *text == '<' ? "&lt;"
                           : *text == '>' ? "&gt;"
                                          : NULL;
        if (name != NULL)
            wr_plot_bytes_add(&canvas->out, name, strlen(name));
        else
            wr_plot_bytes_add(&canvas->out, text, 1);
    }
}

static void begin(wr_plot_canvas *canvas, const char *title) {
    say(canvas,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\""
        " width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\""
        " font-family=\"'DejaVu Sans',Verdana,sans-serif\">\n",
        (int)canvas->width, (int)canvas->height, (int)canvas->width, (int)canvas->height);
    if (title[0] != '\0') {
        say(canvas, "<title>");
        escaped(canvas, title);
        say(canvas, "</title>\n");
    }
    say(canvas, "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n");
}

static void path_data(wr_plot_canvas *canvas, const wr_plot_path *path, bool closed) {
    bool down = false;
    say(canvas, "<path d=\"");
    for (size_t i = 0; i < path->count; i++) {
        wr_plot_point point = path->points[i];
        if (isnan(point.x)) {
            if (closed && down) say(canvas, "Z");
            down = false;
            continue;
        }
        say(canvas, down ? " " : "M");
        say_number(canvas, point.x);
        say(canvas, " ");
        say_number(canvas, point.y);
        down = true;
    }
    say(canvas, closed && down ? "Z\"" : "\"");
}

static void line(wr_plot_canvas *canvas, const wr_plot_path *path, const wr_plot_stroke *stroke) {
    path_data(canvas, path, false);
    say(canvas, " fill=\"none\" stroke-linejoin=\"round\"");
    colour_attribute(canvas, "stroke", stroke->colour);
    attribute(canvas, "stroke-width", stroke->width);
    if (stroke->dash[0] > 0) {
        say(canvas, " stroke-dasharray=\"");
        for (int i = 0; i < 6 && stroke->dash[i] > 0; i++) {
            if (i > 0) say(canvas, " ");
            say_number(canvas, stroke->dash[i]);
        }
        say(canvas, "\"");
    }
    say(canvas, "/>\n");
}

static void fill(wr_plot_canvas *canvas, const wr_plot_path *path, wr_plot_colour colour) {
    path_data(canvas, path, true);
    colour_attribute(canvas, "fill", colour);
    say(canvas, "/>\n");
}

static void text(wr_plot_canvas *canvas, wr_plot_point at, const char *words,
                 const wr_plot_style *style) {
    say(canvas, "<text");
    attribute(canvas, "x", at.x);
    attribute(canvas, "y", at.y);
    attribute(canvas, "font-size", style->size);
    colour_attribute(canvas, "fill", style->colour);
    if (style->anchor != WR_PLOT_START)
        say(canvas, " text-anchor=\"%s\"", style->anchor == WR_PLOT_END ? "end" : "middle");
    if (style->bold) say(canvas, " font-weight=\"bold\"");
    if (style->upright) {
        say(canvas, " transform=\"rotate(-90 ");
        say_number(canvas, at.x);
        say(canvas, " ");
        say_number(canvas, at.y);
        say(canvas, ")\"");
    }
    say(canvas, ">");
    escaped(canvas, words);
    say(canvas, "</text>\n");
}

/* ---- images: a PNG in base64 ---------------------------------------------------------------- */

static cairo_status_t keep(void *context, const unsigned char *data, unsigned int size) {
    wr_plot_bytes *bytes = context;
    wr_plot_bytes_add(bytes, data, size);
    return bytes->failed ? CAIRO_STATUS_NO_MEMORY : CAIRO_STATUS_SUCCESS;
}

static void base64(wr_plot_canvas *canvas, const unsigned char *data, size_t size) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t group = (uint32_t)data[i] << 16 | (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                         (left > 2 ? (uint32_t)data[i + 2] : 0);
        char four[4] = {
            letters[group >> 18],
            letters[group >> 12 & 63],
            left > 1 ? letters[group >> 6 & 63] : '=',
            left > 2 ? letters[group & 63] : '=',
        };
        wr_plot_bytes_add(&canvas->out, four, 4);
    }
}

static void image(wr_plot_canvas *canvas, wr_plot_box box, const wr_plot_image *pixels) {
    wr_plot_bytes packed = {0};
    cairo_surface_t *surface = cairo_image_surface_create_for_data(
        (unsigned char *)(uintptr_t)pixels->pixels, CAIRO_FORMAT_RGB24, pixels->width,
        pixels->height, 4 * pixels->width);
    cairo_status_t status = cairo_surface_write_to_png_stream(surface, keep, &packed);
    cairo_surface_destroy(surface);
    if (status != CAIRO_STATUS_SUCCESS) canvas->failed = true;
    say(canvas, "<image");
    attribute(canvas, "x", box.left);
    attribute(canvas, "y", box.top);
    attribute(canvas, "width", box.right - box.left);
    attribute(canvas, "height", box.bottom - box.top);
    say(canvas, " preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\""
                " xlink:href=\"data:image/png;base64,");
    base64(canvas, packed.data, packed.size);
    say(canvas, "\"/>\n");
    free(packed.data);
}

static void clip(wr_plot_canvas *canvas, const wr_plot_box *box) {
    if (box == NULL) {
        say(canvas, "</g>\n");
        return;
    }
    int name = ++canvas->clips;
    say(canvas, "<clipPath id=\"clip%d\"><rect", name);
    attribute(canvas, "x", box->left);
    attribute(canvas, "y", box->top);
    attribute(canvas, "width", box->right - box->left);
    attribute(canvas, "height", box->bottom - box->top);
    say(canvas, "/></clipPath>\n<g clip-path=\"url(#clip%d)\">\n", name);
}

static void end(wr_plot_canvas *canvas) { say(canvas, "</svg>\n"); }

const wr_plot_format wr_plot_svg = {
    .ending = ".svg",
    .pixels = 0,
    .begin = begin,
    .line = line,
    .fill = fill,
    .text = text,
    .image = image,
    .clip = clip,
    .end = end,
};
