/* Reading GGUF: every type, both versions, the getters, and what is refused with which words. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "file/name.h"
#include "support/failing_allocator.h"
#include "support/gguf_sample.h"

static wr_gguf *parse(const wr_writer *bytes) {
    wr_gguf *gguf;
    weir_error error;
    if (wr_gguf_parse("sample", bytes->data, bytes->size, NULL, &gguf, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    return gguf;
}

/* The bytes must be refused with a sentence that holds `words`. */
static void refused(wr_writer *bytes, weir_status status, const char *words) {
    wr_gguf *gguf;
    weir_error error = {0};
    assert_false(bytes->failed);
    assert_int_equal(wr_gguf_parse("some/file", bytes->data, bytes->size, NULL, &gguf, &error),
                     status);
    assert_int_equal(error.status, status);
    assert_null(gguf);
    if (strncmp(error.message, "some/file: ", 11) != 0 || strstr(error.message, words) == NULL)
        fail_msg("\"%s\" instead of \"%s\"", error.message, words);
    assert_null(strchr(error.message, '\n'));
    wr_writer_release(bytes);
}

static void check_values(const wr_gguf *gguf) {
    char key[32];
    for (wr_gguf_type type = 0; type < WR_GGUF_TYPES; type++) {
        if (type == WR_GGUF_ARRAY) continue;
        snprintf(key, sizeof key, "array.%s", sample_type_name(type));
        const wr_gguf_value *value = wr_gguf_find(gguf, key);
        assert_non_null(value);
        assert_int_equal(value->type, WR_GGUF_ARRAY);
        assert_int_equal(value->item_type, type);
        assert_int_equal(value->count, 3);
        bool real = type == WR_GGUF_F32 || type == WR_GGUF_F64;
        for (uint64_t i = 0; i < 3 && type != WR_GGUF_STRING; i++) {
            if (real)
                assert_true(wr_gguf_item_float(value, i) == sample_float(type, i));
            else
                assert_true(wr_gguf_item_int(value, i) == sample_int(type, i));
        }
        snprintf(key, sizeof key, "type.%s", sample_type_name(type));
        value = wr_gguf_find(gguf, key);
        assert_non_null(value);
        assert_int_equal(value->type, type);
        assert_int_equal(value->item_type, type);
        assert_int_equal(value->count, 1);
    }
}

static void check_tensors(const wr_gguf *gguf, uint32_t alignment) {
    assert_int_equal(wr_gguf_tensor_count(gguf), 3);
    const wr_gguf_tensor *first = wr_gguf_find_tensor(gguf, "first.weight");
    const wr_gguf_tensor *later = wr_gguf_find_tensor(gguf, "later.weight");
    const wr_gguf_tensor *foreign = wr_gguf_find_tensor(gguf, "foreign.weight");
    assert_ptr_equal(later, wr_gguf_tensor_at(gguf, 0));
    assert_int_equal(first->dims, 4);
    assert_int_equal(first->dim[0], 3);
    assert_int_equal(first->dim[2], 2);
    assert_int_equal(first->bytes, 24);
    assert_int_equal(later->dims, 2);
    assert_int_equal(later->dim[3], 1);
    assert_int_equal(later->format, WR_Q8_0);
    assert_int_equal(later->bytes, 4 * 34);
    assert_int_equal((size_t)(later->data - first->data) % alignment, 0);
    assert_true(later->data[0] == (uint8_t)((size_t)(later->data - first->data) * 7));
    assert_true(foreign->foreign);
    assert_int_equal(foreign->number, 16);
    assert_null(foreign->data);
    assert_int_equal(foreign->bytes, 0);
    assert_null(wr_gguf_find_tensor(gguf, "first.weigh"));
    assert_null(wr_gguf_find_tensor(gguf, ""));
}

static void every_type_version_and_alignment(void **state) {
    (void)state;
    static const uint32_t alignments[] = {8, 16, 32, 64, 4096, 65536};
    for (uint32_t version = 2; version <= 3; version++)
        for (size_t i = 0; i < sizeof alignments / sizeof *alignments; i++) {
            wr_writer bytes = {0};
            sample_file(&bytes, version, alignments[i]);
            wr_gguf *gguf = parse(&bytes);
            assert_int_equal(wr_gguf_version(gguf), version);
            assert_int_equal(wr_gguf_size(gguf), bytes.size);
            assert_string_equal(wr_gguf_path(gguf), "sample");
            check_values(gguf);
            check_tensors(gguf, alignments[i]);
            sample_walk(gguf);
            wr_gguf_close(gguf);
            wr_writer_release(&bytes);
        }
}

