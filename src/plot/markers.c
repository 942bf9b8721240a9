/* Marker lines: see markers.h. */
#include "plot/markers.h"

#include <math.h>

#include "plot/colour.h"

#define TEXT 15.0
#define ROW 20.0

static const wr_plot_style style = {.size = TEXT, .colour = {95, 95, 95}};

void wr_plot_markers_begin(wr_plot_markers *markers, wr_plot_canvas *canvas,
                           const weir_plot_marker *list, size_t count) {
    *markers = (wr_plot_markers){.count = count};
    for (size_t i = 0; i < count; i++) {
        wr_plot_flag *flag = &markers->flags[i];
        flag->marker = &list[i];
        double longest = (list[i].on_y ? 0.2 : 0.4) * canvas->width;
        flag->width = wr_plot_label_fit(canvas, flag->text, list[i].label, &style, longest);
        if (list[i].on_y && flag->width > 0) markers->side = fmax(markers->side, flag->width);
    }
}

double wr_plot_markers_height(const wr_plot_markers *markers) {
    return markers->rows > 0 ? markers->rows * ROW + 4 : 0;
}

double wr_plot_markers_width(const wr_plot_markers *markers) {
    return markers->side > 0 ? fmax(markers->side - 10, 0) : 0;
}

static bool is_seen(const wr_plot_axis *axis, double at) {
    if (!wr_plot_scale_shows(axis->scale, at)) return false;
    double share = wr_plot_axis_share(axis, at);
    return share >= -1e-9 && share <= 1 + 1e-9;
}

/* The lowest row in which nothing already there touches the flag or is crossed by its line. */
static int free_row(const wr_plot_markers *markers, const wr_plot_flag *flag) {
    int row = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < markers->count; i++) {
            const wr_plot_flag *other = &markers->flags[i];
            if (other == flag || !other->shown || other->marker->on_y || other->row != row ||
                other->width == 0)
                continue;
            bool touches =
                flag->x < other->x + other->width + 10 && other->x < flag->x + flag->width + 10;
            bool crossed = other->line > flag->x - 2 && other->line < flag->x + flag->width + 2;
            if (!touches && !crossed) continue;
            row++;
            moved = true;
            break;
        }
    }
    return row;
}

/* From right to left, so that each line passes left of the flags below its own. */
static void place_vertical(wr_plot_markers *markers, const wr_plot_frame *frame) {
    for (size_t done = 0; done < markers->count; done++) {
        wr_plot_flag *next = NULL;
        for (size_t i = 0; i < markers->count; i++) {
            wr_plot_flag *flag = &markers->flags[i];
            if (flag->marker->on_y || flag->shown || !is_seen(&frame->x, flag->marker->at))
                continue;
            if (next == NULL || flag->marker->at > next->marker->at) next = flag;
        }
        if (next == NULL) return;
        next->line = wr_plot_axis_at(&frame->x, next->marker->at);
        next->x = next->line + 4;
        if (next->x + next->width > frame->canvas->width - 4)
            next->x = next->line - 4 - next->width;
        next->shown = true;
        if (next->width == 0) continue;
        next->row = free_row(markers, next);
        next->y = frame->box.top - 6 - next->row * ROW;
        if (next->row + 1 > markers->rows) markers->rows = next->row + 1;
    }
}

/* From above downwards, each name below the one before. */
static void place_horizontal(wr_plot_markers *markers, const wr_plot_frame *frame) {
    double free_from = -(double)INFINITY;
    for (size_t done = 0; done < markers->count; done++) {
        wr_plot_flag *next = NULL;
        for (size_t i = 0; i < markers->count; i++) {
            wr_plot_flag *flag = &markers->flags[i];
            if (!flag->marker->on_y || flag->shown || !is_seen(&frame->y, flag->marker->at))
                continue;
            if (next == NULL || flag->marker->at > next->marker->at) next = flag;
        }
        if (next == NULL) return;
        next->shown = true;
        next->line = wr_plot_axis_at(&frame->y, next->marker->at);
        next->x = frame->box.right + 6;
        next->y = fmax(next->line + TEXT * 0.36, free_from);
        free_from = next->y + TEXT + 3;
    }
}

static void trace(wr_plot_markers *markers, const wr_plot_frame *frame) {
    markers->lines.count = 0;
    for (size_t i = 0; i < markers->count; i++) {
        const wr_plot_flag *flag = &markers->flags[i];
        if (!flag->shown) continue;
        wr_plot_path_gap(&markers->lines);
        if (flag->marker->on_y) {
            wr_plot_path_add(&markers->lines, frame->box.left, flag->line);
            wr_plot_path_add(&markers->lines, frame->box.right, flag->line);
        } else {
            double top = flag->width > 0 ? flag->y - TEXT * 0.8 : frame->box.top;
            wr_plot_path_add(&markers->lines, flag->line, frame->box.bottom);
            wr_plot_path_add(&markers->lines, flag->line, top);
        }
    }
}

void wr_plot_markers_place(wr_plot_markers *markers, const wr_plot_frame *frame) {
    markers->rows = 0;
    for (size_t i = 0; i < markers->count; i++) markers->flags[i].shown = false;
    place_vertical(markers, frame);
    place_horizontal(markers, frame);
    trace(markers, frame);
}

void wr_plot_markers_draw(const wr_plot_markers *markers, wr_plot_canvas *canvas) {
    wr_plot_stroke stroke = {.colour = wr_plot_soft_ink, .width = 1.3, .dash = {6, 4}};
    wr_plot_line(canvas, &markers->lines, &stroke);
    for (size_t i = 0; i < markers->count; i++) {
        const wr_plot_flag *flag = &markers->flags[i];
        if (flag->shown) wr_plot_text(canvas, flag->x, flag->y, flag->text, &style);
    }
}
