/*
 * Files that lie: cut short, flipped, with absurd numbers anywhere. Each one loads, or is one clear
 * sentence; never a crash (run under the sanitizers), never a block of memory larger than the file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "support/failing_allocator.h"
#include "support/gguf_sample.h"

static bool one_sentence(const weir_error *error, const char *path) {
    size_t length = strnlen(error->message, sizeof error->message);
    if (length == sizeof error->message || length < strlen(path) + 10) return false;
    if (strncmp(error->message, path, strlen(path)) != 0) return false;
    for (size_t i = 0; i < length; i++)
        if ((uint8_t)error->message[i] < 0x20 || (uint8_t)error->message[i] >= 0x7f) return false;
    return true;
}

/* Parse and, when that succeeds, visit everything. true when it loaded. */
static bool load_or_tell(const uint8_t *data, size_t size) {
    failing_allocator memory;
    weir_error error = {0};
    wr_gguf *gguf;
    failing_allocator_init(&memory);
    weir_status status = wr_gguf_parse("hostile", data, size, &memory.allocator, &gguf, &error);
    assert_true((status == WEIR_OK) == (gguf != NULL));
    if (status == WEIR_OK) {
        sample_walk(gguf);
    } else {
        assert_true(status == WEIR_DAMAGED || status == WEIR_UNSUPPORTED);
        assert_int_equal(error.status, status);
        if (!one_sentence(&error, "hostile: ")) fail_msg("\"%s\"", error.message);
    }
    wr_gguf_close(gguf);
    assert_true(failing_allocator_clean(&memory));
    assert_true(memory.largest <= (size > 1 << 20 ? size : 1 << 20));
    return status == WEIR_OK;
}

/* From a copy of exactly this size, so that a sanitizer sees the first byte too many. */
static bool load_cut(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, data, size);
    bool loaded = load_or_tell(copy, size);
    free(copy);
    return loaded;
}

typedef struct victim {
    wr_writer bytes;
    size_t directory_end; /* header, keys and directory are before */
} victim;

static victim make_sample(void) {
    victim made = {0};
    made.directory_end = sample_file(&made.bytes, 3, 32);
    assert_true(load_or_tell(made.bytes.data, made.bytes.size));
    return made;
}

/* A real model, to be changed at will. Skips the test when it is not there. */
static victim read_model(void) {
    char path[4096];
    if (!sample_shared("data/models/stories260K.gguf", path, sizeof path)) {
        print_message("skipped: data/models/stories260K.gguf is not here\n");
        skip();
    }
    victim made = {0};
    wr_map map;
    wr_gguf *gguf;
    assert_int_equal(wr_map_open(path, &map, NULL), WEIR_OK);
    wr_write_bytes(&made.bytes, map.data, map.size);
    wr_map_close(&map);
    assert_int_equal(wr_gguf_parse("model", made.bytes.data, made.bytes.size, NULL, &gguf, NULL),
                     WEIR_OK);
    made.directory_end = (size_t)(wr_gguf_tensor_at(gguf, 0)->data - made.bytes.data);
    wr_gguf_close(gguf);
    return made;
}

static void cut_anywhere(victim it, size_t cuts) {
    for (size_t i = 0; i < cuts; i++) {
        size_t size = it.bytes.size * i / cuts;
        assert_false(load_cut(it.bytes.data, size) && size < it.directory_end);
    }
    for (size_t i = 0; i < cuts; i++) (void)load_cut(it.bytes.data, it.directory_end * i / cuts);
    wr_writer_release(&it.bytes);
}

static void flip_everything(victim it) {
    static const uint8_t masks[] = {0xff, 0x01, 0x80, 0x20};
    for (size_t i = 0; i < it.directory_end; i++)
        for (size_t k = 0; k < sizeof masks; k++) {
            it.bytes.data[i] ^= masks[k];
            (void)load_or_tell(it.bytes.data, it.bytes.size);
            it.bytes.data[i] ^= masks[k];
        }
    wr_writer_release(&it.bytes);
}

/* At every byte a number that no count, length, offset or dimension should be. */
static void absurd_numbers_everywhere(victim it) {
    static const uint64_t numbers[] = {0,
                                       UINT64_MAX,
                                       UINT64_C(1) << 63,
                                       INT64_MAX,
                                       (UINT64_C(1) << 61) + 1,
                                       UINT64_C(0xffffffffffffffe0),
                                       UINT64_C(1) << 32,
                                       UINT32_MAX};
    for (size_t i = 0; i + 8 <= it.directory_end; i++)
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
            uint8_t saved[8];
            memcpy(saved, it.bytes.data + i, sizeof saved);
            for (size_t b = 0; b < 8; b++) it.bytes.data[i + b] = (uint8_t)(numbers[k] >> 8 * b);
            (void)load_or_tell(it.bytes.data, it.bytes.size);
            memcpy(it.bytes.data + i, saved, sizeof saved);
        }
    wr_writer_release(&it.bytes);
}

