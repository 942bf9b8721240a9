/* The peak of AVX2: fused multiply-adds of 8 floats. */
#include <immintrin.h>

#include "eval/machine_peak.h"

float wr_peak_avx2(void) {
    __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(1e-3f), sums[WR_PEAK_CHAINS];
#pragma GCC unroll 12
    for (int c = 0; c < WR_PEAK_CHAINS; c++) sums[c] = _mm256_set1_ps((float)c);
    for (int i = 0; i < WR_PEAK_ROUNDS; i++) {
#pragma GCC unroll 12
        for (int c = 0; c < WR_PEAK_CHAINS; c++) sums[c] = _mm256_fmadd_ps(sums[c], a, b);
    }
#pragma GCC unroll 12
    for (int c = 1; c < WR_PEAK_CHAINS; c++) sums[0] = _mm256_add_ps(sums[0], sums[c]);
    return _mm256_cvtss_f32(sums[0]);
}
