/* Colours, dashes and marks: tables. See colour.h. */
#include "plot/colour.h"

#include <math.h>

const wr_plot_colour wr_plot_ink = {34, 34, 34};
const wr_plot_colour wr_plot_soft_ink = {95, 95, 95};
const wr_plot_colour wr_plot_grid_ink = {226, 226, 226};
const wr_plot_colour wr_plot_paper = {255, 255, 255};

/*
 * How a series looks. The colours are those of Okabe and Ito (Color Universal Design, 2008) without
 * the yellow, which is too light for a line on white; the last three repeat a colour that stands
 * far away, with other dashes and another mark. A mark is a star of `points` rays whose inner
 * corners lie at `inner` of the radius (0: a plain polygon), turned by `turn` degrees.
 */
typedef struct series_look {
    wr_plot_colour colour;
    double dash[6];
    int points;
    double inner, turn, size;
} series_look;

static const series_look looks[WEIR_PLOT_SERIES_MAX] = {
    {{0, 114, 178}, {0}, 24, 0, 0, 1},
    {{213, 94, 0}, {9, 4}, 4, 0, 45, 1.15},
    {{0, 158, 115}, {3, 3}, 3, 0, -90, 1.3},
    {{204, 121, 167}, {12, 4, 3, 4}, 4, 0, 0, 1.25},
    {{230, 159, 0}, {16, 5}, 3, 0, 90, 1.3},
    {{86, 180, 233}, {6, 3, 2, 3, 2, 3}, 5, 0.45, -90, 1.5},
    {{0, 0, 0}, {5, 3}, 4, 0.35, 0, 1.5},
    {{0, 114, 178}, {2, 4}, 4, 0.35, 45, 1.5},
    {{213, 94, 0}, {18, 4, 3, 4}, 6, 0, 0, 1.15},
    {{0, 158, 115}, {10, 3, 3, 3, 3, 3}, 6, 0.5, -90, 1.4},
};

wr_plot_colour wr_plot_series_colour(size_t series) { return looks[series].colour; }

wr_plot_stroke wr_plot_series_stroke(size_t series, double width) {
    wr_plot_stroke stroke = {.colour = looks[series].colour, .width = width};
    for (int i = 0; i < 6; i++) stroke.dash[i] = looks[series].dash[i];
    return stroke;
}

void wr_plot_series_mark(wr_plot_path *path, size_t series, double x, double y, double radius) {
    const series_look *look = &looks[series];
    int corners = look->inner > 0 ? 2 * look->points : look->points;
    wr_plot_path_gap(path);
    for (int i = 0; i < corners; i++) {
        double angle = look->turn * M_PI / 180 + 2 * M_PI * i / corners;
        double reach = radius * look->size * (look->inner > 0 && i % 2 == 1 ? look->inner : 1);
        wr_plot_path_add(path, x + reach * cos(angle), y + reach * sin(angle));
    }
}

/*
 * From dark violet by blue and green to yellow, so that equal steps of a value look equal, also in
 * grey and to the colour-blind. Our own: in OKLab (Ottosson, 2020) the lightness goes evenly from
 * 0.25 to 0.92 and the hue from 305 to 105 degrees, with a chroma of 0.17 or what sRGB can show.
 */
static const wr_plot_colour map_colours[] = {
    {49, 0, 82},   {49, 14, 130}, {21, 54, 156},   {3, 90, 143},   {1, 115, 147},  {12, 140, 151},
    {7, 166, 153}, {9, 193, 141}, {106, 213, 113}, {181, 225, 89}, {246, 234, 77},
};
enum { MAP_STEPS = sizeof map_colours / sizeof *map_colours - 1 };

static uint32_t mixed(uint8_t a, uint8_t b, double share) {
    return (uint32_t)lround(a + (b - a) * share);
}

uint32_t wr_plot_map_colour(double share) {
    double place = fmin(fmax(share, 0), 1) * MAP_STEPS;
    int step = place < MAP_STEPS ? (int)place : MAP_STEPS - 1;
    wr_plot_colour a = map_colours[step], b = map_colours[step + 1];
    double rest = place - step;
    return mixed(a.red, b.red, rest) << 16 | mixed(a.green, b.green, rest) << 8 |
           mixed(a.blue, b.blue, rest);
}
