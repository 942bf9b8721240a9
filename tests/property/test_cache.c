/*
 * The cache against a naive model, on random walks.
 *
 * The naive model keeps every token for ever in a list: its keys unrotated, its values, and whether
 * a message begins there. For each query it applies the policy's words of STREAMING.md to the list,
 * rotates every key by its place in the cache, in double precision, as the paper does at every
 * step, and sums an ordinary softmax. The cache must give the same attention output for every token
 * of every layer, through random sinks, windows, chunks, pins, forks, rewinds, marks and borders.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "cache/cache.h"
#include "position/rope.h"
#include "support/failing_allocator.h"

enum { LAYERS = 3, KV_HEADS = 2, GROUP = 2, DIM = 6, MAX_TOKENS = 900, MAX_STREAMS = 4, TILE = 64 };

static const double rope_base = 50.0; /* fast frequencies: a wrong position shows at once */

/* --- Random walk ------------------------------------------------------------------------------ */

static uint64_t walk_seed;
static uint64_t walk_counter;

static int64_t pick(int64_t low, int64_t high) {
    uint32_t word[4];
    wr_random_block(walk_seed, 7, walk_counter++, word);
    return low + (int64_t)((((uint64_t)word[0] << 32) | word[1]) % (uint64_t)(high - low + 1));
}

static bool chance(int percent) { return pick(0, 99) < percent; }

/* What a token brings to a layer: a function of its identity, so that a rewound stream can differ.
 */
static float number(int64_t identity, int layer, int what, int i) {
    return (float)wr_random_normal(99, (uint64_t)identity, (uint64_t)((layer * 8 + what) * 64 + i));
}

enum { KEY, VALUE, QUERY };

/* --- The naive model -------------------------------------------------------------------------- */

typedef struct naive {
    int64_t identity[MAX_TOKENS];
    bool border[MAX_TOKENS + 1]; /* a message begins at this index */
    int64_t length;
    int64_t highest; /* the largest length there ever was */
    int64_t sinks;
    int64_t window;
    bool pinned_late;
} naive;

static int64_t naive_first(const naive *n, bool by_message, int64_t t) {
    int64_t low = t - n->window + 1;
    if (low <= n->sinks) return n->sinks;
    if (!by_message || n->border[low]) return low;
    int64_t begin = low; /* the message that low lies in: [begin, next) */
    while (begin > n->sinks && !n->border[begin]) begin--;
    int64_t next = low + 1;
    while (next <= t && !n->border[next]) next++;
    if (next > t || next - begin > n->window) return low; /* longer than the window: by token */
    return next;
}

static void rotate_double(double *x, double position) {
    for (int i = 0; i < DIM / 2; i++) {
        double angle = position * pow(rope_base, -2.0 * i / DIM);
        double a = x[2 * i];
        double b = x[2 * i + 1];
        x[2 * i] = a * cos(angle) - b * sin(angle);
        x[2 * i + 1] = a * sin(angle) + b * cos(angle);
    }
}

/* Attention of token t for one query head of one layer. */
static void naive_attend(const naive *n, bool by_message, int64_t layer_window, int64_t t,
                         int layer, int head, double *out) {
    int64_t kept[MAX_TOKENS];
    int64_t count = 0;
    int64_t first = naive_first(n, by_message, t);
    for (int64_t j = 0; j <= t; j++)
        if (j < n->sinks || j >= first) kept[count++] = j;
    double query[DIM];
    double total = 0.0;
    double top = -(double)INFINITY;
    double scores[MAX_TOKENS];
    int64_t position = count - 1; /* of the current token: the last place in the cache */
    for (int i = 0; i < DIM; i++) {
        query[i] = (double)number(n->identity[t], layer, QUERY, head * DIM + i);
        out[i] = 0.0;
    }
    rotate_double(query, (double)position);
    for (int64_t c = 0; c < count; c++) {
        double key[DIM];
        scores[c] = 0.0;
        for (int i = 0; i < DIM; i++)
            key[i] = (double)number(n->identity[kept[c]], layer, KEY, (head / GROUP) * DIM + i);
        rotate_double(key, (double)c);
        for (int i = 0; i < DIM; i++) scores[c] += key[i] * query[i];
        scores[c] /= sqrt((double)DIM);
        if (layer_window > 0 && position - c >= layer_window) scores[c] = -(double)INFINITY;
        top = fmax(top, scores[c]);
    }
    for (int64_t c = 0; c < count; c++) {
        double weight = exp(scores[c] - top);
        total += weight;
        for (int i = 0; i < DIM && weight > 0.0; i++)
            out[i] += weight *
                      (double)number(n->identity[kept[c]], layer, VALUE, (head / GROUP) * DIM + i);
    }
    for (int i = 0; i < DIM; i++) out[i] /= total;
}

