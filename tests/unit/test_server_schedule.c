/* Who has a turn: a long prompt delays nobody's token by more than its chunk, and nobody is
 * forgotten. No clock: what is counted are the tokens of each step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#include "streams/schedule.h"
#include "support/random_model.h"

enum { CHUNK = 16, MOST = 12 };

/* As many streams as are asked for, each with one task. */
typedef struct crowd {
    weir_batch *batch;
    server_schedule schedule;
    server_metrics metrics;
    server_session *sessions[MOST];
    server_task *tasks[MOST]; /* freed with the crowd */
    server_task *list;
    server_reply *reply;
    int count;
} crowd;

static weir_status may_draw(struct server_worker *worker, server_task *task, weir_error *error) {
    (void)worker, (void)task, (void)error;
    return WEIR_OK;
}
static void take_text(server_task *task, int32_t token, const char *text, size_t size) {
    (void)task, (void)token, (void)text, (void)size;
}
static void finish(struct server_worker *worker, server_task *task) { (void)worker, (void)task; }
static bool full;
static bool has_room(server_task *task) { return !full || task->context == NULL; }

static const task_kind drawing = {"drawing", may_draw, take_text, has_room, finish};
static const task_kind feeding = {.name = "feeding", .finish = finish};

static void open_crowd(crowd *c, int rows, int streams) {
    weir_error error;
    const weir_batch_options options = {.rows = rows, .streams = streams, .threads = 1};
    weir_batch_plan sizes;
    *c = (crowd){.reply = reply_create()};
    must(weir_batch_plan_sizes(tiny.model, &options, &sizes, &error), &error);
    must(weir_batch_create(tiny.model, &options, &c->batch, &error), &error);
    must(schedule_open(&c->schedule, &sizes, &error), &error);
}

static void close_crowd(crowd *c) {
    for (int i = 0; i < c->count; i++) {
        task_free(c->tasks[i]);
        session_destroy(c->sessions[i]);
    }
    reply_release(c->reply);
    schedule_close(&c->schedule);
    weir_batch_destroy(c->batch);
}

/* Comes last. `size` bytes of text to read, then tokens to draw, if any. */
static server_task *join(crowd *c, size_t size, int64_t draws) {
    weir_error error;
    weir_stream_options options = stream_options(WEIR_SINK, 4, 28);
    options.threads = 0;
    options.batch = c->batch;
    options.chunk = CHUNK;
    must(session_create(tiny.model, &options, "", &c->metrics, &c->sessions[c->count], &error),
         &error);
    server_task *task =
        task_create(draws > 0 ? &drawing : &feeding, NULL, c->sessions[c->count], c->reply);
    assert_non_null(task);
    task->text = calloc(size + 1, 1);
    assert_non_null(task->text);
    for (size_t i = 0; i < size; i++) task->text[i] = i % 8 == 7 ? ' ' : (char)('a' + i % 23);
    task->text_size = size;
    task->flush = true;
    task->makes = draws > 0;
    task->generate = weir_generate_default();
    task->generate.tokens = draws;
    task->generate.stop_at_end = false;
    task->sampling = weir_sampling_default();
    server_task **end = &c->list;
    while (*end != NULL) end = &(*end)->next;
    *end = task;
    c->tasks[c->count++] = task;
    return task;
}

typedef struct turns {
    int drawn;       /* turns that draw */
    int64_t longest; /* of one stream */
    int64_t fed;     /* tokens of all others */
} turns;

/* One step, as the worker takes it. */
static turns step(crowd *c) {
    turns had = {0};
    for (server_task *task = c->list; task != NULL; task = task->next) {
        task->session->owner = task;
        task_advance(NULL, task);
        if (task->error.status != WEIR_OK) fail_msg("%s", task->error.message);
    }
    const int32_t count = schedule_plan(&c->schedule, c->list);
    for (int32_t i = 0; i < count; i++) {
        const int64_t tokens = c->schedule.turns[i].count;
        had.drawn += tokens == 0;
        had.fed += tokens;
        if (tokens > had.longest) had.longest = tokens;
    }
    if (count > 0) {
        schedule_step(&c->schedule, c->batch);
        c->list = schedule_rotate(c->list);
    }
    return had;
}

