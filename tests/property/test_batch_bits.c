/*
 * The bits of a stream stepped in a batch are those that it has alone: random scenarios of streams
 * that join, leave and fork, with other policies, windows, page types and chunks, that feed pieces
 * and draw in random turns; and every row of logits and every token is compared with the same
 * stream alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#include "support/random_model.h"

enum { STREAMS = 7, LENGTH = 330, ROWS = 24, SCENARIOS = 24, PIECE = 16 };

/* One model of each kind of attention; a scenario has one. */
static const struct {
    const char *sink, *positions;
    int64_t layer_window;
} kinds[] = {
    {"none", "rope", 0}, {"logit", "alibi", 0}, {"zero", "rope", 0}, {"none", "alibi", 25}};
enum { KINDS = sizeof kinds / sizeof kinds[0] };
static random_model models[KINDS];
static const weir_model *model;

static uint64_t seed;
static uint64_t drawn_numbers;

static int64_t dice(int64_t sides) {
    return (int64_t)(wr_random_unit(seed, 1, drawn_numbers++) * (double)sides);
}

/* What became of a stream: a sum over its rows of logits, and its tokens. */
typedef struct story {
    uint64_t sum;
    int64_t rows;
    int32_t tokens[LENGTH + PIECE]; /* fed and drawn */
    bool drawn[LENGTH + PIECE];
    bool border[LENGTH + PIECE];
    int64_t length;
    int64_t evicted;
} story;

static weir_status add_row(void *context, int64_t index, const float *logits, int32_t n_vocab) {
    story *s = context;
    assert_int_equal(index, s->rows);
    s->rows++;
    s->sum = wr_checksum(s->sum, logits, (size_t)n_vocab * sizeof *logits);
    return WEIR_OK;
}

static void add_evicted(void *context, int64_t first, int64_t end) {
    story *s = context;
    s->evicted += end - first;
}

typedef struct actor {
    weir_stream *stream;
    weir_stream_options options;
    story story;
} actor;

static weir_stream_options random_options(void) {
    static const weir_policy policies[] = {WEIR_SINK, WEIR_SINK, WEIR_WINDOW, WEIR_DENSE};
    weir_policy policy = policies[dice(4)];
    weir_stream_options options =
        stream_options(policy, dice(45), policy == WEIR_DENSE ? 0 : 1 + dice(100));
    if (policy == WEIR_DENSE) {
        options.context = LENGTH + PIECE;
        options.beyond = true;
    }
    options.cache_type = (weir_cache_type)dice(3);
    options.chunk = 1 + dice(PIECE);
    if (policy != WEIR_DENSE) options.eviction = (weir_eviction)dice(2);
    return options;
}

/* --- In a batch ------------------------------------------------------------------------------- */

static void join(actor *a, weir_batch *batch) {
    weir_error error;
    *a = (actor){.options = random_options(), .story = {.sum = 1}};
    weir_stream_options options = a->options;
    options.evicted = add_evicted;
    options.evicted_context = &a->story;
    if (dice(4) > 0) { /* else with a scratch of its own */
        options.batch = batch;
        options.threads = 0;
    }
    weir_sampling sampling = weir_sampling_default();
    sampling.seed = 11;
    a->stream = stream_make(model, &options);
    must(weir_stream_set_sampling(a->stream, &sampling, &error), &error);
}

/* A fork has its parent's callback. */
static void fork_from(actor *child, const actor *parent) {
    weir_error error;
    child->options = parent->options;
    child->story = parent->story;
    must(weir_stream_fork(parent->stream, &child->stream, &error), &error);
}

/* A random turn within the rows that are left. */
static void choose_turn(actor *a, weir_turn *turn, int64_t rows_left) {
    story *s = &a->story;
    weir_error error;
    *turn = (weir_turn){.stream = a->stream, .logits = add_row, .logits_context = s};
    if (s->length > 0 && dice(2) == 0) return;
    if (dice(5) == 0) {
        s->border[s->length] = true;
        must(weir_stream_border(a->stream, &error), &error);
    }
    int64_t most = a->options.chunk < rows_left ? a->options.chunk : rows_left;
    turn->count = 1 + dice(most);
    random_tokens(s->tokens + s->length, dice(10000), turn->count);
    turn->tokens = s->tokens + s->length;
}

static void note_turn(actor *a, const weir_turn *turn) {
    story *s = &a->story;
    if (turn->error.status != WEIR_OK) fail_msg("%s", turn->error.message);
    if (turn->count == 0) {
        s->drawn[s->length] = true;
        s->tokens[s->length] = turn->token;
    }
    s->length += turn->count > 0 ? turn->count : 1;
    assert_int_equal(stream_state(a->stream).index, s->length);
    assert_int_equal(s->rows, s->length);
}

