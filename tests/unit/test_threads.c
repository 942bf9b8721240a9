/* base/threads: every item exactly once, whoever asks and however many threads there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/threads.h"
#include "support/failing_allocator.h"

enum { MOST_ITEMS = 5000, MOST_THREADS = 256 };

/* Plain counters: the thread sanitizer sees it when two threads have the same item. */
typedef struct tally {
    int64_t items;
    int64_t grain;
    int count;
    int visits[MOST_ITEMS];
    atomic_bool busy[MOST_THREADS]; /* a worker number belongs to one thread at a time */
    atomic_int mistakes;
} tally;

static void visit(void *context, int64_t begin, int64_t end, int worker) {
    tally *seen = context;
    bool fine = begin >= 0 && begin < end && end <= seen->items && end - begin <= seen->grain &&
                begin % seen->grain == 0 && worker >= 0 && worker < seen->count;
    if (!fine || atomic_exchange(&seen->busy[worker], true)) {
        atomic_fetch_add(&seen->mistakes, 1);
        return;
    }
    for (int64_t i = begin; i < end; i++) seen->visits[i]++;
    atomic_store(&seen->busy[worker], false);
}

static void run_and_check(wr_threads *threads, tally *seen, int64_t items, int64_t grain) {
    memset(seen->visits, 0, sizeof seen->visits);
    seen->items = items;
    seen->grain = grain;
    seen->count = wr_threads_count(threads);
    wr_threads_run(threads, items, grain, visit, seen);
    int64_t wrong = atomic_load(&seen->mistakes);
    for (int64_t i = 0; i < MOST_ITEMS; i++) wrong += seen->visits[i] != (i < items);
    assert_int_equal(wrong, 0);
}

static void every_item_is_visited_once(void **state) {
    (void)state;
    static const int counts[] = {1, 2, 3, 7, 32};
    static const int64_t items[] = {0, 1, 2, 63, 64, 65, 1001, MOST_ITEMS};
    static const int64_t grains[] = {1, 2, 7, 64, 4999, 5000, INT64_MAX};
    tally *seen = calloc(1, sizeof *seen);
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        wr_threads *threads;
        assert_int_equal(wr_threads_create(counts[c], NULL, &threads, NULL), WEIR_OK);
        assert_int_equal(wr_threads_count(threads), counts[c]);
        for (size_t i = 0; i < sizeof items / sizeof items[0]; i++) {
            for (size_t g = 0; g < sizeof grains / sizeof grains[0]; g++) {
                run_and_check(threads, seen, items[i], grains[g]);
            }
        }
        wr_threads_release(threads);
    }
    free(seen);
}

static void many_tiny_runs_all_finish(void **state) {
    (void)state;
    static const int counts[] = {2, 5};
    tally *seen = calloc(1, sizeof *seen);
    for (int c = 0; c < 2; c++) {
        wr_threads *threads;
        assert_int_equal(wr_threads_create(counts[c], NULL, &threads, NULL), WEIR_OK);
        seen->count = counts[c];
        for (int run = 0; run < 20000; run++) {
            seen->items = 2 + run % 5;
            seen->grain = 1;
            memset(seen->visits, 0, 8 * sizeof(int));
            wr_threads_run(threads, seen->items, 1, visit, seen);
            for (int64_t i = 0; i < 8; i++) assert_int_equal(seen->visits[i], i < seen->items);
        }
        assert_int_equal(atomic_load(&seen->mistakes), 0);
        wr_threads_release(threads);
    }
    free(seen);
}

static void *call_often(void *argument) {
    wr_threads *threads = argument;
    tally *seen = calloc(1, sizeof *seen);
    int64_t wrong = 0;
    for (int run = 0; run < 300; run++) {
        seen->items = 1 + run;
        seen->grain = 1 + run % 9;
        seen->count = wr_threads_count(threads);
        memset(seen->visits, 0, 300 * sizeof(int));
        wr_threads_run(threads, seen->items, seen->grain, visit, seen);
        for (int64_t i = 0; i < 300; i++) wrong += seen->visits[i] != (i < seen->items);
    }
    wrong += atomic_load(&seen->mistakes);
    free(seen);
    wr_threads_release(threads);
    return (void *)(intptr_t)wrong;
}

static void callers_take_turns(void **state) {
    (void)state;
    enum { CALLERS = 4 };
    wr_threads *threads;
    assert_int_equal(wr_threads_create(3, NULL, &threads, NULL), WEIR_OK);
    pthread_t callers[CALLERS];
    for (int i = 0; i < CALLERS; i++) {
        wr_threads *shared = wr_threads_share(threads);
        assert_ptr_equal(shared, threads);
        assert_int_equal(pthread_create(&callers[i], NULL, call_often, shared), 0);
    }
    wr_threads_release(threads); /* the callers' references keep it */
    for (int i = 0; i < CALLERS; i++) {
        void *wrong;
        assert_int_equal(pthread_join(callers[i], &wrong), 0);
        assert_null(wrong);
    }
}

/* --- Company that costs more than it brings ----------------------------------------------------
 */

typedef struct company {
    atomic_int slow;    /* microseconds that the others take for a run; 0: as long as the caller */
    atomic_int helped;  /* runs of the loop that others computed */
    atomic_int visited; /* runs of the loop */
} company;

static void keep_company(void *context, int64_t begin, int64_t end, int worker) {
    company *c = context;
    atomic_fetch_add(&c->visited, (int)(end - begin));
    if (worker > 0) atomic_fetch_add(&c->helped, (int)(end - begin));
    int slow = worker > 0 ? atomic_load(&c->slow) : 0;
    usleep(slow > 0 ? (useconds_t)slow : 100);
}