/* --- The cache under test --------------------------------------------------------------------- */

typedef struct subject {
    naive past;
    wr_arena arena;
    wr_cache *cache;
} subject;

typedef struct world {
    failing_allocator memory;
    const wr_kernels *kernels;
    wr_rope rope;
    wr_cache_options options;
    int64_t layer_windows[LAYERS];
    subject streams[MAX_STREAMS];
    int stream_count;
    subject mark;
    bool marked;
    int64_t next_identity;
    double worst;
} world;

static void lay(world *w, subject *s) {
    s->arena = (wr_arena){0};
    wr_cache_layout(&s->arena, &w->options);
    assert_int_equal(wr_arena_bind(&s->arena, &w->memory.allocator), WEIR_OK);
    s->cache = wr_cache_layout(&s->arena, &w->options);
}

static void unlay(world *w, subject *s) {
    wr_cache_close(s->cache);
    wr_arena_release(&s->arena, &w->memory.allocator);
    s->cache = NULL;
}

static void write_token(world *w, subject *s, int64_t index) {
    float row[KV_HEADS * DIM];
    float angles[DIM];
    wr_rope_angles(&w->rope, (uint64_t)index, angles);
    for (int layer = 0; layer < LAYERS; layer++) {
        wr_cache_row to = wr_cache_row_at(s->cache, layer, index);
        for (int i = 0; i < KV_HEADS * DIM; i++)
            row[i] = number(s->past.identity[index], layer, KEY, i);
        w->kernels->rotate(row, row, angles, KV_HEADS, DIM, DIM, WR_ROTARY_ADJACENT);
        for (int h = 0; h < KV_HEADS; h++)
            w->kernels->kv_write_key(to.type, to.keys + to.head_stride * (size_t)h, to.place,
                                     row + h * DIM, DIM);
        for (int i = 0; i < KV_HEADS * DIM; i++)
            row[i] = number(s->past.identity[index], layer, VALUE, i);
        for (int h = 0; h < KV_HEADS; h++)
            w->kernels->kv_write(to.type, to.value + to.head_stride * (size_t)h, row + h * DIM,
                                 DIM);
    }
}

/* One job of several tokens of a layer, with what it borrows. */
typedef struct test_tile {
    wr_cache_view view;
    const uint8_t *pages[256];
    wr_attention job;
    wr_attention_token tokens[TILE];
    float queries[TILE][2][GROUP * DIM];
    float out[TILE][GROUP * DIM];
    float scratch[16384];
} test_tile;

static void lay_query(world *w, subject *s, int64_t t, int layer, int h, test_tile *tile, int i) {
    float angles[DIM];
    float(*queries)[GROUP * DIM] = tile->queries[i];
    for (int d = 0; d < GROUP * DIM; d++)
        queries[0][d] = queries[1][d] =
            number(s->past.identity[t], layer, QUERY, h * GROUP * DIM + d);
    wr_rope_angles(&w->rope, (uint64_t)wr_cache_position(s->cache, t), angles);
    w->kernels->rotate(queries[0], queries[0], angles, GROUP, DIM, DIM, WR_ROTARY_ADJACENT);
    wr_rope_angles(&w->rope, (uint64_t)t, angles);
    w->kernels->rotate(queries[1], queries[1], angles, GROUP, DIM, DIM, WR_ROTARY_ADJACENT);
    tile->tokens[i] = (wr_attention_token){
        .query_pinned = queries[0], .query_recent = queries[1], .out = tile->out[i]};
    wr_cache_spans(s->cache, wr_cache_group_of(s->cache, layer), &tile->view, t,
                   &tile->tokens[i].pinned, &tile->tokens[i].recent);
}

