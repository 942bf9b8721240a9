/*
 * The table of kernels: one per CPU level, chosen once, never changed.
 *
 * The scalar table is complete and is the specification; a faster one may replace any member and
 * inherits the rest. Within one table the bits of a result depend on the numbers that enter it and
 * on nothing else: not on the batch, not on how rows are divided among threads, not on alignment.
 * So the order of every sum is fixed by the length of the row alone; in attention, by the places of
 * the keys in their pages.
 *
 * Between tables results may differ by rounding (a vector sums in lanes), except decode() and
 * the kv_ functions, whose bits are equal everywhere.
 */
#ifndef WR_KERNELS_H
#define WR_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cpu.h"
#include "tensor/format.h"
#include "tensor/kv.h"

/* A weight matrix [rows, columns]: y = W x takes `columns` numbers to `rows`. Borrowed bytes (often
 * a mapped file; rows are contiguous; no alignment is promised). */
typedef struct wr_matrix {
    const void *data;
    wr_format format;
    int64_t rows;
    int64_t columns;
} wr_matrix;

/* Floats of scratch that one worker needs for wr_kernels.matmul on a matrix with `columns`. */
int64_t wr_matmul_scratch(int64_t columns);

/* The natural grain of matmul: divide rows among threads in multiples of this. */
#define WR_MATMUL_GRAIN 16

typedef enum wr_rotary_pairing {
    WR_ROTARY_ADJACENT, /* element 2i with 2i+1 (Llama in GGUF) */
    WR_ROTARY_HALVES    /* element i with i + n/2 (NeoX, Falcon, Qwen) */
} wr_rotary_pairing;

/* Keys and values of consecutive tokens, 32 to a page: number i of the sequence is place i % 32 of
 * page i / 32. The caller makes sequences from pages aligned to stream index, so where a page
 * begins depends on the stream alone. */
typedef struct wr_kv_sequence {
    const uint8_t *const *pages;
    wr_kv_type type;
    size_t key_offset;   /* bytes from a page's start to the keys of this layer and KV head */
    size_t value_offset; /* the same for the values */
} wr_kv_sequence;

/* Numbers [begin, end) of a sequence. */
typedef struct wr_kv_span {
    int32_t begin;
    int32_t end;
} wr_kv_span;

/* One token's queries, for the heads of a job, and what it may see: at least one key. */
typedef struct wr_attention_token {
    const float *query_pinned; /* [heads, key_dim], rotated at c(t); not read without pinned keys */
    const float *query_recent; /* [heads, key_dim], rotated at t */
    float *out;                /* [heads, value_dim] */
    float *scores; /* NULL, or [heads, keys]: receives scale * q.k for every key, in order */
    wr_kv_span pinned;
    wr_kv_span recent;
} wr_attention_token;

/*
 * Attention of a tile of tokens for query heads that share one KV head (grouped queries).
 *
 *   s_j = scale * (q . k_j)      q is query_pinned for pinned keys, query_recent for recent ones
 *   out = sum_j exp(s_j - m) v_j / (exp(z - m) + sum_j exp(s_j - m))
 *
 * m the maximum, z included; z = sink_logit[head], or no such term when sink_logit is NULL
 * (STREAMING.md, "Sink variants of softmax"; the observed scores are those of keys only, so
 * whoever makes weights of them adds exp(z) himself).
 *
 * Online over pages: pinned ones first, then recent ones, each in order. What a token gets has the
 * same bits whatever tokens and heads share its job: every sum has one order (kernels, below).
 * Places that no token sees are never part of a result.
 */
typedef struct wr_attention {
    const wr_attention_token *tokens;
    int32_t token_count; /* 1 ... wr_attention_tile(heads) */
    int32_t heads;       /* query heads, >= 1 */
    int32_t key_dim;
    int32_t value_dim;
    float scale;
    const float *sink_logit; /* [heads] or NULL */
    wr_kv_sequence pinned;
    wr_kv_sequence recent;
    float *scratch; /* wr_attention_scratch() floats, one worker's own */
} wr_attention;

/* Tokens that a job for `heads` heads takes at most: enough that reading and converting a page is
 * shared, and so few that what they carry stays in the second cache. */
int32_t wr_attention_tile(int32_t heads);
/* Floats of scratch for jobs of up to wr_attention_tile(heads) tokens. */
int64_t wr_attention_scratch(int32_t heads, int32_t key_dim, int32_t value_dim);

typedef struct wr_kernels {
    const char *name;
    wr_cpu_level level;

    /* out[0 .. weights) from blocks. The same bits at every level. */
    void (*decode)(wr_format format, const void *blocks, float *out, int64_t weights);

    /* Dot product of a weight row with x in float32 (weights decoded exactly). */
    float (*dot)(wr_format format, const void *blocks, const float *x, int64_t weights);

    /* y[b * y_stride + r] = W[r] . x[b * x_stride ...] for rows r in [row_begin, row_end) and
     * b in [0, batch). scratch: wr_matmul_scratch(columns) floats, one worker's own. Bits equal
     * dot()'s whatever the batch and the division of rows. */
    void (*matmul)(const wr_matrix *w, int64_t row_begin, int64_t row_end, const float *x,
                   int64_t x_stride, int64_t batch, float *y, int64_t y_stride, float *scratch);

    /* y = x / sqrt(mean(x^2) + epsilon) * weight; y may be x. */
    void (*rms_norm)(float *y, const float *x, const float *weight, int64_t n, float epsilon);
    /* y = (x - mean) / sqrt(variance + epsilon) * weight + bias (bias may be NULL); y may be x. */
    void (*layer_norm)(float *y, const float *x, const float *weight, const float *bias, int64_t n,
                       float epsilon);

    void (*add)(float *y, const float *x, int64_t n);      /* y += x */
    void (*multiply)(float *y, const float *x, int64_t n); /* y *= x */
    void (*scale)(float *y, float factor, int64_t n);      /* y *= factor */
    void (*silu)(float *y, const float *x, int64_t n);     /* y = x / (1 + exp(-x)); y may be x */
    void (*gelu)(float *y, const float *x, int64_t n);     /* tanh form; y may be x */

    /* In place: x = exp(x - max) / sum. */
    void (*softmax)(float *x, int64_t n);
    /* log(sum(exp(x))) in double precision. */
    double (*log_sum_exp)(const float *x, int64_t n);

    /* Rotate the first rotary_dim elements of each of `heads` rows of `dim` (stride dim), out of
     * place or in place. cos_sin: [rotary_dim / 2][2], cosine and sine of each pair's angle:
     * (a, b) -> (a cos - b sin, a sin + b cos). The other elements are copied. */
    void (*rotate)(float *y, const float *x, const float *cos_sin, int32_t heads, int32_t dim,
                   int32_t rotary_dim, wr_rotary_pairing pairing);

    /* One value row of a cache page, and back; the key at `place` of a page's keys, and back. The
     * same bits at every level. */
    void (*kv_write)(wr_kv_type type, void *row, const float *x, int32_t dim);
    void (*kv_read)(wr_kv_type type, const void *row, float *x, int32_t dim);
    void (*kv_write_key)(wr_kv_type type, void *keys, int32_t place, const float *x, int32_t dim);
    void (*kv_read_key)(wr_kv_type type, const void *keys, int32_t place, float *x, int32_t dim);

    void (*attend)(const wr_attention *job);
} wr_kernels;

/* The table for a level; levels that this build lacks give the best one below. */
const wr_kernels *wr_kernels_get(wr_cpu_level level);

#endif
