/*
 * Pairs of neighbours that merge, the best pair first: what all byte-pair encodings share (Sennrich
 * et al. 2016, arXiv 1508.07909).
 *
 * The kind cuts its text into symbols; wr_merger_run merges the pair of the lowest rank, the
 * leftmost among equals, until no pair is left. n symbols take O(n log n) steps.
 *
 *   symbols   [▁] [t] [h] [e]     linked by prev and next; a merge widens the left one
 *   heap       left symbols of mergeable pairs, the best pair first; each symbol is in it once at
 *              most and knows its place, so a pair that ceases to exist is taken out at once
 */
#ifndef WR_MERGER_H
#define WR_MERGER_H

#include "text/kinds/kind.h"

#define WR_MERGER_SYMBOLS (WR_RUN_BYTES + 1)

typedef struct wr_symbol {
    int32_t at, size;   /* bytes of the kind's text */
    int32_t prev, next; /* -1 at the ends */
    int32_t token;      /* what it is, in the kind's sense; that of the pair once it was merged */
    int32_t pair;       /* the token that this and the next one make together, or -1 */
    float rank;         /* of the pair; the lowest merges first */
    int32_t place;      /* in the heap, or -1 */
} wr_symbol;

/* The token that two neighbours make together, and its rank; -1 when they do not merge. */
typedef int32_t (*wr_pair_of)(const void *context, const wr_symbol *left, const wr_symbol *right,
                              float *rank);

typedef struct wr_merger {
    wr_pair_of pair_of;
    const void *context;
    int32_t count, heap_count;
    wr_symbol symbols[WR_MERGER_SYMBOLS];
    int32_t heap[WR_MERGER_SYMBOLS]; /* symbols */
} wr_merger;

static inline void wr_merger_begin(wr_merger *m, wr_pair_of pair_of, const void *context) {
    m->pair_of = pair_of;
    m->context = context;
    m->count = m->heap_count = 0;
}

static inline void wr_merger_add(wr_merger *m, int32_t at, int32_t size, int32_t token) {
    int32_t s = m->count++;
    m->symbols[s] = (wr_symbol){at, size, s - 1, s + 1, token, -1, 0, -1};
}

/* Afterwards symbols[0] is the first symbol, and `next` leads through the rest to -1. */
void wr_merger_run(wr_merger *merger);

#endif
