/* The furniture of a chart: see frame.h. */
#include "plot/frame.h"

#include <math.h>
#include <stdio.h>

#include "plot/colour.h"

#define TICK_LENGTH 6.0
#define NOTE_ROOM (WR_PLOT_NOTE_SIZE + 6)

static const wr_plot_style title_style = {
    .size = WR_PLOT_TITLE_SIZE, .colour = {34, 34, 34}, .anchor = WR_PLOT_MIDDLE, .bold = true};
static const wr_plot_style label_style = {
    .size = WR_PLOT_LABEL_SIZE, .colour = {34, 34, 34}, .anchor = WR_PLOT_MIDDLE};
static const wr_plot_style tick_style = {
    .size = WR_PLOT_TICK_SIZE, .colour = {34, 34, 34}, .anchor = WR_PLOT_MIDDLE};

static bool has(const char *label) { return label != NULL && label[0] != '\0'; }

double wr_plot_frame_top(const char *title) {
    return WR_PLOT_PAD + (has(title) ? WR_PLOT_TITLE_SIZE + 14 : 4);
}

double wr_plot_frame_bottom(const wr_plot_canvas *canvas, const char *x_label, bool note) {
    double bottom = canvas->height - WR_PLOT_PAD - TICK_LENGTH - WR_PLOT_TICK_SIZE - 4;
    if (has(x_label)) bottom -= WR_PLOT_LABEL_SIZE + 8;
    return note ? bottom - NOTE_ROOM : bottom;
}

double wr_plot_ticks_width(wr_plot_canvas *canvas, const wr_plot_axis *axis, double size) {
    wr_plot_style style = {.size = size};
    double widest = 0;
    for (size_t i = 0; i < axis->tick_count; i++) {
        double width = wr_plot_text_width(canvas, axis->ticks[i].text, &style);
        widest = fmax(widest, width);
    }
    return widest;
}

void wr_plot_frame_fit_y(wr_plot_frame *frame, const char *label) {
    frame->y.start = frame->box.bottom;
    frame->y.end = frame->box.top;
    wr_plot_axis_ticks(&frame->y, (int)((frame->box.bottom - frame->box.top) / 60));
    double room = wr_plot_ticks_width(frame->canvas, &frame->y, WR_PLOT_TICK_SIZE);
    frame->box.left = WR_PLOT_PAD + room + TICK_LENGTH + 6;
    if (has(label)) frame->box.left += WR_PLOT_LABEL_SIZE + 10;
}

static bool ticks_touch(wr_plot_frame *frame) {
    const wr_plot_axis *axis = &frame->x;
    double free_from = -(double)INFINITY;
    for (size_t i = 0; i < axis->tick_count; i++) {
        if (axis->ticks[i].text[0] == '\0') continue;
        double half = wr_plot_text_width(frame->canvas, axis->ticks[i].text, &tick_style) / 2;
        double at = wr_plot_axis_at(axis, axis->ticks[i].value);
        if (at - half < free_from) return true;
        free_from = at + half + 12;
    }
    return false;
}

void wr_plot_frame_fit_x(wr_plot_frame *frame) {
    frame->x.start = frame->box.left;
    frame->x.end = frame->box.right;
    int wanted = (int)((frame->box.right - frame->box.left) / 70);
    do {
        wr_plot_axis_ticks(&frame->x, wanted);
    } while (wanted-- > 2 && ticks_touch(frame));
}

double wr_plot_title_width(wr_plot_canvas *canvas, const char *title) {
    char text[WR_PLOT_LABEL];
    wr_plot_label_clean(text, title);
    return fmax(wr_plot_text_width(canvas, text, &title_style) + 2 * WR_PLOT_PAD + 1, 400);
}

void wr_plot_frame_title(wr_plot_canvas *canvas, const char *title) {
    char text[WR_PLOT_LABEL];
    wr_plot_label_fit(canvas, text, title, &title_style, canvas->width - 2 * WR_PLOT_PAD);
    wr_plot_text(canvas, canvas->width / 2, WR_PLOT_PAD + WR_PLOT_TITLE_SIZE * 0.85, text,
                 &title_style);
}

static void grid_line(wr_plot_frame *frame, bool vertical, double at, bool small) {
    const wr_plot_box *box = &frame->box;
    wr_plot_stroke stroke = {.colour = wr_plot_grid_ink, .width = small ? 0.5 : 1.0};
    if (vertical)
        wr_plot_segment(frame->canvas, at, box->top, at, box->bottom, &stroke);
    else
        wr_plot_segment(frame->canvas, box->left, at, box->right, at, &stroke);
}

void wr_plot_frame_grid(wr_plot_frame *frame) {
    for (size_t i = 0; i < frame->x.tick_count; i++) {
        const wr_plot_tick *tick = &frame->x.ticks[i];
        grid_line(frame, true, wr_plot_axis_at(&frame->x, tick->value), tick->text[0] == '\0');
    }
    for (size_t i = 0; i < frame->y.tick_count; i++) {
        const wr_plot_tick *tick = &frame->y.ticks[i];
        grid_line(frame, false, wr_plot_axis_at(&frame->y, tick->value), tick->text[0] == '\0');
    }
}

