/* Reading safetensors: see safetensors.h. */
#include "convert/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "convert/json.h"
#include "file/name.h"
#include "tensor/half.h"

#define NAME_LIMIT 512
#define HEADER_LIMIT ((size_t)100 << 20) /* as the format has it */

static const struct {
    const char *name;
    wr_safe_type type;
    size_t bytes;
} types[] = {
    {"F32", WR_SAFE_F32, 4},       {"F16", WR_SAFE_F16, 2},       {"BF16", WR_SAFE_BF16, 2},
    {"F64", WR_SAFE_F64, 8},       {"U8", WR_SAFE_BYTES, 1},      {"I8", WR_SAFE_OTHER, 1},
    {"BOOL", WR_SAFE_OTHER, 1},    {"I16", WR_SAFE_OTHER, 2},     {"U16", WR_SAFE_OTHER, 2},
    {"I32", WR_SAFE_OTHER, 4},     {"U32", WR_SAFE_OTHER, 4},     {"I64", WR_SAFE_OTHER, 8},
    {"U64", WR_SAFE_OTHER, 8},     {"F8_E4M3", WR_SAFE_OTHER, 1}, {"F8_E5M2", WR_SAFE_OTHER, 1},
    {"F8_E8M0", WR_SAFE_OTHER, 1},
};
enum { TYPES = sizeof types / sizeof types[0] };

struct wr_safetensors {
    const weir_allocator *allocator;
    const char *path; /* of the call that opens: for messages meanwhile */
    wr_map map;       /* data NULL when the bytes are the caller's */
    wr_json *header;
    wr_safe_tensor *tensors;
    size_t count;
    const uint8_t *data; /* behind the header */
    size_t data_bytes;
};

/* ---- one tensor ------------------------------------------------------------------------------ */

static weir_status flaw(const wr_safetensors *file, wr_string name, const char *what,
                        weir_error *error) {
    return weir_error_set(error, WEIR_DAMAGED, "%.200s: tensor %s %s", file->path,
                          wr_name_quote(name).text, what);
}

static weir_status read_type(const wr_safetensors *file, const wr_json *entry, wr_safe_tensor *out,
                             size_t *bytes, weir_error *error) {
    wr_string type = {0};
    if (!wr_json_get_string(wr_json_member(entry, "dtype"), &type))
        return flaw(file, out->name, "has no dtype", error);
    for (size_t i = 0; i < TYPES; i++) {
        if (!wr_string_is(type, types[i].name)) continue;
        out->type = types[i].type;
        out->type_name = types[i].name;
        *bytes = types[i].bytes;
        return WEIR_OK;
    }
    return weir_error_set(error, WEIR_UNSUPPORTED, "%.200s: tensor %s has the unknown dtype %s",
                          file->path, wr_name_quote(out->name).text, wr_name_quote(type).text);
}

/* *bytes: of an element before, of the tensor after. */
static weir_status read_shape(const wr_safetensors *file, const wr_json *entry, wr_safe_tensor *out,
                              size_t *bytes, weir_error *error) {
    const wr_json *shape = wr_json_member(entry, "shape");
    const size_t dims = wr_json_count(shape);
    if (!wr_json_is_array(shape)) return flaw(file, out->name, "has no shape", error);
    if (dims > WR_SAFE_DIMS) return flaw(file, out->name, "has too many dimensions", error);
    out->dims = (int32_t)dims;
    for (size_t i = 0; i < WR_SAFE_DIMS; i++) {
        out->dim[i] = 1;
        if (i >= dims) continue;
        if (!wr_json_get_int(wr_json_item(shape, i), &out->dim[i]) || out->dim[i] < 0)
            return flaw(file, out->name, "has a dimension that is no count", error);
        if (!wr_multiply_size(*bytes, (size_t)out->dim[i], bytes))
            return flaw(file, out->name, "has more elements than a file can hold", error);
    }
    return WEIR_OK;
}