static void a_sample_cut(void **state) {
    (void)state;
    victim it = make_sample();
    cut_anywhere(it, it.bytes.size);
}

static void a_sample_flipped(void **state) {
    (void)state;
    flip_everything(make_sample());
}

static void a_sample_with_absurd_numbers(void **state) {
    (void)state;
    absurd_numbers_everywhere(make_sample());
}

static void a_model_cut(void **state) {
    (void)state;
    cut_anywhere(read_model(), 1000);
}

static void a_model_flipped(void **state) {
    (void)state;
    flip_everything(read_model());
}

/* The smallest keys and tensors that a file can hold: they take more memory than bytes in the file,
 * but never in one block. */
static void the_smallest_things_in_great_number(void **state) {
    (void)state;
    enum { KEYS = 200000, TENSORS = 100000 };
    wr_writer bytes = {0};
    char name[16];
    sample_header(&bytes, 3, TENSORS, KEYS);
    for (int i = 0; i < KEYS; i++) {
        snprintf(name, sizeof name, "%x", (unsigned)i);
        sample_key(&bytes, name, WR_GGUF_BOOL);
        wr_write_u8(&bytes, 1);
    }
    for (int i = 0; i < TENSORS; i++) {
        snprintf(name, sizeof name, "%x", (unsigned)i);
        sample_tensor(&bytes, name, WR_F32, 1, (uint64_t[]){1}, (uint64_t)i * 32);
    }
    sample_pad(&bytes, 32);
    wr_write_zeros(&bytes, TENSORS * 32);
    assert_true(load_or_tell(bytes.data, bytes.size));
    /* The same bytes, promised as if all were the smallest keys: refused without asking for more.
     */
    for (size_t b = 0; b < 8; b++) bytes.data[16 + b] = (uint8_t)((bytes.size / 14 - 3) >> 8 * b);
    assert_false(load_or_tell(bytes.data, bytes.size));
    wr_writer_release(&bytes);
}

static void memory_may_run_out_anywhere(void **state) {
    (void)state;
    victim it = make_sample();
    weir_status status = WEIR_MEMORY;
    int64_t n = 0;
    while (status != WEIR_OK) {
        failing_allocator memory;
        weir_error error = {0};
        wr_gguf *gguf;
        failing_allocator_init(&memory);
        memory.fail_at = ++n;
        status = wr_gguf_parse("hostile", it.bytes.data, it.bytes.size, &memory.allocator, &gguf,
                               &error);
        assert_true(status == WEIR_OK || status == WEIR_MEMORY);
        assert_true(status == WEIR_OK || one_sentence(&error, "hostile: "));
        wr_gguf_close(gguf);
        assert_true(failing_allocator_clean(&memory));
        assert_int_equal(memory.failures, status != WEIR_OK);
    }
    assert_true(n > 8);
    wr_writer_release(&it.bytes);
}

static void refused_path(const char *path, weir_status expected) {
    failing_allocator memory;
    weir_error error = {0};
    wr_gguf *gguf;
    failing_allocator_init(&memory);
    assert_int_equal(wr_gguf_open(path, &memory.allocator, &gguf, &error), expected);
    assert_null(gguf);
    if (!one_sentence(&error, path)) fail_msg("\"%s\"", error.message);
    assert_int_equal(wr_gguf_open(path, &memory.allocator, &gguf, NULL), expected);
    memory.fail_at = 1;
    assert_int_equal(wr_gguf_open(path, &memory.allocator, &gguf, &error), WEIR_MEMORY);
    assert_true(failing_allocator_clean(&memory));
}

static void files_that_are_none(void **state) {
    (void)state;
    char folder[] = "/tmp/weir-test-XXXXXX";
    char path[64];
    assert_non_null(mkdtemp(folder));
    refused_path(folder, WEIR_IO);
    snprintf(path, sizeof path, "%s/file", folder);
    refused_path(path, WEIR_IO);
    assert_int_equal(wr_file_replace(path, "", 0, NULL, NULL), WEIR_OK);
    refused_path(path, WEIR_DAMAGED);
    assert_int_equal(wr_file_replace(path, "Once upon a time\n", 17, NULL, NULL), WEIR_OK);
    refused_path(path, WEIR_DAMAGED);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sample_cut),
        cmocka_unit_test(a_sample_flipped),
        cmocka_unit_test(a_sample_with_absurd_numbers),
        cmocka_unit_test(a_model_cut),
        cmocka_unit_test(a_model_flipped),
        cmocka_unit_test(the_smallest_things_in_great_number),
        cmocka_unit_test(memory_may_run_out_anywhere),
        cmocka_unit_test(files_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
