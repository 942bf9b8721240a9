/*
 * The forward pass: one block executor for every family, over one cache or many.
 *
 * A chunk is made of segments: consecutive tokens of one cache each, whose rows lie one after
 * another.
 *
 *     rows      0 1 2 3 4 5 | 6 | 7 | 8 9
 *     segment   a prompt      two      another
 *                             drawn    prompt
 *                             tokens
 *
 * Norms, matrix products and activations run over all rows at once, and so share one reading of the
 * weights; positions, cache and attention belong to the segment, and inside it every query has its
 * own window. Each output number belongs to one thread and is summed in an order that depends on
 * its row alone, so the bits do not depend on the chunk, on its other segments, or on the threads.
 *
 *     x -> norm -> q k v -> rotate, cache -> attend -> out -> + x -> norm -> gate up -> down -> + x
 *
 * What is in this row, and in which order, the family's row of data says (family.h).
 *
 * Positions (STREAMING.md): a key is rotated once, at its stream index t; the query twice, at t for
 * recent keys and at c(t) for pinned ones.
 */
#ifndef WR_FORWARD_H
#define WR_FORWARD_H

#include <stdatomic.h>

#include "base/threads.h"
#include "cache/cache.h"
#include "model/network.h"
#include "weir/observe.h"

typedef struct wr_forward wr_forward;

/* Who sees the inside of a stream's forward pass; no function: nobody. */
typedef struct wr_observer {
    weir_observer_fn fn;
    void *context;
    weir_scores_fn scores_fn;
    void *scores_context;
    float *scores; /* [heads, S + W] while there is a scores_fn */
} wr_observer;

/* Consecutive tokens of one cache, which is prepared for them. */
typedef struct wr_segment {
    wr_cache *cache;
    const wr_rope *ropes;        /* [the model's rope_count] the stream's frequencies */
    const int32_t *tokens;       /* [count] */
    int64_t count;               /* >= 1 */
    const atomic_bool *cancel;   /* true: nobody wants the result any more. NULL: never */
    const wr_observer *observer; /* may be NULL */
    /* Of encoders: every token sees the whole segment, and positions count from its beginning. The
     * segments of a chunk may share a cache then: `first` is the caller's, a multiple of
     * WR_PAGE_TOKENS, so that the bits do not depend on what else is there. */
    bool both_ways;
    int64_t row;   /* set by the pass: where its rows begin in the chunk */
    int64_t first; /* set by the pass: the stream index of that row (but see both_ways) */
} wr_segment;

/* Scratch for chunks of up to `chunk` tokens in up to `segments` segments, `threads` workers, and
 * caches of this shape with no more slots than `cache`. NULL while measuring. */
wr_forward *wr_forward_layout(wr_arena *arena, const weir_model *model, int64_t chunk, int threads,
                              int32_t segments, const wr_cache_options *cache);

/* The workers that compute (at most as many as at layout); borrowed. */
void wr_forward_use_threads(wr_forward *forward, wr_threads *threads);

/* Run the segments, each of another cache, and write their keys and values. The caller commits.
 * Returns WEIR_CANCELLED, with nothing to be kept, once every segment is cancelled. */
weir_status wr_forward_chunk(wr_forward *forward, wr_segment *segments, int32_t count);

/* The last chunk's hidden state [width] of row `row`, before the final norm. */
const float *wr_forward_hidden(const wr_forward *forward, int64_t row);

/* A hidden state [width] whose logits are wanted, its token's stream index, and who watches. */
typedef struct wr_logit_row {
    const float *hidden;
    int64_t index;
    const wr_observer *observer; /* may be NULL */
} wr_logit_row;

/* logits [count, vocabulary] of `count` <= chunk rows, in one product. */
void wr_forward_logits(wr_forward *forward, const wr_logit_row *rows, int64_t count, float *logits);

#endif
