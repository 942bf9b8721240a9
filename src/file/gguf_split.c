/*
 * A model in several files: NAME-00001-of-00003.gguf, opened by the first, becomes one.
 *
 *     part 1    all keys, and some tensors (or none)     split.no 0, split.count 3
 *     part 2    tensors                                   split.no 1, split.count 3
 *     part 3    tensors                                   split.no 2, split.count 3
 *
 * Afterwards the first part's handle has every tensor of all parts and none of the keys split.*, as
 * if there had never been more than one file; it owns the others, whose mappings hold the data.
 */
#include <stdio.h>
#include <string.h>

#include "file/gguf_inside.h"

#define SPLIT_NO "split.no"
#define SPLIT_COUNT "split.count"
#define SPLIT_TENSORS "split.tensors.count"
#define SPLIT_PREFIX "split."
#define SPLIT_MOST 99999 /* five digits in the name */

/* What follows NAME, with room for wrong numbers. */
#define SUFFIX_BYTES 64
static size_t suffix(char out[SUFFIX_BYTES], int64_t part, int64_t count) {
    return (size_t)snprintf(out, SUFFIX_BYTES, "-%05lld-of-%05lld.gguf", (long long)part,
                            (long long)count);
}

static weir_status read_place(const wr_gguf *gguf, int64_t *part, int64_t *count,
                              weir_error *error) {
    *part = 0;
    *count = 1;
    weir_status status = wr_gguf_get_int(gguf, SPLIT_COUNT, 0, SPLIT_MOST, count, error);
    if (status == WEIR_OK) status = wr_gguf_get_int(gguf, SPLIT_NO, 0, SPLIT_MOST, part, error);
    return status;
}

/* The path of part `part`, 1 the first, in memory of its own; its size with the NUL in *size. */
static char *path_of(const wr_gguf *first, int64_t part, int64_t count, size_t *size) {
    char end[SUFFIX_BYTES];
    *size = first->path_size; /* five digits each, however large the numbers */
    char *path = wr_allocate(first->allocator, *size);
    if (path == NULL) return NULL;
    memcpy(path, first->path, *size);
    size_t length = suffix(end, part, count);
    memcpy(path + *size - 1 - length, end, length);
    return path;
}

static bool is_named(const wr_gguf *gguf, int64_t part, int64_t count) {
    char end[SUFFIX_BYTES];
    size_t length = suffix(end, part, count);
    return gguf->path_size > length && strcmp(gguf->path + gguf->path_size - 1 - length, end) == 0;
}

static weir_status check_first(const wr_gguf *gguf, int64_t part, int64_t count,
                               weir_error *error) {
    char first[SUFFIX_BYTES];
    suffix(first, 1, count);
    if (part != 0)
        return wr_gguf_fail(gguf, error, WEIR_USAGE,
                            "part %lld of a model in %lld files: open the first, whose name ends "
                            "in %s",
                            (long long)part + 1, (long long)count, first);
    if (!is_named(gguf, 1, count))
        return wr_gguf_fail(gguf, error, WEIR_DAMAGED,
                            "the first of %lld files of a model, so its name must end in %s: give "
                            "all of them their names back",
                            (long long)count, first);
    return WEIR_OK;
}

/* Open part `at` (from 0) as a file of its own, and check that it is that part. */
static weir_status open_part(wr_gguf *first, int64_t at, int64_t count, weir_error *error) {
    weir_error inner;
    size_t size;
    int64_t part, parts;
    char *path = path_of(first, at + 1, count, &size);
    if (path == NULL) return wr_gguf_no_memory(first, error);
    wr_gguf **out = &first->parts[at - 1];
    weir_status status = wr_gguf_open_alone(path, first->allocator, out, &inner);
    wr_release(first->allocator, path, size);
    if (status == WEIR_OK) status = read_place(*out, &part, &parts, &inner);
    if (status != WEIR_OK)
        return wr_gguf_fail(first, error, status, "part %lld of %lld: %.240s", (long long)at + 1,
                            (long long)count, inner.message);
    if (part != at || parts != count)
        return wr_gguf_fail(*out, error, WEIR_DAMAGED,
                            "says that it is part %lld of %lld, where part %lld of %lld should "
                            "be: its name is wrong, or it is another model's",
                            (long long)part + 1, (long long)parts, (long long)at + 1,
                            (long long)count);
    return WEIR_OK;
}

