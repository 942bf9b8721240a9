/*
 * Opening a GGUF file: header and metadata. The directory of tensors is read in gguf_tensors.c.
 *
 * Counts are believed only as far as the bytes that are left could hold that many of the smallest
 * thing, so no block of memory that a count asks for is larger than the file.
 */
#include "file/gguf_inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The smallest in a file, in bytes: size, one character, type, value; and size, one character,
 * number of dims, one dim, format, offset. */
#define KEY_BYTES_MIN (8 + 1 + 4 + 1)
#define TENSOR_BYTES_MIN (8 + 1 + 4 + 8 + 4 + 8)

weir_status wr_gguf_fail(const wr_gguf *gguf, weir_error *error, weir_status status,
                         const char *format, ...) {
    enum { PATH_SHOWN = 200 };
    char sentence[400];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    size_t length = gguf->path_size - 1;
    bool cut = length > PATH_SHOWN;
    return weir_error_set(error, status, "%s%s: %s", cut ? "..." : "",
                          gguf->path + (cut ? length - PATH_SHOWN : 0), sentence);
}

weir_status wr_gguf_no_memory(const wr_gguf *gguf, weir_error *error) {
    return wr_gguf_fail(gguf, error, WEIR_MEMORY,
                        "not enough memory for the list of its keys and tensors");
}

wr_string wr_gguf_read_string(wr_reader *reader) {
    uint64_t size = wr_read_u64(reader);
    if (size > wr_reader_left(reader)) reader->failed = true;
    if (reader->failed) return (wr_string){0};
    const void *bytes = size == 0 ? "" : wr_read_bytes(reader, (size_t)size);
    return (wr_string){bytes, (size_t)size};
}

static weir_status fail_key(const wr_gguf *gguf, size_t at, const wr_gguf_value *value,
                            weir_error *error) {
    if (value->key.size == 0)
        return wr_gguf_fail(gguf, error, WEIR_DAMAGED,
                            "key %zu (at byte %zu) runs past the end of the file: it is "
                            "incomplete or damaged, so copy it again",
                            gguf->values.count, at);
    return wr_gguf_fail(gguf, error, WEIR_DAMAGED,
                        "the value of key %s (at byte %zu) runs past the end of the file: it is "
                        "incomplete or damaged, so copy it again",
                        wr_name_quote(value->key).text, at);
}

/* Skip over a value's strings, however many there are said to be. */
static void skip_strings(wr_reader *reader, uint64_t count) {
    if (count > wr_reader_left(reader) / sizeof(uint64_t)) reader->failed = true;
    for (uint64_t i = 0; i < count && !reader->failed; i++) (void)wr_gguf_read_string(reader);
}

static void skip_scalars(wr_reader *reader, uint64_t count, size_t size) {
    if (count > wr_reader_left(reader) / size)
        reader->failed = true;
    else if (count > 0)
        (void)wr_read_bytes(reader, (size_t)count * size);
}

static bool bools_are_valid(const wr_gguf_value *value) {
    if (value->item_type == WR_GGUF_BOOL)
        for (size_t i = 0; i < value->size; i++)
            if (value->bytes[i] > 1) return false;
    return true;
}

/* The types and the count before a value's bytes. */
static weir_status read_type(const wr_gguf *gguf, wr_reader *reader, wr_gguf_value *value,
                             weir_error *error) {
    size_t at = reader->at;
    uint32_t type = wr_read_u32(reader);
    uint32_t item_type = type;
    value->count = 1;
    if (type == WR_GGUF_ARRAY) {
        item_type = wr_read_u32(reader);
        value->count = wr_read_u64(reader);
    }
    if (reader->failed) return fail_key(gguf, at, value, error);
    if (type == WR_GGUF_ARRAY && item_type == WR_GGUF_ARRAY)
        return wr_gguf_fail(gguf, error, WEIR_UNSUPPORTED,
                            "key %s (at byte %zu) holds an array of arrays, which weir does not "
                            "read",
                            wr_name_quote(value->key).text, at);
    if (item_type >= WR_GGUF_TYPES)
        return wr_gguf_fail(gguf, error, WEIR_DAMAGED,
                            "key %s (at byte %zu) has the unknown type %lu: the file is damaged",
                            wr_name_quote(value->key).text, at, (unsigned long)item_type);
    value->type = (wr_gguf_type)type;
    value->item_type = (wr_gguf_type)item_type;
    return WEIR_OK;
}