static void integers(void **state) {
    (void)state;
    wr_writer bytes = {0};
    sample_file(&bytes, 3, 32);
    wr_gguf *gguf = parse(&bytes);
    weir_error error;
    for (wr_gguf_type type = 0; type < WR_GGUF_TYPES; type++) {
        char key[32];
        int64_t number = 42;
        snprintf(key, sizeof key, "type.%s", sample_type_name(type));
        bool integer = type != WR_GGUF_F32 && type != WR_GGUF_F64 && type != WR_GGUF_BOOL &&
                       type != WR_GGUF_STRING && type != WR_GGUF_ARRAY;
        weir_status expected = integer || type == WR_GGUF_ARRAY ? WEIR_OK : WEIR_DAMAGED;
        assert_int_equal(wr_gguf_get_int(gguf, key, INT64_MIN, INT64_MAX, &number, &error),
                         expected);
        assert_true(number == (integer ? sample_int(type, 0) : 42));
        if (!integer) continue;
        number = 42;
        assert_int_equal(wr_gguf_get_int(gguf, key, -7, 7, &number, &error),
                         type == WR_GGUF_I64 ? WEIR_OK : WEIR_DAMAGED);
        assert_true(number == (type == WR_GGUF_I64 ? -1 : 42));
    }
    int64_t number = 5;
    assert_int_equal(wr_gguf_get_int(gguf, "absent", 0, 1, &number, &error), WEIR_OK);
    assert_int_equal(number, 5);
    assert_int_equal(wr_gguf_get_int(gguf, "array.u8", 0, 1, &number, &error), WEIR_DAMAGED);
    assert_string_equal(error.message,
                        "sample: key \"array.u8\" is an array of u8, where an integer is needed");
    assert_int_equal(wr_gguf_get_int(gguf, "type.u8", 0, 9, &number, &error), WEIR_DAMAGED);
    assert_string_equal(error.message, "sample: key \"type.u8\" is 200, where 0 to 9 is possible");
    wr_gguf_close(gguf);
    wr_writer_release(&bytes);
}

static void other_scalars(void **state) {
    (void)state;
    wr_writer bytes = {0};
    sample_file(&bytes, 3, 32);
    wr_gguf *gguf = parse(&bytes);
    weir_error error;
    double real = 7;
    bool truth = false;
    wr_string text = {"default", 7};
    assert_int_equal(wr_gguf_get_float(gguf, "type.f32", &real, &error), WEIR_OK);
    assert_true(real == 0.5);
    assert_int_equal(wr_gguf_get_float(gguf, "type.f64", &real, &error), WEIR_OK);
    assert_true(real == 1e300);
    assert_int_equal(wr_gguf_get_float(gguf, "absent", &real, &error), WEIR_OK);
    assert_int_equal(wr_gguf_get_float(gguf, "type.u8", &real, &error), WEIR_DAMAGED);
    assert_true(real == 1e300);
    assert_int_equal(wr_gguf_get_bool(gguf, "type.bool", &truth, &error), WEIR_OK);
    assert_true(truth);
    assert_int_equal(wr_gguf_get_bool(gguf, "absent", &truth, &error), WEIR_OK);
    assert_int_equal(wr_gguf_get_bool(gguf, "type.i8", &truth, &error), WEIR_DAMAGED);
    assert_int_equal(wr_gguf_get_string(gguf, "absent", &text, &error), WEIR_OK);
    assert_true(wr_string_is(text, "default"));
    assert_int_equal(wr_gguf_get_string(gguf, "type.string", &text, &error), WEIR_OK);
    assert_true(wr_string_is(text, "caf\xc3\xa9"));
    assert_int_equal(wr_gguf_get_string(gguf, "array.string", &text, &error), WEIR_DAMAGED);
    assert_string_equal(
        error.message,
        "sample: key \"array.string\" is an array of string, where a string is needed");
    wr_gguf_close(gguf);
    wr_writer_release(&bytes);
}

