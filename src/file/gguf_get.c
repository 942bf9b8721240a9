/* What a GGUF file holds, once opened: lookups and typed getters. */
#include "file/gguf_inside.h"

#include <assert.h>
#include <math.h>
#include <string.h>

const wr_gguf_type_info wr_gguf_types[WR_GGUF_TYPES] = {
    [WR_GGUF_U8] = {"u8", 1, true, 0, UINT8_MAX},
    [WR_GGUF_I8] = {"i8", 1, true, INT8_MIN, INT8_MAX},
    [WR_GGUF_U16] = {"u16", 2, true, 0, UINT16_MAX},
    [WR_GGUF_I16] = {"i16", 2, true, INT16_MIN, INT16_MAX},
    [WR_GGUF_U32] = {"u32", 4, true, 0, UINT32_MAX},
    [WR_GGUF_I32] = {"i32", 4, true, INT32_MIN, INT32_MAX},
    [WR_GGUF_F32] = {"f32", 4, false, 0, 0},
    [WR_GGUF_BOOL] = {"bool", 1, false, 0, 0},
    [WR_GGUF_STRING] = {"string", 0, false, 0, 0},
    [WR_GGUF_ARRAY] = {"array", 0, false, 0, 0},
    [WR_GGUF_U64] = {"u64", 8, true, 0, INT64_MAX},
    [WR_GGUF_I64] = {"i64", 8, true, INT64_MIN, INT64_MAX},
    [WR_GGUF_F64] = {"f64", 8, false, 0, 0},
};

uint32_t wr_gguf_version(const wr_gguf *gguf) { return gguf->version; }
const char *wr_gguf_path(const wr_gguf *gguf) { return gguf->path; }

size_t wr_gguf_size(const wr_gguf *gguf) {
    size_t size = gguf->size;
    for (size_t i = 0; i < gguf->part_count; i++) size += gguf->parts[i]->size;
    return size;
}

int64_t wr_gguf_value_count(const wr_gguf *gguf) { return (int64_t)gguf->values.count; }

const wr_gguf_value *wr_gguf_value_at(const wr_gguf *gguf, int64_t i) {
    assert(i >= 0);
    return wr_named_list_at(&gguf->values, (size_t)i);
}

const wr_gguf_value *wr_gguf_find(const wr_gguf *gguf, const char *key) {
    return wr_named_list_find(&gguf->values, key);
}

int64_t wr_gguf_tensor_count(const wr_gguf *gguf) { return (int64_t)gguf->tensors.count; }

const wr_gguf_tensor *wr_gguf_tensor_at(const wr_gguf *gguf, int64_t i) {
    assert(i >= 0);
    const wr_gguf_entry *entry = wr_named_list_at(&gguf->tensors, (size_t)i);
    return &entry->tensor;
}

const wr_gguf_tensor *wr_gguf_find_tensor(const wr_gguf *gguf, const char *name) {
    const wr_gguf_entry *entry = wr_named_list_find(&gguf->tensors, name);
    return entry == NULL ? NULL : &entry->tensor;
}

static weir_status fail_kind(const wr_gguf *gguf, const wr_gguf_value *value, const char *wanted,
                             weir_error *error) {
    bool array = value->type == WR_GGUF_ARRAY;
    return wr_gguf_fail(gguf, error, WEIR_DAMAGED, "key %s is %s %s, where %s is needed",
                        wr_name_quote(value->key).text, array ? "an array of" : "of type",
                        wr_gguf_types[value->item_type].name, wanted);
}

weir_status wr_gguf_get_int(const wr_gguf *gguf, const char *key, int64_t low, int64_t high,
                            int64_t *out, weir_error *error) {
    const wr_gguf_value *value = wr_gguf_find(gguf, key);
    if (value == NULL) return WEIR_OK;
    if (!wr_gguf_types[value->type].integer) return fail_kind(gguf, value, "an integer", error);
    int64_t number = wr_gguf_item_int(value, 0);
    if (value->type == WR_GGUF_U64 && number < 0)
        return wr_gguf_fail(gguf, error, WEIR_DAMAGED,
                            "key %s is %llu, where %lld to %lld is possible",
                            wr_name_quote(value->key).text, (unsigned long long)number,
                            (long long)low, (long long)high);
    if (number < low || number > high)
        return wr_gguf_fail(
            gguf, error, WEIR_DAMAGED, "key %s is %lld, where %lld to %lld is possible",
            wr_name_quote(value->key).text, (long long)number, (long long)low, (long long)high);
    *out = number;
    return WEIR_OK;
}