/* Loops until one was computed by the caller alone, or with others; fails after very many. */
static void loop_until(wr_threads *threads, company *c, bool alone) {
    for (int i = 0; i < 20000; i++) {
        atomic_store(&c->helped, 0);
        atomic_store(&c->visited, 0);
        wr_threads_run(threads, 12, 1, keep_company, c);
        assert_int_equal(atomic_load(&c->visited), 12);
        if ((atomic_load(&c->helped) == 0) == alone) return;
    }
    fail_msg("others %s", alone ? "hold every loop up" : "never come back");
}

static void slow_company_is_left_and_tried_again(void **state) {
    (void)state;
    wr_threads *threads;
    company c = {.slow = 4000};
    assert_int_equal(wr_threads_create(3, NULL, &threads, NULL), WEIR_OK);
    for (int i = 0; i < 3; i++) {
        atomic_store(&c.slow, 4000);
        loop_until(threads, &c, false);
        loop_until(threads, &c, true);
        atomic_store(&c.slow, 0);
        loop_until(threads, &c, false);
    }
    wr_threads_release(threads);
}

/* A worker that was held up once after many good loops is there in the next one; a machine that
 * others crowd gets several tries. */
static void one_interruption_is_forgiven(void **state) {
    (void)state;
    wr_threads *threads;
    company c = {0};
    int helped = 0;
    assert_int_equal(wr_threads_create(3, NULL, &threads, NULL), WEIR_OK);
    for (int i = 0; i < 20 && helped == 0; i++) {
        for (int loop = 0; loop < 300; loop++) wr_threads_run(threads, 12, 1, keep_company, &c);
        atomic_store(&c.slow, 30000);
        loop_until(threads, &c, false);
        atomic_store(&c.slow, 0);
        atomic_store(&c.helped, 0);
        for (int loop = 0; loop < 3; loop++) wr_threads_run(threads, 12, 1, keep_company, &c);
        helped = atomic_load(&c.helped);
    }
    assert_int_not_equal(helped, 0);
    wr_threads_release(threads);
}

static void sum_squares(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    double *out = context;
    for (int64_t i = begin; i < end; i++) {
        for (int64_t k = 1; k < 50; k++) out[i] += 1.0 / (double)(k * k + i);
    }
}

static void results_do_not_depend_on_the_count(void **state) {
    (void)state;
    double expected[1000] = {0};
    sum_squares(expected, 0, 1000, 0);
    for (int count = 1; count < 6; count++) {
        double out[1000] = {0};
        wr_threads *threads;
        assert_int_equal(wr_threads_create(count, NULL, &threads, NULL), WEIR_OK);
        wr_threads_run(threads, 1000, 13, sum_squares, out);
        wr_threads_release(threads);
        assert_memory_equal(out, expected, sizeof out);
    }
}

static void running_allocates_nothing(void **state) {
    (void)state;
    failing_allocator memory;
    failing_allocator_init(&memory);
    wr_threads *threads;
    assert_int_equal(wr_threads_create(4, &memory.allocator, &threads, NULL), WEIR_OK);
    assert_int_equal(memory.requests, 1);
    memory.fail_all = true;
    tally *seen = calloc(1, sizeof *seen);
    for (int i = 0; i < 100; i++) run_and_check(threads, seen, 999, 10);
    free(seen);
    assert_int_equal(memory.requests, 1);
    wr_threads_release(threads);
    assert_true(failing_allocator_clean(&memory));
}

/* What is expected may be anything: it is asked for, never read. */
static void expecting_changes_nothing(void **state) {
    (void)state;
    tally *seen = calloc(1, sizeof *seen);
    static const uint8_t some[4096];
    wr_threads *threads;
    assert_int_equal(wr_threads_create(3, NULL, &threads, NULL), WEIR_OK);
    for (int i = 0; i < 300; i++) {
        for (int number = 0; number < 3; number++) {
            const void *at = i % 3 == 0   ? NULL
                             : i % 3 == 1 ? some
                                          : (const void *)(UINTPTR_MAX - 9);
            wr_threads_expect(threads, number, at, i % 4 == 0 ? 0 : i % 4 == 1 ? 1 : SIZE_MAX);
        }
        run_and_check(threads, seen, 999, 10);
    }
    free(seen);
    wr_threads_release(threads);
}

static void creating_refuses_what_it_cannot(void **state) {
    (void)state;
    static const int counts[] = {0, -1, 257, INT32_MAX, INT32_MIN};
    weir_error error;
    wr_threads *threads;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        assert_int_equal(wr_threads_create(counts[i], NULL, &threads, &error), WEIR_USAGE);
        assert_null(threads);
        assert_non_null(strstr(error.message, "256"));
    }
    failing_allocator memory;
    failing_allocator_init(&memory);
    memory.fail_at = 1;
    assert_int_equal(wr_threads_create(2, &memory.allocator, &threads, &error), WEIR_MEMORY);
    assert_true(failing_allocator_clean(&memory));
    wr_threads_release(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_is_visited_once),
        cmocka_unit_test(many_tiny_runs_all_finish),
        cmocka_unit_test(callers_take_turns),
        cmocka_unit_test(slow_company_is_left_and_tried_again),
        cmocka_unit_test(one_interruption_is_forgiven),
        cmocka_unit_test(results_do_not_depend_on_the_count),
        cmocka_unit_test(running_allocates_nothing),
        cmocka_unit_test(expecting_changes_nothing),
        cmocka_unit_test(creating_refuses_what_it_cannot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