static void numbers_beyond(void **state) {
    (void)state;
    wr_writer bytes = {0};
    weir_error error;
    int64_t number = 3;
    double real = 3;
    sample_header(&bytes, 3, 0, 3);
    sample_key(&bytes, "huge", WR_GGUF_U64);
    wr_write_u64(&bytes, UINT64_MAX);
    sample_key(&bytes, "nan", WR_GGUF_F32);
    wr_write_f32(&bytes, NAN);
    sample_key(&bytes, "infinite", WR_GGUF_F32);
    wr_write_f32(&bytes, INFINITY);
    wr_gguf *gguf = parse(&bytes);
    assert_int_equal(wr_gguf_get_int(gguf, "huge", INT64_MIN, INT64_MAX, &number, &error),
                     WEIR_DAMAGED);
    assert_non_null(strstr(error.message, "\"huge\" is 18446744073709551615"));
    assert_int_equal(wr_gguf_get_float(gguf, "nan", &real, &error), WEIR_DAMAGED);
    assert_int_equal(wr_gguf_get_float(gguf, "infinite", &real, &error), WEIR_DAMAGED);
    assert_true(number == 3 && real == 3);
    wr_gguf_close(gguf);
    wr_writer_release(&bytes);
}

static void strings_of_an_array(void **state) {
    (void)state;
    wr_writer bytes = {0};
    sample_file(&bytes, 2, 32);
    wr_gguf *gguf = parse(&bytes);
    wr_gguf_cursor cursor = {0};
    wr_string text;
    const wr_gguf_value *value = wr_gguf_find(gguf, "array.string");
    assert_true(wr_gguf_next_string(value, &cursor, &text) && wr_string_is(text, "caf\xc3\xa9"));
    assert_true(wr_gguf_next_string(value, &cursor, &text) && text.size == 0);
    assert_non_null(text.data);
    assert_true(wr_gguf_next_string(value, &cursor, &text));
    assert_true(wr_string_is(text, "\x01 any \xff bytes"));
    assert_false(wr_gguf_next_string(value, &cursor, &text));
    assert_false(wr_gguf_next_string(value, &cursor, &text));
    value = wr_gguf_find(gguf, "array.none");
    assert_int_equal(value->count, 0);
    assert_int_equal(value->size, 0);
    cursor = (wr_gguf_cursor){0};
    assert_false(wr_gguf_next_string(value, &cursor, &text));
    wr_gguf_close(gguf);
    wr_writer_release(&bytes);
}

static void headers_are_refused(void **state) {
    (void)state;
    wr_writer bytes = {0};
    refused(&bytes, WEIR_DAMAGED, "not a GGUF file: it begins with \"\"");
    wr_write_bytes(&bytes, "Once upon a time", 16);
    refused(&bytes, WEIR_DAMAGED, "not a GGUF file: it begins with \"Once\"");
    wr_write_bytes(&bytes, "GGUF\x03", 5);
    refused(&bytes, WEIR_DAMAGED, "only 5 bytes long");
    sample_header(&bytes, 1, 0, 0);
    refused(&bytes, WEIR_UNSUPPORTED, "GGUF version 1, which weir does not read");
    sample_header(&bytes, 4, 0, 0);
    refused(&bytes, WEIR_UNSUPPORTED, "GGUF version 4, where weir reads 2 and 3");
    sample_header(&bytes, 0, 0, 0);
    refused(&bytes, WEIR_UNSUPPORTED, "GGUF version 0");
    sample_header(&bytes, 0x03000000, 0, 0);
    refused(&bytes, WEIR_UNSUPPORTED, "a big-endian GGUF file");
    sample_header(&bytes, 3, UINT64_C(1) << 63, 0);
    refused(&bytes, WEIR_DAMAGED, "promises 0 keys and 9223372036854775808 tensors, more than");
    sample_header(&bytes, 3, 0, UINT64_MAX);
    refused(&bytes, WEIR_DAMAGED, "promises 18446744073709551615 keys");
}

static void begin_key(wr_writer *bytes) { sample_header(bytes, 3, 0, 1); }

static void bad_key(const char *key, const char *words) {
    wr_writer bytes = {0};
    begin_key(&bytes);
    sample_key(&bytes, key, WR_GGUF_U64);
    wr_write_zeros(&bytes, 64);
    refused(&bytes, WEIR_DAMAGED, words);
}

