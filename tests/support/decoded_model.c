/* See decoded_model.h. */
#include "support/decoded_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file/gguf.h"
#include "tensor/kernels.h"

static const char *name_of(wr_string name, char out[256]) {
    assert_true(name.size < 256);
    memcpy(out, name.data, name.size);
    out[name.size] = '\0';
    return out;
}

/* Numbers and the family; the text parts are not needed. */
static void copy_keys(const wr_gguf *from, wr_gguf_writer *to) {
    for (int64_t i = 0; i < wr_gguf_value_count(from); i++) {
        const wr_gguf_value *value = wr_gguf_value_at(from, i);
        char key[256];
        wr_string text;
        name_of(value->key, key);
        if (strncmp(key, "llama.", 6) == 0 && value->type == WR_GGUF_F32)
            wr_gguf_put_float(to, key, (float)wr_gguf_item_float(value, 0));
        else if (strncmp(key, "llama.", 6) == 0 && value->type == WR_GGUF_U32)
            wr_gguf_put_int(to, key, value->type, wr_gguf_item_int(value, 0));
        else if (strcmp(key, "general.architecture") == 0 &&
                 wr_gguf_get_string(from, key, &text, NULL) == WEIR_OK)
            wr_gguf_put_string(to, key, name_of(text, (char[256]){0}));
    }
}

static void decode_data(const wr_gguf *from, wr_gguf_writer *to) {
    weir_error error;
    for (int64_t i = 0; i < wr_gguf_tensor_count(from); i++) {
        const wr_gguf_tensor *t = wr_gguf_tensor_at(from, i);
        const size_t row = wr_format_row_bytes(t->format, t->dim[0]);
        const size_t size = (size_t)t->dim[0] * sizeof(float);
        float *decoded = malloc(size);
        for (int64_t r = 0; r < t->dim[1] * t->dim[2] * t->dim[3]; r++) {
            wr_kernels_get(WR_CPU_SCALAR)
                ->decode(t->format, t->data + row * (size_t)r, decoded, t->dim[0]);
            if (wr_gguf_write_data(to, decoded, size, &error) != WEIR_OK)
                fail_msg("%s", error.message);
        }
        free(decoded);
    }
}

void decoded_model(const char *path, char out[DECODED_PATH]) {
    snprintf(out, DECODED_PATH, "/tmp/weir-decoded-XXXXXX");
    int fd = mkstemp(out);
    assert_true(fd >= 0);
    close(fd);
    weir_error error;
    wr_gguf *from;
    wr_gguf_writer *to = NULL;
    if (wr_gguf_open(path, NULL, &from, &error) != WEIR_OK ||
        wr_gguf_writer_open(out, NULL, &to, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    copy_keys(from, to);
    for (int64_t i = 0; i < wr_gguf_tensor_count(from); i++) {
        const wr_gguf_tensor *t = wr_gguf_tensor_at(from, i);
        char name[256];
        wr_gguf_put_tensor(to, name_of(t->name, name), WR_F32, t->dims, t->dim);
    }
    decode_data(from, to);
    if (wr_gguf_writer_commit(to, &error) != WEIR_OK) fail_msg("%s", error.message);
    wr_gguf_writer_close(to);
    wr_gguf_close(from);
}
