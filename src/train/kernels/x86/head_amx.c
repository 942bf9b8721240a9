/*
 * Head and cross entropy of a block of tokens, PART of the vocabulary at a time: once for the sums
 * of exponentials, and once more for the gradients, whose tiles are the left side of dx and,
 * turned, of dW. Scores are in base 2.
 */
#include "train/kernels/x86/head_amx.h"

#include <math.h>
#include <string.h>

#include "train/kernels/x86/bf16_tiles_lanes.h"
#include "train/kernels/x86/tiles.h"

enum { TOKENS = WR_TILE_SIDE, PART = 256 };

/* One worker's scratch. */
typedef struct room {
    uint8_t *x;       /* left, [block, width] */
    uint8_t *changes; /* left, [TOKENS, PART] */
    float *logits;    /* [TOKENS, PART] */
    float *max, *sum; /* [block] of the exponentials so far; then max is log2 of all */
    float *target;    /* [block] its logit */
} room;

static size_t lay_out(room *r, int64_t width, int64_t block, void *scratch) {
    uint8_t *at = scratch;
    r->x = tiles_take(&at, wr_tiles_bytes(block, width));
    r->changes = tiles_take(&at, wr_tiles_bytes(TOKENS, PART));
    r->logits = tiles_take(&at, sizeof(float) * TOKENS * PART);
    r->max = tiles_take(&at, sizeof(float) * (size_t)block);
    r->sum = tiles_take(&at, sizeof(float) * (size_t)block);
    r->target = tiles_take(&at, sizeof(float) * (size_t)block);
    return (size_t)(at - (uint8_t *)scratch);
}

size_t wr_amx_head_scratch(int64_t width, int64_t block) {
    static uint8_t nothing[64];
    room r;
    return lay_out(&r, width, block, nothing);
}

/* TOKENS tokens from `token` of a block that begins at `first`; pieces [piece, piece + count) of
 * the vocabulary. */
typedef struct part {
    const wr_head_job *job;
    const room *r;
    int64_t first, token, tokens;
    int64_t piece, count;
} part;

static void multiply(const part *p) {
    const int64_t width = p->job->width;
    const size_t panel = wr_tiles_bytes(TOKENS, width) / 2;
    wr_tiles_multiply(
        &(wr_tiles_product){.left = p->r->x + (size_t)(p->token / 16) * panel,
                            .right = p->job->forward + (size_t)(p->piece / 16) * panel,
                            .k = width,
                            .m = TOKENS,
                            .n = p->count,
                            .c = p->r->logits,
                            .stride = PART});
}

/* ---- sums ------------------------------------------------------------------------------------ */

/* Logits [j, j + 16) of a row in base 2; `none` beyond the vocabulary. */
INLINE vec scores_at(const part *p, int64_t row, int64_t j, vec none) {
    const int64_t left = p->count - j;
    const vec s = v_mul(v_load(p->r->logits + row * PART + j), v_all(LOG2_OF_E));
    return left >= LANES ? s : _mm512_mask_mov_ps(none, first_lanes(left), s);
}

static void sum_part(const part *p) {
    const room *r = p->r;
    const vec none = v_all(-INFINITY);
    for (int64_t i = 0; i < p->tokens; i++) {
        const int64_t at = p->token + i, target = p->job->targets[p->first + at] - p->piece;
        if (target >= 0 && target < p->count) r->target[at] = r->logits[i * PART + target];
        vec best = none, sum = v_zero();
        for (int64_t j = 0; j < p->count; j += LANES) best = v_max(scores_at(p, i, j, none), best);
        const float max = fmaxf(r->max[at], v_largest(best));
        for (int64_t j = 0; j < p->count; j += LANES)
            sum = v_add(sum, v_exp2(v_sub(scores_at(p, i, j, none), v_all(max))));
        r->sum[at] = r->sum[at] * exp2f(r->max[at] - max) + v_sum(sum);
        r->max[at] = max;
    }
}

/* nll; and max becomes log2 of the sum of exponentials, infinite where nothing is scored. */
static void finish_sums(const part *p, int64_t tokens) {
    const room *r = p->r;
    for (int64_t i = 0; i < tokens; i++) {
        const bool scored = p->job->targets[p->first + i] >= 0;
        r->max[i] += log2f(r->sum[i]);
        p->job->nll[p->first + i] = scored ? r->max[i] * LN_OF_2 - r->target[i] : 0;
        if (!scored) r->max[i] = INFINITY;
    }
}

/* ---- gradients ------------------------------------------------------------------------------- */

