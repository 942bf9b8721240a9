/*
 * Floats to blocks of few bits, as near as the format allows: what `weir quantize` writes.
 *
 * Other than wr_format_encode_row(), which is fast and defined by ggml, this looks for the scales
 * with the smallest sum of squared differences, block by block. The same floats give the same bytes
 * on every machine: plain C, sums in a fixed order.
 */
#ifndef WR_QUANTISE_H
#define WR_QUANTISE_H

#include "tensor/format.h"

/* F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K. */
bool wr_format_quantises(wr_format format);

/* Returns the place of a number (in blocks: of the block with one) that the format cannot hold, or
 * -1. */
int64_t wr_format_quantise_row(wr_format format, const float *x, int64_t weights, void *out);

/* ---- for the files that do it: one block each --------------------------------------------------
 */

void wr_quantise_q4_0(const float *x, uint8_t *out);
void wr_quantise_q5_0(const float *x, uint8_t *out);
void wr_quantise_q4_1(const float *x, uint8_t *out);
void wr_quantise_q5_1(const float *x, uint8_t *out);
void wr_quantise_q8_0(const float *x, uint8_t *out);
void wr_quantise_q2_k(const float *x, uint8_t *out);
void wr_quantise_q3_k(const float *x, uint8_t *out);
void wr_quantise_q4_k(const float *x, uint8_t *out);
void wr_quantise_q5_k(const float *x, uint8_t *out);
void wr_quantise_q6_k(const float *x, uint8_t *out);

#endif
