/*
 * A GGUF file in fewer bits. Tensors come one after another, a few megabytes of rows at a time:
 * threads decode and quantise rows, each row by one of them, and the rows are written in order.
 */
#include "weir/quantize.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cpu.h"
#include "base/file.h"
#include "base/threads.h"
#include "convert/mix.h"
#include "file/gguf.h"
#include "file/name.h"
#include "tensor/kernels.h"
#include "tensor/quantise.h"

#define PIECE ((int64_t)1 << 20) /* weights at a time */

typedef struct quantization {
    const char *path;
    const weir_quantize_options *options;
    const weir_allocator *allocator;
    const wr_mix *mix;
    wr_gguf *gguf;
    wr_gguf_writer *writer;
    wr_threads *threads;
    const wr_kernels *kernels;
    wr_mix_model model;
    weir_quantize_result result;
    int64_t done, total; /* bytes that are read */
    weir_error *error;
} quantization;

weir_quantize_options weir_quantize_options_default(void) {
    return (weir_quantize_options){.type = "Q4_K_M"};
}

const char *weir_quantize_types(void) { return wr_mix_names(); }

/* ---- what is in the file -----------------------------------------------------------------------
 */

static int64_t model_count(const quantization *q, wr_string family, const char *suffix) {
    char key[128];
    int64_t value = 0;
    snprintf(key, sizeof key, "%.*s.%s", (int)(family.size < 64 ? family.size : 64), family.data,
             suffix);
    (void)wr_gguf_get_int(q->gguf, key, 0, INT32_MAX, &value, NULL);
    return value;
}

static weir_status read_model(quantization *q) {
    wr_string family = {"", 0};
    weir_status status = wr_gguf_get_string(q->gguf, "general.architecture", &family, q->error);
    if (status != WEIR_OK) return status;
    q->model = (wr_mix_model){.layers = model_count(q, family, "block_count"),
                              .heads = model_count(q, family, "attention.head_count"),
                              .kv_heads = model_count(q, family, "attention.head_count_kv"),
                              .experts = model_count(q, family, "expert_count"),
                              .falcon = wr_string_is(family, "falcon"),
                              .tied = wr_gguf_find_tensor(q->gguf, "output.weight") == NULL};
    if (q->model.kv_heads == 0) q->model.kv_heads = q->model.heads;
    return WEIR_OK;
}

static bool has_blocks(wr_format format) { return wr_format_find((uint32_t)format)->block > 1; }

/* MXFP4 is what a model was trained for: it stays. */
static wr_format choose(const quantization *q, const wr_gguf_tensor *tensor, bool *fell_back) {
    *fell_back = false;
    if (tensor->format == WR_MXFP4 && !q->options->requantize) return WR_MXFP4;
    return wr_mix_choose(q->mix, &q->model, tensor, q->options->pure, fell_back);
}

static weir_status check_tensor(const quantization *q, const wr_gguf_tensor *tensor) {
    bool fell_back;
    if (tensor->foreign)
        return weir_error_set(q->error, WEIR_UNSUPPORTED,
                              "%.200s: tensor %s has the format %s, which is not supported",
                              q->path, wr_name_quote(tensor->name).text,
                              wr_format_foreign_name(tensor->number) != NULL
                                  ? wr_format_foreign_name(tensor->number)
                                  : "unknown");
    if (!has_blocks(tensor->format) || q->options->requantize ||
        choose(q, tensor, &fell_back) == tensor->format)
        return WEIR_OK;
    return weir_error_set(
        q->error, WEIR_UNSUPPORTED,
        "%.200s: tensor %s is %s already, and would lose twice; take the model in "
        "F32, F16 or BF16, or give --requantize",
        q->path, wr_name_quote(tensor->name).text, wr_format_find((uint32_t)tensor->format)->name);
}

static weir_status check_tensors(quantization *q) {
    const int64_t count = wr_gguf_tensor_count(q->gguf);
    if (count == 0)
        return weir_error_set(q->error, WEIR_USAGE, "%.200s: there are no tensors in it", q->path);
    for (int64_t i = 0; i < count; i++) {
        weir_status status = check_tensor(q, wr_gguf_tensor_at(q->gguf, i));
        if (status != WEIR_OK) return status;
        q->total += (int64_t)wr_gguf_tensor_at(q->gguf, i)->bytes;
    }
    return WEIR_OK;
}

/* ---- keys --------------------------------------------------------------------------------------
 */

