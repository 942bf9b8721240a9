/* The tables of products, for products.c alone. */
#ifndef WR_PRODUCTS_TABLES_H
#define WR_PRODUCTS_TABLES_H

#include "train/products.h"

extern const wr_products wr_products_bf16;
extern const wr_products wr_products_float32;

#endif
