/*
 * What products in AMX tiles share: shapes of tiles, and the care that gcc 12 needs.
 */
#ifndef WR_TILE_SHAPES_H
#define WR_TILE_SHAPES_H

#include <immintrin.h>
#include <stdint.h>

#include "tensor/lanes/inline.h"

/* gcc 12's functions do not say that tiles read and write memory: this stands where what they read
 * has been written, and before what they wrote is read. */
INLINE void settle_memory(void) { __asm__ volatile("" ::: "memory"); }

/* What _tile_loadconfig reads. */
typedef struct tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

INLINE void load_shapes(const tile_shapes *shapes) {
    settle_memory();
    _tile_loadconfig(shapes);
}

#endif
