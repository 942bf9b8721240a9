/* The peak of AVX-512: fused multiply-adds of 16 floats. */
#include <immintrin.h>

#include "eval/machine_peak.h"

float wr_peak_avx512(void) {
    __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(1e-3f), sums[WR_PEAK_CHAINS];
#pragma GCC unroll 12
    for (int c = 0; c < WR_PEAK_CHAINS; c++) sums[c] = _mm512_set1_ps((float)c);
    for (int i = 0; i < WR_PEAK_ROUNDS; i++) {
#pragma GCC unroll 12
        for (int c = 0; c < WR_PEAK_CHAINS; c++) sums[c] = _mm512_fmadd_ps(sums[c], a, b);
    }
#pragma GCC unroll 12
    for (int c = 1; c < WR_PEAK_CHAINS; c++) sums[0] = _mm512_add_ps(sums[0], sums[c]);
    return _mm512_cvtss_f32(sums[0]);
}
