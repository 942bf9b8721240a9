/*
 * The table of kernels: one per CPU level, chosen once, never changed.
 *
 * The scalar table is complete and is the specification; a faster one may replace any member and
 * inherits the rest. Within one table the bits of a result depend on the numbers that enter it and
 * on nothing else: not on the batch, not on how rows are divided among threads, not on alignment.
 * So the order of every sum is fixed by the length of the row alone; in attention, by the places of
 * the keys in their pages.
 *
 * Between tables results may differ by rounding (a vector sums in lanes), except decode(),
 * prepare(), product() of quantised weights and the kv_ functions, whose bits are equal everywhere.
 */
#ifndef WR_KERNELS_H
#define WR_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cpu.h"
#include "tensor/format.h"
#include "tensor/kv.h"
#include "tensor/packed.h"

/* A weight matrix [rows, columns]: y = W x takes `columns` numbers to `rows`. Both borrowed. */
typedef struct wr_matrix {
    const void *data;   /* rows in GGUF's layout, often a mapped file; no alignment is promised */
    const void *panels; /* the same packed (packed.h), aligned to 64; NULL: packed as it is read */
    wr_format format;
    int64_t rows;
    int64_t columns;
} wr_matrix;

/*
 * What a product reads as its input, one row per token.
 *
 *   floats   the row as it is
 *   bytes    rounded to 8 bits by runs of 32: x = a * q, a = max|x| / 127, q to nearest (ties to
 *            even); then a, the sums of q, and what they contribute (wr_bytes below)
 *   blocks   the same by blocks of 256 (wr_blocks below)
 *   bf16     rounded to bfloat16 (to nearest, ties to even), zeros to the row's end
 *
 * Quantised weights take bytes, so their products are sums of integers, exact in any order: those
 * whose blocks have 32 columns take bytes, those of 256 columns take blocks, because in these the
 * scales of runs are integers too and the sum of a block can stay one. F32 and F16 take floats;
 * BF16 takes bf16 at a level with tiles of them, otherwise floats.
 */
typedef enum wr_input {
    WR_INPUT_FLOATS,
    WR_INPUT_BYTES,
    WR_INPUT_BLOCKS,
    WR_INPUT_BF16,
    WR_INPUTS
} wr_input;

/* Bytes of a row of input, a multiple of 64. */
size_t wr_input_bytes(wr_input input, int64_t columns);

/* Where the parts of a row of bytes lie, for `columns` a multiple of 32. */
typedef struct wr_bytes {
    int8_t *q;      /* [columns] */
    float *a;       /* [columns / 32] the scale; NaN where a number of the run is not finite; 0
                       where max|x| < 2^-100 */
    float *sum;     /* [columns / 32] a * (sum of q) */
    int32_t *start; /* [columns / 32] -128 * (sum of q): undoes the 128 in unsigned codes */
} wr_bytes;

/* `row` is written through what this returns only by who prepares it. */
static inline wr_bytes wr_bytes_of(const void *row, int64_t columns) {
    const int64_t runs = columns / 32;
    wr_bytes b = {.q = (int8_t *)(uintptr_t)row};
    b.a = (float *)(void *)(b.q + columns);
    b.sum = b.a + runs;
    b.start = (int32_t *)(void *)(b.sum + runs);
    return b;
}

/* The parts of a row of blocks, for `columns` a multiple of 256. Sums are of q. */
typedef struct wr_blocks {
    int8_t *q;           /* [columns] */
    uint16_t *digits;    /* [columns / 16][2] bfloat16: half_sum's lowest four bits, and the rest */
    float *a;            /* [columns / 256] as in wr_bytes */
    float *sum;          /* [columns / 32] */
    float *half_sum;     /* [columns / 16] */
    int32_t *start;      /* [columns / 32] -128 * sum */
    int32_t *half_start; /* [columns / 16] -128 * half_sum */
} wr_blocks;

static inline wr_blocks wr_blocks_of(const void *row, int64_t columns) {
    const int64_t runs = columns / 32;
    wr_blocks b = {.q = (int8_t *)(uintptr_t)row};
    b.digits = (uint16_t *)(void *)(b.q + columns);
    b.a = (float *)(void *)(b.digits + 4 * runs);
    b.sum = b.a + runs / 8;
    b.half_sum = b.sum + runs;
    b.start = (int32_t *)(void *)(b.half_sum + 2 * runs);
    b.half_start = b.start + runs;
    return b;
}

/*
 * Products of a run of panels with a batch of inputs: y[b * y_stride + r] = W[r] . x[b].
 *
 * Quantised weights, for every row by itself, beginning with acc = 0. With blocks of 32 columns,
 * whose codes are w, scale s and minimum m, for each block
 *
 *     acc = fma((float)(sum of w * q), s * a, acc)
 *     acc = fma(a * (sum of q), m, acc)              where the format has a minimum
 *
 * With blocks of 256 columns, whose runs of 32 (16 for Q2_K, Q3_K, Q6_K) have whole numbers for
 * scale and minimum, s and m, and the block a factor for each, d and dmin, for each block
 *
 *     value = d * (float)(sum over the runs of s * (sum of w * q))
 *     value = fma(-dmin, (float)(sum over the runs of m * (sum of q)), value)     if it has minima
 *     acc = fma(value, a, acc)
 *
 * with one rounding in each product, (float) and fma: the same bits at every level, for any batch
 * and any division of the panels. Floats: acc = fma(w, x, acc) column by column.
 */
