/*
 * What the observers do with what they see.
 *
 *   p(t, j) = exp(s(t, j) - m) / sum_k exp(s(t, k) - m),   m the largest score, all in double
 *
 * The softmax's own sink, where there is one, is a score z among them.
 *
 * The keys of a query come pinned first, then recent (weir/observe.h), and so key k is at stream
 * index
 *
 *   k < pinned:  pinned_first + k          else  recent_first + k - pinned
 */
#include <math.h>

#include "probe/probe_private.h"

int64_t wr_probe_seen_at(const weir_probe *probe, int32_t layer, int64_t row, int64_t column) {
    return (probe->layer_place[layer] * probe->rows + row) * probe->stride + column;
}

int64_t wr_probe_map_at(const weir_probe *probe, int32_t layer, int32_t head, int64_t row,
                        int64_t column) {
    int64_t map = (int64_t)probe->layer_place[layer] * probe->kept_heads + probe->head_place[head];
    return (map * probe->rows + row) * probe->stride + column;
}

/* --- Scores ----------------------------------------------------------------------------------- */

static int64_t key_index(const weir_scores *seen, int32_t key) {
    return key < seen->pinned ? seen->pinned_first + key : seen->recent_first + key - seen->pinned;
}

/* The column of the key at index j for the query at t. */
static int64_t column_of(const weir_probe *probe, int64_t t, int64_t j) {
    if (probe->options.columns == WEIR_PROBE_INDEX || j < probe->sinks) {
        return j;
    }
    int64_t oldest = t - probe->window + 1; /* b(t) */
    return j - (oldest > probe->sinks ? oldest - probe->sinks : 0);
}

static bool all_numbers(const weir_scores *seen) {
    for (int64_t i = 0; i < (int64_t)seen->heads * seen->keys; i++) {
        if (!isfinite(seen->scores[i])) {
            return false;
        }
    }
    for (int32_t head = 0; seen->sink != NULL && head < seen->heads; head++) {
        if (!isfinite(seen->sink[head])) {
            return false;
        }
    }
    return true;
}

/* Returns the probability of the sink; NULL: there is none. */
static double softmax(const float *scores, int32_t keys, const float *sink, double *out) {
    double largest = sink != NULL ? (double)*sink : (double)scores[0];
    for (int32_t k = 0; k < keys; k++) {
        largest = (double)scores[k] > largest ? (double)scores[k] : largest;
    }
    const double term = sink != NULL ? exp((double)*sink - largest) : 0;
    double sum = term;
    for (int32_t k = 0; k < keys; k++) {
        out[k] = exp((double)scores[k] - largest);
        sum += out[k];
    }
    for (int32_t k = 0; k < keys; k++) {
        out[k] /= sum;
    }
    return term / sum;
}

/* The keys that a query sees are the same for every head. */
static void count_keys(weir_probe *probe, const weir_scores *seen, bool kept) {
    probe->term_seen[seen->layer] += seen->index >= probe->options.from;
    if (kept && seen->sink != NULL) {
        probe->map_seen[wr_probe_seen_at(probe, seen->layer, seen->index, probe->columns)]++;
    }
    for (int32_t k = 0; k < seen->keys; k++) {
        int64_t j = key_index(seen, k);
        if (j < WEIR_PROBE_FIRST && seen->index >= probe->options.from) {
            wr_first_seen *first = &probe->first_seen[seen->layer * WEIR_PROBE_FIRST + j];
            first->queries++;
            first->even += 1.0 / seen->keys;
        }
        if (kept) {
            probe->map_seen[wr_probe_seen_at(probe, seen->layer, seen->index,
                                             column_of(probe, seen->index, j))]++;
        }
    }
}

static void add_first(weir_probe *probe, const weir_scores *seen, int32_t head,
                      const float *scores) {
    wr_first_sum *first =
        &probe->first[((int64_t)seen->layer * probe->heads + head) * WEIR_PROBE_FIRST];
    for (int32_t k = 0; k < seen->keys && key_index(seen, k) < WEIR_PROBE_FIRST; k++) {
        first[key_index(seen, k)].probability += probe->probabilities[k];
        first[key_index(seen, k)].score += (double)scores[k];
    }
}

static void add_map(weir_probe *probe, const weir_scores *seen, int32_t head, const float *scores,
                    double term) {
    double *row = &probe->maps[wr_probe_map_at(probe, seen->layer, head, seen->index, 0)];
    bool score = probe->options.kind == WEIR_PROBE_SCORE;
    for (int32_t k = 0; k < seen->keys; k++) {
        row[column_of(probe, seen->index, key_index(seen, k))] +=
            score ? (double)scores[k] : probe->probabilities[k];
    }
    if (seen->sink != NULL) {
        row[probe->columns] += score ? (double)seen->sink[head] : term;
    }
}

void wr_probe_take_scores(void *context, const weir_scores *seen) {
    weir_probe *probe = context;
    bool kept = probe->options.maps && probe->layer_place[seen->layer] >= 0;
    if (!all_numbers(seen)) {
        probe->broken = true;
        return;
    }
    count_keys(probe, seen, kept);
    for (int32_t head = 0; head < seen->heads; head++) {
        const float *scores = seen->scores + (int64_t)head * seen->keys;
        const float *sink = seen->sink != NULL ? seen->sink + head : NULL;
        const double term = softmax(scores, seen->keys, sink, probe->probabilities);
        if (seen->index >= probe->options.from) {
            add_first(probe, seen, head, scores);
            probe->terms[seen->layer * probe->heads + head] += term;
            probe->lasts[seen->layer * probe->heads + head] += probe->probabilities[seen->keys - 1];
        }
        if (kept && probe->head_place[head] >= 0) {
            add_map(probe, seen, head, scores, term);
        }
    }
}

/* --- Rows ------------------------------------------------------------------------------------- */

static double norm(const float *x, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += (double)x[i] * (double)x[i];
    }
    return sqrt(sum);
}

static void add_values(const weir_probe *probe, const float *row, wr_token_sum *sum) {
    double total = 0;
    for (int32_t head = 0; head < probe->kv_heads; head++) {
        total += norm(row + head * probe->value_dim, probe->value_dim);
    }
    sum->value += total / probe->kv_heads;
    sum->values++;
}

static void add_hidden(const float *row, int64_t width, wr_token_sum *sum) {
    double largest = 0;
    for (int64_t i = 0; i < width; i++) {
        largest = fmax(largest, fabs((double)row[i]));
    }
    sum->hidden += norm(row, width);
    sum->largest += largest;
    sum->hiddens++;
}

void wr_probe_take_rows(void *context, weir_point point, int layer, int64_t first,
                        const float *data, int64_t rows, int64_t columns) {
    weir_probe *probe = context;
    if (point != WEIR_POINT_VALUE && point != WEIR_POINT_LAYER) {
        return;
    }
    for (int64_t i = 0; i < rows; i++) {
        wr_token_sum *sum = &probe->tokens[layer * probe->rows + first + i];
        if (point == WEIR_POINT_VALUE) {
            add_values(probe, data + i * columns, sum);
        } else {
            add_hidden(data + i * columns, columns, sum);
        }
    }
}
