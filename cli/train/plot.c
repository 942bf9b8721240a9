/* weir plot: columns of CSV files as lines of one figure. */
#include "weir/plot.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/command.h"
#include "common/input.h"

typedef struct plot_arguments {
    cli_texts csv, label;
    cli_value x, y, average, log_x, log_y, title, x_label, y_label, out;
} plot_arguments;

#define AT(field) offsetof(plot_arguments, field)
static const cli_option options[] = {
    {"--csv", OPTION_TEXTS, "FILE.csv", .at = AT(csv),
     .help = "a line of the figure, from a file whose first row names its columns; again for more"},
    {"--label", OPTION_TEXTS, "TEXT", .at = AT(label),
     .help = "the line's name, in the order of --csv (default: the file's)"},
    {"--x", OPTION_TEXT, "COLUMN", .at = AT(x), .help = "along the figure"},
    {"--y", OPTION_TEXT, "COLUMN", .at = AT(y),
     .help = "what is drawn; rows without it are left out"},
    {"--average", OPTION_COUNT, "N", .at = AT(average), .range = "[1,inf)",
     .help = "mean of the last N rows (default 1)"},
    {"--log-x", OPTION_FLAG, NULL, .at = AT(log_x), .help = "a logarithmic axis"},
    {"--log-y", OPTION_FLAG, NULL, .at = AT(log_y), .help = "a logarithmic axis"},
    {"--title", OPTION_TEXT, "TEXT", .at = AT(title), .help = "above the figure"},
    {"--x-label", OPTION_TEXT, "TEXT", .at = AT(x_label), .help = "(default: the column's name)"},
    {"--y-label", OPTION_TEXT, "TEXT", .at = AT(y_label), .help = "(default: the column's name)"},
    {"--out", OPTION_TEXT, "FILE.png|svg", .at = AT(out), .help = "the figure"},
    {0},
};
static const cli_group groups[] = {{"Options", options, 0}, {0}};
#undef AT

/* ---- one line -------------------------------------------------------------------------------- */

typedef struct curve {
    double *x, *y;
    size_t count, capacity;
} curve;

static bool add_point(curve *to, double x, double y) {
    if (to->count == to->capacity) {
        size_t capacity = to->capacity * 2 + 256;
        double *xs = realloc(to->x, capacity * sizeof *xs);
        to->x = xs != NULL ? xs : to->x;
        double *ys = realloc(to->y, capacity * sizeof *ys);
        to->y = ys != NULL ? ys : to->y;
        if (xs == NULL || ys == NULL) {
            return false;
        }
        to->capacity = capacity;
    }
    to->x[to->count] = x;
    to->y[to->count++] = y;
    return true;
}

/* The field at `*at` of a line that ends at `end`; *at moves behind its comma. */
static const char *next_field(const char **at, const char *end, size_t *size) {
    const char *begin = *at, *comma = memchr(begin, ',', (size_t)(end - begin));
    const char *stop = comma != NULL ? comma : end;
    *size = (size_t)(stop - begin);
    *at = comma != NULL ? comma + 1 : NULL;
    return begin;
}

/* The place of a column among those that the first line names; -1: none. */
static int find_column(const char *line, const char *end, const char *name) {
    size_t size;
    int place = 0;
    for (const char *at = line; at != NULL; place++) {
        const char *field = next_field(&at, end, &size);
        if (size == strlen(name) && memcmp(field, name, size) == 0) {
            return place;
        }
    }
    return -1;
}

/* The number in a column of a line; NaN where there is none. */
static double number_in(const char *line, const char *end, int column) {
    size_t size = 0;
    const char *at = line, *field = line;
    for (int place = 0; place <= column; place++) {
        if (at == NULL) {
            return (double)NAN;
        }
        field = next_field(&at, end, &size);
    }
    char text[64], *after;
    if (size == 0 || size >= sizeof text) {
        return (double)NAN;
    }
    memcpy(text, field, size);
    text[size] = '\0';
    double value = strtod(text, &after);
    return after != text && *after == '\0' ? value : (double)NAN;
}

static const char *line_end(const char *line, const char *end) {
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    stop = stop != NULL ? stop : end;
    return stop > line && stop[-1] == '\r' ? stop - 1 : stop;
}

/* y becomes the mean of itself and the average-1 points before it. */
static void smooth(curve *line, size_t average) {
    double sum = 0;
    double *means = line->count > 0 && average > 1 ? malloc(line->count * sizeof *means) : NULL;
    if (means == NULL) {
        return;
    }
    for (size_t i = 0; i < line->count; i++) {
        sum += line->y[i] - (i >= average ? line->y[i - average] : 0);
        means[i] = sum / (double)(i < average ? i + 1 : average);
    }
    free(line->y);
    line->y = means;
}

