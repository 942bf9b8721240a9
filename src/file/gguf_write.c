/*
 * Writing GGUF version 3: keys and directory gather in memory, tensor data goes straight to disk.
 *
 * What is put is checked at once, but told at the next call that can fail: the first failure is
 * kept, and everything after it does nothing. Twins among the names are looked for when the header
 * is written, which the first data (or the commit) does.
 */
#include "base/new_file.h"
#include "file/gguf_inside.h"

#include <assert.h>
#include <string.h>

#define VERSION 3

/* The half-written keys, or directory, and where in them the names are. */
typedef struct section {
    wr_writer bytes;
    wr_writer names; /* pairs of u64: offset in bytes, size */
    uint64_t count;
} section;

struct wr_gguf_writer {
    const weir_allocator *allocator;
    wr_new_file *file;
    section keys;
    section tensors;
    wr_writer sizes;     /* u64 per tensor: its bytes */
    uint64_t data_bytes; /* promised so far, padding included */
    size_t alignment;
    bool header_written;
    uint64_t current;   /* the tensor whose data comes next */
    uint64_t remaining; /* bytes that it lacks */
    weir_error failure; /* the first one; its status is WEIR_OK before */
};

static bool failed(const wr_gguf_writer *writer) { return writer->failure.status != WEIR_OK; }

static weir_status report(const wr_gguf_writer *writer, weir_error *error) {
    return weir_error_set(error, writer->failure.status, "%s", writer->failure.message);
}

/* A call that the interface forbids: `what` completes "key "x" ...". */
static void refuse(wr_gguf_writer *writer, const char *kind, wr_string name, const char *what) {
    if (!failed(writer))
        (void)weir_error_set(&writer->failure, WEIR_USAGE, "%.200s: %s %s %s",
                             wr_new_file_path(writer->file), kind, wr_name_quote(name).text, what);
}

static void fail_memory(wr_gguf_writer *writer) {
    if (!failed(writer))
        (void)weir_error_set(&writer->failure, WEIR_MEMORY,
                             "%.200s: not enough memory for its keys and tensors",
                             wr_new_file_path(writer->file));
}

static void check_memory(wr_gguf_writer *writer) {
    if (writer->keys.bytes.failed || writer->keys.names.failed || writer->tensors.bytes.failed ||
        writer->tensors.names.failed || writer->sizes.failed)
        fail_memory(writer);
}

weir_status wr_gguf_writer_open(const char *path, const weir_allocator *allocator,
                                wr_gguf_writer **out, weir_error *error) {
    *out = NULL;
    wr_gguf_writer *writer = wr_allocate_array(allocator, 1, sizeof *writer);
    if (writer == NULL)
        return weir_error_set(error, WEIR_MEMORY, "%.200s: not enough memory to write it", path);
    writer->allocator = allocator;
    writer->alignment = WR_GGUF_ALIGNMENT_DEFAULT;
    wr_writer empty = {.allocator = allocator};
    writer->keys.bytes = writer->keys.names = empty;
    writer->tensors.bytes = writer->tensors.names = empty;
    writer->sizes = empty;
    weir_status status = wr_new_file_open(path, allocator, &writer->file, error);
    if (status == WEIR_OK)
        *out = writer;
    else
        wr_gguf_writer_close(writer);
    return status;
}

static void put_raw_string(wr_writer *out, wr_string string) {
    wr_write_u64(out, string.size);
    if (string.size > 0) wr_write_bytes(out, string.data, string.size);
}

