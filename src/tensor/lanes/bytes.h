/*
 * Inputs as bytes and products of quantised weights, by level: each in a file of its own, as their
 * compilation takes long and needs its own flags.
 */
#ifndef WR_BYTES_H
#define WR_BYTES_H

#include "tensor/kernels.h"

/* Panel `i` of the matrix, packed into the scratch if it is not yet. */
static inline const uint8_t *wr_product_panel(const wr_product *job, const wr_panel *m, int64_t i) {
    const wr_matrix *w = job->w;
    if (w->panels != NULL) return (const uint8_t *)w->panels + (size_t)i * m->bytes;
    wr_panel_pack(w->format, w->data, w->rows, w->columns, i, job->scratch);
    return job->scratch;
}

/* Bytes that will be needed and are asked for a few lines at a time, while others are multiplied:
 * the processor does not guess them, as they come after a jump in memory or after a pause. */
typedef struct wr_ahead {
    const uint8_t *at; /* never read, so it may lead anywhere */
    int64_t lines;     /* at each of the steps */
} wr_ahead;

/* A part of `bytes`, which `steps` steps ask for together; none where there is nothing to ask. */
static inline wr_ahead wr_ahead_of(const uint8_t *at, size_t bytes, int64_t steps) {
    const int64_t lines = (int64_t)(bytes + 63) / 64;
    return (wr_ahead){at, at == NULL ? 0 : (lines + steps - 1) / steps};
}
static inline void wr_ahead_step(wr_ahead *ahead) {
    for (int64_t i = 0; i < ahead->lines; i++, ahead->at += 64)
        __builtin_prefetch(ahead->at, 0, 2); /* to the second level */
}

/* The panels behind [first, first + count), as many bytes as those have; NULL: none, or not packed.
 */
static inline const uint8_t *wr_product_behind(const wr_product *job, const wr_panel *m,
                                               int64_t first, int64_t count) {
    if (job->w->panels == NULL || first + count >= job->panel_end) return NULL;
    return (const uint8_t *)job->w->panels + (size_t)(first + count) * m->bytes;
}

/* Bytes or blocks. */
void wr_avx2_prepare_bytes(wr_input input, const float *x, int64_t columns, void *out);

void wr_avx2_bytes_product(const wr_product *job);
void wr_avx512_bytes_product(const wr_product *job);
void wr_vnni_bytes_product(const wr_product *job);
void wr_amx_bytes_product(const wr_product *job);
/* Of formats with blocks of 256 columns; false: left to others, as it is not worth while. */
bool wr_amx_blocks_product(const wr_product *job);

#endif
