/* A row of floats in a format of few bits: see quantise.h. */
#include "tensor/quantise.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>

#define LARGEST 60000.0f /* what a half's scale must be able to hold, with some room */

static const struct {
    wr_format format;
    void (*quantise)(const float *x, uint8_t *out);
} rows[] = {
    {WR_Q4_0, wr_quantise_q4_0}, {WR_Q4_1, wr_quantise_q4_1}, {WR_Q5_0, wr_quantise_q5_0},
    {WR_Q5_1, wr_quantise_q5_1}, {WR_Q8_0, wr_quantise_q8_0}, {WR_Q2_K, wr_quantise_q2_k},
    {WR_Q3_K, wr_quantise_q3_k}, {WR_Q4_K, wr_quantise_q4_k}, {WR_Q5_K, wr_quantise_q5_k},
    {WR_Q6_K, wr_quantise_q6_k},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static int find(wr_format format) {
    int i = 0;
    while (i < ROWS && rows[i].format != format) i++;
    return i;
}

bool wr_format_quantises(wr_format format) {
    return find(format) < ROWS || wr_format_encodes(format);
}

static bool fits(const float *x, int32_t n) {
    for (int32_t i = 0; i < n; i++)
        if (!(fabsf(x[i]) < LARGEST)) return false;
    return true;
}

int64_t wr_format_quantise_row(wr_format format, const float *x, int64_t weights, void *out) {
    const wr_format_info *info = wr_format_find((uint32_t)format);
    const int row = find(format);
    uint8_t *to = out;
    assert(info != NULL && wr_format_quantises(format) && weights % info->block == 0);
    if (row == ROWS) return wr_format_encode_row(format, x, weights, out);
    for (int64_t i = 0; i < weights; i += info->block, to += info->bytes) {
        if (!fits(x + i, info->block)) return i;
        rows[row].quantise(x + i, to);
    }
    return -1;
}
