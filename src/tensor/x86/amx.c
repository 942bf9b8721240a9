/*
 * The table for AMX: products of quantised and of BF16 weights; the rest is that of the level
 * below.
 */
#include "tensor/lanes/bytes.h"
#include "tensor/lanes/floats.h"
#include "tensor/scalar.h"

static wr_input input_of(wr_format format) {
    return format == WR_BF16 ? WR_INPUT_BF16 : wr_scalar_input_of(format);
}

static void prepare(wr_input input, const float *x, int64_t columns, void *out) {
    if (input == WR_INPUT_BF16)
        wr_amx_pairs_prepare(x, columns, out);
    else
        wr_kernels_get(WR_CPU_BF16)->prepare(input, x, columns, out);
}

static void product(const wr_product *job) {
    if (job->w->format == WR_BF16)
        wr_amx_pairs_product(job);
    else if (wr_is_floats(job->w->format))
        wr_avx512_floats_product(job);
    else
        wr_amx_bytes_product(job);
}

const wr_kernels wr_kernels_amx = {
    .name = "amx",
    .level = WR_CPU_AMX,
    .input_of = input_of,
    .prepare = prepare,
    .product = product,
};
