/* base: status and errors, memory, arenas, random numbers, CPU levels, the clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/random.h"
#include "support/failing_allocator.h"

/* ---- status ---------------------------------------------------------------------------------- */

static void status_has_names_and_words(void **state) {
    (void)state;
    assert_string_equal(weir_status_name(WEIR_OK), "OK");
    assert_string_equal(weir_status_name(WEIR_MEMORY), "MEMORY");
    assert_string_equal(weir_status_text(WEIR_DAMAGED), "damaged file");
    assert_string_equal(weir_status_name((weir_status)-1000), "UNKNOWN");
    assert_non_null(weir_status_text((weir_status)-1000));
}

static void error_is_filled_and_cut(void **state) {
    (void)state;
    weir_error error;
    assert_int_equal(weir_error_set(&error, WEIR_IO, "%s: %d", "a.gguf", 7), WEIR_IO);
    assert_int_equal(error.status, WEIR_IO);
    assert_string_equal(error.message, "a.gguf: 7");
    assert_int_equal(weir_error_set(NULL, WEIR_LIMIT, "nobody reads this"), WEIR_LIMIT);

    char long_text[2000];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    weir_error_set(&error, WEIR_USAGE, "%s", long_text);
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void system_memory_is_aligned(void **state) {
    (void)state;
    for (size_t size = 0; size < 300; size += 7) {
        uint8_t *memory = wr_allocate(NULL, size);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % 64, 0);
        memset(memory, 1, size);
        wr_release(NULL, memory, size);
    }
    assert_null(wr_allocate(NULL, SIZE_MAX));
    assert_null(wr_allocate_array(NULL, SIZE_MAX / 2, 3));
    wr_release(NULL, NULL, 10);
}

static void arrays_are_cleared_and_counted(void **state) {
    (void)state;
    failing_allocator memory;
    failing_allocator_init(&memory);
    uint32_t *items = wr_allocate_array(&memory.allocator, 100, sizeof *items);
    for (int i = 0; i < 100; i++) assert_int_equal(items[i], 0);
    assert_int_equal(memory.live_bytes, 400);
    wr_release(&memory.allocator, items, 400);

    void *empty = wr_allocate_array(&memory.allocator, 0, 8); /* size 0 is taken as 1 */
    assert_non_null(empty);
    wr_release(&memory.allocator, empty, 0);
    assert_null(wr_allocate_array(&memory.allocator, SIZE_MAX, 2));
    assert_int_equal(memory.requests, 2);

    memory.fail_at = 2;
    void *first = wr_allocate(&memory.allocator, 8);
    assert_non_null(first);
    assert_null(wr_allocate(&memory.allocator, 8));
    wr_release(&memory.allocator, first, 8);
    assert_true(failing_allocator_clean(&memory));
}

static void sizes_multiply_or_say_no(void **state) {
    (void)state;
    size_t product = 0;
    assert_true(wr_multiply_size(6, 7, &product));
    assert_int_equal(product, 42);
    assert_true(wr_multiply_size(SIZE_MAX, 1, &product));
    assert_true(wr_multiply_size(0, SIZE_MAX, &product));
    assert_false(wr_multiply_size(SIZE_MAX / 2, 3, &product));
}

static void resident_memory_sees_touched_pages(void **state) {
    (void)state;
    enum { SIZE = 64 << 20 };
    int64_t before = weir_memory_resident();
    if (before < 0) {
        print_message("skipped: the system does not tell RssAnon\n");
        skip();
    }
    uint8_t *memory = wr_allocate(NULL, SIZE);
    assert_non_null(memory);
    memset(memory, 1, SIZE);
    assert_true(weir_memory_resident() >= before + SIZE / 2);
    wr_release(NULL, memory, SIZE);
}

/* ---- arena ----------------------------------------------------------------------------------- */

typedef struct layout {
    float *keys;
    uint8_t *flags;
    uint64_t *none;
    double *last;
} layout;

static void lay_out(wr_arena *arena, layout *out) {
    out->keys = wr_arena_take(arena, 100, sizeof(float));
    out->flags = wr_arena_take(arena, 3, 1);
    out->none = wr_arena_take(arena, 0, sizeof(uint64_t));
    out->last = wr_arena_take(arena, 1, sizeof(double));
}

static void arena_measures_what_it_binds(void **state) {
    (void)state;
    failing_allocator memory;
    failing_allocator_init(&memory);
    wr_arena arena = {0};
    layout things;
    lay_out(&arena, &things);
    assert_null(things.keys);
    size_t measured = arena.used;
    assert_int_equal(measured, 448 + 64 + 64);

    assert_int_equal(wr_arena_bind(&arena, &memory.allocator), WEIR_OK);
    assert_int_equal(memory.requests, 1);
    assert_int_equal(memory.live_bytes, measured);
    memory.fail_all = true;
    lay_out(&arena, &things);
    assert_int_equal(arena.used, measured);
    assert_int_equal((uintptr_t)things.flags % 64, 0);
    assert_int_equal((uintptr_t)things.last % 64, 0);
    for (int i = 0; i < 100; i++) assert_true(things.keys[i] == 0.0f);
    assert_true((uint8_t *)things.last + sizeof(double) <= arena.base + arena.size);

    wr_arena_release(&arena, &memory.allocator);
    assert_null(arena.base);
    assert_true(failing_allocator_clean(&memory));
}

