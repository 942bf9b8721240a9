/*
 * A model in several files: opened by the first it is the model in one file, to the last bit of its
 * logits; a part that is missing, wrong or damaged is one sentence; memory that runs out anywhere
 * leaves nothing behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <sys/stat.h>

#include "file/gguf.h"
#include "support/random_model.h"

enum { PARTS = 3, PATH = 160 };

static char folder[64];

static const char *part_path(int part, char out[PATH]) {
    snprintf(out, PATH, "%s/tiny-%05d-of-%05d.gguf", folder, part, PARTS);
    return out;
}

typedef struct wrong {
    int part;            /* 1 ... PARTS that differs from what is right */
    int number, parts;   /* what it says it is, from 0 */
    int64_t promised;    /* tensors, in the first part; 0: the right number */
    const char *besides; /* the name of a tensor that it has, too */
} wrong;

static bool belongs(int64_t tensor, int part) { return tensor % PARTS == part; }

static void put_keys(const wr_gguf *from, wr_gguf_writer *to, int part, const wrong *w) {
    const bool here = w && w->part == part + 1;
    for (int64_t i = 0; part == 0 && i < wr_gguf_value_count(from); i++)
        wr_gguf_put_value(to, wr_gguf_value_at(from, i));
    wr_gguf_put_int(to, "split.no", WR_GGUF_U16, here ? w->number : part);
    wr_gguf_put_int(to, "split.count", WR_GGUF_U16, here ? w->parts : PARTS);
    wr_gguf_put_int(to, "split.tensors.count", WR_GGUF_I32,
                    here && w->promised ? w->promised : wr_gguf_tensor_count(from));
}

/* Part `part` (from 0): every third tensor. */
static void write_part(const wr_gguf *from, int part, const wrong *w) {
    char path[PATH];
    weir_error error;
    wr_gguf_writer *to;
    const char *besides = w && w->part == part + 1 ? w->besides : NULL;
    must(wr_gguf_writer_open(part_path(part + 1, path), NULL, &to, &error), &error);
    put_keys(from, to, part, w);
    for (int64_t i = 0; i < wr_gguf_tensor_count(from); i++) {
        const wr_gguf_tensor *t = wr_gguf_tensor_at(from, i);
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)t->name.size, t->name.data);
        if (belongs(i, part) || (besides && strcmp(besides, name) == 0))
            wr_gguf_put_tensor(to, name, t->format, t->dims, t->dim);
    }
    for (int64_t i = 0; i < wr_gguf_tensor_count(from); i++) {
        const wr_gguf_tensor *t = wr_gguf_tensor_at(from, i);
        if (belongs(i, part) || (besides && wr_string_is(t->name, besides)))
            must(wr_gguf_write_data(to, t->data, t->bytes, &error), &error);
    }
    must(wr_gguf_writer_commit(to, &error), &error);
    wr_gguf_writer_close(to);
}

static void write_parts(const wrong *w) {
    weir_error error;
    wr_gguf *from;
    must(wr_gguf_open(tiny.path, NULL, &from, &error), &error);
    for (int part = 0; part < PARTS; part++) write_part(from, part, w);
    wr_gguf_close(from);
}

static void remove_parts(void) {
    char path[PATH];
    for (int part = 1; part <= PARTS; part++) unlink(part_path(part, path));
}

/* --- As one file --------------------------------------------------------------------------------
 */

static void test_same_model(void **state) {
    (void)state;
    char path[PATH];
    weir_error error;
    weir_model *model;
    write_parts(NULL);
    must(weir_model_open(part_path(1, path), NULL, &model, &error), &error);
    const weir_model_info *split = weir_model_get_info(model);
    const weir_model_info *whole = weir_model_get_info(tiny.model);
    assert_int_equal(split->tensors, whole->tensors);
    assert_int_equal(split->parameters, whole->parameters);
    int64_t bytes = 0;
    for (int part = 1; part <= PARTS; part++) {
        struct stat about;
        assert_int_equal(stat(part_path(part, path), &about), 0);
        bytes += about.st_size;
    }
    assert_int_equal(split->file_bytes, bytes);
    const weir_stream_options options = stream_options(WEIR_SINK, 4, 60);
    weir_stream *streams[] = {stream_make(model, &options), stream_make(tiny.model, &options)};
    for (int i = 0; i < 2; i++) stream_feed(streams[i], 0, 150);
    assert_int_equal(stream_bits(streams[0]), stream_bits(streams[1]));
    for (int i = 0; i < 2; i++) weir_stream_destroy(streams[i]);
    weir_model_close(model);
    remove_parts();
}