static void put_keys(quantization *q) {
    static const char alignment[] = "general.alignment";
    for (int64_t i = 0; i < wr_gguf_value_count(q->gguf); i++) {
        const wr_gguf_value *value = wr_gguf_value_at(q->gguf, i);
        if (wr_string_is(value->key, "general.file_type") ||
            wr_string_is(value->key, "general.quantization_version"))
            continue;
        if (wr_string_is(value->key, alignment))
            wr_gguf_put_int(q->writer, alignment, WR_GGUF_U32, wr_gguf_item_int(value, 0));
        else
            wr_gguf_put_value(q->writer, value);
    }
    wr_gguf_put_int(q->writer, "general.file_type", WR_GGUF_U32, wr_mix_file_type(q->mix));
    wr_gguf_put_int(q->writer, "general.quantization_version", WR_GGUF_U32, 2);
}

static void declare(quantization *q) {
    int64_t weights = 0;
    for (int64_t i = 0; i < wr_gguf_tensor_count(q->gguf); i++) {
        const wr_gguf_tensor *tensor = wr_gguf_tensor_at(q->gguf, i);
        char name[128];
        bool fell_back;
        const wr_format format = choose(q, tensor, &fell_back);
        const int64_t rows = tensor->dim[1] * tensor->dim[2] * tensor->dim[3];
        snprintf(name, sizeof name, "%.*s", (int)tensor->name.size, tensor->name.data);
        wr_gguf_put_tensor(q->writer, name, format, tensor->dims, tensor->dim);
        q->result.tensors++;
        q->result.changed += format != tensor->format;
        q->result.fallen_back += fell_back;
        q->result.bytes_in += (int64_t)tensor->bytes;
        q->result.bytes_out += rows * (int64_t)wr_format_row_bytes(format, tensor->dim[0]);
        weights += rows * tensor->dim[0];
    }
    q->result.bits = 8.0 * (double)q->result.bytes_out / (double)weights;
}

/* ---- data --------------------------------------------------------------------------------------
 */

/* Rows [first, first + count) of a tensor. */
typedef struct piece {
    const quantization *q;
    const wr_gguf_tensor *tensor;
    wr_format format;
    int64_t first;
    float *floats; /* a row for each thread */
    uint8_t *out;
    _Atomic int64_t misfit; /* the first weight that the format cannot hold; INT64_MAX: none */
} piece;

static void note_misfit(piece *p, int64_t at) {
    int64_t before = atomic_load(&p->misfit);
    while (at < before && !atomic_compare_exchange_weak(&p->misfit, &before, at)) continue;
}

static void quantise_rows(void *context, int64_t begin, int64_t end, int worker) {
    piece *p = context;
    const int64_t columns = p->tensor->dim[0];
    const size_t from = wr_format_row_bytes(p->tensor->format, columns);
    const size_t to = wr_format_row_bytes(p->format, columns);
    float *row = p->floats + worker * columns;
    for (int64_t r = begin; r < end; r++) {
        p->q->kernels->decode(p->tensor->format, p->tensor->data + (size_t)(p->first + r) * from,
                              row, columns);
        const int64_t misfit =
            wr_format_quantise_row(p->format, row, columns, p->out + (size_t)r * to);
        if (misfit >= 0) note_misfit(p, (p->first + r) * columns + misfit);
    }
}

static weir_status tell(quantization *q) {
    if (q->options->progress == NULL ||
        q->options->progress(q->options->progress_context, q->done, q->total))
        return WEIR_OK;
    return weir_error_set(q->error, WEIR_CANCELLED, "the quantization was cancelled");
}

static weir_status write_piece(quantization *q, piece *p, int64_t rows) {
    const int64_t columns = p->tensor->dim[0];
    atomic_store(&p->misfit, INT64_MAX);
    wr_threads_run(q->threads, rows, 1, quantise_rows, p);
    const int64_t misfit = atomic_load(&p->misfit);
    if (misfit != INT64_MAX)
        return weir_error_set(q->error, WEIR_NAN,
                              "%.200s: tensor %s has a number that %s cannot hold in row %lld near "
                              "column %lld",
                              q->path, wr_name_quote(p->tensor->name).text,
                              wr_format_find((uint32_t)p->format)->name,
                              (long long)(misfit / columns), (long long)(misfit % columns));
    weir_status status = wr_gguf_write_data(
        q->writer, p->out, (size_t)rows * wr_format_row_bytes(p->format, columns), q->error);
    q->done += rows * (int64_t)wr_format_row_bytes(p->tensor->format, columns);
    return status == WEIR_OK ? tell(q) : status;
}