static void check_token(world *w, subject *s, int64_t t, int layer, int h, const float *out) {
    for (int g = 0; g < GROUP; g++) {
        double expected[DIM];
        naive_attend(&s->past, w->options.by_message, w->layer_windows[layer], t, layer,
                     h * GROUP + g, expected);
        for (int i = 0; i < DIM; i++)
            w->worst = fmax(w->worst, fabs((double)out[g * DIM + i] - expected[i]));
    }
}

/* Tokens [begin, end) of the chunk at hand, in one job per layer and KV head. */
static void check_tile(world *w, subject *s, int64_t begin, int64_t end) {
    static test_tile tile;
    tile.view.pages = tile.pages;
    assert_in_range(wr_cache_max_pages(&w->options), 1, 256);
    assert_in_range(wr_attention_tile(GROUP), 1, TILE);
    assert_in_range(wr_attention_scratch(GROUP, DIM, DIM), 0, 16384);
    for (int layer = 0; layer < LAYERS; layer++) {
        wr_cache_view_of(s->cache, wr_cache_group_of(s->cache, layer), begin, end, &tile.view);
        assert_true(tile.view.pinned + tile.view.recent <= wr_cache_max_pages(&w->options));
        for (int h = 0; h < KV_HEADS; h++) {
            tile.job = (wr_attention){.tokens = tile.tokens,
                                      .token_count = (int32_t)(end - begin),
                                      .heads = GROUP,
                                      .key_dim = DIM,
                                      .value_dim = DIM,
                                      .scale = (float)(1.0 / sqrt((double)DIM)),
                                      .scratch = tile.scratch};
            wr_cache_offsets(s->cache, layer, h, &tile.job.pinned, &tile.job.recent);
            tile.job.pinned.pages = tile.pages;
            tile.job.recent.pages = tile.pages + tile.view.pinned;
            for (int64_t t = begin; t < end; t++)
                lay_query(w, s, t, layer, h, &tile, (int)(t - begin));
            w->kernels->attend(&tile.job);
            for (int64_t t = begin; t < end; t++)
                if (t == begin || t == end - 1 || chance(20))
                    check_token(w, s, t, layer, h, tile.out[t - begin]);
        }
    }
}

static void feed(world *w, subject *s, int64_t count) {
    naive *past = &s->past;
    int64_t begin = past->length;
    int64_t evicted_from;
    int64_t evicted_to;
    int64_t before = begin > 0 ? naive_first(past, w->options.by_message, begin - 1) : past->sinks;
    for (int64_t i = 0; i < count; i++) {
        past->identity[begin + i] = w->next_identity++;
        past->border[begin + i + 1] = false;
    }
    wr_cache_prepare(s->cache, count);
    if (chance(10)) /* a cancelled chunk leaves no trace */
        wr_cache_prepare(s->cache, count);
    for (int64_t i = 0; i < count; i++) write_token(w, s, begin + i);
    past->length += count;
    past->highest = past->length > past->highest ? past->length : past->highest;
    for (int64_t i = 0; i < count; i++) {
        int64_t t = begin + i;
        int64_t first = naive_first(past, w->options.by_message, t);
        assert_int_equal(wr_cache_first_for(s->cache, t), first);
        assert_int_equal(wr_cache_position(s->cache, t), t - (first - past->sinks));
    }
    for (int64_t i = 0, tokens; i < count; i += tokens) {
        int64_t most = wr_attention_tile(GROUP) < count - i ? wr_attention_tile(GROUP) : count - i;
        tokens = pick(1, most);
        check_tile(w, s, begin + i, begin + i + tokens);
    }
    wr_cache_commit(s->cache, count, &evicted_from, &evicted_to);
    assert_int_equal(wr_cache_length(s->cache), past->length);
    assert_int_equal(evicted_from, before);
    assert_int_equal(evicted_to, naive_first(past, w->options.by_message, past->length - 1));
}

