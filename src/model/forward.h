/*
 * The forward pass: one block executor for every family, over one cache.
 *
 * A chunk of consecutive tokens goes through all layers together; inside it every query has its own
 * window. Each output number belongs to one thread and is summed in an order that depends on its
 * row alone, so the bits do not depend on the chunk or on the threads.
 *
 *     x -> norm -> q k v -> rotate, cache -> attend -> out -> + x -> norm -> gate up -> down -> + x
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

/* Rows of logits computed together at most: enough to share the reading of the head. */
#define WR_LOGIT_ROWS 32

/* Scratch for chunks of up to `chunk` tokens, `threads` workers, and caches made with `cache`. NULL
 * while measuring. */
wr_forward *wr_forward_layout(wr_arena *arena, const weir_model *model, int64_t chunk, int threads,
                              const wr_cache_options *cache);

/* The workers that compute (at most as many as at layout); borrowed. */
void wr_forward_use_threads(wr_forward *forward, wr_threads *threads);
void wr_forward_observe(wr_forward *forward, weir_observer_fn fn, void *context);
/* `room`: [heads, S + W] floats, borrowed until another call; fn NULL: no more. */
void wr_forward_observe_scores(wr_forward *forward, weir_scores_fn fn, void *context, float *room);

/* Run `count` tokens, for which the cache is prepared, and write their keys and values. The caller
 * commits. Returns WEIR_CANCELLED, with nothing to be kept, once *cancel is true. */
weir_status wr_forward_chunk(wr_forward *forward, wr_cache *cache, const int32_t *tokens,
                             int64_t count, const atomic_bool *cancel);

/* The last chunk's hidden state [width] of row `row`, before the final norm. */
const float *wr_forward_hidden(const wr_forward *forward, int64_t row);

/* logits [count, vocabulary] from hidden states [count, width]; `first` is the stream index of the
 * first row, for the observer. count <= WR_LOGIT_ROWS. WEIR_NAN when one is not finite. */
weir_status wr_forward_logits(wr_forward *forward, const float *hidden, int64_t first,
                              int64_t count, float *logits);

#endif
