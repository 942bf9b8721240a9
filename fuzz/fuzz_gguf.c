/* Any bytes as a GGUF file: parse them, and when they are one, visit everything in it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "file/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t sum; /* of all bytes seen, so that no read is optimised away */

static void add_bytes(const void *bytes, size_t size) { sum = wr_checksum(sum, bytes, size); }

static void require(bool truth) {
    if (!truth) abort();
}

/* A name as the lookups take it. A valid name holds no NUL. */
static char *copy_name(wr_string name) {
    char *copy = malloc(name.size + 1);
    require(copy != NULL && memchr(name.data, '\0', name.size) == NULL);
    memcpy(copy, name.data, name.size);
    copy[name.size] = '\0';
    return copy;
}

static void visit_items(const wr_gguf_value *value) {
    if (value->item_type == WR_GGUF_STRING) {
        wr_gguf_cursor cursor = {0};
        uint64_t strings = 0;
        for (wr_string text; wr_gguf_next_string(value, &cursor, &text); strings++)
            add_bytes(text.data, text.size);
        require(strings == value->count && cursor.at == value->size);
        return;
    }
    bool real = value->item_type == WR_GGUF_F32 || value->item_type == WR_GGUF_F64;
    for (uint64_t i = 0; i < value->count; i++) {
        double number = real ? wr_gguf_item_float(value, i) : (double)wr_gguf_item_int(value, i);
        add_bytes(&number, sizeof number);
    }
}

static void visit_value(const wr_gguf *gguf, const wr_gguf_value *value) {
    int64_t number = 0;
    double real = 0;
    bool truth = false;
    wr_string text = {"", 0};
    weir_error error;
    char *key = copy_name(value->key);
    require(wr_gguf_find(gguf, key) == value);
    visit_items(value);
    if (wr_gguf_get_int(gguf, key, -5, 1000, &number, &error) != WEIR_OK)
        add_bytes(error.message, strlen(error.message));
    if (wr_gguf_get_float(gguf, key, &real, &error) != WEIR_OK)
        add_bytes(error.message, strlen(error.message));
    (void)wr_gguf_get_bool(gguf, key, &truth, &error);
    (void)wr_gguf_get_string(gguf, key, &text, &error);
    require(number >= -5 && number <= 1000);
    add_bytes(text.data, text.size);
    free(key);
}

static void visit_tensor(const wr_gguf *gguf, const wr_gguf_tensor *tensor) {
    char *name = copy_name(tensor->name);
    require(wr_gguf_find_tensor(gguf, name) == tensor);
    require(tensor->dims >= 1 && tensor->dims <= WR_GGUF_MAX_DIMS);
    require(tensor->foreign == (tensor->data == NULL));
    if (!tensor->foreign) add_bytes(tensor->data, tensor->bytes);
    free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    wr_gguf *gguf;
    weir_error error;
    if (wr_gguf_parse("fuzz", data, size, NULL, &gguf, &error) != WEIR_OK) {
        require(gguf == NULL && strncmp(error.message, "fuzz: ", 6) == 0);
        require(strchr(error.message, '\n') == NULL);
        return 0;
    }
    for (int64_t i = 0; i < wr_gguf_value_count(gguf); i++)
        visit_value(gguf, wr_gguf_value_at(gguf, i));
    for (int64_t i = 0; i < wr_gguf_tensor_count(gguf); i++)
        visit_tensor(gguf, wr_gguf_tensor_at(gguf, i));
    wr_gguf_close(gguf);
    return 0;
}