/* --- Operations ------------------------------------------------------------------------------- */

static void do_pin(subject *s, const wr_kernels *kernels) {
    naive *past = &s->past;
    int64_t want = pick(0, past->sinks + past->window + 2);
    bool evicted = past->length > past->sinks && wr_cache_first(s->cache) > past->sinks;
    weir_status status = wr_cache_pin(s->cache, want, kernels, NULL);
    if (want <= past->sinks) {
        assert_int_equal(status, WEIR_OK); /* pinned already */
    } else if (evicted) {
        assert_int_equal(status, WEIR_EVICTED);
    } else if (want >= past->sinks + past->window) {
        assert_int_equal(status, WEIR_LIMIT);
    } else {
        assert_int_equal(status, WEIR_OK);
        if (want > past->sinks) {
            past->pinned_late = past->pinned_late || past->length > past->sinks;
            past->window = past->sinks + past->window - want;
            past->sinks = want;
        }
    }
    assert_int_equal(wr_cache_pinned(s->cache), past->sinks);
    assert_int_equal(wr_cache_recent(s->cache), past->window);
}

static void do_rewind(world *w, subject *s) {
    naive *past = &s->past;
    int64_t reach = wr_cache_reach(s->cache);
    int64_t to = chance(70) ? pick(reach, past->length) : pick(0, past->length);
    /* A chunk's worth can always be taken back from the furthest point. (A late pin may leave rows
     * behind that only layers with windows of their own had dropped.) */
    int64_t certain = past->highest - w->options.chunk + 1;
    if (past->length >= certain && !past->pinned_late)
        assert_true(reach <= (certain > 0 ? certain : 0));
    assert_true(reach <= past->length);
    weir_status status = wr_cache_rewind(s->cache, to, NULL);
    if (to >= reach || (to <= past->sinks && !past->pinned_late)) assert_int_equal(status, WEIR_OK);
    if (status != WEIR_OK) {
        assert_int_equal(status, WEIR_EVICTED);
        assert_int_equal(wr_cache_length(s->cache), past->length);
        return;
    }
    past->length = to;
    assert_int_equal(wr_cache_length(s->cache), to);
    /* A border that is still known stands again; one inside pinned tokens means nothing. */
    past->border[to] = wr_cache_border_pending(s->cache);
}

static void do_fork(world *w, subject *s) {
    if (w->stream_count == MAX_STREAMS) return;
    subject *child = &w->streams[w->stream_count];
    lay(w, child);
    child->past = s->past;
    if (chance(20)) { /* a failed fork changes nothing and leaks nothing */
        w->memory.fail_at = pick(1, 3);
        weir_status status = wr_cache_open_fork(child->cache, s->cache, NULL);
        w->memory.fail_at = 0;
        if (status != WEIR_OK) {
            assert_int_equal(status, WEIR_MEMORY);
            unlay(w, child);
            return;
        }
    } else {
        assert_int_equal(wr_cache_open_fork(child->cache, s->cache, NULL), WEIR_OK);
    }
    w->stream_count++;
}

static void do_mark(world *w, subject *s) {
    if (w->marked) unlay(w, &w->mark);
    lay(w, &w->mark);
    w->mark.past = s->past;
    assert_int_equal(wr_cache_open_mark(w->mark.cache, s->cache, NULL), WEIR_OK);
    w->marked = true;
}

static void do_save_and_load(world *w, subject *s) {
    wr_writer writer = {.allocator = &w->memory.allocator};
    wr_cache_save(s->cache, &writer);
    assert_false(writer.failed);
    wr_cache_options options = w->options;
    subject loaded = {.past = s->past};
    w->options.pinned = wr_cache_pinned(s->cache);
    w->options.recent = wr_cache_recent(s->cache);
    lay(w, &loaded);
    w->options = options;
    wr_reader reader = {.data = writer.data, .size = writer.size};
    assert_int_equal(wr_cache_open(loaded.cache, &w->memory.allocator, NULL), WEIR_OK);
    weir_error error;
    if (wr_cache_load(loaded.cache, &reader, &error) != WEIR_OK) fail_msg("%s", error.message);
    assert_int_equal(wr_reader_left(&reader), 0);
    wr_writer_release(&writer);
    /* It goes on as the original would: a few tokens of its own, checked like any other. */
    if (loaded.past.length < MAX_TOKENS - 2 * options.chunk)
        for (int i = 0; i < 2; i++) feed(w, &loaded, pick(1, options.chunk));
    unlay(w, &loaded);
}