/* Begin a key or a tensor: its name. false when it must not be put. */
static bool put_name(wr_gguf_writer *writer, section *in, wr_string name) {
    bool key = in == &writer->keys;
    const char *kind = key ? "key" : "tensor";
    const char *flaw = wr_name_flaw(name, key ? WR_GGUF_KEY_LIMIT : WR_GGUF_NAME_LIMIT);
    if (flaw == NULL && writer->header_written) flaw = "comes after the data of a tensor";
    if (flaw == NULL && key && writer->tensors.count > 0) flaw = "comes after a tensor";
    if (flaw != NULL) refuse(writer, kind, name, flaw);
    if (failed(writer)) return false;
    wr_write_u64(&in->names, in->bytes.size + sizeof(uint64_t));
    wr_write_u64(&in->names, name.size);
    put_raw_string(&in->bytes, name);
    in->count++;
    return true;
}

/* Begin a key: its name and type. */
static bool put_key(wr_gguf_writer *writer, const char *key, wr_gguf_type type) {
    if (!put_name(writer, &writer->keys, (wr_string){key, strlen(key)})) return false;
    wr_write_u32(&writer->keys.bytes, type);
    return true;
}

static bool put_array(wr_gguf_writer *writer, const char *key, wr_gguf_type item_type,
                      uint64_t count) {
    if (!put_key(writer, key, WR_GGUF_ARRAY)) return false;
    wr_write_u32(&writer->keys.bytes, item_type);
    wr_write_u64(&writer->keys.bytes, count);
    return true;
}

void wr_gguf_put_int(wr_gguf_writer *writer, const char *key, wr_gguf_type type, int64_t value) {
    wr_string name = {key, strlen(key)};
    assert(type < WR_GGUF_TYPES && wr_gguf_types[type].integer);
    const wr_gguf_type_info *info = &wr_gguf_types[type];
    if (value < info->low || value > info->high)
        refuse(writer, "key", name, "has a value beyond its type");
    if (wr_string_is(name, WR_GGUF_ALIGNMENT_KEY)) {
        if (!wr_gguf_alignment_valid(value))
            refuse(writer, "key", name, "must be a power of two from 8 to 65536");
        else
            writer->alignment = (size_t)value;
    }
    if (!put_key(writer, key, type)) return;
    wr_writer *out = &writer->keys.bytes;
    for (size_t i = 0; i < info->size; i++) wr_write_u8(out, (uint8_t)((uint64_t)value >> (8 * i)));
}

void wr_gguf_put_float(wr_gguf_writer *writer, const char *key, float value) {
    if (put_key(writer, key, WR_GGUF_F32)) wr_write_f32(&writer->keys.bytes, value);
}

void wr_gguf_put_bool(wr_gguf_writer *writer, const char *key, bool value) {
    if (put_key(writer, key, WR_GGUF_BOOL)) wr_write_u8(&writer->keys.bytes, value);
}

void wr_gguf_put_string(wr_gguf_writer *writer, const char *key, const char *value) {
    if (put_key(writer, key, WR_GGUF_STRING))
        put_raw_string(&writer->keys.bytes, (wr_string){value, strlen(value)});
}

void wr_gguf_put_strings(wr_gguf_writer *writer, const char *key, const wr_string *items,
                         uint64_t count) {
    if (put_array(writer, key, WR_GGUF_STRING, count))
        for (uint64_t i = 0; i < count; i++) put_raw_string(&writer->keys.bytes, items[i]);
}

void wr_gguf_put_floats(wr_gguf_writer *writer, const char *key, const float *items,
                        uint64_t count) {
    if (put_array(writer, key, WR_GGUF_F32, count))
        for (uint64_t i = 0; i < count; i++) wr_write_f32(&writer->keys.bytes, items[i]);
}

void wr_gguf_put_ints(wr_gguf_writer *writer, const char *key, const int32_t *items,
                      uint64_t count) {
    if (put_array(writer, key, WR_GGUF_I32, count))
        for (uint64_t i = 0; i < count; i++) wr_write_u32(&writer->keys.bytes, (uint32_t)items[i]);
}