static weir_status read_place(const wr_safetensors *file, const wr_json *entry, wr_safe_tensor *out,
                              weir_error *error) {
    const wr_json *place = wr_json_member(entry, "data_offsets");
    int64_t begin, end;
    if (!wr_json_is_array(place) || wr_json_count(place) != 2 ||
        !wr_json_get_int(wr_json_item(place, 0), &begin) ||
        !wr_json_get_int(wr_json_item(place, 1), &end) || begin < 0 || end < begin)
        return flaw(file, out->name, "has no data_offsets that are two places in order", error);
    if ((uint64_t)end > file->data_bytes)
        return weir_error_set(error, WEIR_DAMAGED,
                              "%.200s: tensor %s ends at byte %lld of the data, which has %zu: the "
                              "file is cut short or damaged",
                              file->path, wr_name_quote(out->name).text, (long long)end,
                              file->data_bytes);
    if ((uint64_t)(end - begin) != out->bytes)
        return weir_error_set(
            error, WEIR_DAMAGED, "%.200s: tensor %s has %lld bytes of data, its shape wants %zu",
            file->path, wr_name_quote(out->name).text, (long long)(end - begin), out->bytes);
    out->data = file->data + begin;
    return WEIR_OK;
}

static weir_status read_tensor(const wr_safetensors *file, const wr_json *entry,
                               wr_safe_tensor *out, weir_error *error) {
    const char *bad = wr_name_flaw(out->name, NAME_LIMIT);
    if (bad != NULL) return flaw(file, out->name, bad, error);
    if (!wr_json_is_object(entry)) return flaw(file, out->name, "is no object", error);
    size_t bytes = 0;
    weir_status status = read_type(file, entry, out, &bytes, error);
    if (status == WEIR_OK) status = read_shape(file, entry, out, &bytes, error);
    out->bytes = bytes;
    return status == WEIR_OK ? read_place(file, entry, out, error) : status;
}

/* ---- the file -------------------------------------------------------------------------------- */

