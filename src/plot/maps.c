/*
 * Grids of heat maps.
 *
 *                       title
 *                    column label
 *                 0     1     2  ...          names of columns
 *        |  0  +-----+-----+-----+
 *   y    |     | map | map |     |  0    l    +--+ 1.0
 *   label|  8  +-----+-----+-----+       a    |  |       value
 *        |  0  | map |     |     |  1    y    |  | 0.5   label
 *        |     |     |     |     |       e    |  |
 *        |  8  +-----+-----+-----+       r    +--+ 0
 *                 0  8  0  8  ...             colour bar
 *                   x label
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "plot/colour.h"
#include "plot/figure_file.h"
#include "plot/frame.h"
#include "plot/map_image.h"

#define TICK 14.0 /* sizes of text */
#define NAME 15.0
#define BAR 22.0 /* the colour bar's width */

typedef struct map_grid {
    const weir_plot_maps *figure;
    wr_plot_canvas *canvas;
    wr_plot_axis colour;
    double left, top;    /* of the first panel */
    double right, below; /* what stands beside and below the panels */
    double panel_wide, panel_high, gap, title_room;
    double tick_room;          /* width of the numbers left of the panels */
    double name_room;          /* of the row names right of them */
    size_t x_stride, y_stride; /* cells from one number to the next */
    char note[WR_PLOT_LABEL];
    bool empty;
} map_grid;

static bool has(const char *label) { return label != NULL && label[0] != '\0'; }

static const wr_plot_style name_style = {
    .size = NAME, .colour = {34, 34, 34}, .anchor = WR_PLOT_MIDDLE};
static const wr_plot_style label_style = {
    .size = WR_PLOT_LABEL_SIZE, .colour = {34, 34, 34}, .anchor = WR_PLOT_MIDDLE};

static void measure_values(map_grid *grid) {
    const weir_plot_maps *figure = grid->figure;
    wr_plot_span span = wr_plot_span_begin(figure->colour.scale);
    size_t count = figure->rows * figure->columns * figure->map_height * figure->map_width;
    for (size_t i = 0; i < count; i++) wr_plot_span_add(&span, (double)figure->values[i]);
    grid->empty = span.low > span.high;
    wr_plot_note_text(grid->note, span.not_positive);
    wr_plot_axis_range(&grid->colour, &figure->colour, &span, WR_PLOT_EXACT);
}

/* The name of a row or column of panels. */
static void name_of(char out[WR_PLOT_LABEL], const char *const *names, size_t i) {
    if (names != NULL)
        wr_plot_label_clean(out, names[i]);
    else
        snprintf(out, WR_PLOT_LABEL, "%zu", i);
}

static double widest_name(map_grid *grid, const char *const *names, size_t count) {
    double widest = 0;
    for (size_t i = 0; i < count; i++) {
        char text[WR_PLOT_LABEL];
        name_of(text, names, i);
        widest = fmax(widest, wr_plot_text_width(grid->canvas, text, &name_style));
    }
    return widest;
}

/* A single panel, or one with titles of its own, needs no numbers for rows and columns. */
static bool names_columns(const weir_plot_maps *figure) {
    return figure->column_names != NULL || has(figure->column_label);
}

static bool names_rows(const weir_plot_maps *figure) {
    return figure->row_names != NULL || has(figure->row_label);
}

/* What surrounds the panels, whatever their size. */
static void measure_margins(map_grid *grid) {
    const weir_plot_maps *figure = grid->figure;
    char last[32];
    wr_plot_style tick = {.size = TICK};
    snprintf(last, sizeof last, "%zu", figure->map_height - 1);
    grid->tick_room = wr_plot_text_width(grid->canvas, last, &tick) + 10;
    grid->left = WR_PLOT_PAD + grid->tick_room;
    if (has(figure->y_label)) grid->left += WR_PLOT_LABEL_SIZE + 10;
    grid->top = wr_plot_frame_top(figure->title);
    if (has(figure->column_label)) grid->top += WR_PLOT_LABEL_SIZE + 4;
    if (names_columns(figure)) grid->top += NAME + 6;
    grid->title_room = figure->panel_titles != NULL ? NAME + 8 : 0;
    grid->name_room = 0;
    if (names_rows(figure))
        grid->name_room = fmin(widest_name(grid, figure->row_names, figure->rows), 140) + 8;
    double names = grid->name_room + (has(figure->row_label) ? WR_PLOT_LABEL_SIZE + 6 : 0);
    wr_plot_axis_ticks(&grid->colour, 6);
    double ticks = wr_plot_ticks_width(grid->canvas, &grid->colour, WR_PLOT_TICK_SIZE);
    grid->right = names + 18 + BAR + 10 + ticks + WR_PLOT_PAD;
    if (has(figure->colour.label)) grid->right += WR_PLOT_LABEL_SIZE + 12;
    grid->below = WR_PLOT_PAD + TICK + 8;
    if (has(figure->x_label)) grid->below += WR_PLOT_LABEL_SIZE + 8;
    if (grid->note[0] != '\0') grid->below += WR_PLOT_NOTE_SIZE + 6;
}

