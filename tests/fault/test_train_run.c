/*
 * What can go wrong with a run: memory, disk, checkpoints, texts, another process. One sentence
 * each, and what stood before stays.
 */
#include "support/train_run.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "support/failing_allocator.h"

static void refuses(const weir_train_options *options, weir_status status, const char *words) {
    weir_error error = {.message = ""};
    weir_train_result result;
    weir_status got = weir_train_run(options, &result, &error);
    if (got != status || strstr(error.message, words) == NULL) {
        fail_msg("%s: no \"%s\" in: %s", weir_status_name(got), words, error.message);
    }
    assert_null(strchr(error.message, '\n'));
    assert_false(result.finished);
}

static void must_not_be_there(const char *path) { assert_int_not_equal(access(path, F_OK), 0); }

/* ---- memory ---------------------------------------------------------------------------------- */

/* Every request of a run of two steps fails once, at its beginning or when it goes on. */
static void fail_each(bool goes_on) {
    weir_train_options whole = train_options(train_path("memory-whole.gguf"));
    whole.steps = 2;
    whole.save_steps = 1;
    whole.name = "same";
    train_must(&whole, NULL);
    weir_status status = WEIR_MEMORY;
    for (int64_t n = 1; status != WEIR_OK; n++) {
        weir_error error = {.message = ""};
        failing_allocator memory;
        failing_allocator_init(&memory);
        weir_train_options options = whole;
        options.out = train_path("memory.gguf");
        options.fresh = !goes_on;
        memory.fail_at = n;
        options.allocator = &memory.allocator;
        status = weir_train_run(&options, NULL, &error);
        if (memory.failures == 0) {
            assert_int_equal(status, WEIR_OK);
        } else if (status != WEIR_OK) { /* what can be done without is done without */
            if (status != WEIR_MEMORY) {
                fail_msg("request %d: %s", (int)n, error.message);
            }
            assert_non_null(strstr(error.message, "memory"));
        }
        assert_true(failing_allocator_clean(&memory));
        status = memory.failures == 0 ? status : WEIR_MEMORY;
    }
    assert_same_file(train_path("memory-whole.gguf"), train_path("memory.gguf"));
}

static void test_each_request(void **state) {
    (void)state;
    fail_each(false);
    fail_each(true);
}

static void test_too_little_memory(void **state) {
    (void)state;
    weir_train_options options = train_options(train_path("large.gguf"));
    weir_train_preset("160m", &options, NULL);
    options.shape.layers = 256;
    options.shape.width = 16384;
    options.shape.heads = 256;
    options.shape.kv_heads = 256;
    options.shape.feed_forward = 65536;
    refuses(&options, WEIR_MEMORY, "GiB of memory");
    must_not_be_there(train_path("large.run"));
}

/* ---- disk ------------------------------------------------------------------------------------ */

static void test_full_disk(void **state) {
    (void)state;
    struct rlimit before;
    getrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, SIG_IGN);
    weir_train_options whole = train_options(train_path("disk-whole.gguf"));
    weir_train_options options = train_options(train_path("disk.gguf"));
    whole.name = options.name = "same";
    train_must(&whole, NULL);
    static const rlim_t sizes[] = {500, 5000, 60000}; /* the log, the header, the arrays */
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        weir_train_result result;
        train_files_hold = sizes[i];
        options.fresh = true;
        options.progress = train_limit_files;
        refuses(&options, WEIR_IO, i == 0 ? "the log cannot be written" : "disk.run/checkpoint");
        setrlimit(RLIMIT_FSIZE, &before);
        options.fresh = false;
        options.progress = NULL;
        train_must(&options, &result);
        assert_int_equal(result.begun_at, 8);
        assert_same_file(whole.out, options.out);
        assert_same_log(train_path("disk-whole.run/log.csv"), train_path("disk.run/log.csv"), 30);
    }
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

static char note[512];

