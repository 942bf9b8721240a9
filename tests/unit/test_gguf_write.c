/* Writing GGUF: what goes in comes out, and nothing is left behind when it does not end well. */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "support/failing_allocator.h"
#include "support/gguf_sample.h"

/* Every test works in a folder of its own. */
typedef struct place {
    char folder[64];
    char path[96];
} place;

static int enter(void **state) {
    place *here = calloc(1, sizeof *here);
    if (here == NULL) return -1;
    strcpy(here->folder, "/tmp/weir-test-XXXXXX");
    if (mkdtemp(here->folder) == NULL) return -1;
    snprintf(here->path, sizeof here->path, "%s/out.gguf", here->folder);
    *state = here;
    return 0;
}

static int leave(void **state) {
    place *here = *state;
    DIR *folder = opendir(here->folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (entry->d_name[0] != '.') unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
    int failed = rmdir(here->folder);
    free(here);
    return failed;
}

static int count_files(const place *here) {
    int count = 0;
    DIR *folder = opendir(here->folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static wr_gguf_writer *begin(const place *here) {
    wr_gguf_writer *writer;
    weir_error error;
    if (wr_gguf_writer_open(here->path, NULL, &writer, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    return writer;
}

static const wr_gguf_type int_types[] = {WR_GGUF_U8,  WR_GGUF_I8,  WR_GGUF_U16, WR_GGUF_I16,
                                         WR_GGUF_U32, WR_GGUF_I32, WR_GGUF_U64, WR_GGUF_I64};
enum { INT_TYPES = 8, TENSORS = 16 };

#define FORMAT_LIST(name, number, block, bytes) WR_##name,
static const wr_format formats[TENSORS] = {WR_FORMAT_MAP(FORMAT_LIST)};
static const float floats[] = {0.0f, -1.5f, 3e38f};
static const int32_t ints[] = {INT32_MIN, -1, 0, INT32_MAX};
static const wr_string strings[] = {{"<s>", 3}, {"", 0}, {"\0\xff\n", 3}};

static void put_all(wr_gguf_writer *writer, uint32_t alignment) {
    if (alignment != 0) wr_gguf_put_int(writer, "general.alignment", WR_GGUF_U32, alignment);
    for (size_t i = 0; i < INT_TYPES; i++)
        for (uint64_t k = 0; k < 2; k++) {
            char key[16];
            snprintf(key, sizeof key, "%s.%d", sample_type_name(int_types[i]), (int)k);
            wr_gguf_put_int(writer, key, int_types[i], sample_int(int_types[i], k));
        }
    wr_gguf_put_float(writer, "float", 0.25f);
    wr_gguf_put_bool(writer, "yes", true);
    wr_gguf_put_bool(writer, "no", false);
    wr_gguf_put_string(writer, "string", "a string");
    wr_gguf_put_string(writer, "empty", "");
    wr_gguf_put_strings(writer, "strings", strings, 3);
    wr_gguf_put_strings(writer, "none", NULL, 0);
    wr_gguf_put_floats(writer, "floats", floats, 3);
    wr_gguf_put_ints(writer, "ints", ints, 4);
    for (size_t i = 0; i < TENSORS; i++) {
        char name[16];
        snprintf(name, sizeof name, "tensor.%zu", i);
        wr_gguf_put_tensor(writer, name, formats[i], 1 + (int32_t)(i % 4),
                           (int64_t[]){256, 3, 1, 2});
    }
}

static size_t tensor_bytes(size_t i) {
    const wr_format_info *info = wr_format_find((uint32_t)formats[i]);
    static const size_t rows[] = {1, 3, 3, 6};
    return rows[i % 4] * 256 / (size_t)info->block * (size_t)info->bytes;
}

static uint8_t data_byte(size_t tensor, size_t i) {
    return (uint8_t)(tensor * 31 + i * 7 + i / 256);
}

/* All tensors' data one after the other, in pieces that respect no border. */
static weir_status write_all(wr_gguf_writer *writer, size_t piece, weir_error *error) {
    static uint8_t data[65536];
    size_t size = 0;
    for (size_t i = 0; i < TENSORS; i++)
        for (size_t k = 0; k < tensor_bytes(i); k++) data[size++] = data_byte(i, k);
    weir_status status = WEIR_OK;
    for (size_t at = 0; at < size && status == WEIR_OK; at += piece)
        status =
            wr_gguf_write_data(writer, data + at, piece < size - at ? piece : size - at, error);
    return status;
}

static void check_keys(const wr_gguf *gguf) {
    weir_error error;
    wr_string text;
    double real = 0;
    bool yes = false;
    bool no = true;
    for (size_t i = 0; i < INT_TYPES; i++)
        for (uint64_t k = 0; k < 2; k++) {
            char key[16];
            int64_t number = 3;
            snprintf(key, sizeof key, "%s.%d", sample_type_name(int_types[i]), (int)k);
            assert_int_equal(wr_gguf_find(gguf, key)->type, int_types[i]);
            assert_int_equal(wr_gguf_get_int(gguf, key, INT64_MIN, INT64_MAX, &number, &error), 0);
            assert_true(number == sample_int(int_types[i], k));
        }
    assert_int_equal(wr_gguf_get_float(gguf, "float", &real, &error), WEIR_OK);
    assert_true(real == 0.25);
    assert_int_equal(wr_gguf_get_bool(gguf, "yes", &yes, &error), WEIR_OK);
    assert_int_equal(wr_gguf_get_bool(gguf, "no", &no, &error), WEIR_OK);
    assert_true(yes && !no);
    assert_int_equal(wr_gguf_get_string(gguf, "string", &text, &error), WEIR_OK);
    assert_true(wr_string_is(text, "a string"));
    assert_int_equal(wr_gguf_get_string(gguf, "empty", &text, &error), WEIR_OK);
    assert_int_equal(text.size, 0);
    wr_gguf_cursor cursor = {0};
    for (size_t i = 0; i < 3; i++) {
        assert_true(wr_gguf_next_string(wr_gguf_find(gguf, "strings"), &cursor, &text));
        assert_int_equal(text.size, strings[i].size);
        assert_memory_equal(text.data, strings[i].data, text.size);
        assert_true(wr_gguf_item_float(wr_gguf_find(gguf, "floats"), i) == (double)floats[i]);
    }
    assert_int_equal(wr_gguf_find(gguf, "none")->count, 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(wr_gguf_item_int(wr_gguf_find(gguf, "ints"), i), ints[i]);
}

static void check_data(const wr_gguf *gguf) {
    assert_int_equal(wr_gguf_tensor_count(gguf), TENSORS);
    for (size_t i = 0; i < TENSORS; i++) {
        const wr_gguf_tensor *tensor = wr_gguf_tensor_at(gguf, (int64_t)i);
        assert_int_equal(tensor->format, formats[i]);
        assert_int_equal(tensor->dims, 1 + (int32_t)(i % 4));
        assert_int_equal(tensor->bytes, tensor_bytes(i));
        for (size_t k = 0; k < tensor->bytes; k++)
            if (tensor->data[k] != data_byte(i, k)) fail_msg("tensor %zu, byte %zu", i, k);
    }
}

static void what_goes_in_comes_out(void **state) {
    const place *here = *state;
    static const uint32_t alignments[] = {0, 8, 16, 64, 4096, 65536};
    static const size_t pieces[] = {1, 7, 64, 1000, 65536, 300};
    for (size_t i = 0; i < sizeof alignments / sizeof *alignments; i++) {
        weir_error error;
        wr_gguf *gguf;
        wr_gguf_writer *writer = begin(here);
        put_all(writer, alignments[i]);
        assert_int_equal(write_all(writer, pieces[i], &error), WEIR_OK);
        if (wr_gguf_writer_commit(writer, &error) != WEIR_OK) fail_msg("%s", error.message);
        wr_gguf_writer_close(writer);
        if (wr_gguf_open(here->path, NULL, &gguf, &error) != WEIR_OK) fail_msg("%s", error.message);
        assert_int_equal(wr_gguf_version(gguf), 3);
        check_keys(gguf);
        check_data(gguf);
        wr_gguf_close(gguf);
        assert_int_equal(count_files(here), 1);
    }
}

static void a_file_without_tensors(void **state) {
    const place *here = *state;
    weir_error error;
    wr_gguf *gguf;
    wr_gguf_writer *writer = begin(here);
    wr_gguf_put_string(writer, "general.architecture", "llama");
    assert_int_equal(wr_gguf_writer_commit(writer, &error), WEIR_OK);
    wr_gguf_writer_close(writer);
    assert_int_equal(wr_gguf_open(here->path, NULL, &gguf, &error), WEIR_OK);
    assert_int_equal(wr_gguf_value_count(gguf), 1);
    wr_gguf_close(gguf);
}

static void without_commit_nothing_is_left(void **state) {
    const place *here = *state;
    weir_error error;
    wr_gguf_writer_close(begin(here));
    assert_int_equal(count_files(here), 0);
    wr_gguf_writer *writer = begin(here);
    put_all(writer, 32);
    assert_int_equal(write_all(writer, 512, &error), WEIR_OK);
    assert_int_equal(count_files(here), 1);
    assert_int_equal(access(here->path, F_OK), -1); /* not yet under its name */
    wr_gguf_writer_close(writer);
    assert_int_equal(count_files(here), 0);
    wr_gguf_writer_close(NULL);
}

static void what_stood_there_stays_until_commit(void **state) {
    const place *here = *state;
    char link[128];
    weir_error error;
    struct stat about;
    wr_map map;
    snprintf(link, sizeof link, "%s/link", here->folder);
    assert_int_equal(wr_file_replace(here->path, "old", 3, NULL, &error), WEIR_OK);
    assert_int_equal(chmod(here->path, 0640), 0);
    assert_int_equal(symlink("out.gguf", link), 0);
    wr_gguf_writer *writer;
    assert_int_equal(wr_gguf_writer_open(link, NULL, &writer, &error), WEIR_OK);
    wr_gguf_put_bool(writer, "key", true);
    wr_gguf_writer_close(writer);
    assert_int_equal(wr_map_open(link, &map, &error), WEIR_OK);
    assert_int_equal(map.size, 3);
    wr_map_close(&map);
    assert_int_equal(wr_gguf_writer_open(link, NULL, &writer, &error), WEIR_OK);
    assert_int_equal(wr_gguf_writer_commit(writer, &error), WEIR_OK);
    wr_gguf_writer_close(writer);
    assert_int_equal(wr_map_open(here->path, &map, &error), WEIR_OK);
    assert_int_not_equal(map.size, 3);
    wr_map_close(&map);
    assert_int_equal(lstat(link, &about), 0);
    assert_true(S_ISLNK(about.st_mode));
    assert_int_equal(stat(here->path, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0640);
    assert_int_equal(count_files(here), 2);
}

/* The commit must fail with `words`, again when repeated, and leave nothing. */
static void misused(const place *here, wr_gguf_writer *writer, const char *words) {
    weir_error error = {0};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(wr_gguf_writer_commit(writer, &error), WEIR_USAGE);
        if (strncmp(error.message, here->path, strlen(here->path)) != 0 ||
            strstr(error.message, words) == NULL)
            fail_msg("\"%s\" instead of \"%s\"", error.message, words);
    }
    assert_int_equal(wr_gguf_write_data(writer, "x", 1, NULL), WEIR_USAGE);
    wr_gguf_writer_close(writer);
    assert_int_equal(count_files(here), 0);
}

static void keys_misused(void **state) {
    const place *here = *state;
    static const int64_t one[] = {1};
    wr_gguf_writer *writer = begin(here);
    wr_gguf_put_bool(writer, "twin", true);
    wr_gguf_put_bool(writer, "other", true);
    wr_gguf_put_float(writer, "twin", 1);
    misused(here, writer, "key \"twin\" is put twice");
    writer = begin(here);
    wr_gguf_put_int(writer, "small", WR_GGUF_U8, 256);
    wr_gguf_put_int(writer, "smaller", WR_GGUF_U8, -1);
    misused(here, writer, "key \"small\" has a value beyond its type");
    writer = begin(here);
    wr_gguf_put_int(writer, "general.alignment", WR_GGUF_U32, 24);
    misused(here, writer, "key \"general.alignment\" must be a power of two");
    writer = begin(here);
    wr_gguf_put_string(writer, "bad\nkey", "");
    misused(here, writer, "key \"bad\\x0akey\" holds a control character");
    writer = begin(here);
    wr_gguf_put_tensor(writer, "w", WR_F32, 1, one);
    wr_gguf_put_int(writer, "general.alignment", WR_GGUF_U32, 64);
    misused(here, writer, "key \"general.alignment\" comes after a tensor");
}

static void bad_tensor(const place *here, const char *name, wr_format format, int32_t dims,
                       const int64_t *dim, const char *words) {
    wr_gguf_writer *writer = begin(here);
    wr_gguf_put_tensor(writer, name, format, dims, dim);
    misused(here, writer, words);
}

static const char *name_of(const wr_gguf_value *value) {
    static char name[64];
    snprintf(name, sizeof name, "%.*s", (int)value->key.size, value->key.data);
    return name;
}

/* Every key of a file that has all types, taken over into another one: but for how its data lie,
 * which is the other's to say. */
static void values_of_another_file(void **state) {
    const place *here = *state;
    weir_error error;
    wr_gguf *from, *gguf;
    wr_writer bytes = {0};
    sample_file(&bytes, 3, 32);
    assert_int_equal(wr_gguf_parse("sample", bytes.data, bytes.size, NULL, &from, &error), WEIR_OK);
    const wr_gguf_value *alignment = wr_gguf_find(from, "general.alignment");
    wr_gguf_writer *writer = begin(here);
    wr_gguf_put_value(writer, alignment);
    misused(here, writer, "key \"general.alignment\" belongs to the layout of its own file");
    writer = begin(here);
    for (int64_t i = 0; i < wr_gguf_value_count(from); i++)
        if (wr_gguf_value_at(from, i) != alignment)
            wr_gguf_put_value(writer, wr_gguf_value_at(from, i));
    assert_int_equal(wr_gguf_writer_commit(writer, &error), WEIR_OK);
    wr_gguf_writer_close(writer);
    assert_int_equal(wr_gguf_open(here->path, NULL, &gguf, &error), WEIR_OK);
    assert_int_equal(wr_gguf_value_count(gguf), wr_gguf_value_count(from) - 1);
    for (int64_t i = 0; i < wr_gguf_value_count(gguf); i++) {
        const wr_gguf_value *b = wr_gguf_value_at(gguf, i), *a = NULL;
        for (int64_t k = 0; a == NULL || !wr_string_is(a->key, name_of(b)); k++)
            a = wr_gguf_value_at(from, k);
        assert_int_equal(a->type, b->type);
        assert_int_equal(a->item_type, b->item_type);
        assert_int_equal(a->count, b->count);
        assert_int_equal(a->size, b->size);
        assert_memory_equal(a->bytes, b->bytes, a->size);
    }
    wr_gguf_close(gguf);
    wr_gguf_close(from);
    wr_writer_release(&bytes);
}

static void tensors_misused(void **state) {
    const place *here = *state;
    static const int64_t one[] = {1, 1, 1, 1, 1};
    bad_tensor(here, "", WR_F32, 1, one, "tensor \"\" is empty");
    bad_tensor(here, "w", WR_F32, 0, one, "must have 1 to 4 dimensions");
    bad_tensor(here, "w", WR_F32, 5, one, "must have 1 to 4 dimensions");
    bad_tensor(here, "w", WR_F32, 2, (int64_t[]){4, 0}, "has an empty or too large dimension");
    bad_tensor(here, "w", WR_F32, 2, (int64_t[]){INT64_MAX, 2}, "too large dimension");
    bad_tensor(here, "w", WR_Q8_0, 1, (int64_t[]){33}, "no multiple of its format's block");
    bad_tensor(here, "w", (wr_format)99, 1, one, "has a format that weir does not know");
    wr_gguf_writer *writer = begin(here);
    for (int i = 0; i < 2; i++) wr_gguf_put_tensor(writer, "twin", WR_F32, 1, one);
    misused(here, writer, "tensor \"twin\" is put twice");
}

static void data_misused(void **state) {
    const place *here = *state;
    static const uint8_t data[32];
    weir_error error;
    wr_gguf_writer *writer = begin(here);
    wr_gguf_put_tensor(writer, "w", WR_F32, 1, (int64_t[]){8});
    assert_int_equal(wr_gguf_write_data(writer, data, 31, &error), WEIR_OK);
    misused(here, writer, "tensor \"w\" lacks 1 bytes of data");
    writer = begin(here);
    wr_gguf_put_tensor(writer, "w", WR_F32, 1, (int64_t[]){7});
    assert_int_equal(wr_gguf_write_data(writer, data, 32, &error), WEIR_USAGE);
    misused(here, writer, "4 bytes of data more than its tensors have");
    writer = begin(here);
    wr_gguf_put_tensor(writer, "w", WR_F32, 1, (int64_t[]){8});
    assert_int_equal(wr_gguf_write_data(writer, data, 32, &error), WEIR_OK);
    wr_gguf_put_tensor(writer, "late", WR_F32, 1, (int64_t[]){8});
    misused(here, writer, "tensor \"late\" comes after the data of a tensor");
    writer = begin(here);
    assert_int_equal(wr_gguf_writer_commit(writer, &error), WEIR_OK);
    assert_int_equal(wr_gguf_writer_commit(writer, &error), WEIR_USAGE);
    assert_non_null(strstr(error.message, "already committed"));
    wr_gguf_writer_close(writer);
    assert_int_equal(count_files(here), 1);
}

static void refused_place(const char *path, const char *words) {
    wr_gguf_writer *writer;
    weir_error error;
    assert_int_equal(wr_gguf_writer_open(path, NULL, &writer, &error), WEIR_IO);
    assert_null(writer);
    if (strncmp(error.message, path, 20) != 0 || strstr(error.message, words) == NULL)
        fail_msg("\"%s\" instead of \"%s\"", error.message, words);
}

static void places_that_cannot_be_written(void **state) {
    const place *here = *state;
    char path[8192];
    refused_place(here->folder, "is a folder, where a file should be written");
    refused_place("/dev/../dev/../dev/null", "is not a regular file");
    snprintf(path, sizeof path, "%s/no/such/folder.gguf", here->folder);
    refused_place(path, "cannot create it: no such file or folder");
    snprintf(path, sizeof path, "%s/%0300d.gguf", here->folder, 0);
    refused_place(path, "cannot create it: File name too long");
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    refused_place(path, "the path is too long");
    assert_int_equal(count_files(here), 0);
}

/* A limit on file size stands in for a full disk. */
static void a_full_disk(void **state) {
    const place *here = *state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit small = {.rlim_cur = 10000, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    wr_gguf_writer *writer = begin(here);
    weir_error error = {0};
    put_all(writer, 32);
    weir_status status = write_all(writer, 512, &error);
    weir_status commit = wr_gguf_writer_commit(writer, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    wr_gguf_writer_close(writer);
    assert_int_equal(status, WEIR_IO);
    assert_int_equal(commit, WEIR_IO);
    assert_non_null(strstr(error.message, "out.gguf: cannot write: File too large"));
    assert_int_equal(count_files(here), 0);
}

static void memory_may_run_out_anywhere(void **state) {
    const place *here = *state;
    failing_allocator memory;
    weir_status status = WEIR_MEMORY;
    int64_t n = 0;
    while (status != WEIR_OK) {
        wr_gguf_writer *writer;
        weir_error error = {0};
        failing_allocator_init(&memory);
        memory.fail_at = ++n;
        status = wr_gguf_writer_open(here->path, &memory.allocator, &writer, &error);
        if (status == WEIR_OK) put_all(writer, 32);
        if (status == WEIR_OK) status = write_all(writer, 4096, &error);
        if (status == WEIR_OK) status = wr_gguf_writer_commit(writer, &error);
        wr_gguf_writer_close(writer);
        assert_true(status == WEIR_OK || status == WEIR_MEMORY);
        assert_true(status == WEIR_OK || strstr(error.message, "not enough memory") != NULL);
        assert_true(failing_allocator_clean(&memory));
        assert_int_equal(count_files(here), status == WEIR_OK);
        assert_int_equal(memory.failures, status != WEIR_OK);
    }
    assert_true(n > 8);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_goes_in_comes_out),
        TEST(values_of_another_file),
        TEST(a_file_without_tensors),
        TEST(without_commit_nothing_is_left),
        TEST(what_stood_there_stays_until_commit),
        TEST(keys_misused),
        TEST(tensors_misused),
        TEST(data_misused),
        TEST(places_that_cannot_be_written),
        TEST(a_full_disk),
        TEST(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