static double gaps_of(double side) { return fmin(fmax(0.08 * side, 3), 14); }

/* Panels as large as the given page lets them be, keeping the shape of their cells if it can. */
static void fit_panels(map_grid *grid) {
    const weir_plot_maps *figure = grid->figure;
    double columns = (double)figure->columns, rows = (double)figure->rows;
    double wide = (grid->canvas->width - grid->left - grid->right) / columns;
    double high = (grid->canvas->height - grid->top - grid->below) / rows - grid->title_room;
    grid->gap = gaps_of(fmin(wide, high));
    wide = fmax(wide - grid->gap, 2);
    high = fmax(high - grid->gap, 2);
    double shape = (double)figure->map_height / (double)figure->map_width;
    if (shape >= 0.25 && shape <= 4) {
        if (high > wide * shape)
            high = wide * shape;
        else
            wide = high / shape;
    }
    grid->panel_wide = wide;
    grid->panel_high = high;
}

static double across(const map_grid *grid) {
    double columns = (double)grid->figure->columns;
    return columns * grid->panel_wide + (columns - 1) * grid->gap;
}

static double down(const map_grid *grid) {
    double rows = (double)grid->figure->rows;
    return rows * (grid->panel_high + grid->title_room) + (rows - 1) * grid->gap;
}

static wr_plot_box panel_box(const map_grid *grid, size_t row, size_t column) {
    double left = grid->left + (double)column * (grid->panel_wide + grid->gap);
    double top = grid->top + grid->title_room +
                 (double)row * (grid->panel_high + grid->title_room + grid->gap);
    return (wr_plot_box){left, top, left + grid->panel_wide, top + grid->panel_high};
}

static void draw_panel(map_grid *grid, size_t row, size_t column) {
    const weir_plot_maps *figure = grid->figure;
    wr_plot_box box = panel_box(grid, row, column);
    size_t panel = row * figure->columns + column;
    const float *cells = figure->values + panel * figure->map_height * figure->map_width;
    wr_plot_box border = {box.left - 1, box.top - 1, box.right + 1, box.bottom + 1};
    wr_plot_rectangle(grid->canvas, border, (wr_plot_colour){170, 170, 170});
    wr_plot_image image;
    if (wr_plot_map_image(cells, figure->map_height, figure->map_width,
                          (int32_t)(2 * grid->panel_wide), (int32_t)(2 * grid->panel_high),
                          &grid->colour, &image))
        wr_plot_image_draw(grid->canvas, box, &image);
    else
        grid->canvas->failed = true;
    free((void *)(uintptr_t)image.pixels);
    if (figure->panel_titles == NULL) return;
    char text[WR_PLOT_LABEL];
    wr_plot_label_fit(grid->canvas, text, figure->panel_titles[panel], &name_style,
                      grid->panel_wide + grid->gap - 4);
    wr_plot_text(grid->canvas, (box.left + box.right) / 2, box.top - 6, text, &name_style);
}

/* The distance of numbers along `cells` cells when `room` of them have place: a round one. */
static size_t stride_for(size_t cells, double room) {
    static const size_t steps[] = {1, 2, 4, 5, 8, 10, 20, 50};
    size_t count = sizeof steps / sizeof *steps;
    size_t wanted = room < 1 ? cells : (size_t)ceil((double)cells / room);
    for (size_t i = 0; i < count; i++)
        if (steps[i] >= wanted) return steps[i];
    for (size_t power = 10; power < SIZE_MAX / 100; power *= 10)
        for (size_t i = count - 3; i < count; i++)
            if (steps[i] * power >= wanted) return steps[i] * power;
    return cells;
}