/* --- Becoming one ----------------------------------------------------------------------------- */

static bool copy_items(wr_named_list *to, const wr_named_list *from, const char *without) {
    for (size_t i = 0; i < from->count; i++) {
        const void *item = wr_named_list_at(from, i);
        const wr_string *name = item;
        if (without && name->size >= strlen(without) &&
            memcmp(name->data, without, strlen(without)) == 0)
            continue;
        void *copy = wr_named_list_add(to);
        if (copy == NULL) return false;
        memcpy(copy, item, from->item_size);
    }
    return true;
}

/* The tensors of all parts, in the order of the parts. */
static weir_status join_tensors(wr_gguf *first, weir_error *error) {
    wr_named_list all;
    size_t count = first->tensors.count, twin;
    for (size_t i = 0; i < first->part_count; i++) count += first->parts[i]->tensors.count;
    if (count > UINT32_MAX)
        return wr_gguf_fail(first, error, WEIR_LIMIT, "more than four billion tensors");
    bool room = wr_named_list_init(&all, first->allocator, sizeof(wr_gguf_entry), count) &&
                copy_items(&all, &first->tensors, NULL);
    for (size_t i = 0; i < first->part_count && room; i++)
        room = copy_items(&all, &first->parts[i]->tensors, NULL);
    room = room && wr_named_list_sort(&all, &twin);
    wr_named_list_deinit(&first->tensors);
    first->tensors = all;
    if (!room) return wr_gguf_no_memory(first, error);
    if (twin == count) return WEIR_OK;
    const wr_gguf_tensor *tensor = wr_named_list_at(&all, twin);
    return wr_gguf_fail(first, error, WEIR_DAMAGED, "tensor %s stands in two of its parts",
                        wr_name_quote(tensor->name).text);
}

static weir_status drop_split_keys(wr_gguf *first, weir_error *error) {
    wr_named_list rest;
    size_t twin;
    bool room =
        wr_named_list_init(&rest, first->allocator, sizeof(wr_gguf_value), first->values.count) &&
        copy_items(&rest, &first->values, SPLIT_PREFIX) && wr_named_list_sort(&rest, &twin);
    wr_named_list_deinit(&first->values);
    first->values = rest;
    return room ? WEIR_OK : wr_gguf_no_memory(first, error);
}

/* The count that the first part promises, where it does. */
static weir_status check_tensors(const wr_gguf *first, weir_error *error) {
    int64_t promised = (int64_t)first->tensors.count;
    weir_status status = wr_gguf_get_int(first, SPLIT_TENSORS, 0, UINT32_MAX, &promised, error);
    if (status == WEIR_OK && promised != (int64_t)first->tensors.count)
        status = wr_gguf_fail(first, error, WEIR_DAMAGED,
                              "its parts have %zu tensors together, where it promises %lld: copy "
                              "all of them again",
                              first->tensors.count, (long long)promised);
    return status;
}

weir_status wr_gguf_join_parts(wr_gguf *first, weir_error *error) {
    int64_t part, count;
    weir_status status = read_place(first, &part, &count, error);
    if (status != WEIR_OK || (count <= 1 && part == 0)) return status;
    status = check_first(first, part, count, error);
    if (status != WEIR_OK) return status;
    first->parts = wr_allocate_array(first->allocator, (size_t)count - 1, sizeof *first->parts);
    if (first->parts == NULL) return wr_gguf_no_memory(first, error);
    first->part_count = (size_t)count - 1;
    for (int64_t i = 1; i < count && status == WEIR_OK; i++)
        status = open_part(first, i, count, error);
    if (status == WEIR_OK) status = join_tensors(first, error);
    if (status == WEIR_OK) status = check_tensors(first, error);
    return status == WEIR_OK ? drop_split_keys(first, error) : status;
}
