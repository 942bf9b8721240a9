/* The peak of AMX: four independent products of tiles, again and again. */
#include <immintrin.h>
#include <stdint.h>

#include "eval/machine_peak.h"

/* What _tile_loadconfig reads. */
typedef struct tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

float wr_peak_amx_bytes(void) {
    static const int8_t bytes[16 * 64] = {3, -5, 7};
    int32_t sums[16 * 16];
    tile_shapes shapes = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        shapes.rows[i] = 16;
        shapes.row_bytes[i] = 64;
    }
    __asm__ volatile("" ::: "memory"); /* gcc 12 thinks that nobody reads the shapes */
    _tile_loadconfig(&shapes);
    _tile_loadd(4, bytes, 64);
    _tile_loadd(5, bytes, 64);
    _tile_loadd(6, bytes, 64);
    _tile_loadd(7, bytes, 64);
    for (int i = 0; i < WR_PEAK_CHAINS * WR_PEAK_ROUNDS / 64; i += 4) {
        _tile_dpbssd(0, 4, 6);
        _tile_dpbssd(1, 4, 7);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(3, 5, 7);
    }
    _tile_stored(0, sums, 64);
    _tile_release();
    __asm__ volatile("" ::: "memory");
    return (float)sums[0];
}