static bool take_note(void *context, const weir_train_progress *progress) {
    (void)context;
    if (progress->stage == WEIR_TRAIN_NOTE) {
        snprintf(note, sizeof note, "%s", progress->note);
    }
    return true;
}

static void damage(const char *path) {
    int file = open(path, O_WRONLY);
    assert_true(file >= 0);
    assert_int_equal(pwrite(file, "damage", 6, 3000), 6);
    close(file);
}

static void test_damaged(void **state) {
    (void)state;
    weir_train_options whole = train_options(train_path("damaged-whole.gguf"));
    weir_train_options options = train_options(train_path("damaged.gguf"));
    whole.name = options.name = "same";
    weir_train_result result;
    train_must(&whole, NULL);
    train_must(&options, NULL); /* checkpoints of 28 and 30 */
    damage(train_path("damaged.run/checkpoint"));
    options.progress = take_note;
    train_must(&options, &result);
    assert_int_equal(result.begun_at, 28);
    assert_non_null(strstr(note, "damaged.run/checkpoint: a damaged checkpoint"));
    assert_same_file(whole.out, options.out);
    assert_same_log(train_path("damaged-whole.run/log.csv"), train_path("damaged.run/log.csv"), 30);
    damage(train_path("damaged.run/checkpoint"));
    damage(train_path("damaged.run/checkpoint.previous"));
    refuses(&options, WEIR_DAMAGED, "and so is the one before it: --fresh begins anew");
    options.fresh = true;
    train_must(&options, &result);
    assert_int_equal(result.begun_at, 0);
    assert_same_file(whole.out, options.out);
}

static void test_contradictions(void **state) {
    (void)state;
    weir_train_options options = train_options(train_path("other.gguf"));
    options.steps = 3;
    train_must(&options, NULL);
    options.rate = 0.5;
    refuses(&options, WEIR_USAGE, "--rate 0.002, not 0.5");
    options = train_options(train_path("other.gguf"));
    options.shape.sink = WEIR_TRAIN_SINK_TOKEN;
    refuses(&options, WEIR_USAGE, "another --sink");
    options = train_options(train_path("other.gguf"));
    options.shape.vocabulary = 310;
    refuses(&options, WEIR_USAGE, "--vocabulary 300, not 310");
    options = train_options(train_path("other.gguf"));
    weir_train_text texts[2] = {train_text, train_text};
    options.data = texts;
    options.data_count = 2;
    refuses(&options, WEIR_USAGE, "another text or vocabulary");
    options = train_options(train_path("other.gguf"));
    unlink(train_path("other.run/vocabulary.gguf"));
    refuses(&options, WEIR_IO, "other.run/vocabulary.gguf");
}

/* ---- what is asked for ----------------------------------------------------------------------- */

static void write_bytes(const char *path, const char *bytes, size_t size) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static void test_texts(void **state) {
    (void)state;
    const char *bad = train_path("bad");
    weir_train_text text = {.path = bad};
    weir_train_options options = train_options(train_path("no.gguf"));
    options.data = &text;
    options.steps = 2;
    refuses(&options, WEIR_IO, "no such file");
    write_bytes(bad, "", 0);
    refuses(&options, WEIR_IO, "an empty file");
    write_bytes(bad, "a\0b", 3);
    refuses(&options, WEIR_DAMAGED, bad);
    write_bytes(bad, "too short for a vocabulary\n", 27);
    refuses(&options, WEIR_USAGE, "more text");
    text.path = train_folder;
    refuses(&options, WEIR_IO, "is a folder");
    options = train_options(train_path("no.gguf"));
    write_bytes(bad, "abc\n", 4); /* fewer tokens than a sample */
    options.validation = bad;
    refuses(&options, WEIR_DAMAGED, bad);
    write_bytes(bad, "a\0b", 3); /* no text: found before a vocabulary is trained */
    options.vocabulary = NULL;
    options.checkpoint = train_path("none.run");
    refuses(&options, WEIR_DAMAGED, bad);
    must_not_be_there(train_path("none.run/vocabulary.gguf"));
    must_not_be_there(train_path("no.gguf"));
}

