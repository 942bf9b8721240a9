/* Scales by search and least squares: see quantise_fit.h. */
#include "tensor/quantise_fit.h"

#include <math.h>
#include <stdbool.h>

#define SMALLEST 1e-30f /* of a block's largest number: what is smaller is zero */

/* The largest number by size, with its sign. */
static float largest(const float *x, int n) {
    float found = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(found)) found = x[i];
    return found;
}

/* ---- without offset ----------------------------------------------------------------------------
 */

/* From one scale to a minimum. */
static void descend(const grid *g, const float *x, float inverse, int steps, fit *best) {
    for (int i = 0; i < steps; i++) {
        const sums s = sums_of(g, x, inverse, 0);
        if (!(s.qq > 0) || s.xq == 0) return;
        inverse = s.qq / s.xq;
    }
    const float scale = 1 / inverse, error = error_of(g, x, scale, 0);
    if (error < best->error) *best = (fit){.scale = scale, .error = error};
}

/* Which of many scales promise most: least squares tells what each ends at without another pass. */
fit wr_fit_scale(const grid *g, const float *x) {
    enum { TRIED = 40, KEPT = 3 };
    const float most = largest(x, g->n), reach = -g->low;
    float gains[KEPT] = {0}, inverses[KEPT] = {0};
    fit best = {.error = error_of(g, x, 0, 0)};
    if (!(fabsf(most) > SMALLEST)) return best;
    for (int i = 0; i < TRIED; i++) {
        /* the largest number at either end of the grid, or beyond it */
        const float spread = 0.72f + 0.02f * (float)(i % (TRIED / 2) + 4);
        const float inverse = (i < TRIED / 2 ? -1 : 1) * reach * spread / most;
        const sums s = sums_of(g, x, inverse, 0);
        const float gain = s.qq > 0 ? s.xq * (s.xq / s.qq) : 0;
        int at = KEPT;
        while (at > 0 && gain > gains[at - 1]) at--;
        for (int j = KEPT - 1; j > at; j--) {
            gains[j] = gains[j - 1];
            inverses[j] = inverses[j - 1];
        }
        if (at < KEPT) {
            gains[at] = gain;
            inverses[at] = inverse;
        }
    }
    for (int i = 0; i < KEPT && gains[i] > 0; i++) descend(g, x, inverses[i], 3, &best);
    return best;
}

/* ---- with offset -------------------------------------------------------------------------------
 */

/* Least squares for given codes; false where they are all the same. */
static bool solve(const grid *g, const sums *s, float x, bool below, float *scale, float *offset) {
    const float n = (float)g->n, spread = n * s->qq - s->q * s->q;
    if (!(spread > 0)) return false;
    *scale = (n * s->xq - x * s->q) / spread;
    *offset = (x - *scale * s->q) / n;
    if (below && *offset > 0) {
        *offset = 0;
        *scale = s->xq / s->qq;
    }
    return *scale > 0;
}

/* The error that least squares promise with these codes: S_xx - scale S_xq - offset S_x, in which
 * S_xx is the same for all. Of a bounded offset it is a little too small; that only orders them. */
static float promise(const sums *s, float x, float scale, float offset) {
    return scale * s->xq + offset * x;
}

/* From one grid to a minimum. */
static void descend_both(const grid *g, const float *x, float sum, bool below, fit from,
                         fit *best) {
    for (int step = 0; step < 2; step++) {
        const sums s = sums_of(g, x, 1 / from.scale, from.offset);
        if (!solve(g, &s, sum, below, &from.scale, &from.offset)) break;
    }
    from.error = error_of(g, x, from.scale, from.offset);
    if (from.error < best->error) *best = from;
}

/* The grid after one step from the i-th beginning, with what it promises as its error; false where
 * there is none. Grids are a little coarser than the numbers' spread, or finer, and then clip. */
static bool begin_grid(const grid *g, const float *x, float sum, bool below, float low, float high,
                       int i, fit *out) {
    const float levels = g->high - g->low;
    const float scale = (high - low) / (levels * (0.90f + 0.02f * (float)i));
    float offset = low + 0.5f * ((high - low) - levels * scale);
    if (offset < low || (below && low == 0)) offset = low;
    const sums s = sums_of(g, x, 1 / scale, offset);
    *out = (fit){.scale = scale, .offset = offset};
    if (!solve(g, &s, sum, below, &out->scale, &out->offset)) return false;
    out->error = -promise(&s, sum, out->scale, out->offset);
    return true;
}

fit wr_fit_offset(const grid *g, const float *x, int below) {
    enum { TRIED = 24, KEPT = 4 };
    float low = x[0], high = x[0], sum = 0;
    fit kept[KEPT + 1];
    int count = 0;
    for (int i = 0; i < g->n; i++) {
        low = fminf(low, x[i]);
        high = fmaxf(high, x[i]);
        sum += x[i];
    }
    if (below) low = fminf(low, 0);
    fit best = {.scale = 0, .offset = low};
    best.error = error_of(g, x, 0, low);
    if (!(high - low > SMALLEST)) return best;
    for (int i = 0; i < TRIED; i++) {
        fit tried;
        if (!begin_grid(g, x, sum, below != 0, low, high, i, &tried)) continue;
        int at = count;
        for (; at > 0 && tried.error < kept[at - 1].error; at--) kept[at] = kept[at - 1];
        kept[at] = tried;
        if (count < KEPT) count++;
    }
    /* numbers that are all alike have one code, and nothing to solve */
    if (count == 0)
        kept[count++] = (fit){.scale = (high - low) / (g->high - g->low), .offset = low};
    for (int i = 0; i < count; i++) descend_both(g, x, sum, below != 0, kept[i], &best);
    return best;
}
