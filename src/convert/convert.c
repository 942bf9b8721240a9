/*
 * A Hugging Face folder to a GGUF file, in four steps: the configuration, the list of tensors, keys
 * and vocabulary, data row by row.
 */
#include "weir/convert.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "convert/hf/hf_vocab.h"
#include "convert/made_tensors.h"
#include "tensor/kernels.h"

#define CONFIG_LIMIT ((size_t)64 << 20)

typedef struct conversion {
    const char *folder;
    const weir_convert_options *options;
    const weir_allocator *allocator;
    wr_json *config;
    wr_weights *weights;
    wr_hf_model model;
    wr_made made;
    bool listed;
    wr_hf_vocab *vocab;
    const wr_kernels *kernels;
    wr_gguf_writer *writer;
    int64_t done, total; /* bytes of tensor data */
    weir_error *error;
} conversion;

/* GGUF's number for what most of a file is. */
static const struct {
    const char *name;
    wr_format format;
    int64_t file_type;
} types[] = {{"f32", WR_F32, 0}, {"f16", WR_F16, 1}, {"bf16", WR_BF16, 32}};
enum { TYPES = sizeof types / sizeof types[0] };

weir_convert_options weir_convert_options_default(void) {
    return (weir_convert_options){.type = "keep"};
}

/* ---- formats -----------------------------------------------------------------------------------
 */

static wr_format kept(wr_safe_type type) {
    return type == WR_SAFE_F16 ? WR_F16 : type == WR_SAFE_BF16 ? WR_BF16 : WR_F32;
}

static wr_format format_of(const conversion *c, const wr_made_tensor *tensor) {
    const bool keeps = strcasecmp(c->options->type, "keep") == 0;
    if (keeps && wr_made_is_mxfp4(tensor)) return WR_MXFP4;
    if (tensor->dims == 1 || tensor->list != NULL || tensor->rows == 1 ||
        (tensor->rename->flags & WR_RENAME_FLOAT))
        return WR_F32;
    for (int i = 0; i < TYPES; i++)
        if (strcasecmp(c->options->type, types[i].name) == 0) return types[i].format;
    return kept(c->made.sources[tensor->first]->tensor->type);
}

/* The format of the largest part. */
static int64_t file_type(const conversion *c) {
    int64_t sums[TYPES] = {0}, blocks = 0;
    for (size_t i = 0; i < c->made.count; i++) {
        const wr_made_tensor *tensor = &c->made.tensors[i];
        const int64_t size = wr_made_rows(tensor) * tensor->columns;
        const wr_format format = format_of(c, tensor);
        if (format == WR_MXFP4) blocks += size;
        for (int j = 0; j < TYPES; j++)
            if (format == types[j].format) sums[j] += size;
    }
    if (blocks > 0) return 38;
    int most = 0;
    for (int j = 1; j < TYPES; j++)
        if (sums[j] > sums[most]) most = j;
    return types[most].file_type;
}

/* ---- keys --------------------------------------------------------------------------------------
 */

static const char *name_of(const conversion *c, char out[256]) {
    if (c->options->name != NULL) return c->options->name;
    size_t size = strlen(c->folder);
    while (size > 1 && c->folder[size - 1] == '/') size--;
    size_t begin = size;
    while (begin > 0 && c->folder[begin - 1] != '/') begin--;
    snprintf(out, 256, "%.*s", (int)(size - begin < 200 ? size - begin : 200), c->folder + begin);
    return out;
}

static weir_status put_keys(conversion *c) {
    char name[256];
    wr_gguf_put_string(c->writer, "general.architecture", c->model.family->name);
    wr_gguf_put_string(c->writer, "general.type", "model");
    wr_gguf_put_string(c->writer, "general.name", name_of(c, name));
    wr_gguf_put_int(c->writer, "general.file_type", WR_GGUF_U32, file_type(c));
    wr_gguf_put_int(c->writer, "general.quantization_version", WR_GGUF_U32, 2);
    weir_status status = wr_hf_put_keys(&c->model, c->writer, c->error);
    return status == WEIR_OK ? wr_hf_vocab_put(c->vocab, c->writer, c->error) : status;
}

/* ---- data --------------------------------------------------------------------------------------
 */

static weir_status tell(conversion *c) {
    if (c->options->progress == NULL ||
        c->options->progress(c->options->progress_context, c->done, c->total))
        return WEIR_OK;
    return weir_error_set(c->error, WEIR_CANCELLED, "the conversion was cancelled");
}

static weir_status write_row(conversion *c, const wr_made_tensor *tensor, wr_format format,
                             int64_t r, float *row) {
    uint8_t *coded = (uint8_t *)(row + tensor->columns);
    const size_t bytes = wr_format_row_bytes(format, tensor->columns);
    if (wr_made_is_mxfp4(tensor))
        wr_made_blocks(&c->made, tensor, r, coded);
    else
        wr_made_row(&c->made, tensor, r, row);
    if (format != WR_MXFP4) {
        if (wr_made_is_mxfp4(tensor)) c->kernels->decode(WR_MXFP4, coded, row, tensor->columns);
        const int64_t misfit = wr_format_encode_row(format, row, tensor->columns, coded);
        if (misfit >= 0)
            return weir_error_set(c->error, WEIR_NAN,
                                  "%s: row %lld has %g at column %lld, which %s cannot hold, so "
                                  "the model is not written",
                                  tensor->name, (long long)r, (double)row[misfit],
                                  (long long)misfit, wr_format_find((uint32_t)format)->name);
    }
    c->done += (int64_t)bytes;
    return wr_gguf_write_data(c->writer, coded, bytes, c->error);
}