void wr_plot_frame_x_axis(wr_plot_frame *frame) {
    wr_plot_canvas *canvas = frame->canvas;
    const wr_plot_box *box = &frame->box;
    wr_plot_stroke stroke = {.colour = wr_plot_ink, .width = 1.2};
    wr_plot_segment(canvas, box->left, box->bottom, box->right, box->bottom, &stroke);
    double baseline = box->bottom + TICK_LENGTH + 2 + WR_PLOT_TICK_SIZE * 0.85;
    for (size_t i = 0; i < frame->x.tick_count; i++) {
        const wr_plot_tick *tick = &frame->x.ticks[i];
        double at = wr_plot_axis_at(&frame->x, tick->value);
        double length = tick->text[0] != '\0' ? TICK_LENGTH : TICK_LENGTH / 2;
        wr_plot_segment(canvas, at, box->bottom, at, box->bottom + length, &stroke);
        wr_plot_text(canvas, at, baseline, tick->text, &tick_style);
    }
}

void wr_plot_frame_x_label(wr_plot_frame *frame, const char *label, bool note) {
    char text[WR_PLOT_LABEL];
    wr_plot_canvas *canvas = frame->canvas;
    const wr_plot_box *box = &frame->box;
    /* A long label may use the page's whole width, centred there. */
    double centre = (box->left + box->right) / 2;
    double width =
        wr_plot_label_fit(canvas, text, label, &label_style, canvas->width - 2 * WR_PLOT_PAD);
    centre = fmin(centre, canvas->width - WR_PLOT_PAD - width / 2);
    centre = fmax(centre, WR_PLOT_PAD + width / 2);
    double baseline = canvas->height - WR_PLOT_PAD - (note ? NOTE_ROOM : 0) - 3;
    wr_plot_text(canvas, centre, baseline, text, &label_style);
}

void wr_plot_frame_y_axis(wr_plot_frame *frame, const char *label) {
    wr_plot_canvas *canvas = frame->canvas;
    const wr_plot_box *box = &frame->box;
    wr_plot_stroke stroke = {.colour = wr_plot_ink, .width = 1.2};
    wr_plot_segment(canvas, box->left, box->top, box->left, box->bottom, &stroke);
    wr_plot_style style = tick_style;
    style.anchor = WR_PLOT_END;
    for (size_t i = 0; i < frame->y.tick_count; i++) {
        const wr_plot_tick *tick = &frame->y.ticks[i];
        double at = wr_plot_axis_at(&frame->y, tick->value);
        double length = tick->text[0] != '\0' ? TICK_LENGTH : TICK_LENGTH / 2;
        wr_plot_segment(canvas, box->left - length, at, box->left, at, &stroke);
        wr_plot_text(canvas, box->left - TICK_LENGTH - 4, at + WR_PLOT_TICK_SIZE * 0.36, tick->text,
                     &style);
    }
    char text[WR_PLOT_LABEL];
    style = label_style;
    style.upright = true;
    double high = WR_PLOT_HIGHEST, low = canvas->height - WR_PLOT_LOWEST;
    double half = wr_plot_label_fit(canvas, text, label, &style, low - high) / 2;
    double centre = fmax(fmin((box->top + box->bottom) / 2, low - half), high + half);
    wr_plot_text(canvas, WR_PLOT_PAD + WR_PLOT_LABEL_SIZE * 0.8, centre, text, &style);
}

void wr_plot_note_text(char out[WR_PLOT_LABEL], size_t not_positive) {
    out[0] = '\0';
    if (not_positive > 0)
        snprintf(out, WR_PLOT_LABEL, "%zu %s at or below zero %s not on the logarithmic axis",
                 not_positive, not_positive == 1 ? "value" : "values",
                 not_positive == 1 ? "is" : "are");
}

void wr_plot_frame_note(wr_plot_canvas *canvas, const char *note) {
    wr_plot_style style = {
        .size = WR_PLOT_NOTE_SIZE, .colour = wr_plot_soft_ink, .anchor = WR_PLOT_END};
    char text[WR_PLOT_LABEL];
    wr_plot_label_fit(canvas, text, note, &style, canvas->width - 2 * WR_PLOT_PAD);
    wr_plot_text(canvas, canvas->width - WR_PLOT_PAD, canvas->height - WR_PLOT_PAD + 3, text,
                 &style);
}

void wr_plot_frame_no_data(wr_plot_frame *frame) {
    wr_plot_style style = label_style;
    style.colour = wr_plot_soft_ink;
    const wr_plot_box *box = &frame->box;
    wr_plot_text(frame->canvas, (box->left + box->right) / 2, (box->top + box->bottom) / 2,
                 "no data", &style);
}
