/*
 * GGUF, versions 2 and 3, little-endian: the file as the bytes say, all of them distrusted.
 *
 *   magic "GGUF" | u32 version | u64 tensors | u64 keys
 *   keys:     string key | u32 type | value            (an array: u32 type | u64 count | items)
 *   tensors:  string name | u32 dims | u64 dim... | u32 format | u64 offset into the data
 *   padding to general.alignment | data
 *
 * Opening checks every length, count, offset, type and name, and that no tensor's bytes lie outside
 * the data; afterwards nothing here can fail. Strings and arrays are borrowed from the mapping.
 * GGUF writes the fastest dimension first: a matrix [rows, columns] has dims {columns, rows}.
 */
#ifndef WR_GGUF_H
#define WR_GGUF_H

#include "base/bytes.h"
#include "tensor/format.h"

typedef enum wr_gguf_type {
    WR_GGUF_U8,
    WR_GGUF_I8,
    WR_GGUF_U16,
    WR_GGUF_I16,
    WR_GGUF_U32,
    WR_GGUF_I32,
    WR_GGUF_F32,
    WR_GGUF_BOOL,
    WR_GGUF_STRING,
    WR_GGUF_ARRAY,
    WR_GGUF_U64,
    WR_GGUF_I64,
    WR_GGUF_F64,
    WR_GGUF_TYPES
} wr_gguf_type;

typedef struct wr_gguf_value {
    wr_string key;
    wr_gguf_type type;      /* WR_GGUF_ARRAY for an array */
    wr_gguf_type item_type; /* of an array's items; equal to type otherwise */
    uint64_t count;         /* items of an array, 1 otherwise */
    const uint8_t *bytes;   /* the raw value: of an array, its first item */
    size_t size;            /* bytes of the value: of an array, of all items */
} wr_gguf_value;

#define WR_GGUF_MAX_DIMS 4

typedef struct wr_gguf_tensor {
    wr_string name;
    wr_format format;              /* always one that weir knows, unless `foreign` */
    uint32_t number;               /* the format as the file says */
    bool foreign;                  /* a format that weir does not know: data is NULL, bytes 0 */
    int32_t dims;                  /* 1 ... 4 */
    int64_t dim[WR_GGUF_MAX_DIMS]; /* each >= 1; unused ones are 1; dim[0] is a multiple of block */
    const uint8_t *data;
    size_t bytes;
} wr_gguf_tensor;

typedef struct wr_gguf wr_gguf;

/* Open and check a file; messages begin with the path. The first of several files of a model
 * (NAME-00001-of-00003.gguf) opens them all, and is all of them. */
weir_status wr_gguf_open(const char *path, const weir_allocator *allocator, wr_gguf **out,
                         weir_error *error);
/* The same over bytes in memory, borrowed until close; `name` stands in for the path. */
weir_status wr_gguf_parse(const char *name, const void *data, size_t size,
                          const weir_allocator *allocator, wr_gguf **out, weir_error *error);
void wr_gguf_close(wr_gguf *gguf);

uint32_t wr_gguf_version(const wr_gguf *gguf);
const char *wr_gguf_path(const wr_gguf *gguf);
size_t wr_gguf_size(const wr_gguf *gguf); /* bytes, of all its files */

int64_t wr_gguf_value_count(const wr_gguf *gguf);
const wr_gguf_value *wr_gguf_value_at(const wr_gguf *gguf, int64_t i);
const wr_gguf_value *wr_gguf_find(const wr_gguf *gguf, const char *key); /* NULL when absent */

int64_t wr_gguf_tensor_count(const wr_gguf *gguf);
const wr_gguf_tensor *wr_gguf_tensor_at(const wr_gguf *gguf, int64_t i);
const wr_gguf_tensor *wr_gguf_find_tensor(const wr_gguf *gguf, const char *name);

/* Scalars. An absent key leaves *out as it was and is WEIR_OK (so *out holds the default before the
 * call); a value of another kind or out of range is WEIR_DAMAGED and names the key. Any integer
 * type is accepted for an integer, float types for a float. */
weir_status wr_gguf_get_int(const wr_gguf *gguf, const char *key, int64_t low, int64_t high,
                            int64_t *out, weir_error *error);
weir_status wr_gguf_get_float(const wr_gguf *gguf, const char *key, double *out, weir_error *error);
weir_status wr_gguf_get_bool(const wr_gguf *gguf, const char *key, bool *out, weir_error *error);
weir_status wr_gguf_get_string(const wr_gguf *gguf, const char *key, wr_string *out,
                               weir_error *error);

/* Items of an array value: i in [0, count), the item type already checked by the caller. */
int64_t wr_gguf_item_int(const wr_gguf_value *value, uint64_t i);
double wr_gguf_item_float(const wr_gguf_value *value, uint64_t i);

/* Walk the strings of an array of strings (they have no index): start with a zeroed cursor. */
typedef struct wr_gguf_cursor {
    uint64_t item;
    size_t at;
} wr_gguf_cursor;
bool wr_gguf_next_string(const wr_gguf_value *value, wr_gguf_cursor *cursor, wr_string *out);

/*
 * Writing: keys, then tensors in the order they were declared, then their data in the same order.
 *
 *     wr_gguf_writer *w;
 *     wr_gguf_writer_open("out.gguf", allocator, &w, error);
 *     wr_gguf_put_string(w, "general.architecture", "llama"); ...
 *     wr_gguf_put_tensor(w, "token_embd.weight", WR_F32, 2, dims); ...
 *     wr_gguf_write_data(w, bytes, size, error); ...        in pieces, tensor after tensor
 *     wr_gguf_writer_commit(w, error);                      checks that all data came; renames
 *     wr_gguf_writer_close(w);                              without commit nothing is left behind
 *
 * The file appears under its name only when whole. Padding between tensors is the writer's.
 */
typedef struct wr_gguf_writer wr_gguf_writer;

weir_status wr_gguf_writer_open(const char *path, const weir_allocator *allocator,
                                wr_gguf_writer **out, weir_error *error);
void wr_gguf_put_int(wr_gguf_writer *writer, const char *key, wr_gguf_type type, int64_t value);
void wr_gguf_put_float(wr_gguf_writer *writer, const char *key, float value);
void wr_gguf_put_bool(wr_gguf_writer *writer, const char *key, bool value);
void wr_gguf_put_string(wr_gguf_writer *writer, const char *key, const char *value);
void wr_gguf_put_strings(wr_gguf_writer *writer, const char *key, const wr_string *items,
                         uint64_t count);
void wr_gguf_put_floats(wr_gguf_writer *writer, const char *key, const float *items,
                        uint64_t count);
void wr_gguf_put_ints(wr_gguf_writer *writer, const char *key, const int32_t *items,
                      uint64_t count);
/* A value of another file as it is, under its own key. */
void wr_gguf_put_value(wr_gguf_writer *writer, const wr_gguf_value *value);
void wr_gguf_put_tensor(wr_gguf_writer *writer, const char *name, wr_format format, int32_t dims,
                        const int64_t *dim);
weir_status wr_gguf_write_data(wr_gguf_writer *writer, const void *data, size_t size,
                               weir_error *error);
weir_status wr_gguf_writer_commit(wr_gguf_writer *writer, weir_error *error);
void wr_gguf_writer_close(wr_gguf_writer *writer);

#endif
