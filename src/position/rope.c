/* Rotary positions by integer phases: see rope.h. */
#include "position/rope.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

weir_status wr_rope_init(wr_rope *rope, int32_t dim, wr_rotary_pairing pairing, double base,
                         double scale, const float *factors, weir_error *error) {
    if (dim < 0 || dim % 2 != 0 || dim / 2 > WR_ROPE_MAX_PAIRS)
        return weir_error_set(error, WEIR_DAMAGED,
                              "a rotary dimension of %d is not an even number up to %d", (int)dim,
                              2 * WR_ROPE_MAX_PAIRS);
    if (!(base >= 1.0 && base <= 1e15))
        return weir_error_set(error, WEIR_DAMAGED, "a RoPE frequency base of %g is out of range",
                              base);
    if (!(scale >= 1.0 && scale <= 1e6))
        return weir_error_set(error, WEIR_DAMAGED, "a RoPE scaling factor of %g is out of range",
                              scale);
    rope->dim = dim;
    rope->pairing = pairing;
    for (int32_t i = 0; i < dim / 2; i++) {
        double factor = factors ? (double)factors[i] : 1.0;
        if (!(factor >= 1e-3 && factor <= 1e6))
            return weir_error_set(error, WEIR_DAMAGED, "RoPE factor %d is %g, out of range", (int)i,
                                  factor);
        double turns = pow(base, -2.0 * i / dim) / (2.0 * pi * scale * factor);
        /* A factor below 1 may reach several turns per token: only the fraction matters. */
        rope->turns[i] = (uint64_t)ldexp(turns - floor(turns), 64);
    }
    return WEIR_OK;
}

void wr_rope_angles(const wr_rope *rope, uint64_t position, float *cos_sin) {
    for (int32_t i = 0; i < rope->dim / 2; i++) {
        /* As a signed fraction the phase lies in [-1/2, 1/2) turns, where sin and cos are best. */
        int64_t phase = (int64_t)(position * rope->turns[i]);
        double angle = ldexp((double)phase, -64) * 2.0 * pi;
        cos_sin[2 * i] = (float)cos(angle);
        cos_sin[2 * i + 1] = (float)sin(angle);
    }
}