static void keys_are_refused(void **state) {
    (void)state;
    bad_key("", "key 1 (at byte 24) is called \"\", which is empty");
    bad_key("a\nb", "is called \"a\\x0ab\", which holds a control character");
    bad_key("a\x7f", "control character");
    bad_key("\xc2\x85", "control character");
    bad_key("\xff", "is called \"\\xff\", which is not valid UTF-8");
    bad_key("a\xc3", "not valid UTF-8");
    bad_key("\xc0\xaf", "not valid UTF-8");
    bad_key("\xe0\x80\xaf", "not valid UTF-8");
    bad_key("\xed\xa0\x80", "not valid UTF-8");
    bad_key("\xf4\x90\x80\x80", "not valid UTF-8");
    wr_writer bytes = {0};
    sample_header(&bytes, 3, 0, 2);
    for (int i = 0; i < 2; i++) {
        sample_key(&bytes, "same", WR_GGUF_U8);
        wr_write_u8(&bytes, 1);
    }
    refused(&bytes, WEIR_DAMAGED, "key \"same\" stands in it twice");
    begin_key(&bytes);
    wr_write_u64(&bytes, 3);
    wr_write_bytes(&bytes, "a\0b", 3);
    wr_write_zeros(&bytes, 16);
    refused(&bytes, WEIR_DAMAGED, "is called \"a\\x00b\", which holds a control character");
    begin_key(&bytes);
    wr_write_u64(&bytes, 65537);
    for (int i = 0; i < 65537; i++) wr_write_u8(&bytes, 'k');
    wr_write_zeros(&bytes, 16);
    refused(&bytes, WEIR_DAMAGED, "kkk...\", which is too long");
    begin_key(&bytes);
    wr_write_u64(&bytes, UINT64_MAX);
    wr_write_zeros(&bytes, 16);
    refused(&bytes, WEIR_DAMAGED, "key 1 (at byte 24) runs past the end of the file");
}

static void values_are_refused(void **state) {
    (void)state;
    wr_writer bytes = {0};
    begin_key(&bytes);
    sample_key(&bytes, "odd", 13);
    wr_write_zeros(&bytes, 8);
    refused(&bytes, WEIR_DAMAGED, "key \"odd\" (at byte 35) has the unknown type 13");
    begin_key(&bytes);
    sample_array(&bytes, "odd", UINT32_MAX, 1);
    refused(&bytes, WEIR_DAMAGED, "has the unknown type 4294967295");
    begin_key(&bytes);
    sample_array(&bytes, "deep", WR_GGUF_ARRAY, 1);
    sample_array(&bytes, "deeper", WR_GGUF_U8, 0);
    refused(&bytes, WEIR_UNSUPPORTED, "key \"deep\" (at byte 36) holds an array of arrays");
    begin_key(&bytes);
    sample_key(&bytes, "maybe", WR_GGUF_BOOL);
    wr_write_u8(&bytes, 2);
    refused(&bytes, WEIR_DAMAGED, "key \"maybe\" (at byte 41) holds a truth value");
    begin_key(&bytes);
    sample_array(&bytes, "many", WR_GGUF_U64, (UINT64_MAX >> 3) + 1);
    refused(&bytes, WEIR_DAMAGED, "the value of key \"many\" (at byte 52) runs past the end");
    begin_key(&bytes);
    sample_array(&bytes, "many", WR_GGUF_STRING, UINT64_C(1) << 63);
    wr_write_zeros(&bytes, 64);
    refused(&bytes, WEIR_DAMAGED, "the value of key \"many\"");
    begin_key(&bytes);
    sample_key(&bytes, "long", WR_GGUF_STRING);
    wr_write_u64(&bytes, UINT64_MAX);
    refused(&bytes, WEIR_DAMAGED, "the value of key \"long\"");
}

static void alignments_are_refused(void **state) {
    (void)state;
    static const uint32_t bad[] = {0, 1, 4, 7, 12, 33, 131072, UINT32_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        wr_writer bytes = {0};
        begin_key(&bytes);
        sample_key(&bytes, "general.alignment", WR_GGUF_U32);
        wr_write_u32(&bytes, bad[i]);
        refused(&bytes, WEIR_DAMAGED, "key \"general.alignment\" is ");
    }
    wr_writer bytes = {0};
    begin_key(&bytes);
    sample_key(&bytes, "general.alignment", WR_GGUF_STRING);
    sample_string(&bytes, "32");
    refused(&bytes, WEIR_DAMAGED, "is of type string, where an integer is needed");
}

/* One tensor and 1024 bytes of data, which must be refused. */
static void bad_tensor(uint32_t format, uint32_t dims, const uint64_t *dim, uint64_t offset,
                       const char *words) {
    wr_writer bytes = {0};
    sample_header(&bytes, 3, 1, 0);
    sample_tensor(&bytes, "w", format, dims, dim, offset);
    sample_pad(&bytes, 32);
    wr_write_zeros(&bytes, 1024);
    refused(&bytes, dims > 4 ? WEIR_UNSUPPORTED : WEIR_DAMAGED, words);
}