typedef struct wr_product {
    const wr_matrix *w;
    int64_t panel_begin, panel_end; /* of wr_panel_count(w->rows) */
    const void *x;                  /* [batch] rows of the input that w's format takes */
    size_t x_stride;                /* bytes; a multiple of 64 but for floats */
    int64_t batch;                  /* >= 1 */
    float *y;
    int64_t y_stride; /* floats */
    void *scratch;    /* wr_product_scratch(columns) bytes aligned to 64, one worker's own */
} wr_product;

size_t wr_product_scratch(int64_t columns);

/* Row b of the job's input. */
static inline const void *wr_product_input(const wr_product *job, int64_t b) {
    return (const uint8_t *)job->x + (size_t)b * job->x_stride;
}

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
    size_t head_stride;  /* bytes from a KV head to the next; not read where there is one */
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
    float *scores;             /* NULL, or [heads, keys]: receives s_j of every key, in order */
    wr_kv_span pinned;
    wr_kv_span recent;
    int32_t pinned_at, recent_at; /* the query's own number in each; not read without slopes */
} wr_attention_token;

/*
 * Attention of a tile of tokens for query heads that share one KV head (grouped queries), or of one
 * token for those of several KV heads, whose pages are then read in the order of memory.
 *
 *   s_j = cap(scale * (q . k_j)) - slope * distance,   cap(s) = c tanh(s / c) where there is a cap
 * c out = sum_j exp(s_j - m) v_j / (exp(z - m) + sum_j exp(s_j - m))
 *
 * q is query_pinned for pinned keys, query_recent for recent ones. The distance of key number n is
 * pinned_at - n or recent_at - n, the slope is slope[head] (Press et al., "Train Short, Test Long",
 * ICLR 2022, section 3); without slopes there is no such term. m is the maximum, z included; z =
 * sink_logit[head], or no such term when sink_logit is NULL (STREAMING.md, "Sink variants of
 * softmax"; the observed scores are those of keys only, so whoever makes weights of them adds
 * exp(z) himself).
 *
 * Online over pages: pinned ones first, then recent ones, each in order. What a token gets has the
 * same bits whatever tokens and heads share its job: every sum has one order (kernels, below).
 * Places that no token sees are never part of a result.
 */
typedef struct wr_attention {
    const wr_attention_token *tokens;
    int32_t token_count; /* 1 ... wr_attention_tile(heads) */
    int32_t heads;       /* query heads, >= 1 */
    int32_t kv_heads;    /* that they share, each as many; 0: one. Several: for one token alone */
    int32_t key_dim;
    int32_t value_dim;
    float scale;
    float cap;               /* c (Gemma 2's soft-cap); 0: none */
    const float *sink_logit; /* [heads] or NULL */
    const float *slope;      /* [heads] or NULL */
    wr_kv_sequence pinned;   /* of the first KV head */
    wr_kv_sequence recent;
    const uint8_t *next; /* NULL, or what is read after this job: asked for, never read */
    float *scratch;      /* wr_attention_scratch() floats, one worker's own */
} wr_attention;

/* Tokens that a job for `heads` heads takes at most: enough that reading and converting a page is
 * shared, and so few that what they carry stays in the second cache. */
int32_t wr_attention_tile(int32_t heads);
/* Floats of scratch for jobs of up to wr_attention_tile(heads) tokens. */
int64_t wr_attention_scratch(int32_t heads, int32_t key_dim, int32_t value_dim);

typedef struct wr_kernels {
    const char *name;
    wr_cpu_level level;
    bool reads_panels; /* product() runs from panels; otherwise packing them would be in vain */

    /* out[0 .. weights) from blocks. The same bits at every level. */
    void (*decode)(wr_format format, const void *blocks, float *out, int64_t weights);

    /* The input that products with a format take. */
    wr_input (*input_of)(wr_format format);
    /* One row [columns] to what `input` says (not floats), wr_input_bytes() at `out`. */
    void (*prepare)(wr_input input, const float *x, int64_t columns, void *out);
    void (*product)(const wr_product *job);

    /* y = x / sqrt(mean(x^2) + epsilon) * weight; y may be x. */
    void (*rms_norm)(float *y, const float *x, const float *weight, int64_t n, float epsilon);
    /* y = (x - mean) / sqrt(variance + epsilon) * weight + bias (bias may be NULL); y may be x. */
    void (*layer_norm)(float *y, const float *x, const float *weight, const float *bias, int64_t n,
                       float epsilon);

    void (*add)(float *y, const float *x, int64_t n);      /* y += x */
    void (*multiply)(float *y, const float *x, int64_t n); /* y *= x */
    void (*scale)(float *y, float factor, int64_t n);      /* y *= factor */
    void (*silu)(float *y, const float *x, int64_t n);     /* y = x / (1 + exp(-x)); y may be x */
    /* y = x P(a normal number is below x); y may be x. gelu_tanh: the approximation by tanh. */
    void (*gelu)(float *y, const float *x, int64_t n);
    void (*gelu_tanh)(float *y, const float *x, int64_t n);

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