void wr_gguf_put_value(wr_gguf_writer *writer, const wr_gguf_value *value) {
    wr_writer *out = &writer->keys.bytes;
    if (wr_string_is(value->key, WR_GGUF_ALIGNMENT_KEY))
        refuse(writer, "key", value->key, "belongs to the layout of its own file");
    if (!put_name(writer, &writer->keys, value->key)) return;
    wr_write_u32(out, value->type);
    if (value->type == WR_GGUF_ARRAY) {
        wr_write_u32(out, value->item_type);
        wr_write_u64(out, value->count);
    }
    if (value->size > 0) wr_write_bytes(out, value->bytes, value->size);
}

/* *bytes of a tensor of this shape; what is wrong with the shape, or NULL. */
static const char *measure(wr_format format, int32_t dims, const int64_t *dim, uint64_t *bytes) {
    const wr_format_info *info = wr_format_find((uint32_t)format);
    if (info == NULL) return "has a format that weir does not know";
    if (dims < 1 || dims > WR_GGUF_MAX_DIMS) return "must have 1 to 4 dimensions";
    int64_t elements = 1;
    for (int32_t i = 0; i < dims; i++) {
        if (dim[i] < 1 || dim[i] > INT64_MAX / 64 / elements)
            return "has an empty or too large dimension";
        elements *= dim[i];
    }
    if (dim[0] % info->block != 0) return "has rows that are no multiple of its format's block";
    *bytes = (uint64_t)(elements / info->block) * (uint64_t)info->bytes;
    return NULL;
}

static uint64_t padding(const wr_gguf_writer *writer, uint64_t size) {
    return (writer->alignment - size % writer->alignment) % writer->alignment;
}

void wr_gguf_put_tensor(wr_gguf_writer *writer, const char *name, wr_format format, int32_t dims,
                        const int64_t *dim) {
    uint64_t bytes = 0;
    const char *flaw = measure(format, dims, dim, &bytes);
    if (flaw == NULL && bytes > INT64_MAX - writer->alignment - writer->data_bytes)
        flaw = "makes the file too large";
    if (flaw != NULL) refuse(writer, "tensor", (wr_string){name, strlen(name)}, flaw);
    if (failed(writer)) return;
    if (!put_name(writer, &writer->tensors, (wr_string){name, strlen(name)})) return;
    wr_writer *out = &writer->tensors.bytes;
    wr_write_u32(out, (uint32_t)dims);
    for (int32_t i = 0; i < dims; i++) wr_write_u64(out, (uint64_t)dim[i]);
    wr_write_u32(out, (uint32_t)format);
    wr_write_u64(out, writer->data_bytes);
    wr_write_u64(&writer->sizes, bytes);
    writer->data_bytes += bytes + padding(writer, bytes);
}

static uint64_t u64_at(const wr_writer *from, size_t i) {
    wr_reader reader = {.data = from->data, .size = from->size, .at = i * sizeof(uint64_t)};
    return wr_read_u64(&reader);
}

static wr_string name_at(const section *in, uint32_t i) {
    const char *bytes = (const char *)in->bytes.data;
    return (wr_string){bytes + u64_at(&in->names, 2 * (size_t)i),
                       (size_t)u64_at(&in->names, 2 * (size_t)i + 1)};
}

static bool name_less(const void *context, uint32_t a, uint32_t b) {
    return wr_string_order(name_at(context, a), name_at(context, b)) < 0;
}

static void check_twins(wr_gguf_writer *writer, const section *in, const char *kind) {
    size_t count = (size_t)in->count;
    if (count < 2 || failed(writer)) return;
    uint32_t *order = wr_allocate_array(writer->allocator, count, sizeof *order);
    if (order == NULL) {
        fail_memory(writer);
        return;
    }
    wr_order_sort(order, count, name_less, in);
    for (size_t i = 1; i < count; i++)
        if (!name_less(in, order[i - 1], order[i]))
            refuse(writer, kind, name_at(in, order[i]), "is put twice");
    wr_release(writer->allocator, order, count * sizeof *order);
}

static void write_out(wr_gguf_writer *writer, const void *data, size_t size) {
    if (!failed(writer)) (void)wr_new_file_write(writer->file, data, size, &writer->failure);
}

