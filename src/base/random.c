/*
 * Philox 4x32-10 (Salmon et al. 2011, section 3.3; constants from table 2 and section 4).
 */
#include "base/random.h"

#include <math.h>

enum { ROUNDS = 10 };

static const uint32_t multiplier[2] = {0xD2511F53u, 0xCD9E8D57u};
static const uint32_t weyl[2] = {0x9E3779B9u, 0xBB67AE85u}; /* golden ratio, sqrt(3) - 1 */

static void philox_round(uint32_t x[4], const uint32_t key[2]) {
    uint64_t a = (uint64_t)multiplier[0] * x[0];
    uint64_t b = (uint64_t)multiplier[1] * x[2];
    uint32_t y0 = (uint32_t)(b >> 32) ^ x[1] ^ key[0];
    uint32_t y2 = (uint32_t)(a >> 32) ^ x[3] ^ key[1];
    x[1] = (uint32_t)b;
    x[3] = (uint32_t)a;
    x[0] = y0;
    x[2] = y2;
}

void wr_random_block(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]) {
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    out[0] = (uint32_t)counter;
    out[1] = (uint32_t)(counter >> 32);
    out[2] = (uint32_t)stream;
    out[3] = (uint32_t)(stream >> 32);
    for (int i = 0; i < ROUNDS; i++) {
        philox_round(out, key);
        key[0] += weyl[0];
        key[1] += weyl[1];
    }
}

/* The upper 53 of 64 bits. */
static uint64_t bits53(uint32_t high, uint32_t low) { return (((uint64_t)high << 32) | low) >> 11; }

double wr_random_unit(uint64_t seed, uint64_t stream, uint64_t counter) {
    uint32_t block[4];
    wr_random_block(seed, stream, counter, block);
    return (double)bits53(block[0], block[1]) * 0x1p-53;
}

double wr_random_normal(uint64_t seed, uint64_t stream, uint64_t counter) {
    uint32_t block[4];
    wr_random_block(seed, stream, counter, block);
    const double two_pi = 6.283185307179586476925;
    double radius = (double)(bits53(block[0], block[1]) + 1) * 0x1p-53; /* (0, 1]: log is finite */
    double turn = (double)bits53(block[2], block[3]) * 0x1p-53;
    return sqrt(-2.0 * log(radius)) * cos(two_pi * turn);
}