/* What is copied from it, key by key, is a file by itself. */
static void test_no_split_keys(void **state) {
    (void)state;
    char path[PATH];
    weir_error error;
    wr_gguf *gguf, *whole;
    write_parts(NULL);
    must(wr_gguf_open(part_path(1, path), NULL, &gguf, &error), &error);
    must(wr_gguf_open(tiny.path, NULL, &whole, &error), &error);
    assert_int_equal(wr_gguf_value_count(gguf), wr_gguf_value_count(whole));
    assert_null(wr_gguf_find(gguf, "split.count"));
    for (int64_t i = 0; i < wr_gguf_tensor_count(whole); i++) {
        const wr_gguf_tensor *t = wr_gguf_tensor_at(whole, i);
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)t->name.size, t->name.data);
        const wr_gguf_tensor *same = wr_gguf_find_tensor(gguf, name);
        assert_non_null(same);
        assert_int_equal(same->bytes, t->bytes);
        assert_memory_equal(same->data, t->data, t->bytes);
    }
    wr_gguf_close(whole);
    wr_gguf_close(gguf);
    remove_parts();
}

/* --- Wrong parts --------------------------------------------------------------------------------
 */

static void refused(const char *path, weir_status status, const char *words) {
    weir_error error = {.message = ""};
    weir_model *model;
    assert_refused(weir_model_open(path, NULL, &model, &error), status, &error, words);
    assert_null(model);
}

static void test_wrong(void **state) {
    (void)state;
    static const struct {
        wrong wrong;
        const char *words;
    } list[] = {
        {{.part = 2, .number = 2, .parts = PARTS}, "says that it is part 3 of 3"},
        {{.part = 3, .number = 2, .parts = 4}, "says that it is part 3 of 4"},
        {{.part = 1, .parts = 4}, "-00001-of-00004.gguf"},
        {{.part = 1, .parts = PARTS, .promised = 7}, "promises 7"},
        {{.part = 2, .number = 1, .parts = PARTS, .besides = "token_embd.weight"},
         "\"token_embd.weight\" stands in two of its parts"},
    };
    char path[PATH];
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        write_parts(&list[i].wrong);
        refused(part_path(1, path), WEIR_DAMAGED, list[i].words);
    }
    write_parts(NULL);
    refused(part_path(2, path), WEIR_USAGE, "open the first, whose name ends in -00001-of-00003");
    remove_parts();
}

static void test_names(void **state) {
    (void)state;
    char path[PATH], other[PATH];
    write_parts(NULL);
    unlink(part_path(3, path));
    refused(part_path(1, path), WEIR_IO, "part 3 of 3: ");
    refused(part_path(1, path), WEIR_IO, "tiny-00003-of-00003.gguf: no such file");
    snprintf(other, sizeof other, "%s/renamed.gguf", folder);
    assert_int_equal(rename(part_path(1, path), other), 0);
    refused(other, WEIR_DAMAGED, "its name must end in -00001-of-00003.gguf");
    unlink(other);
    remove_parts();
}

/* A later part cut anywhere. */
static void test_cut(void **state) {
    (void)state;
    char path[PATH];
    struct stat about;
    write_parts(NULL);
    assert_int_equal(stat(part_path(2, path), &about), 0);
    for (off_t size = about.st_size - 1; size > 0; size -= 1 + size / 7) {
        assert_int_equal(truncate(part_path(2, path), size), 0);
        refused(part_path(1, path), WEIR_DAMAGED, "part 2 of 3: ");
    }
    remove_parts();
}

static void test_no_memory(void **state) {
    (void)state;
    char path[PATH];
    write_parts(NULL);
    part_path(1, path);
    for (int64_t n = 1;; n++) {
        weir_error error;
        wr_gguf *gguf;
        failing_allocator memory;
        failing_allocator_init(&memory);
        memory.fail_at = n;
        weir_status status = wr_gguf_open(path, &memory.allocator, &gguf, &error);
        wr_gguf_close(gguf);
        assert_true(failing_allocator_clean(&memory));
        if (memory.failures == 0) {
            assert_int_equal(status, WEIR_OK);
            break;
        }
        assert_int_equal(status, WEIR_MEMORY);
        assert_sentence(&error);
    }
    remove_parts();
}

static int set_up(void **state) {
    snprintf(folder, sizeof folder, "/tmp/weir-split-XXXXXX");
    assert_non_null(mkdtemp(folder));
    return tiny_set_up(state);
}

static int tear_down(void **state) {
    remove_parts();
    rmdir(folder);
    return tiny_tear_down(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_model), cmocka_unit_test(test_no_split_keys),
        cmocka_unit_test(test_wrong),      cmocka_unit_test(test_names),
        cmocka_unit_test(test_cut),        cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests_name("split", tests, set_up, tear_down);
}
