/*
 * Counter-based random numbers (Philox 4x32-10; Salmon et al., "Parallel Random Numbers: As Easy
 * as 1, 2, 3", SC 2011): a draw is a pure function of (seed, stream, counter), so a saved stream
 * needs to remember only a counter.
 */
#ifndef WR_RANDOM_H
#define WR_RANDOM_H

#include <stdint.h>

/* Four independent 32-bit numbers: key = seed, counter words = {counter, stream}. */
void wr_random_block(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]);

/* Uniform in [0, 1) with 53 bits. */
double wr_random_unit(uint64_t seed, uint64_t stream, uint64_t counter);

/* Standard normal (Box-Muller on one block). */
double wr_random_normal(uint64_t seed, uint64_t stream, uint64_t counter);

#endif
