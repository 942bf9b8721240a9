/* The figure of `weir train`: training and validation loss by step, read from the log. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/input.h"
#include "train/train_session.h"
#include "weir/plot.h"

typedef struct curve {
    double *x, *y;
    size_t count;
} curve;

/* The number of the column `name` in a head of CSV, -1 without one. */
static int column_of(const char *head, const char *name) {
    size_t size = strlen(name), length;
    for (int column = 0;; column++, head += length + 1) {
        length = strcspn(head, ",\n");
        if (length == size && memcmp(head, name, size) == 0) {
            return column;
        }
        if (head[length] != ',') {
            return -1;
        }
    }
}

/* The number in a column of a line; NaN where it is empty. */
static double number_in(const char *line, int column) {
    for (; column > 0; column--) {
        line += strcspn(line, ",\n");
        if (*line != ',') {
            return (double)NAN;
        }
        line++;
    }
    char *end;
    double value = strtod(line, &end);
    return end == line ? (double)NAN : value;
}

static bool read_curve(const char *text, const char *name, curve *out) {
    int column = column_of(text, name);
    size_t lines = 1;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    out->x = malloc(lines * sizeof *out->x);
    out->y = malloc(lines * sizeof *out->y);
    if (out->x == NULL || out->y == NULL) {
        return false;
    }
    const char *line = strchr(text, '\n');
    for (; column >= 0 && line != NULL && line[1] != '\0'; line = strchr(line + 1, '\n')) {
        double value = number_in(line + 1, column);
        if (isfinite(value)) {
            out->x[out->count] = number_in(line + 1, 0);
            out->y[out->count++] = value;
        }
    }
    return true;
}

static weir_status draw(const train_session *session, const curve curves[2], weir_error *error) {
    static const char *const labels[] = {"training", "validation"};
    const char *slash = strrchr(session->options.out, '/');
    char title[256];
    weir_plot_series series[2] = {0};
    size_t count = 0;
    snprintf(title, sizeof title, "%.200s: loss", slash != NULL ? slash + 1 : session->options.out);
    for (int i = 0; i < 2; i++) {
        if (i == 0 || curves[i].count > 0) {
            series[count++] = (weir_plot_series){.label = labels[i],
                                                 .x = curves[i].x,
                                                 .y = curves[i].y,
                                                 .count = curves[i].count,
                                                 .reduce = WEIR_PLOT_MEAN};
        }
    }
    weir_plot_lines figure = {.title = title,
                              .x = {.label = "step"},
                              .y = {.label = "loss (nats per token)"},
                              .series = series,
                              .series_count = count};
    return weir_plot_lines_save(&figure, session->plot, error);
}

weir_status train_draw(const train_session *session, weir_error *error) {
    byte_buffer text = {0};
    curve curves[2] = {0};
    weir_status status = input_read(session->log, &text, error);
    if (status == WEIR_OK && !(read_curve(text.data, "loss", &curves[0]) &&
                               read_curve(text.data, "validation_nll", &curves[1]))) {
        status = weir_error_set(error, WEIR_MEMORY, "no memory for the figure");
    }
    if (status == WEIR_OK) {
        status = draw(session, curves, error);
    }
    for (int i = 0; i < 2; i++) {
        free(curves[i].x);
        free(curves[i].y);
    }
    bytes_free(&text);
    return status;
}
