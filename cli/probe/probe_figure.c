/* The figure of `weir probe`: a heat map for each layer and head, on one colour scale. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "probe/probe_session.h"
#include "weir/plot.h"

enum { NAME_SIZE = 12 };

#define LOG_FROM 1e-4 /* on a logarithmic scale less than this looks like this */

/* Numbers of the layers (or heads) that are drawn, in order, and their names. */
typedef struct drawn {
    int32_t count;
    int32_t *numbers;
    char (*text)[NAME_SIZE];
    const char **names;
} drawn;

static bool is_wanted(const cli_list *list, int32_t number) {
    for (int i = 0; i < list->size; i++) {
        if (list->items[i] == number) {
            return true;
        }
    }
    return !list->given;
}

static void drawn_free(drawn *of) {
    free(of->numbers);
    free(of->text);
    free(of->names);
}

static bool drawn_make(drawn *of, const cli_list *list, int32_t have) {
    of->numbers = calloc((size_t)have, sizeof *of->numbers);
    of->text = calloc((size_t)have, sizeof *of->text);
    of->names = calloc((size_t)have, sizeof *of->names);
    if (of->numbers == NULL || of->text == NULL || of->names == NULL) {
        return false;
    }
    for (int32_t i = 0; i < have; i++) {
        if (is_wanted(list, i)) {
            snprintf(of->text[of->count], NAME_SIZE, "%d", i);
            of->names[of->count] = of->text[of->count];
            of->numbers[of->count++] = i;
        }
    }
    return true;
}

static void fill_map(const probe_session *session, int32_t layer, int32_t head, float *to) {
    double least = session->arguments->colour.count > 0 ? LOG_FROM : -(double)INFINITY;
    for (int64_t row = 0; row < session->shape.rows; row++) {
        for (int64_t column = 0; column < session->shape.columns; column++) {
            double mean = weir_probe_cell(session->probe, layer, head, row, column);
            *to++ = (float)(mean < least ? least : mean); /* NaN stays */
        }
    }
}

static void fill(const probe_session *session, const drawn *layers, const drawn *heads, float *to) {
    int64_t cells = session->shape.rows * session->shape.columns;
    for (int32_t l = 0; l < layers->count; l++) {
        for (int32_t h = 0; h < heads->count; h++) {
            fill_map(session, layers->numbers[l], heads->numbers[h], to);
            to += cells;
        }
    }
}

/* "weir-small: attention probabilities, mean of 256 samples of 16 tokens, sink 1 + 255" */
static void write_title(const probe_session *session, char *out, size_t capacity) {
    const weir_model_info *info = weir_model_get_info(session->model);
    const weir_plan *plan = &session->plan;
    char policy[64] = "dense", samples[64] = "one sample";
    if (weir_model_get_info(session->model)->encoder) {
        snprintf(policy, sizeof policy, "encoder");
    } else if (plan->policy == WEIR_SINK) {
        snprintf(policy, sizeof policy, "sink %lld + %lld", (long long)plan->sinks,
                 (long long)plan->window);
    } else if (plan->policy != WEIR_DENSE) {
        snprintf(policy, sizeof policy, "%s %lld", policy_name(plan->policy),
                 (long long)plan->window);
    }
    if (session->shape.samples > 1) {
        snprintf(samples, sizeof samples, "mean of %lld samples",
                 (long long)session->shape.samples);
    }
    snprintf(out, capacity, "%s%s %s, %s of %lld tokens, %s", info->name,
             info->name[0] != '\0' ? ": attention" : "Attention",
             session->arguments->scores.given ? "scores" : "probabilities", samples,
             (long long)session->length, policy);
}

static weir_status save(const probe_session *session, const drawn *layers, const drawn *heads,
                        const float *values, weir_error *error) {
    const probe_arguments *arguments = session->arguments;
    bool scores = arguments->scores.given > 0;
    bool encoder = weir_model_get_info(session->model)->encoder;
    char title[256];
    write_title(session, title, sizeof title);
    weir_plot_maps figure = {
        .title = title,
        .rows = (size_t)layers->count,
        .columns = (size_t)heads->count,
        .map_height = (size_t)session->shape.rows,
        .map_width = (size_t)session->shape.columns,
        .values = values,
        .row_label = "layer",
        .column_label = "head",
        .row_names = layers->names,
        .column_names = heads->names,
        .x_label = arguments->columns.count == WEIR_PROBE_POSITION ? "key (position in the cache)"
                   : encoder                                       ? "key (token)"
                                                                   : "key (stream index)",
        .y_label = encoder ? "query (token)" : "query (stream index)",
        .colour = {.label = scores ? "attention score (logit)" : "attention probability"},
    };
    if (!scores) {
        bool log = arguments->colour.count > 0;
        figure.colour.scale = log ? WEIR_PLOT_LOG : WEIR_PLOT_LINEAR;
        figure.colour.from = log ? LOG_FROM : 0;
        figure.colour.to = 1;
    }
    return weir_plot_maps_save(&figure, arguments->plot.text, error);
}

weir_status probe_save_figure(const probe_session *session, weir_error *error) {
    const weir_probe_shape *shape = &session->shape;
    drawn layers = {0}, heads = {0};
    float *values = NULL;
    bool made = drawn_make(&layers, &session->arguments->layer, shape->layers) &&
                drawn_make(&heads, &session->arguments->head, shape->heads);
    if (made) {
        size_t maps = (size_t)layers.count * (size_t)heads.count;
        values = malloc(maps * (size_t)(shape->rows * shape->columns) * sizeof *values);
    }
    weir_status status;
    if (values != NULL) {
        fill(session, &layers, &heads, values);
        status = save(session, &layers, &heads, values, error);
    } else {
        status = weir_error_set(error, WEIR_MEMORY, "no memory for the figure");
    }
    free(values);
    drawn_free(&layers);
    drawn_free(&heads);
    return status;
}
