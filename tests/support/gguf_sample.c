/* GGUF bytes put together by hand: see gguf_sample.h. */
#include "support/gguf_sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const type_names[WR_GGUF_TYPES] = {
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64",
};

const char *sample_type_name(wr_gguf_type type) { return type_names[type]; }

void sample_string(wr_writer *out, const char *text) {
    wr_write_u64(out, strlen(text));
    wr_write_bytes(out, text, strlen(text));
}

void sample_header(wr_writer *out, uint32_t version, uint64_t tensors, uint64_t keys) {
    wr_write_bytes(out, "GGUF", 4);
    wr_write_u32(out, version);
    wr_write_u64(out, tensors);
    wr_write_u64(out, keys);
}

void sample_key(wr_writer *out, const char *key, uint32_t type) {
    sample_string(out, key);
    wr_write_u32(out, type);
}

void sample_array(wr_writer *out, const char *key, uint32_t item_type, uint64_t count) {
    sample_key(out, key, WR_GGUF_ARRAY);
    wr_write_u32(out, item_type);
    wr_write_u64(out, count);
}

void sample_tensor(wr_writer *out, const char *name, uint32_t format, uint32_t dims,
                   const uint64_t *dim, uint64_t offset) {
    sample_string(out, name);
    wr_write_u32(out, dims);
    for (uint32_t i = 0; i < dims; i++) wr_write_u64(out, dim[i]);
    wr_write_u32(out, format);
    wr_write_u64(out, offset);
}

void sample_pad(wr_writer *out, size_t alignment) {
    wr_write_zeros(out, (alignment - out->size % alignment) % alignment);
}

int64_t sample_int(wr_gguf_type type, uint64_t i) {
    static const int64_t extremes[WR_GGUF_TYPES][2] = {
        [WR_GGUF_U8] = {200, UINT8_MAX},
        [WR_GGUF_I8] = {-100, INT8_MIN},
        [WR_GGUF_U16] = {50000, UINT16_MAX},
        [WR_GGUF_I16] = {-30000, INT16_MIN},
        [WR_GGUF_U32] = {1 << 30, UINT32_MAX},
        [WR_GGUF_I32] = {-70000, INT32_MIN},
        [WR_GGUF_BOOL] = {1, 0},
        [WR_GGUF_U64] = {INT64_MAX - 1, INT64_MAX},
        [WR_GGUF_I64] = {-1, INT64_MIN},
    };
    return i < 2 ? extremes[type][i] : 1;
}

double sample_float(wr_gguf_type type, uint64_t i) {
    return type == WR_GGUF_F32 ? 0.5 - 2.0 * (double)i : 1e300 * (1.0 - (double)i);
}

static void put_item(wr_writer *out, wr_gguf_type type, uint64_t i) {
    static const char *const strings[] = {"caf\xc3\xa9", "", "\x01 any \xff bytes"};
    static const int widths[WR_GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 0, 1, 0, 0, 8, 8, 0};
    double number = sample_float(type, i);
    uint64_t bits = (uint64_t)sample_int(type, i);
    if (type == WR_GGUF_STRING) {
        sample_string(out, strings[i]);
    } else if (type == WR_GGUF_F32) {
        wr_write_f32(out, (float)number);
    } else if (type == WR_GGUF_F64) {
        memcpy(&bits, &number, sizeof bits);
        wr_write_u64(out, bits);
    } else {
        for (int k = 0; k < widths[type]; k++) wr_write_u8(out, (uint8_t)(bits >> 8 * k));
    }
}

static void put_values(wr_writer *out) {
    char key[32];
    for (wr_gguf_type type = 0; type < WR_GGUF_TYPES; type++) {
        if (type == WR_GGUF_ARRAY) continue;
        snprintf(key, sizeof key, "type.%s", type_names[type]);
        sample_key(out, key, type);
        put_item(out, type, 0);
        snprintf(key, sizeof key, "array.%s", type_names[type]);
        sample_array(out, key, type, 3);
        for (uint64_t i = 0; i < 3; i++) put_item(out, type, i);
    }
    sample_array(out, "array.none", WR_GGUF_STRING, 0);
}

size_t sample_file(wr_writer *out, uint32_t version, uint32_t alignment) {
    uint64_t step = (256 + alignment - 1) / alignment * alignment; /* >= 136, the larger tensor */
    sample_header(out, version, 3, 2 * (WR_GGUF_TYPES - 1) + 2);
    put_values(out);
    sample_key(out, "general.alignment", WR_GGUF_U32);
    wr_write_u32(out, alignment);
    sample_tensor(out, "later.weight", WR_Q8_0, 2, (uint64_t[]){32, 4}, step);
    sample_tensor(out, "foreign.weight", 16, 1, (uint64_t[]){256}, 2 * step);
    sample_tensor(out, "first.weight", WR_F32, 4, (uint64_t[]){3, 1, 2, 1}, 0);
    size_t end = out->size;
    sample_pad(out, alignment);
    for (uint64_t i = 0; i < 2 * step + 66; i++) wr_write_u8(out, (uint8_t)(i * 7));
    return end;
}

static void walk_value(const wr_gguf *gguf, const wr_gguf_value *value) {
    double sum = 0;
    if (value->item_type == WR_GGUF_STRING) {
        wr_gguf_cursor cursor = {0};
        for (wr_string text; wr_gguf_next_string(value, &cursor, &text);)
            for (size_t i = 0; i < text.size; i++) sum += text.data[i];
    } else if (value->item_type == WR_GGUF_F32 || value->item_type == WR_GGUF_F64) {
        for (uint64_t i = 0; i < value->count; i++) sum += wr_gguf_item_float(value, i);
    } else {
        for (uint64_t i = 0; i < value->count; i++) sum += (double)wr_gguf_item_int(value, i);
    }
    char *key = strndup(value->key.data, value->key.size);
    int64_t number = (int64_t)(sum != sum); /* so that the sum is used */
    double real;
    bool truth;
    wr_string text;
    if (key == NULL || wr_gguf_find(gguf, key) != value) abort();
    (void)wr_gguf_get_int(gguf, key, INT64_MIN, INT64_MAX, &number, NULL);
    (void)wr_gguf_get_float(gguf, key, &real, NULL);
    (void)wr_gguf_get_bool(gguf, key, &truth, NULL);
    (void)wr_gguf_get_string(gguf, key, &text, NULL);
    free(key);
}

static volatile uint8_t seen; /* so that a tensor's first and last byte are really read */

void sample_walk(const wr_gguf *gguf) {
    for (int64_t i = 0; i < wr_gguf_value_count(gguf); i++)
        walk_value(gguf, wr_gguf_value_at(gguf, i));
    for (int64_t i = 0; i < wr_gguf_tensor_count(gguf); i++) {
        const wr_gguf_tensor *tensor = wr_gguf_tensor_at(gguf, i);
        char *name = strndup(tensor->name.data, tensor->name.size);
        if (name == NULL || wr_gguf_find_tensor(gguf, name) != tensor) abort();
        free(name);
        if (tensor->foreign != (tensor->data == NULL)) abort();
        if (tensor->data != NULL) seen = tensor->data[0] ^ tensor->data[tensor->bytes - 1];
    }
}

bool sample_shared(const char *name, char *path, size_t size) {
    const char *shared = getenv("WEIR_SHARED");
    const char *root = getenv("WEIR_ROOT");
    int length = shared != NULL ? snprintf(path, size, "%s/%s", shared, name)
                                : snprintf(path, size, "%s/../shared/%s", root ? root : ".", name);
    return length > 0 && (size_t)length < size && access(path, R_OK) == 0;
}
