/* The peak of AVX-512 VNNI: 64 products of bytes, added to 16 sums, in one instruction. */
#include <immintrin.h>

#include "eval/machine_peak.h"

float wr_peak_avx512_bytes(void) {
    __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(-5), sums[WR_PEAK_CHAINS];
    /* unknown to the compiler, which could otherwise work the sum out beforehand */
    __asm__("" : "+v"(a), "+v"(b));
#pragma GCC unroll 12
    for (int c = 0; c < WR_PEAK_CHAINS; c++) sums[c] = _mm512_set1_epi32(c);
    for (int i = 0; i < WR_PEAK_ROUNDS; i++) {
#pragma GCC unroll 12
        for (int c = 0; c < WR_PEAK_CHAINS; c++) sums[c] = _mm512_dpbusd_epi32(sums[c], a, b);
    }
#pragma GCC unroll 12
    for (int c = 1; c < WR_PEAK_CHAINS; c++) sums[0] = _mm512_add_epi32(sums[0], sums[c]);
    return (float)_mm_cvtsi128_si32(_mm512_castsi512_si128(sums[0]));
}
