/*
 * How the frequencies of rotary positions are scaled, so that a model reaches further than it was
 * trained for: weir/positions.h lists the schemes.
 *
 * Every scheme is a base b, a divisor for each pair, and a magnitude, all constants of a stream:
 *
 *     f_i = b^(-2 i / dim) / (2 pi d_i)      turns per token; both halves of a turned vector times
 * m
 *
 *     linear     d_i = factor
 *     dynamic    b = base * (factor * L / original - (factor - 1))^(dim / (dim - 2)),
 *                L = max(slots, original)
 *     YaRN       1 / d_i = (1 - e_i) / factor + e_i, where e_i falls from 1 to 0 between the pairs
 *                that turn `fast` times and `slow` times in the original context;
 *                m = 0.1 ln factor + 1, or what the file says
 *     Llama 3    the same with e_i = (original / wavelength_i - low) / (high - low) in [0, 1]; m =
 * 1 LongRoPE   d_i from the file: one list for slots <= original, one beyond; m = sqrt(1 + ln
 * factor / ln original), or what the file says
 *
 * (transformers' modeling_rope_utils has the same formulas; tests/golden/test_rope.c compares.)
 */
#ifndef WR_ROPE_SCALING_H
#define WR_ROPE_SCALING_H

#include "base/allocate.h"
#include "weir/positions.h"

#define WR_ROPE_MAX_PAIRS 512

/* All that frequencies follow from. */
typedef struct wr_rope_recipe {
    int32_t dim;               /* elements that turn, even; 0: none */
    weir_rope_scaling scaling; /* WEIR_ROPE_FILE as WEIR_ROPE_NONE */
    double base;
    double factor;         /* not read without scaling and under LongRoPE's divisors */
    int64_t original;      /* the context before scaling; not read under linear */
    double attention;      /* m; 0: that of the scheme */
    double more;           /* m is multiplied by it as well; 0: by 1 */
    double fast, slow;     /* YaRN: turns in the original context; 0: 32 and 1 */
    bool broken;           /* YaRN: the ramp may begin between two pairs; otherwise at whole ones */
    double low, high;      /* Llama 3; 0: 1 and 4 */
    const float *divisors; /* [dim / 2] besides those of the scheme, or NULL */
    const float *short_divisors; /* [dim / 2] LongRoPE: needed there */
    const float *long_divisors;  /* [dim / 2] the same */
} wr_rope_recipe;

/* Numbers in range, for any slots. */
weir_status wr_rope_check(const wr_rope_recipe *recipe, weir_error *error);

/* The pairs' frequencies [dim / 2] in turns per token, for a recipe that was checked. */
void wr_rope_frequencies(const wr_rope_recipe *recipe, int64_t slots, double *frequency);
double wr_rope_magnitude(const wr_rope_recipe *recipe);

/* "yarn", ...: as files and options call them; NULL for none of them. */
const char *wr_rope_scaling_name(weir_rope_scaling scaling);

#endif
