/*
 * The feed-forward block in tiles of bfloat16, WR_TILE_SIDE tokens at a time from one end to the
 * other: norm, gate and up, silu(gate) * up, down; so that only what backward needs ever leaves the
 * caches: gate and up, as bfloat16, in the order in which they are read again.
 *
 * Backward leaves both sides of the products that give dW as tiles, and those products follow when
 * all tokens have passed:
 *
 *     dW_gates += dgated^T normed        dW_down += dy^T hidden
 */
#include "train/kernels/x86/feed_amx.h"

#include "train/kernels/x86/bf16_tiles_lanes.h"
#include "train/kernels/x86/tiles.h"

enum {
    TOKENS = WR_TILE_SIDE,
    CHUNK = 128,                         /* of hidden numbers at a time */
    GROUP = 32,                          /* of them in the tiles of a left side */
    GROUP_BYTES = TOKENS * 2 * GROUP * 2 /* gate and up of a group, all tokens */
};

/* One worker's scratch. */
typedef struct room {
    float *normed, *change; /* [TOKENS, width] */
    float *a, *b;           /* [TOKENS, CHUNK] */
    uint8_t *input;         /* left, [TOKENS, width] */
    uint8_t *hidden;        /* left, [TOKENS, hidden] */
    uint8_t *gated;         /* left, [TOKENS, 2 hidden]: changes of gate and up */
} room;

static size_t lay_out(room *r, int64_t width, int64_t hidden, void *scratch) {
    uint8_t *at = scratch;
    r->normed = tiles_take(&at, sizeof(float) * (size_t)(TOKENS * width));
    r->change = tiles_take(&at, sizeof(float) * (size_t)(TOKENS * width));
    r->a = tiles_take(&at, sizeof(float) * TOKENS * CHUNK);
    r->b = tiles_take(&at, sizeof(float) * TOKENS * CHUNK);
    r->input = tiles_take(&at, wr_tiles_bytes(TOKENS, width));
    r->hidden = tiles_take(&at, wr_tiles_bytes(TOKENS, hidden));
    r->gated = tiles_take(&at, wr_tiles_bytes(TOKENS, 2 * hidden));
    return (size_t)(at - (uint8_t *)scratch);
}

size_t wr_amx_feed_scratch(int64_t width, int64_t hidden) {
    static uint8_t nothing[64];
    room r;
    return lay_out(&r, width, hidden, nothing);
}

bool wr_amx_feed_fits(int64_t hidden) { return hidden % GROUP == 0; }

size_t wr_amx_feed_kept(int64_t n, int64_t hidden) {
    return (size_t)((n + TOKENS - 1) / TOKENS) * (size_t)(hidden / GROUP) * GROUP_BYTES;
}

/* ---- what both ways share -------------------------------------------------------------------- */

/* Tokens first ... first + count - 1 of the batch, which are `at` rows into some. */
typedef struct part {
    const wr_feed_job *job;
    const wr_feed_rows *rows;
    room r;
    int64_t first, at, count;
} part;

static part part_of(const wr_feed_job *job, const wr_feed_rows *rows, int64_t at) {
    part p = {.job = job, .rows = rows, .first = rows->first + at, .at = at};
    p.count = rows->count - at < TOKENS ? rows->count - at : TOKENS;
    lay_out(&p.r, job->width, job->hidden, job->scratch + (size_t)rows->worker * job->scratch_size);
    return p;
}

/* Gate and up of token i and hidden numbers d ..., a multiple of GROUP: 32 gates, then 32 ups. */
INLINE uint8_t *kept_at(const part *p, int64_t i, int64_t d) {
    const int64_t groups = p->job->hidden / GROUP;
    return p->job->kept + (size_t)(p->first / TOKENS * groups + d / GROUP) * GROUP_BYTES +
           (size_t)i * 2 * GROUP * 2;
}

/* Where number d of token i lies in a left side with room for `numbers`. */
INLINE uint8_t *left_at(uint8_t *left, int64_t numbers, int64_t i, int64_t d) {
    const size_t panel = wr_tiles_bytes(TOKENS, numbers) / 2;
    return left + (size_t)(i / 16) * panel + (size_t)(d / 32) * WR_TILE_BYTES +
           (size_t)(i % 16) * 64 + (size_t)(d % 32) * 2;
}

