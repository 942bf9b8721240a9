/*
 * The tables for NEON, without and with dot products: products; the rest is that of the scalar one.
 */
#include "tensor/arm/products_neon.h"
#include "tensor/lanes/floats.h"
#include "tensor/scalar.h"

static void product(const wr_product *job) {
    if (wr_is_floats(job->w->format))
        wr_neon_floats_product(job);
    else
        wr_neon_bytes_product(job);
}

static void dotprod_product(const wr_product *job) {
    if (wr_is_floats(job->w->format))
        wr_neon_floats_product(job);
    else
        wr_dotprod_bytes_product(job);
}

const wr_kernels wr_kernels_neon = {
    .name = "neon",
    .level = WR_CPU_NEON,
    .reads_panels = true,
    .product = product,
};

const wr_kernels wr_kernels_dotprod = {
    .name = "neon-dotprod",
    .level = WR_CPU_DOTPROD,
    .product = dotprod_product,
};
