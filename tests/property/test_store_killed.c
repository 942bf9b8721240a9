/*
 * A process that keeps a stream in a store is killed two hundred times, whenever. Every step that
 * it acknowledged is there each time, and the stream goes on as its twin does, which nobody killed.
 */
#include "support/store_ops.h"

#include <sys/wait.h>

enum { KILLS = 200 };

static const uint64_t seed = 8;

/* Steps of the stream so far: each is one entry. */
static weir_status count_entries(void *context, const weir_store_stream *stream) {
    *(int64_t *)context = stream->entries;
    return WEIR_OK;
}

static weir_store *open_kept(int64_t *steps) {
    weir_error error;
    weir_store *store = NULL;
    must(weir_store_open(scratch_path("store"), tiny.model, NULL, &store, &error), &error);
    *steps = 0;
    must(weir_store_list(store, count_entries, steps, &error), &error);
    return store;
}

/* Live on until killed; tell each step that is safe. */
static void live(int told) {
    weir_error error;
    int64_t k;
    weir_stream *stream = NULL;
    weir_store *store = open_kept(&k);
    must(weir_store_restore(store, "river", NULL, NULL, &stream, NULL, &error), &error);
    for (;; k++) {
        uint32_t draw[4];
        store_step_keep(store, "river", stream, seed, k);
        const int64_t safe = k + 1;
        if (write(told, &safe, sizeof safe) != sizeof safe) _exit(1);
        wr_random_block(seed, 4, (uint64_t)k, draw);
        if (draw[0] % 12 == 0) must(weir_store_snapshot(store, "river", stream, &error), &error);
    }
}

/* One life: killed so many microseconds after it acknowledged `steps` steps. Returns what it
 * acknowledged last. */
static int64_t live_and_die(int64_t before, int steps, useconds_t after) {
    int64_t safe = before, said = before;
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        live(ends[1]);
        _exit(1);
    }
    close(ends[1]);
    for (int i = 0; i < steps && read(ends[0], &said, sizeof said) == sizeof said; i++) safe = said;
    usleep(after);
    assert_int_equal(kill(child, SIGKILL), 0);
    while (read(ends[0], &said, sizeof said) == sizeof said) safe = said;
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return safe;
}

static void expect_twin(weir_store *store, int64_t steps) {
    weir_error error;
    weir_stream *stream = NULL, *twin = store_twin(tiny.model, seed, steps);
    must(weir_store_restore(store, "river", NULL, NULL, &stream, NULL, &error), &error);
    assert_same_stream(stream, twin);
    weir_stream_destroy(stream);
    weir_stream_destroy(twin);
}

static void killed_at_any_moment(void **state) {
    (void)state;
    weir_error error;
    int64_t steps = 0;
    weir_store *store = open_kept(&steps);
    weir_stream *stream = store_stream(tiny.model);
    must(weir_store_add(store, "river", NULL, stream, &error), &error);
    weir_stream_destroy(stream);
    weir_store_close(store);
    for (int i = 0; i < KILLS; i++) {
        uint32_t draw[4];
        int64_t there;
        wr_random_block(seed, 5, (uint64_t)i, draw);
        steps = live_and_die(steps, (int)(draw[1] % 5), draw[0] % 3000);
        store = open_kept(&there);
        assert_true(there >= steps && there <= steps + 1);
        steps = there;
        if (i % 20 == 19) expect_twin(store, steps);
        weir_store_close(store);
    }
    print_message("%d kills, %lld steps\n", KILLS, (long long)steps);
    assert_true(steps > KILLS);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(killed_at_any_moment)};
    return cmocka_run_group_tests_name("store, killed", tests, store_set_up, store_tear_down);
}
