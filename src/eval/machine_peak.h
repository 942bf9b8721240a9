/*
 * Loops that do nothing but compute, one per instruction set: more independent chains than two
 * units times four cycles of latency, so that the units are always busy.
 */
#ifndef WR_MACHINE_PEAK_H
#define WR_MACHINE_PEAK_H

enum {
    WR_PEAK_CHAINS = 12,
    WR_PEAK_ROUNDS = 100000 /* of one call: about a quarter of a millisecond */
};

/* Each returns a result, so that nothing is optimised away. */
float wr_peak_scalar(void);       /* 4 floats a chain and round: multiply, then add */
float wr_peak_avx2(void);         /* 8 floats, fused */
float wr_peak_avx512(void);       /* 16 floats, fused */
float wr_peak_avx512_bytes(void); /* 64 products of bytes, added up */
float wr_peak_amx_bytes(void);    /* 256: one of 64 products of tiles, 16 x 64 by 64 x 16 bytes */

#endif
