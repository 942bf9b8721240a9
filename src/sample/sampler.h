/*
 * A sampler: one stream's rules, its bounded history and its scratch, from an arena; after its
 * layout nothing allocates.
 *
 * The draw for stream index t uses random number (seed, t), so it needs no hidden generator state:
 * after a restore, a rewind or in a fork the same index draws the same number.
 */
#ifndef WR_SAMPLER_H
#define WR_SAMPLER_H

#include "base/arena.h"
#include "base/bytes.h"
#include "weir/sampling.h"

typedef struct wr_sampler wr_sampler;

/* Take a sampler for vocabularies of `n_vocab` from the arena (NULL while measuring). History and
 * bias have their maximal sizes, so that the rules may change later without memory. */
wr_sampler *wr_sampler_layout(wr_arena *arena, int32_t n_vocab);

/* Set the rules (checked with weir_sampling_check). The history is kept. */
weir_status wr_sampler_set(wr_sampler *sampler, const weir_sampling *sampling, weir_error *error);
const weir_sampling *wr_sampler_get(const wr_sampler *sampler);

/* Tell the sampler a token of the stream (prompt or generated), for the penalties. */
void wr_sampler_accept(wr_sampler *sampler, int32_t token);
/* Forget the last `count` accepted tokens (rewind); more than it remembers clears the history. */
void wr_sampler_forget(wr_sampler *sampler, int64_t count);

/* Draw the token that will stand at stream index `index`. logits: [n_vocab], not changed.
 * WEIR_NAN when a logit is NaN or +infinity, or none is finite: an error, never text. */
weir_status wr_sampler_draw(wr_sampler *sampler, const float *logits, int64_t index, int32_t *token,
                            weir_error *error);

/* The same state in another sampler of the same vocabulary; and to bytes and back. */
void wr_sampler_copy(wr_sampler *to, const wr_sampler *from);
void wr_sampler_save(const wr_sampler *sampler, wr_writer *writer);
weir_status wr_sampler_load(wr_sampler *sampler, wr_reader *reader, weir_error *error);

#endif
