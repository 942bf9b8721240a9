/* Rotary positions by integer phases: see rope.h. */
#include "position/rope.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

weir_status wr_rope_init(wr_rope *rope, wr_rotary_pairing pairing, const wr_rope_recipe *recipe,
                         int64_t slots, weir_error *error) {
    double frequency[WR_ROPE_MAX_PAIRS];
    weir_status status = wr_rope_check(recipe, error);
    if (status != WEIR_OK) return status;
    if (recipe->scaling == WEIR_ROPE_LONGROPE && !(recipe->short_divisors && recipe->long_divisors))
        return weir_error_set(error, WEIR_DAMAGED,
                              "LongRoPE scaling needs the tensors rope_factors_short.weight and "
                              "rope_factors_long.weight");
    *rope =
        (wr_rope){.dim = recipe->dim, .pairing = pairing, .magnitude = wr_rope_magnitude(recipe)};
    wr_rope_frequencies(recipe, slots, frequency);
    for (int32_t i = 0; i < recipe->dim / 2; i++) {
        /* A divisor below 1 may reach several turns per token: only the fraction matters. */
        double turns = frequency[i];
        rope->turns[i] = (uint64_t)ldexp(turns - floor(turns), 64);
    }
    return WEIR_OK;
}

void wr_rope_angles(const wr_rope *rope, uint64_t position, float *cos_sin) {
    for (int32_t i = 0; i < rope->dim / 2; i++) {
        /* As a signed fraction the phase lies in [-1/2, 1/2) turns, where sin and cos are best. */
        int64_t phase = (int64_t)(position * rope->turns[i]);
        double angle = ldexp((double)phase, -64) * 2.0 * pi;
        cos_sin[2 * i] = (float)(cos(angle) * rope->magnitude);
        cos_sin[2 * i + 1] = (float)(sin(angle) * rope->magnitude);
    }
}