static weir_status write_changed(quantization *q, const wr_gguf_tensor *tensor, wr_format format) {
    const int64_t columns = tensor->dim[0];
    const int64_t rows = tensor->dim[1] * tensor->dim[2] * tensor->dim[3];
    int64_t at_once = PIECE / columns > 0 ? PIECE / columns : 1;
    if (at_once > rows) at_once = rows;
    const size_t floats = (size_t)(wr_threads_count(q->threads) * columns) * sizeof(float);
    const size_t room = (size_t)at_once * wr_format_row_bytes(format, columns);
    piece p = {.q = q,
               .tensor = tensor,
               .format = format,
               .floats = wr_allocate(q->allocator, floats),
               .out = wr_allocate(q->allocator, room)};
    weir_status status = WEIR_OK;
    if (p.floats == NULL || p.out == NULL)
        status = weir_error_set(q->error, WEIR_MEMORY, "%.200s: no memory for rows of tensor %s",
                                q->path, wr_name_quote(tensor->name).text);
    for (; p.first < rows && status == WEIR_OK; p.first += at_once)
        status = write_piece(q, &p, rows - p.first < at_once ? rows - p.first : at_once);
    wr_release(q->allocator, p.floats, floats);
    wr_release(q->allocator, p.out, room);
    return status;
}

static weir_status write_tensor(quantization *q, const wr_gguf_tensor *tensor) {
    bool fell_back;
    const wr_format format = choose(q, tensor, &fell_back);
    weir_status status;
    if (format != tensor->format) {
        status = write_changed(q, tensor, format);
    } else {
        status = wr_gguf_write_data(q->writer, tensor->data, tensor->bytes, q->error);
        q->done += (int64_t)tensor->bytes;
        if (status == WEIR_OK) status = tell(q);
    }
    wr_map_forget(tensor->data, tensor->bytes);
    return status;
}

/* ---- the whole ---------------------------------------------------------------------------------
 */

static weir_status check_options(quantization *q) {
    const weir_quantize_options *o = q->options;
    struct stat in, out;
    q->mix = o->type != NULL ? wr_mix_find(o->type) : NULL;
    if (q->mix == NULL)
        return weir_error_set(q->error, WEIR_USAGE, "there is no type \"%.40s\" (there are %s)",
                              o->type != NULL ? o->type : "", wr_mix_names());
    if (o->out == NULL)
        return weir_error_set(q->error, WEIR_USAGE, "no file was named to write the model to");
    if (o->threads < 0 || o->threads > 256)
        return weir_error_set(q->error, WEIR_USAGE, "threads must be 1 to 256, not %d", o->threads);
    if (stat(q->path, &in) == 0 && stat(o->out, &out) == 0 && in.st_dev == out.st_dev &&
        in.st_ino == out.st_ino)
        return weir_error_set(q->error, WEIR_USAGE, "%.200s: the model cannot replace itself",
                              q->path);
    return WEIR_OK;
}

static weir_status run(quantization *q) {
    const int threads = q->options->threads > 0 ? q->options->threads : wr_cpu_count();
    weir_status status = check_options(q);
    if (status == WEIR_OK) status = wr_gguf_open(q->path, q->allocator, &q->gguf, q->error);
    if (status == WEIR_OK) status = read_model(q);
    if (status == WEIR_OK) status = check_tensors(q);
    if (status == WEIR_OK) status = wr_threads_create(threads, q->allocator, &q->threads, q->error);
    if (status == WEIR_OK)
        status = wr_gguf_writer_open(q->options->out, q->allocator, &q->writer, q->error);
    if (status != WEIR_OK) return status;
    put_keys(q);
    declare(q);
    for (int64_t i = 0; i < wr_gguf_tensor_count(q->gguf) && status == WEIR_OK; i++)
        status = write_tensor(q, wr_gguf_tensor_at(q->gguf, i));
    return status == WEIR_OK ? wr_gguf_writer_commit(q->writer, q->error) : status;
}

weir_status weir_quantize(const char *path, const weir_quantize_options *options,
                          weir_quantize_result *result, weir_error *error) {
    weir_error own = {0};
    quantization q = {.path = path,
                      .options = options,
                      .allocator = options->allocator,
                      .kernels = wr_kernels_get(wr_cpu_detect()),
                      .error = error != NULL ? error : &own};
    weir_status status = run(&q);
    if (status == WEIR_OK && result != NULL) *result = q.result;
    wr_gguf_writer_close(q.writer);
    wr_threads_release(q.threads);
    wr_gguf_close(q.gguf);
    return status;
}
