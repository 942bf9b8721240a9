/*
 * Keys from the shape, the vocabulary's from its own file, then every tensor, a row at a time.
 *
 * docs/format.md says what the keys of the architecture "weir" mean.
 */
#include "train/export.h"

#include <stdio.h>
#include <string.h>

#include "file/gguf.h"
#include "text/vocab.h"

/* ---- what can be written --------------------------------------------------------------------- */

/* Other engines would ignore what these ask for, and compute something else. */
static const char *architecture_of(const weir_train_shape *shape) {
    const bool known =
        (shape->sink == WEIR_TRAIN_SINK_NONE || shape->sink == WEIR_TRAIN_SINK_TOKEN) &&
        shape->positions == WEIR_TRAIN_ROPE;
    return known ? "llama" : "weir";
}

/* Formats by the number that general.file_type has for them. */
static const struct {
    wr_format format;
    uint32_t file_type;
} file_types[] = {{WR_F32, 0}, {WR_F16, 1}, {WR_Q8_0, 7}, {WR_BF16, 32}};

static uint32_t file_type_of(wr_format format) {
    size_t i = 0;
    while (file_types[i].format != format) i++;
    return file_types[i].file_type;
}

static bool is_vector(const wr_parameter *parameter) {
    return parameter->kind == WR_PARAMETER_NORM || parameter->kind == WR_PARAMETER_SINK;
}

static weir_status check_rows(const weir_train_shape *shape, const wr_format_info *format,
                              weir_error *error) {
    for (int64_t i = 0; i < wr_parameters_count(shape); i++) {
        wr_parameter parameter;
        wr_parameters_get(shape, i, &parameter);
        if (!is_vector(&parameter) && parameter.columns % format->block != 0)
            return weir_error_set(error, WEIR_USAGE,
                                  "%s has rows of %lld numbers, which is no multiple of %d, the "
                                  "block of %s: choose F32, F16 or BF16",
                                  parameter.name, (long long)parameter.columns, (int)format->block,
                                  format->name);
    }
    return WEIR_OK;
}

static weir_status check_format(const wr_export *model, const wr_format_info **out,
                                weir_error *error) {
    const wr_format_info *format = wr_format_named(model->format);
    if (format == NULL || !wr_format_encodes(format->format))
        return weir_error_set(error, WEIR_USAGE,
                              "a model cannot be written in the format \"%.40s\": choose F32, F16, "
                              "BF16 or Q8_0",
                              model->format);
    *out = format;
    return check_rows(&model->shape, format, error);
}

