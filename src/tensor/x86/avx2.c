/*
 * The table for AVX2: the templates over avx2's vector.
 */
#define WR_WIDE_TILE 0

#include "tensor/x86/simd_avx2.h"

#include "tensor/lanes/bytes.h"
#include "tensor/lanes/floats.h"
#include "tensor/x86/attend_lanes.h"
#include "tensor/x86/decode_lanes.h"

static void product(const wr_product *job) {
    if (wr_is_floats(job->w->format))
        wr_avx2_floats_product(job);
    else
        wr_avx2_bytes_product(job);
}

static void prepare(wr_input input, const float *x, int64_t columns, void *out) {
    if (input == WR_INPUT_BYTES || input == WR_INPUT_BLOCKS)
        wr_avx2_prepare_bytes(input, x, columns, out);
    else
        wr_scalar_prepare(input, x, columns, out);
}

const wr_kernels wr_kernels_avx2 = {
    .name = "avx2",
    .level = WR_CPU_AVX2,
    .reads_panels = true,
    .decode = decode,
    .input_of = wr_scalar_input_of,
    .prepare = prepare,
    .product = product,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .add = add,
    .multiply = multiply,
    .scale = scale,
    .silu = silu,
    .gelu = gelu,
    .gelu_tanh = gelu_tanh,
    .softmax = softmax,
    .log_sum_exp = log_sum_exp,
    .rotate = rotate,
    .kv_write = kv_write,
    .kv_read = kv_read,
    .kv_write_key = kv_write_key,
    .kv_read_key = kv_read_key,
    .attend = attend,
};
