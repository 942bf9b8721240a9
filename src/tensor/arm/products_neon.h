/*
 * Products with NEON, each in a file of its own, as in lanes/floats.h and lanes/bytes.h.
 */
#ifndef WR_PRODUCTS_NEON_H
#define WR_PRODUCTS_NEON_H

#include "tensor/lanes/bytes.h"

void wr_neon_floats_product(const wr_product *job);
void wr_neon_bytes_product(const wr_product *job);
void wr_dotprod_bytes_product(const wr_product *job);

#endif