static weir_status write_tensor(conversion *c, const wr_made_tensor *tensor) {
    const wr_format format = format_of(c, tensor);
    const size_t room = (size_t)tensor->columns * 2 * sizeof(float); /* no format takes more */
    float *row = wr_allocate(c->allocator, room);
    weir_status status = WEIR_OK;
    if (row == NULL)
        return weir_error_set(c->error, WEIR_MEMORY, "%s: no memory for a row", tensor->name);
    for (int64_t r = 0; r < wr_made_rows(tensor) && status == WEIR_OK; r++) {
        if (r % 1024 == 0) status = tell(c);
        if (status == WEIR_OK) status = write_row(c, tensor, format, r, row);
    }
    wr_release(c->allocator, row, room);
    if (tensor->list != NULL) return status;
    for (int64_t i = 0; i < tensor->sources; i++) {
        const wr_safe_tensor *source = c->made.sources[tensor->first + (size_t)i]->tensor;
        wr_map_forget(source->data, source->bytes);
    }
    return status;
}

static weir_status write_file(conversion *c) {
    weir_status status = wr_gguf_writer_open(c->options->out, c->allocator, &c->writer, c->error);
    if (status == WEIR_OK) status = put_keys(c);
    if (status != WEIR_OK) return status;
    for (size_t i = 0; i < c->made.count; i++) {
        const wr_made_tensor *tensor = &c->made.tensors[i];
        const wr_format format = format_of(c, tensor);
        wr_gguf_put_tensor(c->writer, tensor->name, format, tensor->dims, tensor->dim);
        if (tensor->columns % wr_format_find((uint32_t)format)->block == 0)
            c->total +=
                wr_made_rows(tensor) * (int64_t)wr_format_row_bytes(format, tensor->columns);
    }
    for (size_t i = 0; i < c->made.count && status == WEIR_OK; i++)
        status = write_tensor(c, &c->made.tensors[i]);
    if (status == WEIR_OK) status = tell(c);
    return status == WEIR_OK ? wr_gguf_writer_commit(c->writer, c->error) : status;
}

/* ---- the whole ---------------------------------------------------------------------------------
 */

static weir_status check_options(const weir_convert_options *options, weir_error *error) {
    bool known = options->type != NULL && strcasecmp(options->type, "keep") == 0;
    for (int i = 0; options->type != NULL && i < TYPES; i++)
        known = known || strcasecmp(options->type, types[i].name) == 0;
    if (!known)
        return weir_error_set(error, WEIR_USAGE,
                              "there is no type \"%.40s\" to convert to; f32, f16, bf16 and keep "
                              "are (weir quantize makes smaller ones)",
                              options->type != NULL ? options->type : "");
    if (options->out == NULL)
        return weir_error_set(error, WEIR_USAGE, "no file was named to write the model to");
    return WEIR_OK;
}

static weir_status read_folder(conversion *c) {
    char path[4096];
    if (snprintf(path, sizeof path, "%s/config.json", c->folder) >= (int)sizeof path)
        return weir_error_set(c->error, WEIR_USAGE, "%.100s...: the path is too long", c->folder);
    weir_status status = wr_json_open(path, CONFIG_LIMIT, &c->config, c->error);
    if (status == WEIR_OK) status = wr_hf_model_read(c->config, c->folder, &c->model, c->error);
    if (status == WEIR_OK) status = wr_weights_open(c->folder, c->allocator, &c->weights, c->error);
    if (status == WEIR_OK)
        status = wr_made_list(&c->model, c->weights, c->allocator, &c->made, c->error);
    c->listed = status == WEIR_OK;
    if (status == WEIR_OK)
        status = wr_hf_vocab_read(&c->model, c->options, c->allocator, &c->vocab, c->error);
    return status;
}

static void describe(const conversion *c, weir_convert_result *out) {
    *out = (weir_convert_result){
        .tensors = (int64_t)c->made.count, .bytes = c->done, .vocabulary = c->model.vocabulary};
    snprintf(out->family, sizeof out->family, "%s", c->model.family->name);
    for (size_t i = 0; i < c->made.count; i++)
        out->parameters += wr_made_rows(&c->made.tensors[i]) * c->made.tensors[i].columns;
}

weir_status weir_convert(const char *folder, const weir_convert_options *options,
                         weir_convert_result *result, weir_error *error) {
    weir_error own = {0};
    conversion c = {.folder = folder,
                    .options = options,
                    .allocator = options->allocator,
                    .kernels = wr_kernels_get(wr_cpu_detect()),
                    .error = error != NULL ? error : &own};
    weir_status status = check_options(options, c.error);
    if (status == WEIR_OK) status = read_folder(&c);
    if (status == WEIR_OK) status = write_file(&c);
    if (status == WEIR_OK && result != NULL) describe(&c, result);
    wr_gguf_writer_close(c.writer);
    wr_hf_vocab_release(c.vocab);
    if (c.listed) wr_made_release(&c.made);
    wr_weights_close(c.weights);
    wr_json_close(c.config);
    return status;
}
