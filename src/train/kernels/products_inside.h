/*
 * The tables of products.
 */
#ifndef WR_PRODUCTS_INSIDE_H
#define WR_PRODUCTS_INSIDE_H

#include "train/kernels/products.h"

extern const wr_products wr_products_float32;
extern const wr_products wr_products_bf16;

#endif
