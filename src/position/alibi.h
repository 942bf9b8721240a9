/*
 * Attention with linear biases (Press, Smith, Lewis: "Train Short, Test Long", ICLR 2022, section
 * 3): a score loses slope * distance, and nothing is rotated. The distance is that of positions in
 * the cache (STREAMING.md, "Positions").
 */
#ifndef WR_ALIBI_H
#define WR_ALIBI_H

#include <stdint.h>

/*
 * The slope of head `head` of `heads`. For a power of two n they are the geometric sequence that
 * begins with 2^(-bias/n) and has that ratio, with a bias of 8 where a model does not say another
 * (MPT's may); otherwise those of the largest power of two n < heads, and then of the sequence for
 * 2n the first, third, fifth ...
 */
double wr_alibi_slope(int32_t head, int32_t heads, double bias);

#endif
