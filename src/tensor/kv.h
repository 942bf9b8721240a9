/*
 * How one key or value row of one KV head lies in a cache page.
 *
 *   f32    dim floats
 *   f16    dim IEEE half floats
 *   q8_0   ceil(dim / 32) half-float scales, then dim int8: one scale per token, KV head and run of
 *          up to 32 elements; the last run may be short. x = scale * q, q rounded to nearest, ties
 *          to even; scale the best (least squares) of the half floats just above max|x| / 127
 *
 * Rows lie one after the other; a row has no alignment of its own.
 */
#ifndef WR_KV_H
#define WR_KV_H

#include <stddef.h>
#include <stdint.h>

typedef enum wr_kv_type { WR_KV_F32, WR_KV_F16, WR_KV_Q8_0, WR_KV_TYPES } wr_kv_type;

size_t wr_kv_row_bytes(wr_kv_type type, int32_t dim);
const char *wr_kv_type_name(wr_kv_type type); /* "f32", "f16", "q8_0" */

#endif
