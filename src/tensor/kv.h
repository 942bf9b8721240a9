/*
 * How the keys and values of one layer and KV head lie in a cache page of WR_PAGE_TOKENS tokens.
 *
 * Values lie row by row, [32][row]; one row is
 *
 *   f32    dim floats
 *   f16    dim IEEE half floats
 *   q8_0   ceil(dim / 32) half-float scales, then dim int8: one scale per token, KV head and run of
 *          up to 32 elements; the last run may be short. x = scale * q, q rounded to nearest, ties
 *          to even; scale the best (least squares) of the half floats just above max|x| / 127
 *
 * Keys are the same numbers, transposed: element d of all 32 tokens is contiguous, so that a query
 * meets 32 keys with one full vector after the other, whatever the head's size, and never sums
 * across lanes.
 *
 *   f32    [dim][32] floats
 *   f16    [dim][32] half floats
 *   q8_0   [ceil(dim / 32)][32] half-float scales, then [dim][32] int8
 *
 * Both take 32 * wr_kv_row_bytes() bytes. What is not written yet is arbitrary, NaN included. No
 * alignment is promised.
 */
#ifndef WR_KV_H
#define WR_KV_H

#include <stddef.h>
#include <stdint.h>

/* Tokens of a page, and of one step of the online softmax. */
#define WR_PAGE_TOKENS 32

typedef enum wr_kv_type { WR_KV_F32, WR_KV_F16, WR_KV_Q8_0, WR_KV_TYPES } wr_kv_type;

/* Bytes of one token's key or value. */
size_t wr_kv_row_bytes(wr_kv_type type, int32_t dim);
const char *wr_kv_type_name(wr_kv_type type); /* "f32", "f16", "q8_0" */

#endif
