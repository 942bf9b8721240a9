/*
 * Looking back changes nothing: random walks of two streams that do the same things, one of which
 * drafts whatever it costs. After every step, and at every moment when a caller is told something,
 * tokens, text, evictions, states and the bits of the logits are equal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#include "stream/stream_private.h"
#include "support/random_model.h"

enum { WALKS = 160, STEPS = 40, LAYER_WINDOW = 20 };

static random_model windowed; /* a model whose layers have a window of their own */

/* --- The same random numbers for both --------------------------------------------------------- */

typedef struct dice {
    uint64_t seed, next;
} dice;

/* 0 ... sides - 1 */
static int64_t roll(dice *d, int64_t sides) {
    uint32_t block[4];
    wr_random_block(d->seed, 2, d->next++, block);
    return (int64_t)block[0] % sides;
}

/* --- What a stream says ----------------------------------------------------------------------- */

typedef struct walker {
    weir_stream *stream;
    weir_mark *mark;
    int lookup;
    dice at_call; /* for what happens inside a callback */
    int64_t calls_left;
    uint64_t said; /* everything that was said, as a checksum */
    int64_t events;
    int64_t drafted, accepted;
    char path[64];
} walker;

static void say(walker *w, const void *data, size_t size) {
    w->said = wr_checksum(w->said, data, size);
    w->events++;
}

static void say_number(walker *w, int64_t number) { say(w, &number, sizeof number); }

static void say_state(walker *w) {
    weir_stream_state s = stream_state(w->stream);
    int64_t numbers[] = {s.index,  s.evicted,   s.sinks,          s.window,
                         s.oldest, s.reachable, s.reserved_bytes, (int64_t)s.held};
    say(w, numbers, sizeof numbers);
}

static void note_evicted(void *context, int64_t first, int64_t end) {
    walker *w = context;
    say_number(w, first);
    say_number(w, end);
    say_state(w);
}

static void note_row(void *context, weir_point point, int layer, int64_t first, const float *data,
                     int64_t rows, int64_t columns) {
    walker *w = context;
    say_number(w, (int64_t)point * 1000 + layer);
    say_number(w, first);
    say(w, data, (size_t)(rows * columns) * sizeof *data);
}

static void note_scores(void *context, const weir_scores *scores) {
    walker *w = context;
    say_number(w, scores->index);
    say(w, scores->scores, (size_t)(scores->heads * scores->keys) * sizeof *scores->scores);
}

static void say_bits(walker *w, weir_stream *stream) {
    weir_error error;
    const float *logits;
    weir_status status = weir_stream_logits(stream, &logits, &error);
    say_number(w, status);
    if (status == WEIR_OK) say(w, logits, RANDOM_VOCABULARY * sizeof *logits);
}

/* --- What both do ----------------------------------------------------------------------------- */

/* Sampling over few tokens, so that something repeats. */
static void set_sampling(walker *w, dice *d) {
    weir_error error;
    static weir_logit_bias bias[RANDOM_VOCABULARY];
    weir_sampling rules = weir_sampling_default();
    int64_t letters = 1 + roll(d, 8);
    for (int64_t i = 0; i < letters; i++)
        bias[i] = (weir_logit_bias){(int32_t)(2 + i + (i > 3 ? 200 : 0)), 20.0f};
    rules.bias = bias;
    rules.bias_count = roll(d, 5) == 0 ? 0 : (int32_t)letters;
    rules.temperature = (float)roll(d, 3) * 0.4f;
    rules.top_k = (int32_t)roll(d, 2) * 3;
    rules.top_p = roll(d, 2) ? 0.9f : 1.0f;
    rules.typical = roll(d, 4) ? 1.0f : 0.8f;
    rules.repetition_penalty = roll(d, 3) ? 1.0f : 1.3f;
    rules.frequency_penalty = roll(d, 3) ? 0.0f : 0.2f;
    rules.presence_penalty = roll(d, 3) ? 0.0f : -0.3f;
    rules.penalty_window = (int32_t)roll(d, 60);
    rules.seed = (uint64_t)roll(d, 1000);
    must(weir_stream_set_sampling(w->stream, &rules, &error), &error);
}

