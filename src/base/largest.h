/*
 * Two looks at a row of numbers, such as logits, in steps that compilers make vectors of.
 */
#ifndef WR_LARGEST_H
#define WR_LARGEST_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Neither infinite nor NaN, all of them. */
static inline bool wr_all_finite(const float *x, int64_t count) {
    enum { STEP = 64 };
    const uint32_t exponent = 0x7f800000;
    uint32_t bits[STEP], wrong = 0;
    int64_t i = 0;
    for (; i + STEP <= count && wrong == 0; i += STEP) {
        memcpy(bits, x + i, sizeof bits);
        for (int j = 0; j < STEP; j++) wrong |= (bits[j] & exponent) == exponent;
    }
    for (; i < count; i++) {
        memcpy(bits, x + i, sizeof *bits);
        wrong |= (bits[0] & exponent) == exponent;
    }
    return wrong == 0;
}

/* The first of the largest of `count` >= 1 numbers, of which none is NaN. */
static inline int64_t wr_first_largest(const float *x, int64_t count) {
    enum { STEP = 16 };
    float best[STEP], largest = x[0];
    int64_t i = 0;
    for (int j = 0; j < STEP; j++) best[j] = x[0];
    for (; i + STEP <= count; i += STEP)
        for (int j = 0; j < STEP; j++) best[j] = x[i + j] > best[j] ? x[i + j] : best[j];
    for (; i < count; i++) largest = x[i] > largest ? x[i] : largest;
    for (int j = 0; j < STEP; j++) largest = best[j] > largest ? best[j] : largest;
    for (i = 0; x[i] < largest; i++) {
    }
    return i;
}

#endif