static void write_padding(wr_gguf_writer *writer, uint64_t size) {
    static const uint8_t zeros[256];
    for (uint64_t left = padding(writer, size); left > 0;) {
        size_t piece = left < sizeof zeros ? (size_t)left : sizeof zeros;
        write_out(writer, zeros, piece);
        left -= piece;
    }
}

/* The tensor whose turn it is begins: how much it lacks. */
static void begin_tensor(wr_gguf_writer *writer) {
    if (writer->current < writer->tensors.count)
        writer->remaining = u64_at(&writer->sizes, (size_t)writer->current);
}

/* Everything before the data, once. */
static void write_header(wr_gguf_writer *writer) {
    check_memory(writer);
    if (writer->header_written || failed(writer)) return;
    check_twins(writer, &writer->keys, "key");
    check_twins(writer, &writer->tensors, "tensor");
    wr_writer start = {.allocator = writer->allocator};
    wr_write_bytes(&start, WR_GGUF_MAGIC, 4);
    wr_write_u32(&start, VERSION);
    wr_write_u64(&start, writer->tensors.count);
    wr_write_u64(&start, writer->keys.count);
    if (start.failed) fail_memory(writer);
    write_out(writer, start.data, start.size);
    write_out(writer, writer->keys.bytes.data, writer->keys.bytes.size);
    write_out(writer, writer->tensors.bytes.data, writer->tensors.bytes.size);
    write_padding(writer, start.size + writer->keys.bytes.size + writer->tensors.bytes.size);
    wr_writer_release(&start);
    writer->header_written = true;
    begin_tensor(writer);
}

weir_status wr_gguf_write_data(wr_gguf_writer *writer, const void *data, size_t size,
                               weir_error *error) {
    const uint8_t *bytes = data;
    write_header(writer);
    while (size > 0 && !failed(writer)) {
        if (writer->current == writer->tensors.count) {
            (void)weir_error_set(&writer->failure, WEIR_USAGE,
                                 "%.200s: %zu bytes of data more than its tensors have",
                                 wr_new_file_path(writer->file), size);
            break;
        }
        size_t piece = size < writer->remaining ? size : (size_t)writer->remaining;
        write_out(writer, bytes, piece);
        bytes += piece;
        size -= piece;
        writer->remaining -= piece;
        if (writer->remaining == 0) {
            write_padding(writer, u64_at(&writer->sizes, (size_t)writer->current));
            writer->current++;
            begin_tensor(writer);
        }
    }
    return failed(writer) ? report(writer, error) : WEIR_OK;
}

weir_status wr_gguf_writer_commit(wr_gguf_writer *writer, weir_error *error) {
    write_header(writer);
    if (!failed(writer) && writer->current < writer->tensors.count)
        (void)weir_error_set(
            &writer->failure, WEIR_USAGE, "%.200s: tensor %s lacks %llu bytes of data",
            wr_new_file_path(writer->file),
            wr_name_quote(name_at(&writer->tensors, (uint32_t)writer->current)).text,
            (unsigned long long)writer->remaining);
    if (!failed(writer)) (void)wr_new_file_commit(writer->file, &writer->failure);
    if (failed(writer)) return report(writer, error);
    (void)weir_error_set(&writer->failure, WEIR_USAGE, "%.200s: already committed",
                         wr_new_file_path(writer->file));
    return WEIR_OK;
}

void wr_gguf_writer_close(wr_gguf_writer *writer) {
    if (writer == NULL) return;
    wr_writer_release(&writer->keys.bytes);
    wr_writer_release(&writer->keys.names);
    wr_writer_release(&writer->tensors.bytes);
    wr_writer_release(&writer->tensors.names);
    wr_writer_release(&writer->sizes);
    wr_new_file_close(writer->file);
    wr_release(writer->allocator, writer, sizeof *writer);
}
