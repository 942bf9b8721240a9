/*
 * What the observers do with what they see.
 *
 *   p(t, j) = exp(s(t, j) - m) / sum_k exp(s(t, k) - m),   m the largest score, all in double
 *
 * The keys of a query come pinned first, then recent (weir/observe.h), and so key k is at stream
 * index
 *
 *   k < pinned:  pinned_first + k          else  recent_first + k - pinned
 */
#include <math.h>

#include "probe/probe_private.h"

int64_t wr_probe_seen_at(const weir_probe *probe, int32_t layer, int64_t row, int64_t column) {
    return (probe->layer_place[layer] * probe->rows + row) * probe->columns + column;
}

int64_t wr_probe_map_at(const weir_probe *probe, int32_t layer, int32_t head, int64_t row,
                        int64_t column) {
    int64_t map = (int64_t)probe->layer_place[layer] * probe->kept_heads + probe->head_place[head];
    return (map * probe->rows + row) * probe->columns + column;
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
    return true;
}

static void softmax(const float *scores, int32_t keys, double *out) {
    double largest = (double)scores[0];
    for (int32_t k = 0; k < keys; k++) {
        largest = (double)scores[k] > largest ? (double)scores[k] : largest;
    }
    double sum = 0;
    for (int32_t k = 0; k < keys; k++) {
        out[k] = exp((double)scores[k] - largest);
        sum += out[k];
    }
    for (int32_t k = 0; k < keys; k++) {
        out[k] /= sum;
    }
}

/* The keys that a query sees are the same for every head. */
static void count_keys(weir_probe *probe, const weir_scores *seen, bool kept) {
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

static void add_map(weir_probe *probe, const weir_scores *seen, int32_t head, const float *scores) {
    double *row = &probe->maps[wr_probe_map_at(probe, seen->layer, head, seen->index, 0)];
    bool score = probe->options.kind == WEIR_PROBE_SCORE;
    for (int32_t k = 0; k < seen->keys; k++) {
        row[column_of(probe, seen->index, key_index(seen, k))] +=
            score ? (double)scores[k] : probe->probabilities[k];
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
        softmax(scores, seen->keys, probe->probabilities);
        if (seen->index >= probe->options.from) {
            add_first(probe, seen, head, scores);
        }
        if (kept && probe->head_place[head] >= 0) {
            add_map(probe, seen, head, scores);
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
