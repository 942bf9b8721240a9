/*
 * Products of quantised weights with AVX-512 VNNI: four products of bytes and their sum at once.
 *
 * VPDPBUSD takes unsigned by signed bytes, so codes carry an offset of 128 and sums start from
 * what undoes it.
 */
#include "tensor/lanes/bytes.h"
#include "tensor/x86/bytes_simd_avx512.h"

#define UNPACKED_OFFSET 128
#define SIGNED_WIDE 0
#define TILE_PANELS 2
#define TILE_INPUTS 6
#define DIRECT_INPUTS 8
#define DIRECT_BATCH 16
#define SIDE_BY_SIDE(KIND) 4
#define EACH_DIRECT(X, K, n, p) X(K, n, p, 1) X(K, n, p, 2) X(K, n, p, 4) X(K, n, p, 8)
#define EACH_UNPACKED(X, K, n, p)                                                                  \
    X(K, n, p, 1) X(K, n, p, 2) X(K, n, p, 3) X(K, n, p, 4) X(K, n, p, 5) X(K, n, p, 6)

#include <stdbool.h>

INLINE sums c_dot(sums sum, codes w, words x, bool wide) {
    (void)wide;
    return _mm512_dpbusd_epi32(sum, w, x);
}

#include "tensor/lanes/tiles_lanes.h"

void wr_vnni_bytes_product(const wr_product *job) { multiply_bytes(job); }