static void step(weir_batch *batch, actor *actors) {
    weir_turn turns[STREAMS];
    actor *whose[STREAMS];
    weir_error error;
    int32_t count = 0;
    int64_t rows = ROWS;
    for (int i = 0; i < STREAMS && rows > 0; i++) {
        actor *a = &actors[i];
        if (!a->stream || a->story.length >= LENGTH || dice(5) == 0) continue;
        whose[count] = a;
        choose_turn(a, &turns[count], rows);
        rows -= turns[count].count > 0 ? turns[count].count : 1;
        count++;
    }
    must(weir_batch_step(batch, turns, count, &error), &error);
    for (int32_t i = 0; i < count; i++) note_turn(whose[i], &turns[i]);
}

/* --- Alone ------------------------------------------------------------------------------------ */

static void check_alone(const actor *a, bool evicted) {
    weir_error error;
    story *again = calloc(1, sizeof *again);
    weir_stream_options options = a->options;
    weir_sampling sampling = weir_sampling_default();
    assert_non_null(again);
    again->sum = 1;
    sampling.seed = 11;
    options.evicted = add_evicted;
    options.evicted_context = again;
    weir_stream *stream = stream_make(model, &options);
    must(weir_stream_set_sampling(stream, &sampling, &error), &error);
    for (int64_t t = 0; t < a->story.length; t++) {
        int32_t token = a->story.tokens[t];
        const float *logits;
        if (a->story.border[t]) must(weir_stream_border(stream, &error), &error);
        if (a->story.drawn[t]) {
            must(weir_stream_next(stream, &token, &error), &error);
            assert_int_equal(token, a->story.tokens[t]);
        } else {
            must(weir_stream_feed_tokens(stream, &token, 1, &error), &error);
        }
        must(weir_stream_logits(stream, &logits, &error), &error);
        add_row(again, t, logits, RANDOM_VOCABULARY);
    }
    assert_int_equal(again->rows, a->story.rows);
    assert_true(again->sum == a->story.sum);
    if (evicted) assert_int_equal(again->evicted, a->story.evicted);
    weir_stream_destroy(stream);
    free(again);
}

/* A stream leaves: it is compared, and its place is free. */
static void leave(actor *a, bool evicted) {
    if (!a->stream) return;
    check_alone(a, evicted);
    weir_stream_destroy(a->stream);
    a->stream = NULL;
}

/* --- Scenarios -------------------------------------------------------------------------------- */

static void play(int scenario) {
    weir_error error;
    weir_batch *batch;
    actor *actors = calloc(STREAMS, sizeof *actors);
    /* The evictions of a family are all told to the first one's story: not compared. */
    bool is_fork[STREAMS] = {false}, has_forks[STREAMS] = {false};
    assert_non_null(actors);
    seed = (uint64_t)scenario + 100;
    model = models[scenario % KINDS].model;
    drawn_numbers = 0;
    weir_batch_options sizes = {
        .rows = ROWS, .streams = STREAMS, .slots = LENGTH + PIECE, .threads = 1 + scenario % 2};
    must(weir_batch_create(model, &sizes, &batch, &error), &error);
    for (int turn = 0; turn < 120; turn++) {
        int i = (int)dice(STREAMS), j = (int)dice(STREAMS);
        if (!actors[i].stream) {
            is_fork[i] = scenario % 3 > 0 && actors[j].stream && dice(3) > 0;
            has_forks[j] |= is_fork[i];
            if (is_fork[i])
                fork_from(&actors[i], &actors[j]);
            else
                join(&actors[i], batch);
        } else if (actors[i].story.length > 200 && dice(3) == 0) {
            leave(&actors[i], !is_fork[i] && !has_forks[i]);
        }
        step(batch, actors);
    }
    for (int i = 0; i < STREAMS; i++) leave(&actors[i], !is_fork[i] && !has_forks[i]);
    weir_batch_destroy(batch);
    free(actors);
}

static void test_scenarios(void **state) {
    (void)state;
    for (int scenario = 0; scenario < SCENARIOS; scenario++) play(scenario);
}

static int set_up(void **state) {
    (void)state;
    for (int i = 0; i < KINDS; i++) {
        weir_random_model shape = random_tiny();
        shape.sink = kinds[i].sink;
        shape.positions = kinds[i].positions;
        shape.layer_window = kinds[i].layer_window;
        random_model_open(&models[i], &shape, NULL);
    }
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    for (int i = 0; i < KINDS; i++) random_model_close(&models[i]);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scenarios)};
    return cmocka_run_group_tests_name("bits in a batch", tests, set_up, tear_down);
}