static int by_place(const void *a, const void *b) {
    const wr_safe_tensor *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static weir_status check_apart(wr_safetensors *file, weir_error *error) {
    qsort(file->tensors, file->count, sizeof *file->tensors, by_place);
    for (size_t i = 1; i < file->count; i++)
        if (file->tensors[i - 1].data + file->tensors[i - 1].bytes > file->tensors[i].data)
            return flaw(file, file->tensors[i].name, "shares bytes with another", error);
    return WEIR_OK;
}

static weir_status read_tensors(wr_safetensors *file, weir_error *error) {
    wr_json_cursor cursor = {0};
    wr_string name;
    const wr_json *entry;
    const size_t most = wr_json_count(file->header);
    file->tensors = wr_allocate_array(file->allocator, most > 0 ? most : 1, sizeof *file->tensors);
    if (file->tensors == NULL)
        return weir_error_set(error, WEIR_MEMORY, "%.200s: no memory for its %zu tensors",
                              file->path, most);
    while (wr_json_next(file->header, &cursor, &name, &entry)) {
        if (wr_string_is(name, "__metadata__")) continue;
        wr_safe_tensor *tensor = &file->tensors[file->count++];
        tensor->name = name;
        weir_status status = read_tensor(file, entry, tensor, error);
        if (status != WEIR_OK) return status;
    }
    return check_apart(file, error);
}

static weir_status read_header(wr_safetensors *file, const uint8_t *bytes, size_t size,
                               weir_error *error) {
    wr_reader reader = {.data = bytes, .size = size};
    const uint64_t header = wr_read_u64(&reader);
    if (reader.failed || header < 2 || header > wr_reader_left(&reader) || bytes[8] != '{')
        return weir_error_set(error, WEIR_DAMAGED,
                              "%.200s: no safetensors file, or one that is cut short", file->path);
    if (header > HEADER_LIMIT)
        return weir_error_set(error, WEIR_LIMIT, "%.200s: a header of %llu bytes, more than %zu",
                              file->path, (unsigned long long)header, HEADER_LIMIT);
    file->data = bytes + 8 + header;
    file->data_bytes = size - 8 - (size_t)header;
    weir_status status = wr_json_parse(file->path, bytes + 8, (size_t)header, &file->header, error);
    if (status == WEIR_OK && !wr_json_is_object(file->header))
        status = weir_error_set(error, WEIR_DAMAGED, "%.200s: the header is no object", file->path);
    return status == WEIR_OK ? read_tensors(file, error) : status;
}

static weir_status begin(const char *name, const weir_allocator *allocator, wr_safetensors **out,
                         weir_error *error) {
    *out = wr_allocate_array(allocator, 1, sizeof **out);
    if (*out == NULL)
        return weir_error_set(error, WEIR_MEMORY, "%.200s: no memory to read it", name);
    (*out)->allocator = allocator;
    (*out)->path = name;
    return WEIR_OK;
}

static weir_status finish(weir_status status, wr_safetensors *file, wr_safetensors **out) {
    if (file != NULL) file->path = NULL;
    *out = status == WEIR_OK ? file : NULL;
    if (status != WEIR_OK) wr_safetensors_close(file);
    return status;
}

weir_status wr_safetensors_open(const char *path, const weir_allocator *allocator,
                                wr_safetensors **out, weir_error *error) {
    wr_safetensors *file = NULL;
    weir_status status = begin(path, allocator, &file, error);
    if (status == WEIR_OK) status = wr_map_open(path, &file->map, error);
    if (status == WEIR_OK) status = read_header(file, file->map.data, file->map.size, error);
    return finish(status, file, out);
}

weir_status wr_safetensors_parse(const char *name, const void *data, size_t size,
                                 const weir_allocator *allocator, wr_safetensors **out,
                                 weir_error *error) {
    wr_safetensors *file = NULL;
    weir_status status = begin(name, allocator, &file, error);
    if (status == WEIR_OK) status = read_header(file, data, size, error);
    return finish(status, file, out);
}

void wr_safetensors_close(wr_safetensors *file) {
    if (file == NULL) return;
    const size_t made = wr_json_count(file->header);
    wr_release(file->allocator, file->tensors, (made > 0 ? made : 1) * sizeof *file->tensors);
    wr_json_close(file->header);
    if (file->map.data != NULL) wr_map_close(&file->map);
    wr_release(file->allocator, file, sizeof *file);
}

size_t wr_safetensors_count(const wr_safetensors *file) { return file->count; }

const wr_safe_tensor *wr_safetensors_at(const wr_safetensors *file, size_t i) {
    return &file->tensors[i];
}

/* ---- numbers --------------------------------------------------------------------------------- */

size_t wr_safe_size(wr_safe_type type) {
    for (size_t i = 0; i < TYPES; i++)
        if (types[i].type == type) return types[i].bytes;
    return 0;
}

float wr_safe_float(const wr_safe_tensor *tensor, size_t i) {
    float single;
    double twice;
    switch (tensor->type) {
    case WR_SAFE_F16:
        return float_of_half(load_u16(tensor->data + 2 * i));
    case WR_SAFE_BF16:
        return float_of_bf16(load_u16(tensor->data + 2 * i));
    case WR_SAFE_F64:
        memcpy(&twice, tensor->data + 8 * i, sizeof twice);
        return (float)twice;
    default:
        memcpy(&single, tensor->data + 4 * i, sizeof single);
        return single;
    }
}

void wr_safe_floats(const wr_safe_tensor *tensor, size_t from, size_t step, size_t count,
                    float *out) {
    if (tensor->type == WR_SAFE_F32 && step == 1) {
        memcpy(out, tensor->data + 4 * from, 4 * count);
        return;
    }
    for (size_t i = 0; i < count; i++) out[i] = wr_safe_float(tensor, from + i * step);
}