/* Columns from `column` on, a multiple of 16, of a right side of k numbers. */
static const uint8_t *columns_of(const uint8_t *right, int64_t column, int64_t k) {
    return right + (size_t)(column / 16) * (wr_tiles_bytes(TOKENS, k) / 2);
}

/* 1 / (1 + exp(-g)) */
INLINE vec sigmoid(vec g) {
    const vec d = v_add(v_all(1), v_exp2(v_min(v_all(120), v_mul(g, v_all(-LOG2_OF_E)))));
    const vec near = _mm512_rcp14_ps(d);
    return v_mul(near, v_sub(v_all(2), v_mul(d, near)));
}

/* ---- forward --------------------------------------------------------------------------------- */

/* Hidden numbers d ... d + 31 of all tokens: of a and b at `from`. */
static void gate_group(const part *p, int64_t d, int64_t from) {
    const room *r = &p->r;
    for (int64_t i = 0; i < TOKENS; i++) {
        const float *gate = r->a + i * CHUNK + from, *up = r->b + i * CHUNK + from;
        const vec g0 = v_load(gate), g1 = v_load(gate + LANES);
        const vec u0 = v_load(up), u1 = v_load(up + LANES);
        uint8_t *kept = kept_at(p, i, d);
        _mm512_stream_si512((__m512i *)(void *)kept, _mm512_castps_si512(tiles_words(g1, g0)));
        _mm512_stream_si512((__m512i *)(void *)(kept + 64),
                            _mm512_castps_si512(tiles_words(u1, u0)));
        const vec h0 = v_mul(v_mul(g0, sigmoid(g0)), u0);
        const vec h1 = v_mul(v_mul(g1, sigmoid(g1)), u1);
        v_store(left_at(r->hidden, p->job->hidden, i, d), tiles_words(h1, h0));
    }
}

static void forward(const part *p) {
    const wr_feed_job *job = p->job;
    const room *r = &p->r;
    const int64_t width = job->width, hidden = job->hidden, at = p->at * width;
    wr_norm_job norm = p->rows->norm;
    norm.x += at;
    norm.sum += at;
    norm.added += at;
    norm.y = r->normed;
    norm.r += p->at;
    p->rows->run_norm(&norm, 0, p->count, p->rows->worker);
    const wr_tiles_source normed = {r->normed, width, p->count, width, 0};
    wr_tiles_pack(WR_TILES_LEFT, &normed, 0, 2, r->input);
    wr_tiles_product product = {
        .left = r->input, .k = width, .m = TOKENS, .n = CHUNK, .stride = CHUNK};
    for (int64_t d = 0; d < hidden; d += CHUNK) {
        if (hidden - d < CHUNK) product.n = hidden - d;
        product.right = columns_of(job->gates_forward, d, width);
        product.c = r->a;
        wr_tiles_multiply(&product);
        product.right = columns_of(job->gates_forward, hidden + d, width);
        product.c = r->b;
        wr_tiles_multiply(&product);
        for (int64_t from = 0; from < product.n; from += GROUP) gate_group(p, d + from, from);
    }
    wr_tiles_multiply(&(wr_tiles_product){.left = r->hidden,
                                          .right = job->down_forward,
                                          .k = hidden,
                                          .m = p->count,
                                          .n = width,
                                          .c = p->rows->out + at,
                                          .stride = width});
}

void wr_amx_feed_forward(const wr_feed_job *job, const wr_feed_rows *rows) {
    wr_tiles_begin();
    for (int64_t at = 0; at < rows->count; at += TOKENS) {
        const part p = part_of(job, rows, at);
        forward(&p);
    }
    _mm_sfence();
    wr_tiles_end();
}

/* ---- backward -------------------------------------------------------------------------------- */

/* Panel `panel` of an operand of dW, its tile of these tokens. */
INLINE uint8_t *operand_at(const part *p, uint8_t *operand, int64_t panel) {
    const int64_t tiles = (p->job->n + TOKENS - 1) / TOKENS;
    return operand + (size_t)(panel * tiles + p->first / TOKENS) * WR_TILE_BYTES;
}

INLINE void store_tile(uint8_t *to, const vec tile[LANES]) {
    UNROLLED_16 for (int i = 0; i < LANES; i++) v_store(to + i * 64, tile[i]);
}

/* Hidden numbers d ... d + 15, from the changes of hidden in `a` at `from`:
 *     dup = dhidden gate s    dgate = dhidden up s (1 + gate (1 - s)) */