static void tensors_are_refused(void **state) {
    (void)state;
    const uint64_t one[5] = {1, 1, 1, 1, 1};
    const uint64_t wide[4] = {UINT64_C(1) << 62, 4, 1, 1};
    const uint64_t flat[2] = {8, 0};
    bad_tensor(WR_F32, 0, one, 0, "tensor \"w\" has 0 dimensions, where weir reads 1 to 4");
    bad_tensor(WR_F32, 5, one, 0, "tensor \"w\" has 5 dimensions");
    bad_tensor(WR_F32, 2, flat, 0, "dimension 1 of tensor \"w\" is 0, which is empty");
    bad_tensor(WR_F32, 2, wide, 0, "dimension 1 of tensor \"w\" is 4, which is too large");
    bad_tensor(WR_F32, 1, (uint64_t[]){UINT64_MAX}, 0, "which is too large");
    bad_tensor(WR_F32, 1, wide, 0, "more bytes than can be counted");
    bad_tensor(WR_Q4_K, 1, (uint64_t[]){128}, 0,
               "tensor \"w\" has rows of 128 weights, where Q4_K comes in blocks of 256");
    bad_tensor(WR_F32, 1, (uint64_t[]){8}, 33, "which is no multiple of the alignment 32");
    bad_tensor(WR_F32, 1, (uint64_t[]){257}, 0, "lies past the end of the file");
    bad_tensor(WR_F32, 1, (uint64_t[]){256}, 32, "lies past the end of the file");
    bad_tensor(WR_F32, 1, one, 1056, "lies past the end of the file");
    bad_tensor(WR_F32, 1, one, UINT64_MAX - 31, "lies past the end of the file");
    bad_tensor(99, 1, one, 1056, "lies past the end of the file");
}

static void directories_are_refused(void **state) {
    (void)state;
    const uint64_t eight[1] = {8};
    char name[257] = {0};
    memset(name, 'n', 256);
    wr_writer bytes = {0};
    sample_header(&bytes, 3, 2, 0);
    sample_tensor(&bytes, "twin", WR_F32, 1, eight, 0);
    sample_tensor(&bytes, "twin", WR_F32, 1, eight, 32);
    wr_write_zeros(&bytes, 128);
    refused(&bytes, WEIR_DAMAGED, "tensor \"twin\" stands in it twice");
    sample_header(&bytes, 3, 2, 0);
    sample_tensor(&bytes, "long", WR_F32, 1, (uint64_t[]){16}, 0);
    sample_tensor(&bytes, "short", WR_F32, 1, eight, 32);
    wr_write_zeros(&bytes, 128);
    refused(&bytes, WEIR_DAMAGED, "tensors \"long\" and \"short\" share bytes");
    sample_header(&bytes, 3, 1, 0);
    sample_tensor(&bytes, name, WR_F32, 1, eight, 0);
    refused(&bytes, WEIR_DAMAGED, "nnn...\", which is too long");
    sample_header(&bytes, 3, 1, 0);
    sample_tensor(&bytes, "", WR_F32, 1, eight, 0);
    wr_write_zeros(&bytes, 64);
    refused(&bytes, WEIR_DAMAGED, "tensor 1 (at byte 24) is called \"\", which is empty");
    sample_header(&bytes, 3, 1, 0);
    sample_tensor(&bytes, "a longer name", WR_F32, 1, eight, 0);
    bytes.size -= 3;
    refused(&bytes, WEIR_DAMAGED, "the directory ends within tensor 1 (at byte 24)");
}

/* Nothing follows the directory: fine without tensors, even if the padding is missing. */
static void a_vocabulary_alone_is_whole(void **state) {
    (void)state;
    wr_writer bytes = {0};
    sample_header(&bytes, 3, 0, 0);
    wr_gguf *gguf = parse(&bytes);
    assert_int_equal(wr_gguf_value_count(gguf), 0);
    assert_int_equal(wr_gguf_tensor_count(gguf), 0);
    assert_null(wr_gguf_find(gguf, "any"));
    assert_null(wr_gguf_find_tensor(gguf, "any"));
    wr_gguf_close(gguf);
    wr_gguf_close(NULL);
    wr_writer_release(&bytes);
}