static weir_status check_vocabulary(const wr_export *model, const wr_vocab *vocabulary,
                                    weir_error *error) {
    if (wr_vocab_size(vocabulary) != model->shape.vocabulary)
        return weir_error_set(
            error, WEIR_USAGE, "%.200s has %d tokens, the model %lld: they must be the same",
            model->vocabulary, (int)wr_vocab_size(vocabulary), (long long)model->shape.vocabulary);
    if (model->shape.sink == WEIR_TRAIN_SINK_TOKEN && wr_vocab_bos(vocabulary) < 0)
        return weir_error_set(error, WEIR_USAGE,
                              "%.200s has no token that begins a text (BOS), which would be the "
                              "sink token",
                              model->vocabulary);
    return WEIR_OK;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static const char *key_of(const weir_train_shape *shape, const char *suffix, char key[64]) {
    snprintf(key, 64, "%s.%s", architecture_of(shape), suffix);
    return key;
}

static void put_shape(wr_gguf_writer *writer, const weir_train_shape *shape) {
    char key[64];
    const bool rotary = shape->positions == WEIR_TRAIN_ROPE;
    const struct {
        const char *suffix;
        int64_t value;
    } counts[] = {
        {"vocab_size", shape->vocabulary},
        {"context_length", shape->context},
        {"embedding_length", shape->width},
        {"block_count", shape->layers},
        {"feed_forward_length", shape->feed_forward},
        {"attention.head_count", shape->heads},
        {"attention.head_count_kv", shape->kv_heads},
        {"rope.dimension_count", rotary ? shape->width / shape->heads : 0},
    };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        wr_gguf_put_int(writer, key_of(shape, counts[i].suffix, key), WR_GGUF_U32, counts[i].value);
    if (rotary)
        wr_gguf_put_float(writer, key_of(shape, "rope.freq_base", key), (float)shape->rope_base);
    wr_gguf_put_float(writer, key_of(shape, "attention.layer_norm_rms_epsilon", key),
                      (float)shape->norm_epsilon);
}

/* What only this engine knows. */
static void put_sink(wr_gguf_writer *writer, const weir_train_shape *shape) {
    if (shape->sink == WEIR_TRAIN_SINK_ZERO)
        wr_gguf_put_string(writer, "weir.attention.sink", "zero");
    if (shape->sink == WEIR_TRAIN_SINK_LOGIT)
        wr_gguf_put_string(writer, "weir.attention.sink", "logit");
    if (shape->positions == WEIR_TRAIN_ALIBI)
        wr_gguf_put_string(writer, "weir.attention.positions", "alibi");
    if (shape->sink == WEIR_TRAIN_SINK_TOKEN) wr_gguf_put_bool(writer, "weir.sink_token", true);
}

/* The vocabulary's keys, but for who begins a text. */
static void put_vocabulary(wr_gguf_writer *writer, const wr_gguf *file, bool sink_token) {
    static const char prefix[] = "tokenizer.", bos[] = "tokenizer.ggml.add_bos_token";
    for (int64_t i = 0; i < wr_gguf_value_count(file); i++) {
        const wr_gguf_value *value = wr_gguf_value_at(file, i);
        if (value->key.size >= sizeof prefix - 1 &&
            memcmp(value->key.data, prefix, sizeof prefix - 1) == 0 &&
            !wr_string_is(value->key, bos))
            wr_gguf_put_value(writer, value);
    }
    wr_gguf_put_bool(writer, bos, sink_token);
}

static void put_keys(wr_gguf_writer *writer, const wr_export *model, const wr_format_info *format,
                     const wr_gguf *vocabulary) {
    wr_gguf_put_string(writer, "general.architecture", architecture_of(&model->shape));
    wr_gguf_put_string(writer, "general.name", model->name);
    wr_gguf_put_int(writer, "general.file_type", WR_GGUF_U32, file_type_of(format->format));
    wr_gguf_put_int(writer, "general.quantization_version", WR_GGUF_U32, 2);
    put_shape(writer, &model->shape);
    put_sink(writer, &model->shape);
    wr_gguf_put_int(writer, "weir.train.steps", WR_GGUF_U64, model->steps);
    wr_gguf_put_int(writer, "weir.train.tokens", WR_GGUF_U64, model->tokens);
    put_vocabulary(writer, vocabulary, model->shape.sink == WEIR_TRAIN_SINK_TOKEN);
}

/* ---- tensors --------------------------------------------------------------------------------- */

static void declare_tensors(wr_gguf_writer *writer, const weir_train_shape *shape,
                            wr_format format) {
    for (int64_t i = 0; i < wr_parameters_count(shape); i++) {
        wr_parameter parameter;
        wr_parameters_get(shape, i, &parameter);
        const bool vector = is_vector(&parameter);
        const int64_t dims[2] = {parameter.columns, parameter.rows};
        wr_gguf_put_tensor(writer, parameter.name, vector ? WR_F32 : format, vector ? 1 : 2, dims);
    }
}

static weir_status write_tensor(wr_gguf_writer *writer, const wr_parameter *parameter,
                                const float *from, wr_format format, void *row, weir_error *error) {
    const size_t bytes = wr_format_row_bytes(format, parameter->columns);
    weir_status status = WEIR_OK;
    for (int64_t i = 0; i < parameter->rows && status == WEIR_OK; i++) {
        const float *x = from + i * parameter->columns;
        const int64_t misfit = wr_format_encode_row(format, x, parameter->columns, row);
        if (misfit >= 0)
            return weir_error_set(error, WEIR_NAN,
                                  "%s: row %lld has a number that %s cannot hold near column %lld, "
                                  "so the model is not written",
                                  parameter->name, (long long)i,
                                  wr_format_find((uint32_t)format)->name, (long long)misfit);
        status = wr_gguf_write_data(writer, row, bytes, error);
    }
    return status;
}

static weir_status write_tensors(wr_gguf_writer *writer, const wr_export *model, wr_format format,
                                 void *row, weir_error *error) {
    weir_status status = WEIR_OK;
    for (int64_t i = 0; i < wr_parameters_count(&model->shape) && status == WEIR_OK; i++) {
        wr_parameter parameter;
        wr_parameters_get(&model->shape, i, &parameter);
        status = write_tensor(writer, &parameter, model->parameters + parameter.offset,
                              is_vector(&parameter) ? WR_F32 : format, row, error);
    }
    return status;
}

/* ---- the file -------------------------------------------------------------------------------- */

static int64_t longest_row(const weir_train_shape *shape) {
    const int64_t longest = shape->feed_forward > shape->width ? shape->feed_forward : shape->width;
    return longest > shape->heads ? longest : shape->heads;
}

static weir_status write_file(const char *path, const wr_export *model,
                              const wr_format_info *format, const wr_gguf *vocabulary,
                              const weir_allocator *allocator, weir_error *error) {
    const size_t room =
        (size_t)longest_row(&model->shape) * sizeof(float); /* no format takes more */
    wr_gguf_writer *writer = NULL;
    void *row = wr_allocate(allocator, room);
    weir_status status =
        row != NULL ? wr_gguf_writer_open(path, allocator, &writer, error)
                    : weir_error_set(error, WEIR_MEMORY, "%.200s: no memory to write it", path);
    if (status == WEIR_OK) {
        put_keys(writer, model, format, vocabulary);
        declare_tensors(writer, &model->shape, format->format);
        status = write_tensors(writer, model, format->format, row, error);
    }
    if (status == WEIR_OK) status = wr_gguf_writer_commit(writer, error);
    wr_gguf_writer_close(writer);
    wr_release(allocator, row, room);
    return status;
}

/* The checks that need the vocabulary's file, and then the file if it is wanted. */
static weir_status with_vocabulary(const char *path, const wr_export *model,
                                   const wr_format_info *format, const weir_allocator *allocator,
                                   weir_error *error) {
    wr_gguf *file = NULL;
    wr_vocab *vocabulary = NULL;
    weir_status status = wr_gguf_open(model->vocabulary, allocator, &file, error);
    if (status == WEIR_OK) status = wr_vocab_open(file, allocator, &vocabulary, error);
    if (status == WEIR_OK) status = check_vocabulary(model, vocabulary, error);
    if (status == WEIR_OK && path != NULL)
        status = write_file(path, model, format, file, allocator, error);
    wr_vocab_close(vocabulary);
    wr_gguf_close(file);
    return status;
}

static weir_status export_or_check(const char *path, const wr_export *model,
                                   const weir_allocator *allocator, weir_error *error) {
    const wr_format_info *format = NULL;
    weir_status status = wr_shape_check(&model->shape, error);
    if (status == WEIR_OK) status = check_format(model, &format, error);
    if (status == WEIR_OK && model->vocabulary != NULL)
        status = with_vocabulary(path, model, format, allocator, error);
    return status;
}

weir_status wr_export_check(const wr_export *model, const weir_allocator *allocator,
                            weir_error *error) {
    return export_or_check(NULL, model, allocator, error);
}

weir_status wr_export_write(const char *path, const wr_export *model,
                            const weir_allocator *allocator, weir_error *error) {
    return export_or_check(path, model, allocator, error);
}