static void change_group(const part *p, int64_t d, int64_t from) {
    const wr_feed_job *job = p->job;
    const room *r = &p->r;
    vec hidden[LANES], dgate[LANES], dup[LANES];
    for (int pair = 0; pair < LANES; pair++) {
        vec h[2], dg[2], du[2];
        UNROLLED for (int half = 0; half < 2; half++) {
            const int64_t i = 2 * pair + half;
            const uint8_t *kept = kept_at(p, i, d) + (size_t)(d % GROUP) * 2;
            const vec g = v_load_bf16(kept), u = v_load_bf16(kept + 2 * GROUP);
            const vec s = sigmoid(g), silu = v_mul(g, s);
            const vec dh = v_load(r->a + i * CHUNK + from);
            h[half] = v_mul(silu, u);
            du[half] = v_mul(dh, silu);
            dg[half] = v_mul(v_mul(dh, u), v_add(s, v_sub(silu, v_mul(silu, s))));
            _mm256_storeu_si256((__m256i *)(void *)left_at(r->gated, 2 * job->hidden, i, d),
                                (__m256i)_mm512_cvtneps_pbh(dg[half]));
            _mm256_storeu_si256(
                (__m256i *)(void *)left_at(r->gated, 2 * job->hidden, i, job->hidden + d),
                (__m256i)_mm512_cvtneps_pbh(du[half]));
        }
        hidden[pair] = tiles_pair(h[1], h[0]);
        dgate[pair] = tiles_pair(dg[1], dg[0]);
        dup[pair] = tiles_pair(du[1], du[0]);
    }
    store_tile(operand_at(p, job->hidden_right, d / 16), hidden);
    v_transpose(dgate);
    store_tile(operand_at(p, job->gated_left, d / 16), dgate);
    v_transpose(dup);
    store_tile(operand_at(p, job->gated_left, (job->hidden + d) / 16), dup);
}

static void change_hidden(const part *p) {
    const wr_feed_job *job = p->job;
    const room *r = &p->r;
    wr_tiles_product product = {
        .left = r->input, .k = job->width, .m = TOKENS, .n = CHUNK, .c = r->a, .stride = CHUNK};
    for (int64_t d = 0; d < job->hidden; d += CHUNK) {
        if (job->hidden - d < CHUNK) product.n = job->hidden - d;
        product.right = columns_of(job->down_inputs, d, job->width);
        wr_tiles_multiply(&product);
        for (int64_t from = 0; from < product.n; from += 16) change_group(p, d + from, from);
    }
}

static void backward(const part *p) {
    const wr_feed_job *job = p->job;
    const room *r = &p->r;
    const int64_t width = job->width, at = p->at * width, panels = 2 * ((width + 31) / 32);
    wr_tiles_source dy = {p->rows->dout + at, width, p->count, width, 0};
    wr_tiles_pack(WR_TILES_LEFT, &dy, 0, 2, r->input);
    dy.room = job->n;
    wr_tiles_pack(WR_TILES_LEFT_TRANSPOSED, &dy, 0, panels, operand_at(p, job->dy_left, 0));
    change_hidden(p);
    wr_tiles_multiply(&(wr_tiles_product){.left = r->gated,
                                          .right = job->gates_inputs,
                                          .k = 2 * job->hidden,
                                          .m = TOKENS,
                                          .n = width,
                                          .c = r->change,
                                          .stride = width});
    wr_norm_back norm = p->rows->norm_back;
    norm.rows = p->count;
    norm.x += at;
    norm.r += p->at;
    norm.dy = r->change;
    norm.y = r->normed;
    norm.before += at;
    norm.dx += at;
    norm.partial += at / WR_NORM_BLOCK;
    p->rows->run_norm_back(&norm, 0, 1, p->rows->worker);
    const wr_tiles_source normed = {r->normed, width, p->count, width, job->n};
    wr_tiles_pack(WR_TILES_RIGHT, &normed, 0, panels, operand_at(p, job->normed_right, 0));
}

void wr_amx_feed_backward(const wr_feed_job *job, const wr_feed_rows *rows) {
    wr_tiles_begin();
    for (int64_t at = 0; at < rows->count; at += TOKENS) {
        const part p = part_of(job, rows, at);
        backward(&p);
    }
    _mm_sfence();
    wr_tiles_end();
}