static void many_keys_are_found(void **state) {
    (void)state;
    enum { KEYS = 70000 };
    wr_writer bytes = {0};
    char key[32];
    sample_header(&bytes, 3, 0, KEYS);
    for (uint32_t i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "key.%lu", (unsigned long)(i * 2654435761U));
        sample_key(&bytes, key, WR_GGUF_U32);
        wr_write_u32(&bytes, i);
    }
    wr_gguf *gguf = parse(&bytes);
    for (uint32_t i = 0; i < KEYS; i++) {
        int64_t number = -1;
        snprintf(key, sizeof key, "key.%lu", (unsigned long)(i * 2654435761U));
        assert_int_equal(wr_gguf_get_int(gguf, key, 0, KEYS, &number, NULL), WEIR_OK);
        assert_int_equal(number, i);
        assert_ptr_equal(wr_gguf_find(gguf, key), wr_gguf_value_at(gguf, i));
    }
    wr_gguf_close(gguf);
    wr_writer_release(&bytes);
}

static void a_long_path_leaves_room_for_the_reason(void **state) {
    (void)state;
    char path[3000];
    weir_error error;
    wr_gguf *gguf;
    memset(path, 'p', sizeof path);
    memcpy(path + sizeof path - 11, "/file.gguf", 11);
    assert_int_equal(wr_gguf_parse(path, "GGML", 4, NULL, &gguf, &error), WEIR_DAMAGED);
    assert_non_null(strstr(error.message, "/file.gguf: not a GGUF file"));
}

static void names_are_quoted(void **state) {
    (void)state;
    char longest[200];
    memset(longest, '\x01', sizeof longest);
    wr_quoted quoted = wr_name_quote((wr_string){longest, sizeof longest});
    assert_true(strlen(quoted.text) < sizeof quoted.text);
    assert_memory_equal(quoted.text, "\"\\x01\\x01", 9);
    assert_string_equal(quoted.text + strlen(quoted.text) - 4, "...\"");
    assert_string_equal(wr_name_quote((wr_string){"a\"\\\xc3", 4}).text, "\"a\\x22\\x5c\\xc3\"");
    for (size_t size = 0; size < sizeof longest; size++) {
        memset(longest, 'a', sizeof longest);
        quoted = wr_name_quote((wr_string){longest, size});
        assert_true(strlen(quoted.text) < sizeof quoted.text);
        assert_true(size > 60 || strlen(quoted.text) == size + 2);
    }
}

static void real_models_are_read(void **state) {
    (void)state;
    static const char *const names[] = {"data/models/stories260K.gguf",
                                        "data/models/babyllama-105.gguf"};
    static const uint64_t tokens[] = {512, 105};
    for (size_t i = 0; i < 2; i++) {
        char path[4096];
        if (!sample_shared(names[i], path, sizeof path)) {
            print_message("skipped: %s is not here\n", names[i]);
            skip();
        }
        wr_gguf *gguf;
        weir_error error;
        wr_string family = {0};
        if (wr_gguf_open(path, NULL, &gguf, &error) != WEIR_OK) fail_msg("%s", error.message);
        assert_int_equal(wr_gguf_get_string(gguf, "general.architecture", &family, NULL), WEIR_OK);
        assert_true(wr_string_is(family, "llama"));
        assert_int_equal(wr_gguf_find(gguf, "tokenizer.ggml.tokens")->count, tokens[i]);
        const wr_gguf_tensor *table = wr_gguf_find_tensor(gguf, "token_embd.weight");
        assert_int_equal(table->dim[1], tokens[i]);
        assert_int_equal(table->bytes, tokens[i] * (uint64_t)table->dim[0] * sizeof(float));
        sample_walk(gguf);
        wr_gguf_close(gguf);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_version_and_alignment),
        cmocka_unit_test(integers),
        cmocka_unit_test(other_scalars),
        cmocka_unit_test(numbers_beyond),
        cmocka_unit_test(strings_of_an_array),
        cmocka_unit_test(headers_are_refused),
        cmocka_unit_test(keys_are_refused),
        cmocka_unit_test(values_are_refused),
        cmocka_unit_test(alignments_are_refused),
        cmocka_unit_test(tensors_are_refused),
        cmocka_unit_test(directories_are_refused),
        cmocka_unit_test(a_vocabulary_alone_is_whole),
        cmocka_unit_test(many_keys_are_found),
        cmocka_unit_test(a_long_path_leaves_room_for_the_reason),
        cmocka_unit_test(names_are_quoted),
        cmocka_unit_test(real_models_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
