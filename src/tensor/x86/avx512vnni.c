/*
 * The table for AVX-512 VNNI: products of quantised weights; the rest is avx512's.
 */
#include "tensor/lanes/bytes.h"
#include "tensor/scalar.h"

static void product(const wr_product *job) {
    if (wr_scalar_input_of(job->w->format) == WR_INPUT_FLOATS)
        wr_kernels_avx512.product(job);
    else
        wr_vnni_bytes_product(job);
}

const wr_kernels wr_kernels_avx512vnni = {
    .name = "avx512vnni",
    .level = WR_CPU_VNNI,
    .product = product,
};