/* For both directions where they have the same cells. A stride of all cells: no numbers fit. */
static void choose_strides(map_grid *grid) {
    const weir_plot_maps *figure = grid->figure;
    wr_plot_style style = {.size = TICK};
    char text[32];
    snprintf(text, sizeof text, "%zu", figure->map_width - 1);
    double width = wr_plot_text_width(grid->canvas, text, &style);
    grid->x_stride = stride_for(figure->map_width, grid->panel_wide / (width + 12));
    grid->y_stride = stride_for(figure->map_height, grid->panel_high / (TICK + 8));
    if (figure->map_width != figure->map_height) return;
    size_t larger = grid->x_stride > grid->y_stride ? grid->x_stride : grid->y_stride;
    grid->x_stride = grid->y_stride = larger;
}

/* With room for no more than the first number of each panel there is nothing to say. */
static bool shows_ticks(size_t stride, size_t cells, double side) {
    return stride < cells || (cells == 1 && side > 2 * TICK);
}

static void draw_x_ticks(map_grid *grid, size_t column) {
    const weir_plot_maps *figure = grid->figure;
    wr_plot_box box = panel_box(grid, figure->rows - 1, column);
    wr_plot_style style = {.size = TICK, .colour = wr_plot_ink, .anchor = WR_PLOT_MIDDLE};
    if (!shows_ticks(grid->x_stride, figure->map_width, grid->panel_wide)) return;
    char text[32];
    double cell = grid->panel_wide / (double)figure->map_width;
    for (size_t i = 0; i < figure->map_width; i += grid->x_stride) {
        double at = box.left + cell * ((double)i + 0.5);
        snprintf(text, sizeof text, "%zu", i);
        wr_plot_text(grid->canvas, at, box.bottom + 4 + TICK, text, &style);
    }
}

static void draw_y_ticks(map_grid *grid, size_t row) {
    const weir_plot_maps *figure = grid->figure;
    wr_plot_box box = panel_box(grid, row, 0);
    wr_plot_style style = {.size = TICK, .colour = wr_plot_ink, .anchor = WR_PLOT_END};
    if (!shows_ticks(grid->y_stride, figure->map_height, grid->panel_high)) return;
    double cell = grid->panel_high / (double)figure->map_height;
    for (size_t i = 0; i < figure->map_height; i += grid->y_stride) {
        char text[32];
        double at = box.top + cell * ((double)i + 0.5);
        /* a number beside a low first cell would rise above the panel, into the one before */
        at = fmax(at, box.top + 0.4 * TICK);
        snprintf(text, sizeof text, "%zu", i);
        wr_plot_text(grid->canvas, box.left - 6, at + TICK * 0.36, text, &style);
    }
}

static void draw_column_names(map_grid *grid) {
    const weir_plot_maps *figure = grid->figure;
    if (!names_columns(figure)) return;
    double place = grid->panel_wide + grid->gap;
    double widest = widest_name(grid, figure->column_names, figure->columns);
    bool numbers = figure->column_names == NULL; /* may be thinned out; names are cut */
    size_t stride =
        numbers && widest + 8 > place
            ? stride_for(figure->columns, place * (double)figure->columns / (widest + 8))
            : 1;
    for (size_t column = 0; column < figure->columns; column += stride) {
        char name[WR_PLOT_LABEL], text[WR_PLOT_LABEL];
        wr_plot_box box = panel_box(grid, 0, column);
        name_of(name, figure->column_names, column);
        wr_plot_label_fit(grid->canvas, text, name, &name_style,
                          numbers ? 1000 : grid->panel_wide + grid->gap - 4);
        wr_plot_text(grid->canvas, (box.left + box.right) / 2, grid->top - 7, text, &name_style);
    }
}