static void fork_off(walker *w, dice *d, bool go_on_with_it) {
    weir_error error;
    weir_stream *child;
    must(weir_stream_fork(w->stream, &child, &error), &error);
    int32_t tokens[50];
    random_tokens(tokens, 0, 50);
    say_number(w, weir_stream_feed_tokens(child, tokens, roll(d, 50), NULL));
    say_bits(w, child);
    if (!go_on_with_it) {
        weir_stream_destroy(child);
        return;
    }
    weir_stream_destroy(child);
    must(weir_stream_fork(w->stream, &child, &error), &error);
    weir_stream_destroy(w->stream);
    w->stream = child;
}

static void rewind_some(walker *w, dice *d) {
    weir_stream_state s = stream_state(w->stream);
    int64_t low = s.reachable > 1 ? s.reachable : 1;
    if (low > s.index) return;
    int64_t to = roll(d, 3) ? s.index - roll(d, s.index - low < 8 ? s.index - low + 1 : 8) : low;
    say_number(w, weir_stream_rewind(w->stream, to, NULL));
}

static void mark_or_return(walker *w) {
    if (w->mark)
        say_number(w, weir_stream_return(w->stream, w->mark, NULL));
    else
        say_number(w, weir_stream_mark(w->stream, &w->mark, NULL));
}

static void forget_mark(walker *w) {
    weir_mark_destroy(w->mark);
    w->mark = NULL;
}

static void save_and_load(walker *w) {
    weir_error error;
    weir_stream_options options = weir_stream_options_default();
    options.chunk = w->stream->settings.chunk;
    options.threads = 1;
    options.evicted = note_evicted;
    options.evicted_context = w;
    const weir_model *model = weir_stream_get_model(w->stream);
    must(weir_stream_save(w->stream, w->path, &error), &error);
    forget_mark(w);
    weir_stream_destroy(w->stream);
    must(weir_stream_load(model, w->path, &options, &w->stream, &error), &error);
}

static void feed_some(walker *w, dice *d) {
    int32_t tokens[40];
    int64_t count = 1 + roll(d, 40);
    for (int64_t i = 0; i < count; i++) tokens[i] = (int32_t)(2 + roll(d, 4));
    say_number(w, weir_stream_feed_tokens(w->stream, tokens, count, NULL));
}

/* What a caller may do with the stream while it is told a token. */
static bool meddle(walker *w) {
    weir_error error;
    dice *d = &w->at_call;
    switch (roll(d, 90)) {
    case 0:
        say_bits(w, w->stream);
        break;
    case 1:
        fork_off(w, d, false);
        break;
    case 2:
        must(weir_stream_save(w->stream, w->path, &error), &error);
        break;
    case 3:
        set_sampling(w, d);
        break;
    case 4:
        mark_or_return(w);
        break;
    case 5:
        weir_stream_cancel(w->stream);
        break;
    case 6:
        rewind_some(w, d);
        break;
    case 7:
        feed_some(w, d);
        break;
    case 8:
        say_number(w, weir_stream_border(w->stream, NULL));
        break;
    case 9:
        weir_stream_observe(w->stream, roll(d, 3) ? note_row : NULL, w);
        break;
    case 10:
        must(weir_stream_observe_scores(w->stream, roll(d, 3) ? note_scores : NULL, w, &error),
             &error);
        break;
    case 11:
        say_number(w, weir_stream_pin(w->stream, roll(d, 12), NULL));
        break;
    case 12:
        return false;
    default:
        break;
    }
    return true;
}

static bool take_text(void *context, int32_t token, const char *text, size_t size) {
    walker *w = context;
    say_number(w, token);
    say(w, text, size);
    say_state(w);
    return token < 0 || meddle(w);
}

static void generate_some(walker *w, dice *d) {
    static const char *const stops[] = {"\x01\x02\x01", "\xff", "aba"};
    weir_generated made;
    weir_generate options = {.tokens = roll(d, 120),
                             .stop_at_end = roll(d, 4) == 0,
                             .stop = stops,
                             .stop_count = roll(d, 3) ? 0 : (int)roll(d, 4)};
    int longest = 1 + (int)roll(d, WEIR_MAX_LOOKUP);
    if (w->lookup) options.lookup = longest;
    w->at_call = (dice){.seed = (uint64_t)roll(d, 1 << 30)};
    weir_status status = weir_stream_generate(w->stream, &options, take_text, w, &made, NULL);
    say_number(w, status);
    say_number(w, made.tokens);
    say_number(w, (int64_t)made.reason);
    assert_in_range(made.accepted, 0, made.drafted);
    w->drafted += made.drafted;
    w->accepted += made.accepted;
    weir_stream_observe(w->stream, NULL, NULL);
    assert_int_equal(weir_stream_observe_scores(w->stream, NULL, NULL, NULL), WEIR_OK);
}

