/*
 * The table for AMX: products of quantised weights; the rest is that of the level below.
 */
#include "tensor/scalar.h"
#include "tensor/x86/bytes.h"

static void product(const wr_product *job) {
    if (wr_scalar_input_of(job->w->format) == WR_INPUT_FLOATS)
        wr_kernels_get(WR_CPU_BF16)->product(job);
    else
        wr_amx_bytes_product(job);
}

const wr_kernels wr_kernels_amx = {
    .name = "amx",
    .level = WR_CPU_AMX,
    .product = product,
};