static void draw_row_names(map_grid *grid) {
    const weir_plot_maps *figure = grid->figure;
    if (!names_rows(figure)) return;
    wr_plot_style style = name_style;
    style.anchor = WR_PLOT_START;
    double place = grid->panel_high + grid->title_room + grid->gap;
    size_t stride =
        place < NAME + 2 ? stride_for(figure->rows, place * (double)figure->rows / (NAME + 2)) : 1;
    for (size_t row = 0; row < figure->rows; row += stride) {
        char name[WR_PLOT_LABEL], text[WR_PLOT_LABEL];
        wr_plot_box box = panel_box(grid, row, figure->columns - 1);
        name_of(name, figure->row_names, row);
        wr_plot_label_fit(grid->canvas, text, name, &style, grid->name_room - 8);
        wr_plot_text(grid->canvas, box.right + 8, (box.top + box.bottom) / 2 + NAME * 0.36, text,
                     &style);
    }
}

/* `upright` labels are centred at y and stand on x, others the other way round. */
static void draw_label(map_grid *grid, const char *label, double x, double y, double room,
                       bool upright) {
    char text[WR_PLOT_LABEL];
    wr_plot_style style = label_style;
    style.upright = upright;
    double first = upright ? WR_PLOT_HIGHEST : WR_PLOT_PAD;
    double last =
        upright ? grid->canvas->height - WR_PLOT_LOWEST : grid->canvas->width - WR_PLOT_PAD;
    room = fmin(fmax(room, 200), last - first);
    double half = wr_plot_label_fit(grid->canvas, text, label, &style, room) / 2;
    double *centre = upright ? &y : &x;
    *centre = fmax(fmin(*centre, last - half), first + half);
    wr_plot_text(grid->canvas, x, y, text, &style);
}

static void draw_labels(map_grid *grid) {
    const weir_plot_maps *figure = grid->figure;
    double wide = across(grid), high = down(grid);
    double x = grid->left + wide / 2, y = grid->top + high / 2;
    double above = grid->top - 10 - (names_columns(figure) ? NAME + 4 : 0);
    draw_label(grid, figure->column_label, x, above, wide + grid->left, false);
    draw_label(grid, figure->x_label, x, grid->top + high + TICK + 8 + WR_PLOT_LABEL_SIZE,
               wide + grid->left, false);
    draw_label(grid, figure->y_label, grid->left - grid->tick_room - 10, y, high + 80, true);
    draw_label(grid, figure->row_label,
               grid->left + wide + grid->name_room + WR_PLOT_LABEL_SIZE + 2, y, high + 80, true);
}

static void draw_colour_bar(map_grid *grid) {
    const weir_plot_maps *figure = grid->figure;
    wr_plot_canvas *canvas = grid->canvas;
    double left = grid->left + across(grid) + grid->name_room + 18;
    if (has(figure->row_label)) left += WR_PLOT_LABEL_SIZE + 6;
    double top = grid->top + grid->title_room, high = down(grid) - grid->title_room;
    double shorter = fmin(high, 460);
    top += (high - shorter) / 2;
    wr_plot_box box = {left, top, left + BAR, top + shorter};
    grid->colour.start = box.bottom;
    grid->colour.end = box.top;
    wr_plot_axis_ticks(&grid->colour, (int)fmin(shorter / 50, 6));
    wr_plot_image image;
    if (wr_plot_scale_image(&image))
        wr_plot_image_draw(canvas, box, &image);
    else
        canvas->failed = true;
    free((void *)(uintptr_t)image.pixels);
    wr_plot_stroke stroke = {.colour = wr_plot_ink, .width = 1};
    wr_plot_style style = {.size = WR_PLOT_TICK_SIZE, .colour = wr_plot_ink};
    for (size_t i = 0; i < grid->colour.tick_count; i++) {
        const wr_plot_tick *tick = &grid->colour.ticks[i];
        double at = wr_plot_axis_at(&grid->colour, tick->value);
        wr_plot_segment(canvas, box.right, at, box.right + (tick->text[0] ? 5 : 3), at, &stroke);
        wr_plot_text(canvas, box.right + 9, at + style.size * 0.36, tick->text, &style);
    }
    double ticks = wr_plot_ticks_width(canvas, &grid->colour, WR_PLOT_TICK_SIZE);
    draw_label(grid, figure->colour.label, box.right + 9 + ticks + WR_PLOT_LABEL_SIZE + 4,
               top + shorter / 2, shorter + 120, true);
}

