/*
 * The table for AVX512: the templates over avx512's vector.
 */
#define WR_WIDE_TILE 1

#include "tensor/x86/simd_avx512.h"

#include "tensor/lanes/bytes.h"
#include "tensor/lanes/floats.h"
#include "tensor/x86/attend_lanes.h"
#include "tensor/x86/decode_lanes.h"

static void product(const wr_product *job) {
    if (wr_is_floats(job->w->format))
        wr_avx512_floats_product(job);
    else
        wr_avx512_bytes_product(job);
}

const wr_kernels wr_kernels_avx512 = {
    .name = "avx512",
    .level = WR_CPU_AVX512,
    .decode = decode,
    .input_of = wr_scalar_input_of,
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
