/* How the frequencies of rotary positions are scaled: see rope_scaling.h. */
#include "position/rope_scaling.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

const char *wr_rope_scaling_name(weir_rope_scaling scaling) {
    static const char *const names[] = {
        [WEIR_ROPE_FILE] = "file",        [WEIR_ROPE_NONE] = "none", [WEIR_ROPE_LINEAR] = "linear",
        [WEIR_ROPE_DYNAMIC] = "dynamic",  [WEIR_ROPE_YARN] = "yarn", [WEIR_ROPE_LLAMA3] = "llama3",
        [WEIR_ROPE_LONGROPE] = "longrope"};
    return (unsigned)scaling < sizeof names / sizeof names[0] ? names[scaling] : NULL;
}

/* --- Bounds ----------------------------------------------------------------------------------- */

static weir_status out_of_range(const char *what, double value, weir_error *error) {
    return weir_error_set(error, WEIR_DAMAGED, "%s of %g is out of range", what, value);
}

static weir_status check_divisors(const char *list, const float *divisors, int32_t pairs,
                                  weir_error *error) {
    for (int32_t i = 0; divisors && i < pairs; i++)
        if (!(divisors[i] >= 1e-3f && divisors[i] <= 1e6f))
            return weir_error_set(error, WEIR_DAMAGED, "%s %d is %g, out of range", list, (int)i,
                                  (double)divisors[i]);
    return WEIR_OK;
}

static double or_else(double value, double otherwise) { return value != 0.0 ? value : otherwise; }

weir_status wr_rope_check(const wr_rope_recipe *r, weir_error *error) {
    const double fast = or_else(r->fast, 32.0), slow = or_else(r->slow, 1.0);
    const double low = or_else(r->low, 1.0), high = or_else(r->high, 4.0);
    if (r->dim < 0 || r->dim % 2 != 0 || r->dim / 2 > WR_ROPE_MAX_PAIRS)
        return weir_error_set(error, WEIR_DAMAGED,
                              "a rotary dimension of %d is not an even number up to %d",
                              (int)r->dim, 2 * WR_ROPE_MAX_PAIRS);
    if (!(r->base >= 1.0 && r->base <= 1e15))
        return out_of_range("a RoPE frequency base", r->base, error);
    const bool scaled = r->scaling != WEIR_ROPE_FILE && r->scaling != WEIR_ROPE_NONE;
    if (scaled && !(r->factor >= 1.0 && r->factor <= 1e6))
        return out_of_range("a RoPE scaling factor", r->factor, error);
    if (scaled && r->scaling != WEIR_ROPE_LINEAR && !(r->original >= 1 && r->original <= 1LL << 40))
        return out_of_range("an original context", (double)r->original, error);
    if (r->attention != 0.0 && !(r->attention >= 1e-3 && r->attention <= 1e3))
        return out_of_range("a RoPE attention factor", r->attention, error);
    if (r->more != 0.0 && !(r->more >= 1e-3 && r->more <= 1e3))
        return out_of_range("a RoPE attention factor", r->more, error);
    if (!(slow > 0.0 && fast >= slow && fast <= 1e6))
        return out_of_range("a RoPE beta", slow > 0.0 ? fast : slow, error);
    if (!(low > 0.0 && high > low && high <= 1e6))
        return out_of_range("a RoPE frequency factor", low > 0.0 ? high : low, error);
    weir_status status = check_divisors("RoPE factor", r->divisors, r->dim / 2, error);
    if (status == WEIR_OK)
        status = check_divisors("short RoPE factor", r->short_divisors, r->dim / 2, error);
    if (status == WEIR_OK)
        status = check_divisors("long RoPE factor", r->long_divisors, r->dim / 2, error);
    return status;
}

/* --- Frequencies ------------------------------------------------------------------------------ */

/* A base that grows with the cache. Two elements turn at frequency 1 whatever the base. */
static double base_of(const wr_rope_recipe *r, int64_t slots) {
    if (r->scaling != WEIR_ROPE_DYNAMIC || r->dim <= 2 || slots <= r->original) return r->base;
    const double stretched = r->factor * (double)slots / (double)r->original - (r->factor - 1.0);
    return r->base * pow(stretched, (double)r->dim / (r->dim - 2.0));
}

/* The pair that turns `turns` times in the original context: a real number. */
static double pair_of(const wr_rope_recipe *r, double turns) {
    if (r->base <= 1.0) return 0.0; /* all pairs turn alike */
    return r->dim * log((double)r->original / (turns * 2.0 * pi)) / (2.0 * log(r->base));
}

/* How far pair i keeps its frequency: 1 all of it, 0 divided by the factor. */
static double yarn_kept(const wr_rope_recipe *r, int32_t i) {
    double from = pair_of(r, or_else(r->fast, 32.0));
    double to = pair_of(r, or_else(r->slow, 1.0));
    if (!r->broken) {
        from = floor(from);
        to = ceil(to);
    }
    from = fmax(from, 0.0);
    to = fmin(to, r->dim - 1.0);
    if (to == from) to += 0.001;
    return 1.0 - fmin(fmax((i - from) / (to - from), 0.0), 1.0);
}

static double llama3_kept(const wr_rope_recipe *r, double frequency) {
    const double low = or_else(r->low, 1.0), high = or_else(r->high, 4.0);
    const double times = (double)r->original * frequency / (2.0 * pi);
    return fmin(fmax((times - low) / (high - low), 0.0), 1.0);
}

/* `frequency`: of pair i in radians, unscaled. */
static double divisor_of(const wr_rope_recipe *r, int64_t slots, int32_t i, double frequency) {
    double kept;
    switch (r->scaling) {
    case WEIR_ROPE_LINEAR:
        return r->factor;
    case WEIR_ROPE_YARN:
        kept = yarn_kept(r, i);
        return 1.0 / ((1.0 - kept) / r->factor + kept);
    case WEIR_ROPE_LLAMA3:
        kept = llama3_kept(r, frequency);
        return 1.0 / ((1.0 - kept) / r->factor + kept);
    case WEIR_ROPE_LONGROPE:
        return (double)(slots > r->original ? r->long_divisors : r->short_divisors)[i];
    default:
        return 1.0;
    }
}

void wr_rope_frequencies(const wr_rope_recipe *r, int64_t slots, double *frequency) {
    const double base = base_of(r, slots);
    for (int32_t i = 0; i < r->dim / 2; i++) {
        const double radians = pow(base, -2.0 * i / r->dim);
        double divisor = divisor_of(r, slots, i, radians);
        if (r->divisors) divisor *= (double)r->divisors[i];
        frequency[i] = radians / (2.0 * pi * divisor);
    }
}

double wr_rope_magnitude(const wr_rope_recipe *r) {
    double magnitude = 1.0;
    if (r->attention != 0.0)
        magnitude = r->attention;
    else if (r->scaling == WEIR_ROPE_YARN)
        magnitude = 0.1 * log(r->factor) + 1.0;
    else if (r->scaling == WEIR_ROPE_LONGROPE && r->original > 1)
        magnitude = sqrt(1.0 + log(r->factor) / log((double)r->original));
    return magnitude * or_else(r->more, 1.0);
}