static weir_status read_curve(const plot_arguments *arguments, const char *path, curve *out,
                              weir_error *error) {
    byte_buffer text = {0};
    weir_status status = input_read(path, &text, error);
    if (status != WEIR_OK) {
        return status;
    }
    const char *line = text.data, *end = text.data + text.size, *stop = line_end(line, end);
    int x = find_column(line, stop, arguments->x.text);
    int y = find_column(line, stop, arguments->y.text);
    if (x < 0 || y < 0) {
        status = weir_error_set(error, WEIR_USAGE, "%s: its first row names no column \"%.40s\"",
                                path, x < 0 ? arguments->x.text : arguments->y.text);
    }
    while (status == WEIR_OK) {
        const char *newline = memchr(stop, '\n', (size_t)(end - stop));
        if (newline == NULL || newline + 1 == end) {
            break;
        }
        line = newline + 1;
        stop = line_end(line, end);
        double a = number_in(line, stop, x), b = number_in(line, stop, y);
        if (!isnan(a) && !isnan(b) && !add_point(out, a, b)) {
            status = weir_error_set(error, WEIR_MEMORY, "%s: no memory for its rows", path);
        }
    }
    bytes_free(&text);
    if (arguments->average.given) {
        smooth(out, (size_t)arguments->average.count);
    }
    return status;
}

/* ---- the figure ------------------------------------------------------------------------------ */

static weir_status check(const plot_arguments *arguments, weir_error *error) {
    const struct {
        bool given;
        const char *name;
    } needed[] = {{arguments->csv.given > 0, "--csv FILE.csv"},
                  {arguments->x.given > 0, "--x COLUMN"},
                  {arguments->y.given > 0, "--y COLUMN"},
                  {arguments->out.given > 0, "--out FILE.svg"}};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        if (!needed[i].given) {
            return weir_error_set(error, WEIR_USAGE, "%s is missing", needed[i].name);
        }
    }
    if (arguments->csv.given > WEIR_PLOT_SERIES_MAX) {
        return weir_error_set(error, WEIR_USAGE, "a figure has at most %d lines, not %d",
                              WEIR_PLOT_SERIES_MAX, arguments->csv.given);
    }
    if (arguments->label.given > 0 && arguments->label.given != arguments->csv.given) {
        return weir_error_set(error, WEIR_USAGE, "%d labels do not fit %d files: one for each",
                              arguments->label.given, arguments->csv.given);
    }
    return weir_plot_path_check(arguments->out.text, error);
}

static weir_status draw(const plot_arguments *arguments, const curve *curves, weir_error *error) {
    weir_plot_series series[WEIR_PLOT_SERIES_MAX];
    for (int i = 0; i < arguments->csv.given; i++) {
        const cli_texts *names = arguments->label.given > 0 ? &arguments->label : &arguments->csv;
        series[i] = (weir_plot_series){.label = names->items[i],
                                       .x = curves[i].x,
                                       .y = curves[i].y,
                                       .count = curves[i].count,
                                       .reduce = WEIR_PLOT_MEAN};
    }
    const weir_plot_lines figure = {
        .title = arguments->title.text,
        .x = {.label = arguments->x_label.given ? arguments->x_label.text : arguments->x.text,
              .scale = arguments->log_x.given ? WEIR_PLOT_LOG : WEIR_PLOT_LINEAR},
        .y = {.label = arguments->y_label.given ? arguments->y_label.text : arguments->y.text,
              .scale = arguments->log_y.given ? WEIR_PLOT_LOG : WEIR_PLOT_LINEAR},
        .series = series,
        .series_count = (size_t)arguments->csv.given,
    };
    return weir_plot_lines_save(&figure, arguments->out.text, error);
}

static int run(cli_call *call, void *given) {
    const plot_arguments *arguments = given;
    weir_error error = {0};
    curve curves[WEIR_PLOT_SERIES_MAX] = {{0}};
    weir_status status = check(arguments, &error);
    call->working = status == WEIR_OK;
    for (int i = 0; status == WEIR_OK && i < arguments->csv.given; i++) {
        status = read_curve(arguments, arguments->csv.items[i], &curves[i], &error);
    }
    if (status == WEIR_OK) {
        status = draw(arguments, curves, &error);
    }
    for (int i = 0; i < WEIR_PLOT_SERIES_MAX; i++) {
        free(curves[i].x);
        free(curves[i].y);
    }
    return status == WEIR_OK ? EXIT_DONE : report(call, &error);
}

const cli_command plot_command = {
    .name = "plot",
    .synopsis = "--csv FILE.csv [--csv FILE.csv ...] --x COLUMN --y COLUMN --out FILE.svg",
    .summary = "columns of CSV files as lines of one figure: logs of training beside each other",
    .groups = groups,
    .arguments_size = sizeof(plot_arguments),
    .run = run,
};