weir_status wr_gguf_get_float(const wr_gguf *gguf, const char *key, double *out,
                              weir_error *error) {
    const wr_gguf_value *value = wr_gguf_find(gguf, key);
    if (value == NULL) return WEIR_OK;
    if (value->type != WR_GGUF_F32 && value->type != WR_GGUF_F64)
        return fail_kind(gguf, value, "a floating-point number", error);
    double number = wr_gguf_item_float(value, 0);
    if (!isfinite(number))
        return wr_gguf_fail(gguf, error, WEIR_DAMAGED, "key %s is not a finite number",
                            wr_name_quote(value->key).text);
    *out = number;
    return WEIR_OK;
}

weir_status wr_gguf_get_bool(const wr_gguf *gguf, const char *key, bool *out, weir_error *error) {
    const wr_gguf_value *value = wr_gguf_find(gguf, key);
    if (value == NULL) return WEIR_OK;
    if (value->type != WR_GGUF_BOOL) return fail_kind(gguf, value, "a truth value", error);
    *out = value->bytes[0] != 0;
    return WEIR_OK;
}

weir_status wr_gguf_get_string(const wr_gguf *gguf, const char *key, wr_string *out,
                               weir_error *error) {
    const wr_gguf_value *value = wr_gguf_find(gguf, key);
    if (value == NULL) return WEIR_OK;
    if (value->type != WR_GGUF_STRING) return fail_kind(gguf, value, "a string", error);
    wr_gguf_cursor cursor = {0};
    (void)wr_gguf_next_string(value, &cursor, out);
    return WEIR_OK;
}

/* Item i alone, as something to read from. */
static wr_reader item_reader(const wr_gguf_value *value, uint64_t i) {
    size_t size = wr_gguf_types[value->item_type].size;
    assert(i < value->count && size > 0);
    return (wr_reader){.data = value->bytes + (size_t)i * size, .size = size};
}

int64_t wr_gguf_item_int(const wr_gguf_value *value, uint64_t i) {
    wr_reader reader = item_reader(value, i);
    switch (value->item_type) {
    case WR_GGUF_U8:
    case WR_GGUF_BOOL:
        return wr_read_u8(&reader);
    case WR_GGUF_I8:
        return (int8_t)wr_read_u8(&reader);
    case WR_GGUF_U16:
        return wr_read_u16(&reader);
    case WR_GGUF_I16:
        return (int16_t)wr_read_u16(&reader);
    case WR_GGUF_U32:
        return wr_read_u32(&reader);
    case WR_GGUF_I32:
        return (int32_t)wr_read_u32(&reader);
    case WR_GGUF_U64: /* above INT64_MAX: negative, as get_int knows */
    case WR_GGUF_I64:
        return (int64_t)wr_read_u64(&reader);
    default:
        assert(false); /* the caller checked that it is an integer */
        return 0;
    }
}

double wr_gguf_item_float(const wr_gguf_value *value, uint64_t i) {
    wr_reader reader = item_reader(value, i);
    assert(value->item_type == WR_GGUF_F32 || value->item_type == WR_GGUF_F64);
    if (value->item_type == WR_GGUF_F32) return (double)wr_read_f32(&reader);
    return wr_read_f64(&reader);
}

bool wr_gguf_next_string(const wr_gguf_value *value, wr_gguf_cursor *cursor, wr_string *out) {
    assert(value->item_type == WR_GGUF_STRING);
    if (cursor->item >= value->count) return false;
    wr_reader reader = {.data = value->bytes, .size = value->size, .at = cursor->at};
    *out = wr_gguf_read_string(&reader);
    cursor->at = reader.at;
    cursor->item++;
    return !reader.failed;
}
