/*
 * A run that is killed, whenever and however often, and goes on from its checkpoints is the run
 * that nothing interrupted: the same model to the last bit, the same log.
 */
#include "support/train_run.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static weir_train_options reference_options, killed_options;
static char killed_folder[256];

/* A reference run, and the options of the same run in another folder. */
static void begin(uint64_t seed, weir_train_sink sink, const char *precision) {
    static char one[256], other[256];
    snprintf(one, sizeof one, "%s/whole%d.gguf", train_folder, (int)seed);
    snprintf(other, sizeof other, "%s/killed%d.gguf", train_folder, (int)seed);
    snprintf(killed_folder, sizeof killed_folder, "%s/killed%d.run", train_folder, (int)seed);
    reference_options = train_options(one);
    reference_options.seed = seed;
    reference_options.shape.sink = sink;
    reference_options.precision = precision;
    reference_options.name = "same";
    killed_options = reference_options;
    killed_options.out = other;
    train_must(&reference_options, NULL);
}

static void compare(uint64_t seed) {
    char one[64], other[64];
    assert_same_file(reference_options.out, killed_options.out);
    snprintf(one, sizeof one, "whole%d.run/log.csv", (int)seed);
    snprintf(other, sizeof other, "killed%d.run/log.csv", (int)seed);
    assert_same_log(train_path(one), train_path(other), reference_options.steps);
}

/* The run as a process of its own. */
static pid_t start(void) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        weir_error error;
        _exit(weir_train_run(&killed_options, NULL, &error) == WEIR_OK ? 0 : 1);
    }
    return child;
}

/* How it ended: 0 for one that came to its end, or the signal that killed it. */
static int wait_for(pid_t child) {
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) {
        assert_int_equal(WEXITSTATUS(status), 0);
        return 0;
    }
    return WTERMSIG(status);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Kill it at moments drawn from as long as the whole run took, until one comes to the end; returns
 * how many. */
static int kill_until_whole(uint64_t seed, double whole) {
    for (uint64_t attempt = 0;; attempt++) {
        pid_t child = start();
        if (attempt < 60) { /* a run that never gets far would never end */
            double wait = whole * wr_random_unit(seed, 9, attempt);
            struct timespec time = {.tv_nsec = (long)(1e9 * (wait < 0.9 ? wait : 0.9))};
            nanosleep(&time, NULL);
            kill(child, SIGKILL);
        }
        if (wait_for(child) == 0) {
            return (int)attempt;
        }
    }
}

/* The first of a machine's runs may take far longer than those after it: one that was never caught
 * is repeated. */
static void kill_at_random(uint64_t seed, weir_train_sink sink, const char *precision) {
    double began = now();
    begin(seed, sink, precision);
    double whole = now() - began;
    while (kill_until_whole(seed, whole) == 0) {
        remove_folder(killed_folder);
        unlink(killed_options.out);
        whole /= 2;
    }
    compare(seed);
}

static void test_killed_at_any_moment(void **state) {
    (void)state;
    kill_at_random(1, WEIR_TRAIN_SINK_NONE, "float32");
    kill_at_random(2, WEIR_TRAIN_SINK_TOKEN, "auto");
    kill_at_random(3, WEIR_TRAIN_SINK_LOGIT, "float32");
}

/* ---- in the middle of a checkpoint ----------------------------------------------------------- */

static void test_killed_while_writing(void **state) {
    (void)state;
    static const rlim_t sizes[] = {5000, 9000, 30000, 80000};
    signal(SIGXFSZ, SIG_DFL);
    begin(4, WEIR_TRAIN_SINK_ZERO, "float32");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        killed_options.progress = train_limit_files;
        killed_options.fresh = true;
        train_files_hold = sizes[i];
        assert_int_equal(wait_for(start()), SIGXFSZ);
        killed_options.progress = NULL;
        killed_options.fresh = false;
        weir_train_result result;
        train_must(&killed_options, &result);
        assert_int_equal(result.begun_at, 8); /* the checkpoint before */
        assert_true(result.finished);
        compare(4);
    }
}

/* ---- in another way -------------------------------------------------------------------------- */

static bool stop_at_9(void *context, const weir_train_progress *progress) {
    (void)context;
    return progress->stage != WEIR_TRAIN_STEP || progress->step != 9;
}

/* Cancelled, given other threads, asked again when there is nothing to do: the same bits. */
static void test_cancelled(void **state) {
    (void)state;
    weir_train_result result;
    weir_error error;
    begin(5, WEIR_TRAIN_SINK_NONE, "auto");
    killed_options.progress = stop_at_9;
    assert_int_equal(weir_train_run(&killed_options, &result, &error), WEIR_CANCELLED);
    assert_non_null(strstr(error.message, "after step 9 of 30"));
    assert_int_equal(result.step, 9);
    assert_false(result.finished);
    killed_options.progress = NULL;
    killed_options.threads = 3;
    killed_options.evaluate = 7;
    killed_options.steps = 0; /* as the checkpoint has it */
    killed_options.micro = 0;
    killed_options.precision = "auto";
    train_must(&killed_options, &result);
    assert_int_equal(result.begun_at, 9);
    assert_int_equal(result.step, 30);
    compare(5);
    unlink(killed_options.out);
    train_must(&killed_options, &result);
    assert_int_equal(result.begun_at, 30);
    assert_true(result.finished);
    compare(5);
}

/* More steps extend a run; the log has all of them. */
static void test_extended(void **state) {
    (void)state;
    weir_train_result result;
    begin(6, WEIR_TRAIN_SINK_NONE, "float32");
    reference_options.steps = 45;
    train_must(&reference_options, &result);
    assert_int_equal(result.begun_at, 30);
    assert_int_equal(result.step, 45);
    train_must(&killed_options, &result);
    killed_options.steps = 45;
    train_must(&killed_options, &result);
    compare(6);
    weir_error error;
    killed_options.steps = 44;
    assert_int_equal(weir_train_run(&killed_options, NULL, &error), WEIR_USAGE);
    assert_non_null(strstr(error.message, "stands at step 45, beyond the 44"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_at_any_moment),
        cmocka_unit_test(test_killed_while_writing),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_extended),
    };
    return cmocka_run_group_tests(tests, train_set_up, train_tear_down);
}
