/* Preparing the data of training, with everything that can run out: memory at every request, and
 * the disk. One sentence, nothing half-written, nothing leaked, and the next attempt succeeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/failing_allocator.h"
#include "support/train_text.h"
#include "train/vocabulary/vocabulary.h"

static weir_status train(const weir_allocator *allocator, int64_t size, weir_error *error) {
    const char *path = scratch_path("text");
    wr_vocabulary_options options = {.paths = &path, .count = 1, .size = size, .coverage = 1};
    return wr_vocabulary_train(scratch_path("out.gguf"), &options, allocator, error);
}

static weir_status open_data(const weir_allocator *allocator, wr_threads *threads, wr_data **data,
                             weir_error *error) {
    wr_data_text one = {scratch_path("text"), 0};
    wr_data_options options = {.texts = &one,
                               .count = 1,
                               .vocabulary = scratch_path("vocab.gguf"),
                               .shards = scratch_path("tokens"),
                               .context = 16,
                               .threads = threads};
    return wr_data_open(&options, allocator, data, error);
}

static void assert_sentence(weir_status status, weir_status want, const weir_error *error,
                            const char *words) {
    if (status != want || !strstr(error->message, words) || strchr(error->message, '\n'))
        fail_msg("%d \"%s\", not %d \"%s\"", status, error->message, want, words);
}

static void no_memory_for_a_vocabulary(void **state) {
    (void)state;
    int64_t n = 0;
    weir_status status;
    scratch_text("text", "the cat sat on the mat\nthe dog sat\nmany other words stand here too");
    do {
        weir_error error = {.message = ""};
        failing_allocator memory;
        failing_allocator_init(&memory);
        memory.fail_at = ++n;
        status = train(&memory.allocator, 300, &error);
        if (status != WEIR_OK) {
            assert_sentence(status, WEIR_MEMORY, &error, "memory");
            assert_int_equal(scratch_files(".", "out.gguf", false, NULL), 0);
        }
        assert_true(failing_allocator_clean(&memory));
    } while (status != WEIR_OK);
    assert_in_range(n, 20, 200);
    remove(scratch_path("out.gguf"));
}

static void no_memory_for_data(void **state) {
    (void)state;
    train_counter("text", 200);
    train_vocabulary("vocab.gguf", 1, SAMPLE_BYTES, 50);
    for (int count = 0; count <= 2; count += 2) {
        wr_threads *threads = NULL;
        if (count > 0) assert_int_equal(wr_threads_create(count, NULL, &threads, NULL), WEIR_OK);
        int64_t n = 0;
        weir_status status;
        do {
            weir_error error = {.message = ""};
            failing_allocator memory;
            wr_data *data = (wr_data *)&memory;
            failing_allocator_init(&memory);
            memory.fail_at = ++n;
            scratch_files("tokens", "", true, NULL);
            status = open_data(&memory.allocator, threads, &data, &error);
            if (status == WEIR_OK) {
                assert_int_equal(scratch_files("tokens", "", false, NULL), 1);
                wr_data_close(data);
            } else {
                assert_sentence(status, WEIR_MEMORY, &error, "memory");
                assert_null(data);
            }
            assert_int_equal(scratch_files("tokens", ".part", false, NULL), 0);
            assert_true(failing_allocator_clean(&memory));
        } while (status != WEIR_OK);
        assert_in_range(n, 15, 200);
        wr_threads_release(threads);
    }
}

static void a_full_disk(void **state) {
    (void)state;
    weir_error error = {.message = ""};
    wr_data *data;
    train_counter("text", 4000);
    train_vocabulary("vocab.gguf", 1, SAMPLE_BYTES, 50);
    scratch_files("tokens", "", true, NULL);
    for (rlim_t room = 1; room < 60000; room = room * 3 + 1000) {
        scratch_disk_holds(room);
        weir_status status = open_data(NULL, NULL, &data, &error);
        scratch_disk_holds(0);
        assert_sentence(status, WEIR_IO, &error, "cannot write");
        assert_int_equal(scratch_files("tokens", "", false, NULL), 0);
    }
    assert_int_equal(open_data(NULL, NULL, &data, &error), WEIR_OK);
    wr_data_close(data);
    scratch_disk_holds(1000);
    weir_status status = train(NULL, 273, &error);
    scratch_disk_holds(0);
    assert_sentence(status, WEIR_IO, &error, "cannot write");
    assert_int_equal(scratch_files(".", "out.gguf", false, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_memory_for_a_vocabulary),
        cmocka_unit_test(no_memory_for_data),
        cmocka_unit_test(a_full_disk),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