INLINE uint8_t *change_at(const room *r, int64_t i, int64_t j) {
    const size_t panel = wr_tiles_bytes(TOKENS, PART) / 2;
    return r->changes + (size_t)(i / 16) * panel + (size_t)(j / 32) * WR_TILE_BYTES +
           (size_t)(i % 16) * 64 + (size_t)(j % 32) * 2;
}

/* softmax - [target] of 16 columns from j on, of all tokens. */
static void change_columns(const part *p, int64_t j) {
    const wr_head_job *job = p->job;
    const room *r = p->r;
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i column = _mm512_add_epi32(lane, _mm512_set1_epi32((int)(p->piece + j)));
    const vec none = v_all(-INFINITY);
    vec turned[LANES];
    for (int pair = 0; pair < LANES; pair++) {
        vec change[2];
        UNROLLED for (int half = 0; half < 2; half++) {
            const int64_t i = 2 * pair + half, at = p->token + i;
            change[half] = v_zero();
            if (i < p->tokens && j < p->count) {
                const int target = job->targets[p->first + at];
                const __mmask16 is = _mm512_cmpeq_epi32_mask(column, _mm512_set1_epi32(target));
                const vec weight = v_exp2(v_sub(scores_at(p, i, j, none), v_all(r->max[at])));
                change[half] = _mm512_mask_sub_ps(weight, is, weight, v_all(1));
            }
            _mm256_storeu_si256((__m256i *)(void *)change_at(r, i, j),
                                (__m256i)_mm512_cvtneps_pbh(change[half]));
        }
        turned[pair] = tiles_pair(change[1], change[0]);
    }
    const int64_t tiles = (job->n + TOKENS - 1) / TOKENS;
    const int64_t panel = (p->piece + j) / 16, tile = (p->first + p->token) / TOKENS;
    uint8_t *to = job->logits_left + (size_t)(panel * tiles + tile) * WR_TILE_BYTES;
    v_transpose(turned);
    UNROLLED_16 for (int i = 0; i < LANES; i++) v_store(to + i * 64, turned[i]);
}

static void change_part(const part *p) {
    const wr_head_job *job = p->job;
    const int64_t padded = (p->count + 31) / 32 * 32;
    for (int64_t j = 0; j < padded; j += LANES) change_columns(p, j);
    const size_t tile = (size_t)(p->piece / 32) * WR_TILE_BYTES;
    wr_tiles_multiply(&(wr_tiles_product){.left = p->r->changes,
                                          .left_room = PART,
                                          .right = job->inputs + tile,
                                          .right_room = job->vocabulary,
                                          .k = p->count,
                                          .m = p->tokens,
                                          .n = job->width,
                                          .c = job->dx + (p->first + p->token) * job->width,
                                          .stride = job->width,
                                          .add = p->piece > 0});
}

/* ---- blocks ---------------------------------------------------------------------------------- */

/* `each` for every part of the vocabulary and TOKENS tokens of a block. */
static void for_each_part(part p, int64_t tokens, void (*each)(const part *)) {
    for (p.piece = 0; p.piece < p.job->vocabulary; p.piece += PART) {
        const int64_t left = p.job->vocabulary - p.piece;
        p.count = left < PART ? left : PART;
        for (p.token = 0; p.token < tokens; p.token += TOKENS) {
            p.tokens = tokens - p.token < TOKENS ? tokens - p.token : TOKENS;
            multiply(&p);
            each(&p);
        }
    }
}

static void compute_block(const wr_head_job *job, const room *r, int64_t first) {
    const int64_t tokens = job->n - first < job->block ? job->n - first : job->block;
    const int64_t width = job->width, tiles = (tokens + 31) / 32;
    const part p = {.job = job, .r = r, .first = first};
    wr_tiles_source x = {job->x + first * width, width, tokens, width, 0};
    wr_tiles_pack(WR_TILES_LEFT, &x, 0, 2 * tiles, r->x);
    for (int64_t i = 0; i < tokens; i++) r->max[i] = -INFINITY;
    memset(r->sum, 0, (size_t)tokens * sizeof(float));
    for_each_part(p, tokens, sum_part);
    finish_sums(&p, tokens);
    if (job->dx == NULL) return;
    x.room = job->n;
    wr_tiles_pack(WR_TILES_RIGHT, &x, 0, (width + 31) / 32 * 2,
                  job->x_right + (size_t)(first / TOKENS) * WR_TILE_BYTES);
    for_each_part(p, tokens, change_part);
}

void wr_amx_head(void *context, int64_t begin, int64_t end, int worker) {
    const wr_head_job *job = context;
    room r;
    lay_out(&r, job->width, job->block, job->scratch + (size_t)worker * job->scratch_size);
    wr_tiles_begin();
    for (int64_t i = begin; i < end; i++) compute_block(job, &r, i * job->block);
    _mm_sfence();
    wr_tiles_end();
}