static weir_status read_value(wr_gguf *gguf, wr_reader *reader, weir_error *error) {
    wr_gguf_value *value = wr_named_list_add(&gguf->values);
    if (value == NULL) return wr_gguf_no_memory(gguf, error);
    size_t at = reader->at;
    value->key = wr_gguf_read_string(reader);
    if (reader->failed) return fail_key(gguf, at, value, error);
    const char *flaw = wr_name_flaw(value->key, WR_GGUF_KEY_LIMIT);
    if (flaw != NULL)
        return wr_gguf_fail(gguf, error, WEIR_DAMAGED,
                            "key %zu (at byte %zu) is called %s, which %s: the file is damaged",
                            gguf->values.count, at, wr_name_quote(value->key).text, flaw);
    weir_status status = read_type(gguf, reader, value, error);
    if (status != WEIR_OK) return status;
    at = reader->at;
    value->bytes = reader->data + at;
    if (value->item_type == WR_GGUF_STRING)
        skip_strings(reader, value->count);
    else
        skip_scalars(reader, value->count, wr_gguf_types[value->item_type].size);
    if (reader->failed) return fail_key(gguf, at, value, error);
    value->size = reader->at - at;
    if (!bools_are_valid(value))
        return wr_gguf_fail(gguf, error, WEIR_DAMAGED,
                            "key %s (at byte %zu) holds a truth value that is neither 0 nor 1: "
                            "the file is damaged",
                            wr_name_quote(value->key).text, at);
    return WEIR_OK;
}

static weir_status read_values(wr_gguf *gguf, wr_reader *reader, size_t count, weir_error *error) {
    if (!wr_named_list_init(&gguf->values, gguf->allocator, sizeof(wr_gguf_value), count))
        return wr_gguf_no_memory(gguf, error);
    for (size_t i = 0; i < count; i++) {
        weir_status status = read_value(gguf, reader, error);
        if (status != WEIR_OK) return status;
    }
    size_t twin = count;
    if (!wr_named_list_sort(&gguf->values, &twin)) return wr_gguf_no_memory(gguf, error);
    if (twin < count) {
        const wr_gguf_value *value = wr_named_list_at(&gguf->values, twin);
        return wr_gguf_fail(gguf, error, WEIR_DAMAGED,
                            "key %s stands in it twice: the file is damaged",
                            wr_name_quote(value->key).text);
    }
    return WEIR_OK;
}

static weir_status find_alignment(wr_gguf *gguf, weir_error *error) {
    int64_t alignment = WR_GGUF_ALIGNMENT_DEFAULT;
    weir_status status = wr_gguf_get_int(gguf, WR_GGUF_ALIGNMENT_KEY, WR_GGUF_ALIGNMENT_MIN,
                                         WR_GGUF_ALIGNMENT_MAX, &alignment, error);
    if (status != WEIR_OK) return status;
    if (!wr_gguf_alignment_valid(alignment))
        return wr_gguf_fail(gguf, error, WEIR_DAMAGED,
                            "key \"%s\" is %lld, where a power of two is needed",
                            WR_GGUF_ALIGNMENT_KEY, (long long)alignment);
    gguf->alignment = (size_t)alignment;
    return WEIR_OK;
}

static weir_status check_version(const wr_gguf *gguf, weir_error *error) {
    uint32_t version = gguf->version;
    if (version == 2 || version == 3) return WEIR_OK;
    if (version == 1)
        return wr_gguf_fail(gguf, error, WEIR_UNSUPPORTED,
                            "GGUF version 1, which weir does not read: convert the model to "
                            "version 3");
    if (version != 0 && (version & 0xffff) == 0)
        return wr_gguf_fail(gguf, error, WEIR_UNSUPPORTED,
                            "a big-endian GGUF file, which weir does not read: convert the model "
                            "to little-endian");
    return wr_gguf_fail(gguf, error, WEIR_UNSUPPORTED,
                        "GGUF version %lu, where weir reads 2 and 3: the file is damaged or "
                        "newer than weir",
                        (unsigned long)version);
}