static void draw_all(crowd *c, int count) {
    for (int i = 0; i < count; i++) join(c, 5, 100000);
    while (step(c).drawn < count) {
    }
}

/* The ninth of issue: eight draw, and one brings a prompt. */
static void a_prompt_delays_no_token_by_more_than_a_chunk(void **state) {
    (void)state;
    crowd c;
    open_crowd(&c, 128, MOST);
    draw_all(&c, 8);
    server_task *ninth = join(&c, 3000, 0);
    int steps = 0;
    while (!ninth->over) {
        const turns had = step(&c);
        assert_int_equal(had.drawn, 8); /* each of them, in every step */
        assert_true(had.fed <= CHUNK);
        steps++;
    }
    assert_true(ninth->session->index > 1000);
    /* nor is it held up: whole chunks, but for the ends of the pieces that it is read in */
    assert_true(steps <= ninth->session->index / CHUNK + 6);
    close_crowd(&c);
}

/* Prompts share one chunk while somebody draws, and get on in turn. */
static void several_prompts_share_a_chunk(void **state) {
    (void)state;
    crowd c;
    open_crowd(&c, 128, MOST);
    draw_all(&c, 2);
    for (int i = 0; i < 4; i++) join(&c, 1000, 0);
    for (int i = 0; i < 40; i++) {
        const turns had = step(&c);
        assert_int_equal(had.drawn, 2);
        assert_true(had.fed <= CHUNK);
    }
    for (int i = 3; i < 6; i++) {
        const int64_t ahead = c.sessions[i - 1]->index - c.sessions[i]->index;
        assert_true(ahead <= 2 * CHUNK && ahead >= -2 * CHUNK);
        assert_true(c.sessions[i]->index > 4 * CHUNK);
    }
    close_crowd(&c);
}

/* Nobody draws: prompts have all rows, each stream a chunk of its own. */
static void prompts_alone_have_all_rows(void **state) {
    (void)state;
    crowd c;
    open_crowd(&c, 128, MOST);
    for (int i = 0; i < 4; i++) join(&c, 1000, 0);
    const turns had = step(&c);
    assert_int_equal(had.drawn, 0);
    assert_int_equal(had.longest, CHUNK);
    assert_int_equal(had.fed, 4 * CHUNK);
    close_crowd(&c);
}

/* More who draw than a step has places: they take turns. */
static void nobody_is_forgotten(void **state) {
    (void)state;
    crowd c;
    open_crowd(&c, CHUNK, 4);
    for (int i = 0; i < MOST - 1; i++) join(&c, 5, 100000);
    for (int i = 0; i < 120; i++) step(&c);
    int64_t least = c.sessions[0]->made, most = least;
    for (int i = 1; i < MOST - 1; i++) {
        const int64_t made = c.sessions[i]->made;
        least = made < least ? made : least;
        most = made > most ? made : most;
    }
    assert_true(least > 20);
    assert_true(most - least <= 12);
    server_task *late = join(&c, 300, 0);
    for (int i = 0; i < 200 && !late->over; i++) step(&c);
    assert_true(late->over);
    close_crowd(&c);
}

/* Whoever does not read what was drawn for it has no turn until it does. */
static void a_slow_reader_pauses(void **state) {
    (void)state;
    crowd c;
    open_crowd(&c, 128, MOST);
    draw_all(&c, 3);
    c.tasks[1]->context = &c;
    full = true;
    const int64_t before = c.sessions[1]->made;
    for (int i = 0; i < 10; i++) assert_int_equal(step(&c).drawn, 2);
    assert_int_equal(c.sessions[1]->made, before);
    full = false;
    assert_int_equal(step(&c).drawn, 3);
    close_crowd(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prompt_delays_no_token_by_more_than_a_chunk),
        cmocka_unit_test(several_prompts_share_a_chunk),
        cmocka_unit_test(prompts_alone_have_all_rows),
        cmocka_unit_test(nobody_is_forgotten),
        cmocka_unit_test(a_slow_reader_pauses),
    };
    return cmocka_run_group_tests(tests, tiny_set_up, tiny_tear_down);
}