static void do_border(world *w, subject *s) {
    if (!w->options.by_message) return;
    wr_cache_border(s->cache);
    s->past.border[s->past.length] = true;
}

static void step(world *w) {
    subject *s = &w->streams[pick(0, w->stream_count - 1)];
    int64_t what = pick(0, 99);
    if (what < 60) {
        int64_t count = pick(1, w->options.chunk);
        if (s->past.length + count < MAX_TOKENS) feed(w, s, count);
    } else if (what < 72) {
        do_border(w, s);
    } else if (what < 76) {
        do_pin(s, w->kernels);
    } else if (what < 84) {
        do_rewind(w, s);
    } else if (what < 88) {
        do_fork(w, s);
    } else if (what < 91) {
        do_mark(w, s);
    } else if (what < 95 && w->marked) {
        assert_true(wr_cache_related(s->cache, w->mark.cache));
        assert_int_equal(wr_cache_return(s->cache, w->mark.cache, NULL), WEIR_OK);
        s->past = w->mark.past;
    } else if (what < 97) {
        do_save_and_load(w, s);
    } else if (w->stream_count > 1) {
        unlay(w, s);
        *s = w->streams[--w->stream_count];
    }
}

static void walk(uint64_t seed, int steps) {
    static world w;
    memset(&w, 0, sizeof w);
    walk_seed = seed;
    walk_counter = 0;
    failing_allocator_init(&w.memory);
    /* The plain kernels, and the best that there are. */
    w.kernels = wr_kernels_get(seed % 2 ? WR_CPU_SCALAR : wr_cpu_detect());
    assert_int_equal(wr_rope_init(&w.rope, WR_ROTARY_ADJACENT,
                                  &(wr_rope_recipe){.dim = DIM, .base = rope_base}, 0, NULL),
                     WEIR_OK);
    for (int layer = 0; layer < LAYERS; layer++)
        w.layer_windows[layer] = chance(40) ? pick(1, 60) : 0;
    w.options = (wr_cache_options){.shape = {.layers = LAYERS,
                                             .kv_heads = KV_HEADS,
                                             .key_dim = DIM,
                                             .value_dim = DIM,
                                             .layer_windows = w.layer_windows},
                                   .pinned = chance(20) ? 0 : pick(0, 70),
                                   .recent = chance(20) ? pick(1, 3) : pick(1, 130),
                                   .chunk = chance(30) ? 1 : pick(1, 70),
                                   .type = WR_KV_F32,
                                   .by_message = chance(50)};
    lay(&w, &w.streams[0]);
    assert_int_equal(wr_cache_open(w.streams[0].cache, &w.memory.allocator, NULL), WEIR_OK);
    w.streams[0].past = (naive){.sinks = w.options.pinned, .window = w.options.recent};
    w.stream_count = 1;
    for (int i = 0; i < steps; i++) step(&w);
    while (w.stream_count > 0) unlay(&w, &w.streams[--w.stream_count]);
    if (w.marked) unlay(&w, &w.mark);
    assert_true(failing_allocator_clean(&w.memory));
    if (w.worst > 2e-5)
        fail_msg("walk %llu: the worst output differs by %g", (unsigned long long)seed, w.worst);
}

static void test_walks(void **state) {
    (void)state;
    const char *given = getenv("WEIR_WALK"); /* one walk by its number, for finding a failure */
    if (given) {
        walk(strtoull(given, NULL, 10), 60);
        return;
    }
    for (uint64_t seed = 1; seed <= 250; seed++) walk(seed, 60);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_walks)};
    return cmocka_run_group_tests_name("cache against a naive model", tests, NULL, NULL);
}