static void test_options(void **state) {
    (void)state;
    weir_train_options good = train_options(train_path("no.gguf")), bad;
#define REFUSE(member, value, words)                                                               \
    bad = good;                                                                                    \
    bad.member = value;                                                                            \
    refuses(&bad, WEIR_USAGE, words)
    REFUSE(data_count, 0, "needs a text");
    REFUSE(out, NULL, "needs the model's path");
    REFUSE(format, "Q4_0", "F32, F16, BF16 or Q8_0");
    REFUSE(tokens, 100, "steps and tokens");
    REFUSE(batch, 0, "the batch must be from 1");
    REFUSE(micro, 6, "larger than the batch");
    REFUSE(format, "Q8_0", "no multiple of 32");
    REFUSE(rate, 0, "rate must be above 0");
    REFUSE(beta2, 1, "beta2 must be");
    REFUSE(threads, 300, "1 to 256 threads");
    REFUSE(shape.heads, 3, "heads");
    REFUSE(shape.layers, 0, "layers");
    REFUSE(precision, "float16", "float16");
#undef REFUSE
    bad = good;
    bad.out = train_path("nowhere/no.gguf");
    refuses(&bad, WEIR_IO, "nowhere/no.gguf");
    bad.out = train_folder;
    refuses(&bad, WEIR_IO, "is a folder");
    bad = good;
    bad.checkpoint = train_path("nowhere/run");
    refuses(&bad, WEIR_IO, "nowhere/run");
    bad = good;
    bad.vocabulary = train_text.path;
    refuses(&bad, WEIR_DAMAGED, train_text.path);
}

/* ---- another process ------------------------------------------------------------------------- */

static bool wait_to_be_killed(void *context, const weir_train_progress *progress) {
    const int *told = context;
    if (progress->stage == WEIR_TRAIN_STEP && progress->step == 5) {
        if (write(told[1], "x", 1) == 1) {
            pause();
        }
    }
    return true;
}

static void test_locked(void **state) {
    (void)state;
    int told[2];
    char byte;
    assert_int_equal(pipe(told), 0);
    weir_train_options options = train_options(train_path("locked.gguf"));
    pid_t child = fork();
    if (child == 0) {
        options.progress = wait_to_be_killed;
        options.progress_context = told;
        weir_train_run(&options, NULL, NULL);
        _exit(1);
    }
    assert_int_equal(read(told[0], &byte, 1), 1);
    refuses(&options, WEIR_IO, "another process is training there");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    weir_train_result result;
    train_must(&options, &result);
    assert_int_equal(result.begun_at, 4);
    close(told[0]);
    close(told[1]);
}

/* ---- not a number ---------------------------------------------------------------------------- */

static void test_diverges(void **state) {
    (void)state;
    weir_train_options options = train_options(train_path("nan.gguf"));
    options.rate = options.rate_end = 10;
    options.warm_up = 0;
    options.clip = 0;
    options.decay = 10;
    options.steps = 200;
    weir_error error;
    weir_train_result result;
    if (weir_train_run(&options, &result, &error) != WEIR_NAN) {
        fail_msg("%s", error.message);
    }
    char step[40];
    snprintf(step, sizeof step, "step %d: ", (int)result.step + 1);
    assert_int_equal(strncmp(error.message, step, strlen(step)), 0);
    assert_non_null(strstr(error.message, "stays: try a lower rate"));
    must_not_be_there(options.out);
    refuses(&options, WEIR_NAN, step); /* the checkpoint stays as it was */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_request),   cmocka_unit_test(test_too_little_memory),
        cmocka_unit_test(test_full_disk),      cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_contradictions), cmocka_unit_test(test_texts),
        cmocka_unit_test(test_options),        cmocka_unit_test(test_locked),
        cmocka_unit_test(test_diverges),
    };
    return cmocka_run_group_tests(tests, train_set_up, train_tear_down);
}