static void arena_overflow_is_out_of_memory(void **state) {
    (void)state;
    failing_allocator memory;
    failing_allocator_init(&memory);
    static const size_t cases[][2] = {{SIZE_MAX / 2, 3}, {SIZE_MAX, 1}, {SIZE_MAX - 64, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wr_arena arena = {0};
        wr_arena_take(&arena, 10, 10);
        wr_arena_take(&arena, cases[i][0], cases[i][1]);
        assert_true(arena.used == SIZE_MAX);
        wr_arena_take(&arena, 1, 1); /* stays overflown */
        assert_int_equal(wr_arena_bind(&arena, &memory.allocator), WEIR_MEMORY);
    }
    assert_int_equal(memory.requests, 0);

    wr_arena arena = {0};
    wr_arena_take(&arena, 10, 10);
    memory.fail_all = true;
    assert_int_equal(wr_arena_bind(&arena, &memory.allocator), WEIR_MEMORY);
    wr_arena_release(&arena, &memory.allocator);
    assert_true(failing_allocator_clean(&memory));
}

/* ---- random ---------------------------------------------------------------------------------- */

/* The known answers that the authors of Philox publish for philox4x32-10. */
static void philox_gives_the_known_answers(void **state) {
    (void)state;
    static const struct {
        uint64_t seed, stream, counter;
        uint32_t expected[4];
    } cases[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822,
         0x0370734413198a2e,
         0x85a308d3243f6a88,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t out[4];
        wr_random_block(cases[i].seed, cases[i].stream, cases[i].counter, out);
        assert_memory_equal(out, cases[i].expected, sizeof out);
    }
}

static void random_numbers_have_their_distributions(void **state) {
    (void)state;
    enum { COUNT = 20000 };
    double unit = 0.0, normal = 0.0, square = 0.0;
    for (uint64_t i = 0; i < COUNT; i++) {
        double u = wr_random_unit(7, 1, i);
        double z = wr_random_normal(7, 2, i);
        assert_true(u >= 0.0 && u < 1.0 && isfinite(z));
        unit += u;
        normal += z;
        square += z * z;
    }
    /* five standard errors */
    assert_true(fabs(unit / COUNT - 0.5) < 5 * 0.2887 / sqrt(COUNT));
    assert_true(fabs(normal / COUNT) < 5 / sqrt(COUNT));
    assert_true(fabs(square / COUNT - 1.0) < 5 * sqrt(2.0 / COUNT));
    assert_true(wr_random_unit(7, 1, 3) == wr_random_unit(7, 1, 3));
    assert_true(wr_random_unit(7, 1, 3) != wr_random_unit(8, 1, 3));
}

/* ---- cpu and clock --------------------------------------------------------------------------- */

static void cpu_level_is_chosen_or_refused(void **state) {
    (void)state;
    weir_error error;
    wr_cpu_level level = WR_CPU_LEVELS;
    wr_cpu_level best = wr_cpu_detect();
    assert_true(best < WR_CPU_LEVELS);
    assert_int_equal(wr_cpu_choose("scalar", &level, &error), WEIR_OK);
    assert_int_equal(level, WR_CPU_SCALAR);
    for (int i = 0; i < WR_CPU_LEVELS; i++) {
        weir_status status = wr_cpu_choose(wr_cpu_name((wr_cpu_level)i), &level, &error);
        assert_int_equal(status, i <= (int)best ? WEIR_OK : WEIR_USAGE);
        if (status == WEIR_OK) assert_int_equal(level, i);
    }
    assert_int_equal(wr_cpu_choose("mmx", &level, &error), WEIR_USAGE);
    for (int i = 0; i < WR_CPU_LEVELS; i++) {
        assert_non_null(strstr(error.message, wr_cpu_name((wr_cpu_level)i)));
    }
}

static void cpu_level_comes_from_the_environment(void **state) {
    (void)state;
    char *before = getenv("WEIR_CPU");
    if (before != NULL) before = strdup(before);
    wr_cpu_level level;
    setenv("WEIR_CPU", "scalar", 1);
    assert_int_equal(wr_cpu_choose(NULL, &level, NULL), WEIR_OK);
    assert_int_equal(level, WR_CPU_SCALAR);
    setenv("WEIR_CPU", "nonsense", 1);
    assert_int_equal(wr_cpu_choose(NULL, &level, NULL), WEIR_USAGE);
    assert_int_equal(wr_cpu_choose("scalar", &level, NULL), WEIR_OK);
    unsetenv("WEIR_CPU");
    assert_int_equal(wr_cpu_choose(NULL, &level, NULL), WEIR_OK);
    assert_int_equal(level, wr_cpu_detect());
    if (before != NULL) setenv("WEIR_CPU", before, 1);
    free(before);
}

static void clock_never_goes_back(void **state) {
    (void)state;
    double last = wr_clock_seconds();
    for (int i = 0; i < 1000; i++) {
        double now = wr_clock_seconds();
        assert_true(now >= last);
        last = now;
    }
    last = wr_clock_thread_seconds();
    double begun = last;
    for (int i = 0; i < 1000 || last == begun; i++) { /* it computes, so the clock moves on */
        double now = wr_clock_thread_seconds();
        assert_true(now >= last);
        last = now;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_has_names_and_words),
        cmocka_unit_test(error_is_filled_and_cut),
        cmocka_unit_test(system_memory_is_aligned),
        cmocka_unit_test(arrays_are_cleared_and_counted),
        cmocka_unit_test(sizes_multiply_or_say_no),
        cmocka_unit_test(resident_memory_sees_touched_pages),
        cmocka_unit_test(arena_measures_what_it_binds),
        cmocka_unit_test(arena_overflow_is_out_of_memory),
        cmocka_unit_test(philox_gives_the_known_answers),
        cmocka_unit_test(random_numbers_have_their_distributions),
        cmocka_unit_test(cpu_level_is_chosen_or_refused),
        cmocka_unit_test(cpu_level_comes_from_the_environment),
        cmocka_unit_test(clock_never_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
