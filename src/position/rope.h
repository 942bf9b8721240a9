/*
 * Rotary positions by integer phases (Su et al., RoFormer, 3.2.2; STREAMING.md, "Positions").
 *
 * The angle of pair i at position p is 2 pi frac(p f_i), with f_i in turns per token held as a
 * 64-bit fraction of a turn. p * f_i as uint64_t wraps at whole turns, so the phase is exact for
 * every 64-bit position: token 10^15 is as precise as token 10, and the difference of two phases
 * depends on the difference of their positions alone.
 *
 * The frequencies are constants, made once from a recipe (rope_scaling.h).
 */
#ifndef WR_ROPE_H
#define WR_ROPE_H

#include "position/rope_scaling.h"
#include "tensor/kernels.h"

typedef struct wr_rope {
    int32_t dim; /* elements of a head that turn, even; the rest stay. 0: no rotation */
    wr_rotary_pairing pairing;
    double magnitude; /* every turned vector grows by it: 1 but for YaRN, LongRoPE */
    uint64_t turns[WR_ROPE_MAX_PAIRS]; /* [dim / 2] f_i * 2^64 */
} wr_rope;

/* The frequencies of a recipe for a stream of `slots` (S + W). WEIR_DAMAGED names what is out of
 * range. */
weir_status wr_rope_init(wr_rope *rope, wr_rotary_pairing pairing, const wr_rope_recipe *recipe,
                         int64_t slots, weir_error *error);

/* cos_sin: [dim / 2][2], for wr_kernels.rotate. */
void wr_rope_angles(const wr_rope *rope, uint64_t position, float *cos_sin);

#endif