static void draw(wr_plot_canvas *canvas, const void *maps) {
    map_grid *grid = calloc(1, sizeof *grid);
    if (grid == NULL) {
        canvas->failed = true;
        return;
    }
    const weir_plot_maps *figure = maps;
    grid->figure = figure;
    grid->canvas = canvas;
    measure_values(grid);
    measure_margins(grid);
    fit_panels(grid);
    choose_strides(grid);
    /* what the panels leave free goes to both sides */
    grid->left += fmax(0, (canvas->width - grid->left - grid->right - across(grid)) / 2);
    wr_plot_frame_title(canvas, figure->title);
    for (size_t row = 0; row < figure->rows; row++)
        for (size_t column = 0; column < figure->columns; column++) draw_panel(grid, row, column);
    for (size_t column = 0; column < figure->columns; column++) draw_x_ticks(grid, column);
    for (size_t row = 0; row < figure->rows; row++) draw_y_ticks(grid, row);
    draw_column_names(grid);
    draw_row_names(grid);
    draw_labels(grid);
    draw_colour_bar(grid);
    wr_plot_frame_note(canvas, grid->empty ? "no data" : grid->note);
    free(grid);
}

/* A page for panels of a readable size: one large, or many down to 28 units. */
static bool choose_size(const weir_plot_maps *figure, wr_plot_job *job) {
    wr_plot_canvas canvas; /* only to measure */
    map_grid *grid = calloc(1, sizeof *grid);
    bool measured = wr_plot_canvas_init(&canvas, &wr_plot_svg, 4096, 4096) && grid != NULL;
    if (measured) {
        grid->figure = figure;
        grid->canvas = &canvas;
        measure_values(grid);
        measure_margins(grid);
        double most = (double)(figure->columns > figure->rows ? figure->columns : figure->rows);
        double side = fmin(fmax(960 / most, 28), 460), gap = gaps_of(side);
        double shape = (double)figure->map_height / (double)figure->map_width;
        shape = fmin(fmax(shape, 0.25), 4);
        double wide = (shape > 1 ? side / shape : side) + gap;
        double high = (shape > 1 ? side : side * shape) + gap + grid->title_room;
        wide = fmax(fmin(wr_plot_title_width(&canvas, figure->title), 1000),
                    wide * (double)figure->columns + grid->left + grid->right);
        high = fmax(400, high * (double)figure->rows + grid->top + grid->below);
        if (job->width == 0) job->width = (int32_t)fmin(4096, wide);
        if (job->height == 0) job->height = (int32_t)fmin(4096, high);
    }
    wr_plot_canvas_deinit(&canvas);
    free(grid);
    return measured;
}

static weir_status check(const weir_plot_maps *figure, weir_error *error) {
    const size_t most = WEIR_PLOT_PANELS_MAX;
    if (figure->rows < 1 || figure->rows > most || figure->columns < 1 || figure->columns > most)
        return weir_error_set(error, WEIR_USAGE,
                              "a grid of heat maps has 1 to %zu rows and columns, not %zu x %zu",
                              most, figure->rows, figure->columns);
    size_t largest = (size_t)1 << 20;
    if (figure->map_height < 1 || figure->map_width < 1 || figure->map_height > largest ||
        figure->map_width > largest)
        return weir_error_set(error, WEIR_USAGE,
                              "a heat map has 1 to %zu cells a side, not %zu x %zu", largest,
                              figure->map_height, figure->map_width);
    if (figure->values == NULL)
        return weir_error_set(error, WEIR_USAGE, "the heat maps have no values");
    return wr_plot_axis_check(&figure->colour, "colour scale", error);
}

weir_status weir_plot_maps_save(const weir_plot_maps *figure, const char *path, weir_error *error) {
    wr_plot_job job = {.title = figure->title,
                       .width = figure->width,
                       .height = figure->height,
                       .draw = draw,
                       .figure = figure};
    weir_status status = check(figure, error);
    if (status == WEIR_OK && !choose_size(figure, &job))
        status = weir_error_set(error, WEIR_MEMORY, "not enough memory to draw the heat maps");
    return status == WEIR_OK ? wr_plot_save(&job, path, error) : status;
}