static void do_step(walker *w, dice d) {
    w->stream->pace.always = true;
    switch (roll(&d, 16)) {
    case 0:
        fork_off(w, &d, true);
        break;
    case 1:
        rewind_some(w, &d);
        break;
    case 2:
        mark_or_return(w);
        break;
    case 3:
        forget_mark(w);
        break;
    case 4:
        save_and_load(w);
        break;
    case 5:
        say_number(w, weir_stream_border(w->stream, NULL));
        break;
    case 6:
        say_number(w, weir_stream_pin(w->stream, roll(&d, 40), NULL));
        break;
    case 7:
        feed_some(w, &d);
        break;
    case 8:
        say_number(w, weir_stream_feed_text(w->stream, "abab the", (size_t)roll(&d, 9), NULL));
        break;
    case 9:
        set_sampling(w, &d);
        break;
    default:
        generate_some(w, &d);
        break;
    }
    say_state(w);
    if (stream_state(w->stream).index > 0 && roll(&d, 2)) say_bits(w, w->stream);
}

/* --- The walks -------------------------------------------------------------------------------- */

static weir_stream_options random_options(dice *d) {
    static const int64_t chunks[] = {1, 2, 7, 16, 33, 128};
    static const weir_policy policies[] = {WEIR_SINK, WEIR_SINK, WEIR_WINDOW, WEIR_DENSE};
    weir_policy policy = policies[roll(d, 4)];
    weir_stream_options o = stream_options(policy, roll(d, 40), 1 + roll(d, 150));
    if (policy == WEIR_DENSE) {
        o.context = 100 + roll(d, 2000);
        o.beyond = true;
    } else if (roll(d, 3) == 0) {
        o.eviction = WEIR_EVICT_MESSAGE;
    }
    o.chunk = chunks[roll(d, 6)];
    o.cache_type = (weir_cache_type)roll(d, 3);
    return o;
}

static void open_walker(walker *w, const weir_model *model, weir_stream_options options,
                        int lookup) {
    *w = (walker){.lookup = lookup, .said = 1};
    snprintf(w->path, sizeof w->path, "/tmp/weir-lookup-%d-%d.stream", (int)getpid(), lookup);
    options.evicted = note_evicted;
    options.evicted_context = w;
    w->stream = stream_make(model, &options);
}

static void close_walker(walker *w) {
    forget_mark(w);
    weir_stream_destroy(w->stream);
    unlink(w->path);
}

static void test_walks(void **state) {
    (void)state;
    int64_t drafted = 0, accepted = 0;
    for (uint64_t walk = 0; walk < WALKS; walk++) {
        dice d = {.seed = walk};
        walker plain, looking;
        weir_stream_options options = random_options(&d);
        const weir_model *model = roll(&d, 3) ? tiny.model : windowed.model;
        open_walker(&plain, model, options, 0);
        open_walker(&looking, model, options, 1);
        feed_some(&plain, &(dice){.seed = walk, .next = 99});
        feed_some(&looking, &(dice){.seed = walk, .next = 99});
        for (int step = 0; step < STEPS; step++) {
            dice same = {.seed = 1000 * walk + (uint64_t)step + 7777};
            do_step(&plain, same);
            do_step(&looking, same);
            if (plain.said != looking.said || plain.events != looking.events)
                fail_msg("walk %d, step %d: another stream (%s, S %d, W %d, chunk %d)", (int)walk,
                         step, options.policy == WEIR_DENSE ? "dense" : "window",
                         (int)options.sinks, (int)options.window, (int)options.chunk);
        }
        drafted += looking.drafted;
        accepted += looking.accepted;
        assert_int_equal(plain.drafted, 0);
        close_walker(&plain);
        close_walker(&looking);
    }
    /* neither a walk without drafts nor one where they are always right would show anything */
    assert_true(accepted > 5000);
    assert_true(drafted - accepted > 5000);
}

static int set_up(void **state) {
    weir_random_model shape = random_tiny();
    shape.layer_window = LAYER_WINDOW;
    random_model_open(&windowed, &shape, NULL);
    return tiny_set_up(state);
}

static int tear_down(void **state) {
    random_model_close(&windowed);
    return tiny_tear_down(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_walks)};
    return cmocka_run_group_tests_name("looking back changes nothing", tests, set_up, tear_down);
}
