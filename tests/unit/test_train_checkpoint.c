/*
 * src/train: what a run keeps on disk. Checkpoints come back to the bit, or are refused; the log
 * has each step once; a contradiction is named.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/failing_allocator.h"
#include "support/scratch.h"
#include "train/checkpoint.h"
#include "train/core/parameters.h"
#include "train/exchange.h"
#include "train/run_log.h"

enum { NUMBERS = 100 };

static int empty_folder(void **state) {
    static const char *const names[] = {"checkpoint", "checkpoint.previous", "log.csv"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        unlink(scratch_path(names[i]));
    }
    return 0;
}

static int remove_folder(void **state) {
    empty_folder(state);
    return rmdir(scratch_folder); /* nothing else was left there */
}

static void assert_said(weir_status got, weir_status wanted, const weir_error *error,
                        const char *words) {
    assert_int_equal(got, wanted);
    if (strstr(error->message, words) == NULL) {
        fail_msg("no \"%s\" in: %s", words, error->message);
    }
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

static float arrays[WR_CHECKPOINT_ARRAYS][NUMBERS];

static wr_checkpoint make_checkpoint(int64_t step) {
    wr_checkpoint checkpoint = {.recipe = {.layers = 3, .seed = 1u << 31, .rate = 1e-3},
                                .state = {.step = step,
                                          .seconds = 1.5 * (double)step,
                                          .loss = 2.25,
                                          .validation = (double)NAN,
                                          .sink_rate = 0.75},
                                .numbers = NUMBERS};
    for (int i = 0; i < WR_CHECKPOINT_ARRAYS; i++) {
        for (int j = 0; j < NUMBERS; j++) {
            arrays[i][j] = sinf((float)(1000 * i + j) + (float)step);
        }
        checkpoint.arrays[i] = arrays[i];
    }
    return checkpoint;
}

static void write_step(int64_t step) {
    weir_error error;
    wr_checkpoint checkpoint = make_checkpoint(step);
    if (wr_checkpoint_write(scratch_folder, &checkpoint, NULL, &error) != WEIR_OK) {
        fail_msg("%s", error.message);
    }
}

static void assert_stands(int64_t step, bool previous) {
    weir_error error = {.message = ""};
    wr_checkpoint_file file;
    wr_checkpoint wanted = make_checkpoint(step);
    assert_int_equal(wr_checkpoint_open(scratch_folder, &file, &error), WEIR_OK);
    assert_non_null(file.map.data);
    assert_int_equal(file.previous, previous);
    assert_memory_equal(&file.checkpoint.recipe, &wanted.recipe, sizeof wanted.recipe);
    assert_memory_equal(&file.checkpoint.state, &wanted.state, sizeof wanted.state);
    assert_int_equal(file.checkpoint.numbers, NUMBERS);
    for (int i = 0; i < WR_CHECKPOINT_ARRAYS; i++) {
        assert_memory_equal(file.checkpoint.arrays[i], arrays[i], sizeof arrays[i]);
    }
    wr_checkpoint_close(&file);
    assert_null(file.map.data);
}

static void test_comes_back(void **state) {
    (void)state;
    wr_checkpoint_file file;
    assert_int_equal(wr_checkpoint_open(scratch_folder, &file, NULL), WEIR_OK);
    assert_null(file.map.data); /* there is none */
    for (int64_t step = 0; step < 4; step++) {
        write_step(step);
        assert_stands(step, false);
    }
    struct stat about;
    assert_int_equal(stat(scratch_path("checkpoint"), &about), 0);
    assert_int_equal(about.st_size, wr_checkpoint_size(NUMBERS));
    unlink(scratch_path("checkpoint"));
    assert_stands(2, true);
    assert_int_equal(wr_checkpoint_remove(scratch_folder, NULL), WEIR_OK);
    assert_int_equal(wr_checkpoint_remove(scratch_folder, NULL), WEIR_OK);
    assert_int_equal(wr_checkpoint_open(scratch_folder, &file, NULL), WEIR_OK);
    assert_null(file.map.data);
}

static void change_byte(const char *path, off_t at) {
    int fd = open(path, O_RDWR);
    uint8_t byte;
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* Any byte changed, any length: refused, or the one before it is there with a word about why. */
static void test_damaged(void **state) {
    (void)state;
    const off_t size = (off_t)wr_checkpoint_size(NUMBERS);
    for (off_t at = 0; at < size; at += at < 300 ? 1 : 37) {
        wr_checkpoint_file file;
        weir_error error;
        empty_folder(NULL);
        write_step(5);
        change_byte(scratch_path("checkpoint"), at);
        weir_status status = wr_checkpoint_open(scratch_folder, &file, &error);
        if (status != WEIR_UNSUPPORTED) { /* another version, as it seems */
            assert_said(status, WEIR_DAMAGED, &error, "--fresh begins anew");
        }
        assert_non_null(strstr(error.message, scratch_path("checkpoint")));
        assert_null(file.map.data);
    }
    for (off_t length = 0; length < size; length += 97) {
        empty_folder(NULL);
        write_step(6);
        write_step(7);
        assert_int_equal(truncate(scratch_path("checkpoint"), length), 0);
        assert_stands(6, true);
    }
    weir_error error;
    wr_checkpoint_file file;
    assert_int_equal(truncate(scratch_path("checkpoint.previous"), 99), 0);
    assert_said(wr_checkpoint_open(scratch_folder, &file, &error), WEIR_DAMAGED, &error,
                "and so is the one before it: --fresh");
}

static void test_memory(void **state) {
    (void)state;
    failing_allocator memory;
    failing_allocator_init(&memory);
    write_step(1);
    weir_status status = WEIR_MEMORY;
    for (int64_t n = 1; status != WEIR_OK; n++) {
        weir_error error;
        wr_checkpoint checkpoint = make_checkpoint(2);
        memory.fail_at = n;
        status = wr_checkpoint_write(scratch_folder, &checkpoint, &memory.allocator, &error);
        assert_true(failing_allocator_clean(&memory));
        if (status != WEIR_OK) {
            assert_said(status, WEIR_MEMORY, &error, "memory");
            assert_stands(1, false);
        }
    }
    assert_stands(2, false);
}

/* A disk that is full after so many bytes: the last one stays, and nothing else is left. */
static void test_full_disk(void **state) {
    (void)state;
    struct rlimit before, limit;
    getrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, SIG_IGN);
    write_step(1);
    write_step(2);
    for (rlim_t size = 0; size < wr_checkpoint_size(NUMBERS); size += 111) {
        weir_error error;
        wr_checkpoint checkpoint = make_checkpoint(3);
        limit = before;
        limit.rlim_cur = size;
        setrlimit(RLIMIT_FSIZE, &limit);
        weir_status status = wr_checkpoint_write(scratch_folder, &checkpoint, NULL, &error);
        setrlimit(RLIMIT_FSIZE, &before);
        assert_said(status, WEIR_IO, &error, scratch_path("checkpoint"));
        assert_stands(2, false);
    }
    unlink(scratch_path("checkpoint"));
    assert_stands(1, true);
}

/* ---- the recipe ------------------------------------------------------------------------------ */

static void test_contradictions(void **state) {
    (void)state;
    weir_error error = {.message = ""};
    weir_train_options options = weir_train_options_default();
    wr_recipe stands = {.data = 5}, asked;
    options.warm_up = 10;
    options.steps = 100;
    wr_recipe_take(&stands, &options);
    assert_int_equal(stands.data, 5);
    asked = stands;
    asked.steps = 200; /* extends */
    assert_int_equal(wr_recipe_agree(&asked, &stands, "run", &error), WEIR_OK);
    asked.rate = 0.5;
    assert_said(wr_recipe_agree(&asked, &stands, "run", &error), WEIR_USAGE, &error,
                "run was begun with --rate 0.002, not 0.5: give that");
    asked = stands;
    asked.layers = 7;
    assert_said(wr_recipe_agree(&asked, &stands, "run", &error), WEIR_USAGE, &error,
                "--layers 6, not 7");
    asked = stands;
    asked.sink = WEIR_TRAIN_SINK_TOKEN;
    assert_said(wr_recipe_agree(&asked, &stands, "run", &error), WEIR_USAGE, &error,
                "another --sink:");
    asked = stands;
    asked.data++;
    assert_said(wr_recipe_agree(&asked, &stands, "run", &error), WEIR_USAGE, &error,
                "another text or vocabulary");
}

static void test_schedules(void **state) {
    (void)state;
    wr_recipe recipe = {.steps = 100, .warm_up = 10, .rate = 1, .rate_end = 0.1};
    assert_true(fabs(wr_recipe_rate(&recipe, 1) - 0.1) < 1e-12);
    assert_true(fabs(wr_recipe_rate(&recipe, 5) - 0.5) < 1e-12);
    assert_true(fabs(wr_recipe_rate(&recipe, 10) - 1) < 1e-12);
    assert_true(fabs(wr_recipe_rate(&recipe, 55) - 0.55) < 1e-12); /* half way */
    assert_true(fabs(wr_recipe_rate(&recipe, 100) - 0.1) < 1e-12);
    for (int64_t step = 11; step <= 100; step++) {
        assert_true(wr_recipe_rate(&recipe, step) < wr_recipe_rate(&recipe, step - 1));
    }
    recipe.schedule = WEIR_TRAIN_WSD;
    recipe.decay_share = 0.2;
    assert_true(fabs(wr_recipe_rate(&recipe, 5) - 0.5) < 1e-12);
    assert_true(fabs(wr_recipe_rate(&recipe, 11) - 1) < 1e-12);
    assert_true(fabs(wr_recipe_rate(&recipe, 80) - 1) < 1e-12);
    assert_true(fabs(wr_recipe_rate(&recipe, 90) - 0.55) < 1e-12);
    assert_true(fabs(wr_recipe_rate(&recipe, 100) - 0.1) < 1e-12);
    recipe.warm_up = 100; /* all of it */
    assert_true(fabs(wr_recipe_rate(&recipe, 99) - 0.99) < 1e-12);
    recipe = (wr_recipe){.steps = 1, .rate = 1, .rate_end = 0.1};
    assert_true(isfinite(wr_recipe_rate(&recipe, 1)));
}

/* ---- the log --------------------------------------------------------------------------------- */

static void add_lines(wr_run_log *log, int64_t first, int64_t last) {
    for (int64_t step = first; step <= last; step++) {
        const double layers[2] = {0.5, 0.25};
        wr_run_line line = {.step = step,
                            .tokens = 10 * step,
                            .loss = 2,
                            .validation = step % 2 == 0 ? 0 : (double)NAN,
                            .sink_rate = (double)NAN,
                            .token0 = step % 2 == 0 ? layers : NULL};
        assert_int_equal(wr_run_log_add(log, &line, NULL), WEIR_OK);
    }
    assert_int_equal(wr_run_log_sync(log, NULL), WEIR_OK);
}

static wr_run_log *open_log(int64_t step) {
    weir_error error;
    wr_run_log *log;
    if (wr_run_log_open(scratch_path("log.csv"), 2, step, NULL, &log, &error) != WEIR_OK) {
        fail_msg("%s", error.message);
    }
    return log;
}

/* The steps in the log are 1 ... last, each once. */
static void assert_log(int64_t last) {
    char text[256];
    FILE *file = fopen(scratch_path("log.csv"), "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    assert_int_equal(strncmp(text, "step,tokens,rate,loss,", 22), 0);
    assert_non_null(strstr(text, ",seconds,token0_0,token0_1,term_0,term_1\n"));
    for (int64_t step = 1; step <= last; step++) {
        assert_non_null(fgets(text, sizeof text, file));
        assert_int_equal(strtoll(text, NULL, 10), step);
        assert_non_null(strstr(text, step % 2 == 0 ? ",0,1,0,,0,0,0,0.5,0.25,,\n" : ",,,0,,"));
    }
    assert_null(fgets(text, sizeof text, file));
    fclose(file);
}

static void test_log(void **state) {
    (void)state;
    wr_run_log *log = open_log(0);
    add_lines(log, 1, 9);
    wr_run_log_close(log);
    assert_log(9);
    log = open_log(6); /* the checkpoint is of step 6 */
    assert_log(6);
    add_lines(log, 7, 12);
    wr_run_log_close(log);
    assert_log(12);
    FILE *file = fopen(scratch_path("log.csv"), "a"); /* killed in the middle of a line */
    assert_non_null(file);
    fputs("13,130,0", file);
    fclose(file);
    log = open_log(13);
    assert_log(12);
    wr_run_log_close(log);
    log = open_log(0);
    assert_log(0);
    wr_run_log_close(log);
    weir_error error;
    assert_int_equal(truncate(scratch_path("log.csv"), 9), 0);
    assert_said(wr_run_log_open(scratch_path("log.csv"), 2, 3, NULL, &log, &error), WEIR_USAGE,
                &error, "is not the log of this run");
    assert_null(log);
    empty_folder(NULL);
    log = open_log(5); /* it was removed: it goes on with what comes */
    assert_log(0);
    wr_run_log_close(log);
    wr_run_log_close(NULL);
}

static void test_log_fails(void **state) {
    (void)state;
    struct rlimit before, limit;
    weir_error error;
    wr_run_log *log = open_log(0);
    add_lines(log, 1, 4);
    getrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, SIG_IGN);
    struct stat about;
    assert_int_equal(stat(scratch_path("log.csv"), &about), 0);
    limit = before;
    limit.rlim_cur = (rlim_t)about.st_size + 5;
    setrlimit(RLIMIT_FSIZE, &limit);
    wr_run_line line = {.step = 5};
    weir_status status = wr_run_log_add(log, &line, &error);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_said(status, WEIR_IO, &error, "the log cannot be written");
    assert_log(4); /* no half line */
    wr_run_log_close(log);
    assert_said(wr_run_log_open(scratch_path("none/log.csv"), 2, 0, NULL, &log, &error), WEIR_IO,
                &error, "the log cannot be written");
    for (int64_t n = 1; n < 4; n++) {
        failing_allocator memory;
        failing_allocator_init(&memory);
        memory.fail_at = n;
        if (wr_run_log_open(scratch_path("log.csv"), 2, 4, &memory.allocator, &log, &error) ==
            WEIR_OK) {
            wr_run_log_close(log);
            assert_true(n > 2);
        }
        assert_true(failing_allocator_clean(&memory));
    }
}

/* ---- presets, and one process ---------------------------------------------------------------- */

static void test_presets(void **state) {
    (void)state;
    weir_error error;
    weir_train_options options = weir_train_options_default();
    int count = 0;
    for (const char *name; (name = weir_train_preset_name(count)) != NULL; count++) {
        assert_int_equal(weir_train_preset(name, &options, &error), WEIR_OK);
        assert_int_equal(wr_shape_check(&options.shape, &error), WEIR_OK);
        double wanted = strtod(name, NULL) * 1e6;
        double parameters = (double)wr_parameters_learned(&options.shape);
        assert_true(parameters > 0.9 * wanted && parameters < 1.15 * wanted);
    }
    assert_int_equal(count, 6);
    assert_null(weir_train_preset_name(-1));
    assert_said(weir_train_preset("5m", &options, &error), WEIR_USAGE, &error,
                "the sizes are: 1m 3m 10m 30m 60m 160m");
}

static void test_alone(void **state) {
    (void)state;
    wr_exchange *exchange;
    weir_error error;
    float numbers[3] = {1, 2, 3};
    double doubles[1] = {4};
    assert_int_equal(wr_exchange_open(NULL, &exchange, &error), WEIR_OK);
    assert_int_equal(wr_exchange_ranks(exchange), 1);
    assert_int_equal(wr_exchange_rank(exchange), 0);
    wr_exchange_sum(exchange, numbers, 3);
    wr_exchange_sum_doubles(exchange, doubles, 1);
    assert_true(numbers[2] == 3 && doubles[0] == 4);
    weir_error_set(&error, WEIR_NAN, "layer 3");
    assert_int_equal(wr_exchange_agree(exchange, WEIR_NAN, &error), WEIR_NAN);
    assert_string_equal(error.message, "layer 3");
    wr_exchange_close(exchange);
    wr_exchange_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_comes_back, empty_folder),
        cmocka_unit_test_teardown(test_damaged, empty_folder),
        cmocka_unit_test_teardown(test_memory, empty_folder),
        cmocka_unit_test_teardown(test_full_disk, empty_folder),
        cmocka_unit_test(test_contradictions),
        cmocka_unit_test(test_schedules),
        cmocka_unit_test_teardown(test_log, empty_folder),
        cmocka_unit_test_teardown(test_log_fails, empty_folder),
        cmocka_unit_test(test_presets),
        cmocka_unit_test(test_alone),
    };
    return cmocka_run_group_tests(tests, scratch_make, remove_folder);
}
