/* See changed_model.h. */
#include "support/changed_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static void check(weir_status status, const weir_error *error) {
    if (status != WEIR_OK) fail_msg("%s", error->message);
}

static void copy_tensors(const wr_gguf *old, wr_gguf_writer *writer) {
    for (int64_t i = 0; i < wr_gguf_tensor_count(old); i++) {
        const wr_gguf_tensor *t = wr_gguf_tensor_at(old, i);
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)t->name.size, t->name.data);
        wr_gguf_put_tensor(writer, name, t->format, t->dims, t->dim);
    }
}

static void copy_data(const wr_gguf *old, wr_gguf_writer *writer) {
    weir_error error;
    for (int64_t i = 0; i < wr_gguf_tensor_count(old); i++) {
        const wr_gguf_tensor *t = wr_gguf_tensor_at(old, i);
        check(wr_gguf_write_data(writer, t->data, t->bytes, &error), &error);
    }
}

void changed_model(const char *from, const char *to, const char *without, extra_keys_fn keys,
                   const extra_tensor *tensors) {
    weir_error error;
    wr_gguf *old;
    wr_gguf_writer *writer;
    check(wr_gguf_open(from, NULL, &old, &error), &error);
    check(wr_gguf_writer_open(to, NULL, &writer, &error), &error);
    for (int64_t i = 0; i < wr_gguf_value_count(old); i++) {
        const wr_gguf_value *value = wr_gguf_value_at(old, i);
        if (!without || !wr_string_is(value->key, without)) wr_gguf_put_value(writer, value);
    }
    if (keys) keys(writer);
    copy_tensors(old, writer);
    for (const extra_tensor *t = tensors; t && t->name; t++)
        wr_gguf_put_tensor(writer, t->name, WR_F32, 1, (const int64_t[]){t->count});
    copy_data(old, writer);
    for (const extra_tensor *t = tensors; t && t->name; t++)
        check(wr_gguf_write_data(writer, t->numbers, (size_t)t->count * sizeof(float), &error),
              &error);
    check(wr_gguf_writer_commit(writer, &error), &error);
    wr_gguf_writer_close(writer);
    wr_gguf_close(old);
}
