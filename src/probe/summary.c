/* From sums to means. */
#include <math.h>

#include "probe/probe_private.h"

void weir_probe_get_shape(const weir_probe *probe, weir_probe_shape *out) {
    *out = (weir_probe_shape){.samples = probe->samples,
                              .layers = probe->layers,
                              .heads = probe->heads,
                              .rows = probe->rows,
                              .columns = probe->columns,
                              .sink_term = probe->sink_term};
}

static double ratio(double sum, double count) { return count > 0 ? sum / count : (double)NAN; }

double weir_probe_cell(const weir_probe *probe, int32_t layer, int32_t head, int64_t row,
                       int64_t column) {
    if (!probe->options.maps || probe->layer_place[layer] < 0 || probe->head_place[head] < 0) {
        return (double)NAN;
    }
    if (column == WEIR_PROBE_SINK_TERM) {
        if (!probe->sink_term) {
            return (double)NAN;
        }
        column = probe->columns;
    }
    return ratio(probe->maps[wr_probe_map_at(probe, layer, head, row, column)],
                 probe->map_seen[wr_probe_seen_at(probe, layer, row, column)]);
}

/* --- The first tokens ------------------------------------------------------------------------- */

/* A range of numbers: one, or all `count` of them where `which` is -1. */
typedef struct range {
    int32_t begin, end;
} range;

static range range_of(int32_t which, int32_t count) {
    return which < 0 ? (range){0, count} : (range){which, which + 1};
}

static double first_mean(const weir_probe *probe, weir_probe_kind kind, int32_t layer, int32_t head,
                         int32_t token) {
    const wr_first_sum *sum =
        &probe->first[((int64_t)layer * probe->heads + head) * WEIR_PROBE_FIRST + token];
    return ratio(kind == WEIR_PROBE_SCORE ? sum->score : sum->probability,
                 (double)probe->first_seen[layer * WEIR_PROBE_FIRST + token].queries);
}

void weir_probe_first(const weir_probe *probe, weir_probe_kind kind, int32_t layer, int32_t head,
                      double out[WEIR_PROBE_FIRST]) {
    range layers = range_of(layer, probe->layers);
    range heads = range_of(head, probe->heads);
    for (int32_t token = 0; token < WEIR_PROBE_FIRST; token++) {
        double sum = 0;
        for (int32_t l = layers.begin; l < layers.end; l++) {
            for (int32_t h = heads.begin; h < heads.end; h++) {
                sum += first_mean(probe, kind, l, h, token);
            }
        }
        out[token] = sum / ((double)(layers.end - layers.begin) * (heads.end - heads.begin));
    }
}

void weir_probe_even(const weir_probe *probe, int32_t layer, double out[WEIR_PROBE_FIRST]) {
    range layers = range_of(layer, probe->layers);
    for (int32_t token = 0; token < WEIR_PROBE_FIRST; token++) {
        double sum = 0;
        for (int32_t l = layers.begin; l < layers.end; l++) {
            const wr_first_seen *seen = &probe->first_seen[l * WEIR_PROBE_FIRST + token];
            sum += ratio(seen->even, (double)seen->queries);
        }
        out[token] = sum / (layers.end - layers.begin);
    }
}

void weir_probe_sink_rate(const weir_probe *probe, int32_t layer, double epsilon,
                          double out[WEIR_PROBE_FIRST]) {
    range layers = range_of(layer, probe->layers);
    for (int32_t token = 0; token < WEIR_PROBE_FIRST; token++) {
        int64_t above = 0;
        bool known = true;
        for (int32_t l = layers.begin; l < layers.end; l++) {
            for (int32_t h = 0; h < probe->heads; h++) {
                double mean = first_mean(probe, WEIR_PROBE_PROBABILITY, l, h, token);
                above += mean > epsilon;
                known = known && !isnan(mean);
            }
        }
        double heads = (double)(layers.end - layers.begin) * probe->heads;
        out[token] = known ? (double)above / heads : (double)NAN;
    }
}

/* --- The softmax's own sink ------------------------------------------------------------------- */

static double term_mean(const weir_probe *probe, int32_t layer, int32_t head) {
    if (!probe->sink_term) {
        return (double)NAN;
    }
    return ratio(probe->terms[layer * probe->heads + head], (double)probe->term_seen[layer]);
}

double weir_probe_sink_term(const weir_probe *probe, int32_t layer, int32_t head) {
    range layers = range_of(layer, probe->layers);
    range heads = range_of(head, probe->heads);
    double sum = 0;
    for (int32_t l = layers.begin; l < layers.end; l++) {
        for (int32_t h = heads.begin; h < heads.end; h++) {
            sum += term_mean(probe, l, h);
        }
    }
    return sum / ((double)(layers.end - layers.begin) * (heads.end - heads.begin));
}

double weir_probe_sink_term_rate(const weir_probe *probe, int32_t layer, double epsilon) {
    range layers = range_of(layer, probe->layers);
    int64_t above = 0;
    for (int32_t l = layers.begin; l < layers.end; l++) {
        for (int32_t h = 0; h < probe->heads; h++) {
            double mean = term_mean(probe, l, h);
            if (isnan(mean)) {
                return mean;
            }
            above += mean > epsilon;
        }
    }
    return (double)above / ((double)(layers.end - layers.begin) * probe->heads);
}

/* --- The last token --------------------------------------------------------------------------- */

double weir_probe_last(const weir_probe *probe, int32_t layer, int32_t head) {
    range layers = range_of(layer, probe->layers);
    range heads = range_of(head, probe->heads);
    double sum = 0;
    if (probe->embedder == NULL) {
        return (double)NAN;
    }
    for (int32_t l = layers.begin; l < layers.end; l++) {
        for (int32_t h = heads.begin; h < heads.end; h++) {
            sum += ratio(probe->lasts[l * probe->heads + h], (double)probe->term_seen[l]);
        }
    }
    return sum / ((double)(layers.end - layers.begin) * (heads.end - heads.begin));
}

/* --- Norms ------------------------------------------------------------------------------------ */

void weir_probe_get_norms(const weir_probe *probe, int32_t layer, int64_t row,
                          weir_probe_norms *out) {
    const wr_token_sum *sum = &probe->tokens[layer * probe->rows + row];
    out->value = ratio(sum->value, (double)sum->values);
    out->hidden = ratio(sum->hidden, (double)sum->hiddens);
    out->largest = ratio(sum->largest, (double)sum->hiddens);
}