/* Magic, version and the two counts, believed or not. */
static weir_status read_header(wr_gguf *gguf, wr_reader *reader, uint64_t *tensors, uint64_t *keys,
                               weir_error *error) {
    const char *magic = wr_read_bytes(reader, 4);
    if (magic == NULL || memcmp(magic, WR_GGUF_MAGIC, 4) != 0) {
        wr_string start = {(const char *)gguf->data, gguf->size < 4 ? gguf->size : 4};
        return wr_gguf_fail(gguf, error, WEIR_DAMAGED,
                            "not a GGUF file: it begins with %s, where \"%s\" should stand",
                            wr_name_quote(start).text, WR_GGUF_MAGIC);
    }
    gguf->version = wr_read_u32(reader);
    weir_status status = reader->failed ? WEIR_OK : check_version(gguf, error);
    if (status != WEIR_OK) return status;
    *tensors = wr_read_u64(reader);
    *keys = wr_read_u64(reader);
    if (reader->failed)
        return wr_gguf_fail(gguf, error, WEIR_DAMAGED,
                            "only %zu bytes long, less than a GGUF header: it is incomplete, so "
                            "copy it again",
                            gguf->size);
    size_t left = wr_reader_left(reader);
    if (*keys > left / KEY_BYTES_MIN || *tensors > left / TENSOR_BYTES_MIN)
        return wr_gguf_fail(gguf, error, WEIR_DAMAGED,
                            "its header promises %llu keys and %llu tensors, more than its %zu "
                            "bytes can hold: it is incomplete or damaged, so copy it again",
                            (unsigned long long)*keys, (unsigned long long)*tensors, gguf->size);
    if (*keys > UINT32_MAX || *tensors > UINT32_MAX)
        return wr_gguf_fail(gguf, error, WEIR_LIMIT, "more than four billion keys or tensors");
    return WEIR_OK;
}

static weir_status parse(wr_gguf *gguf, weir_error *error) {
    wr_reader reader = {.data = gguf->data, .size = gguf->size};
    uint64_t tensors = 0;
    uint64_t keys = 0;
    weir_status status = read_header(gguf, &reader, &tensors, &keys, error);
    if (status == WEIR_OK) status = read_values(gguf, &reader, (size_t)keys, error);
    if (status == WEIR_OK) status = find_alignment(gguf, error);
    if (status == WEIR_OK) status = wr_gguf_read_tensors(gguf, &reader, (size_t)tensors, error);
    return status;
}

/* The handle without its contents; NULL when there is no memory. */
static wr_gguf *create(const char *path, const weir_allocator *allocator, weir_error *error) {
    wr_gguf *gguf = wr_allocate_array(allocator, 1, sizeof *gguf);
    size_t path_size = strlen(path) + 1;
    char *copy = gguf == NULL ? NULL : wr_allocate(allocator, path_size);
    if (copy == NULL) {
        wr_release(allocator, gguf, sizeof *gguf);
        (void)weir_error_set(error, WEIR_MEMORY, "%s: not enough memory to open it", path);
        return NULL;
    }
    memcpy(copy, path, path_size);
    gguf->allocator = allocator;
    gguf->path = copy;
    gguf->path_size = path_size;
    return gguf;
}

static weir_status parse_or_close(wr_gguf *gguf, wr_gguf **out, weir_error *error) {
    weir_status status = parse(gguf, error);
    if (status == WEIR_OK)
        *out = gguf;
    else
        wr_gguf_close(gguf);
    return status;
}

weir_status wr_gguf_open_alone(const char *path, const weir_allocator *allocator, wr_gguf **out,
                               weir_error *error) {
    *out = NULL;
    wr_gguf *gguf = create(path, allocator, error);
    if (gguf == NULL) return WEIR_MEMORY;
    weir_status status = wr_map_open(path, &gguf->map, error);
    if (status != WEIR_OK) {
        gguf->map = (wr_map){0};
        wr_gguf_close(gguf);
        return status;
    }
    gguf->data = gguf->map.data;
    gguf->size = gguf->map.size;
    return parse_or_close(gguf, out, error);
}

weir_status wr_gguf_open(const char *path, const weir_allocator *allocator, wr_gguf **out,
                         weir_error *error) {
    weir_status status = wr_gguf_open_alone(path, allocator, out, error);
    if (status == WEIR_OK) status = wr_gguf_join_parts(*out, error);
    if (status == WEIR_OK) return WEIR_OK;
    wr_gguf_close(*out);
    *out = NULL;
    return status;
}

weir_status wr_gguf_parse(const char *name, const void *data, size_t size,
                          const weir_allocator *allocator, wr_gguf **out, weir_error *error) {
    *out = NULL;
    wr_gguf *gguf = create(name, allocator, error);
    if (gguf == NULL) return WEIR_MEMORY;
    gguf->data = size == 0 ? (const uint8_t *)"" : data;
    gguf->size = size;
    return parse_or_close(gguf, out, error);
}

void wr_gguf_close(wr_gguf *gguf) {
    if (gguf == NULL) return;
    wr_named_list_deinit(&gguf->values);
    wr_named_list_deinit(&gguf->tensors);
    for (size_t i = 0; i < gguf->part_count; i++) wr_gguf_close(gguf->parts[i]);
    wr_release(gguf->allocator, gguf->parts, gguf->part_count * sizeof *gguf->parts);
    if (gguf->map.data != NULL) wr_map_close(&gguf->map);
    wr_release(gguf->allocator, gguf->path, gguf->path_size);
    wr_release(gguf->allocator, gguf, sizeof *gguf);
}
