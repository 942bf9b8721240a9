/* From the cells of a heat map to pixels: see map_image.h. */
#include "plot/map_image.h"

#include <math.h>
#include <stdlib.h>

#include "plot/colour.h"

enum { BLANK = 0xffffff };

static uint32_t colour_of(const wr_plot_axis *scale, double value) {
    if (!wr_plot_scale_shows(scale->scale, value)) return BLANK;
    return wr_plot_map_colour(wr_plot_axis_share(scale, value));
}

/* The mean of what can be shown in rows [top, bottom) and columns [left, right); NaN: nothing. */
static double mean(const float *cells, size_t width, const wr_plot_axis *scale, size_t top,
                   size_t bottom, size_t left, size_t right) {
    double sum = 0;
    size_t count = 0;
    for (size_t row = top; row < bottom; row++)
        for (size_t column = left; column < right; column++) {
            double value = (double)cells[row * width + column];
            if (!wr_plot_scale_shows(scale->scale, value)) continue;
            sum += value;
            count++;
        }
    return count > 0 ? sum / (double)count : (double)NAN;
}

/* How many pixels show `cells` cells: a multiple, or fewer than cells. */
static size_t pixels_for(size_t cells, int32_t pixels) {
    size_t room = pixels < 1 ? 1 : (size_t)pixels;
    return cells > room ? room : cells * ((room + cells - 1) / cells);
}

bool wr_plot_map_image(const float *cells, size_t height, size_t width, int32_t pixels_wide,
                       int32_t pixels_high, const wr_plot_axis *scale, wr_plot_image *image) {
    size_t wide = pixels_for(width, pixels_wide), high = pixels_for(height, pixels_high);
    uint32_t *pixels = calloc(wide * high, sizeof *pixels);
    *image = (wr_plot_image){pixels, (int32_t)wide, (int32_t)high};
    if (pixels == NULL) return false;
    for (size_t y = 0; y < high; y++) {
        size_t top = y * height / high, bottom = (y + 1) * height / high;
        bottom = bottom > top ? bottom : top + 1;
        for (size_t x = 0; x < wide; x++) {
            size_t left = x * width / wide, right = (x + 1) * width / wide;
            right = right > left ? right : left + 1;
            pixels[y * wide + x] =
                colour_of(scale, mean(cells, width, scale, top, bottom, left, right));
        }
    }
    return true;
}

bool wr_plot_scale_image(wr_plot_image *image) {
    enum { STEPS = 256 };
    uint32_t *pixels = calloc(STEPS, sizeof *pixels);
    *image = (wr_plot_image){pixels, 1, STEPS};
    if (pixels == NULL) return false;
    for (int y = 0; y < STEPS; y++) pixels[y] = wr_plot_map_colour(1 - y / (STEPS - 1.0));
    return true;
}
