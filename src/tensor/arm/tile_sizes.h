/*
 * How large the tiles of integer products are with NEON's 32 registers: see lanes/tiles_lanes.h.
 */
#ifndef WR_TILE_SIZES_H
#define WR_TILE_SIZES_H

#define UNPACKED_OFFSET 32
#define SIGNED_WIDE 1
#define TILE_PANELS 2
#define TILE_INPUTS 2
#define DIRECT_INPUTS 2
#define DIRECT_BATCH 2
#define SIDE_BY_SIDE(KIND) 1
#define EACH_DIRECT(X, K, n, p) X(K, n, p, 1) X(K, n, p, 2)
#define EACH_UNPACKED EACH_DIRECT

#endif
