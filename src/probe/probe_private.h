/*
 * A probe: one stream, and sums that its observers add to. All of it is one block of memory.
 *
 *   maps        [kept layer][kept head][row][stride]   sum of p or s: the columns, then, where the
 *                                                      softmax has a sink of its own, that
 *   map_seen    [kept layer][row][stride]              how many: a mask has no head
 *   first       [layer][head][8]                       sums of p and s on the first tokens
 *   first_seen  [layer][8]                             how many
 *   terms       [layer][head]                          sums of p on the softmax's own sink
 *   term_seen   [layer]                                how many
 *   lasts       [layer][head]                          of encoders: sums of p on the last token
 *   tokens      [layer][row]                           sums of norms
 *
 * A mean is its sum divided by its own count, so means are right at every moment.
 */
#ifndef WR_PROBE_PRIVATE_H
#define WR_PROBE_PRIVATE_H

#include "weir/embed.h"
#include "weir/probe.h"

typedef struct wr_first_sum {
    double probability, score;
} wr_first_sum;

typedef struct wr_first_seen {
    int64_t queries;
    double even; /* sum of 1 / keys */
} wr_first_seen;

typedef struct wr_token_sum {
    int64_t values, hiddens; /* how many */
    double value, hidden, largest;
} wr_token_sum;

struct weir_probe {
    weir_probe_options options; /* lists and allocator resolved: see the places */
    weir_allocator allocator;
    size_t bytes;            /* of the block, this struct included */
    weir_stream *stream;     /* NULL: the model is an encoder, and this is there: */
    weir_embedder *embedder; /* or NULL */
    bool recompute;
    bool broken; /* a score was not a number */

    int64_t samples;
    int32_t layers, heads, kv_heads;
    int64_t value_dim;
    int64_t rows, columns;
    int64_t stride; /* columns, and one for the sink term where there is one */
    bool sink_term;
    int64_t sinks, window; /* S and W; dense: 0 and the capacity */

    int32_t kept_layers, kept_heads;
    int32_t *layer_place; /* [layers] place among those kept, or -1 */
    int32_t *head_place;  /* [heads] */
    double *maps;
    int32_t *map_seen;
    wr_first_sum *first;
    wr_first_seen *first_seen;
    double *terms, *lasts;
    int64_t *term_seen; /* queries: of both */
    wr_token_sum *tokens;
    double *probabilities; /* [S + W] of the head at hand */
};

/* The observers of the probe's stream; context is the probe. */
void wr_probe_take_rows(void *context, weir_point point, int layer, int64_t first,
                        const float *data, int64_t rows, int64_t columns);
void wr_probe_take_scores(void *context, const weir_scores *scores);

/* Sum and count of a cell, which must be kept. */
int64_t wr_probe_map_at(const weir_probe *probe, int32_t layer, int32_t head, int64_t row,
                        int64_t column);
int64_t wr_probe_seen_at(const weir_probe *probe, int32_t layer, int64_t row, int64_t column);

#endif
