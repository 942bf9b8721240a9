/* Opening, describing and closing a model: see network.h and weir/model.h. */
#include "model/network.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"

/* --- Strings and figures for info ------------------------------------------------------------- */

static wr_string metadata_string(const wr_gguf *gguf, const char *key) {
    wr_string value = {"", 0};
    wr_gguf_get_string(gguf, key, &value, NULL);
    return value;
}

/* Copy with a final NUL; an inner one ends the C string early, which is harmless here. */
static const char *keep_string(char **at, wr_string string) {
    char *copy = *at;
    if (string.size > 0) memcpy(copy, string.data, string.size);
    copy[string.size] = '\0';
    *at += string.size + 1;
    return copy;
}

static weir_status keep_strings(weir_model *model, const char *path, weir_error *error) {
    wr_string family = metadata_string(model->gguf, "general.architecture");
    wr_string name = metadata_string(model->gguf, "general.name");
    wr_string file = {path, strlen(path)};
    model->strings_size = family.size + name.size + file.size + 3;
    model->strings = wr_allocate(wr_model_allocator(model), model->strings_size);
    if (!model->strings)
        return weir_error_set(error, WEIR_MEMORY, "%s: no memory to open it", path);
    char *at = model->strings;
    model->info.family = keep_string(&at, family);
    model->info.name = keep_string(&at, name);
    model->info.path = keep_string(&at, file);
    return WEIR_OK;
}

static void count_tensors(weir_model *model) {
    model->info.tensors = wr_gguf_tensor_count(model->gguf);
    for (int64_t i = 0; i < model->info.tensors; i++) {
        const wr_gguf_tensor *tensor = wr_gguf_tensor_at(model->gguf, i);
        int64_t elements = tensor->dim[0] * tensor->dim[1] * tensor->dim[2] * tensor->dim[3];
        if (__builtin_add_overflow(model->info.parameters, elements, &model->info.parameters))
            model->info.parameters = INT64_MAX;
    }
}

static void describe_text(weir_model *model) {
    weir_model_info *info = &model->info;
    const wr_vocab *vocab = model->vocab;
    info->tokenizer = wr_vocab_kind(vocab);
    info->tokenizer_usable = wr_vocab_usable(vocab, NULL) == WEIR_OK;
    info->pieces = wr_vocab_size(vocab);
    info->bos = wr_vocab_bos(vocab);
    info->eos = wr_vocab_eos(vocab);
    info->adds_bos = wr_vocab_adds_bos(vocab);
    info->adds_eos = wr_vocab_adds_eos(vocab);
    wr_gguf_get_bool(model->gguf, "weir.sink_token", &info->sink_token, NULL);
}

/* --- Fingerprint ------------------------------------------------------------------------------ */

uint64_t weir_model_fingerprint(const weir_model *model) {
    const wr_gguf *gguf = model->gguf;
    uint64_t sum = wr_gguf_size(gguf);
    for (int64_t i = 0; i < wr_gguf_value_count(gguf); i++) {
        const wr_gguf_value *value = wr_gguf_value_at(gguf, i);
        sum = wr_checksum(sum, value->key.data, value->key.size);
        sum = wr_checksum(sum, value->bytes, value->size);
    }
    for (int64_t i = 0; i < wr_gguf_tensor_count(gguf); i++) {
        const wr_gguf_tensor *tensor = wr_gguf_tensor_at(gguf, i);
        size_t sample = tensor->bytes < 1024 ? tensor->bytes : 1024;
        sum = wr_checksum(sum, tensor->name.data, tensor->name.size);
        sum = wr_checksum(sum, tensor->dim, sizeof tensor->dim);
        sum = wr_checksum(sum, &tensor->number, sizeof tensor->number);
        sum = wr_checksum(sum, tensor->data, sample);
        if (sample > 0) sum = wr_checksum(sum, tensor->data + tensor->bytes - sample, sample);
    }
    return sum == 0 ? 1 : sum;
}

/* --- Opening ---------------------------------------------------------------------------------- */

static weir_status open_parts(weir_model *model, const char *path,
                              const weir_model_options *options, weir_error *error) {
    const bool metadata_only = options && options->metadata_only;
    const weir_allocator *allocator = wr_model_allocator(model);
    weir_status status = wr_gguf_open(path, allocator, &model->gguf, error);
    if (status == WEIR_OK) status = keep_strings(model, path, error);
    if (status == WEIR_OK) status = wr_vocab_open(model->gguf, allocator, &model->vocab, error);
    if (status == WEIR_OK)
        status = wr_model_choose_chat(model, options ? options->chat_template : NULL, error);
    if (status != WEIR_OK) return status;
    model->info.file_bytes = (int64_t)wr_gguf_size(model->gguf);
    model->info.cpu = wr_cpu_name(model->kernels->level);
    count_tensors(model);
    describe_text(model);
    wr_model_survey(model);
    status = wr_model_describe(model, &model->flaw);
    if (status != WEIR_OK && metadata_only) {
        wr_model_survey(model); /* whoever needs the numbers finds the reason in flaw */
        return WEIR_OK;
    }
    if (status != WEIR_OK) return weir_error_set(error, status, "%s", model->flaw.message);
    if (metadata_only) return WEIR_OK;
    status = wr_model_bind(model, error);
    if (status != WEIR_OK || (options && options->no_repack)) return status;
    return wr_model_pack(model, options, error);
}

weir_status weir_model_open(const char *path, const weir_model_options *options, weir_model **out,
                            weir_error *error) {
    const weir_allocator *allocator = options ? options->allocator : NULL;
    wr_cpu_level level;
    *out = NULL;
    weir_status status = wr_cpu_choose(options ? options->cpu : NULL, &level, error);
    if (status != WEIR_OK) return status;
    weir_model *model = wr_allocate_array(allocator, 1, sizeof *model);
    if (!model) return weir_error_set(error, WEIR_MEMORY, "%s: no memory to open it", path);
    if (allocator) {
        model->allocator = *allocator;
        model->has_allocator = true;
    }
    model->kernels = wr_kernels_get(level);
    status = open_parts(model, path, options, error);
    if (status != WEIR_OK) {
        weir_model_close(model);
        return status;
    }
    *out = model;
    return WEIR_OK;
}

void weir_model_close(weir_model *model) {
    if (!model) return;
    weir_allocator copy = model->allocator;
    const weir_allocator *allocator = model->has_allocator ? &copy : NULL;
    wr_arena_release(&model->arena, allocator);
    wr_release(allocator, model->packed, model->packed_block);
    wr_release(allocator, model->layer_windows, (size_t)model->layers * sizeof(int64_t));
    wr_vocab_close(model->vocab);
    wr_gguf_close(model->gguf);
    wr_release(allocator, model->strings, model->strings_size);
    wr_release(allocator, model, sizeof *model);
}

const weir_model_info *weir_model_get_info(const weir_model *model) { return &model->info; }

void weir_model_get_tensor(const weir_model *model, int64_t i, weir_tensor_info *out) {
    const wr_gguf_tensor *tensor = wr_gguf_tensor_at(model->gguf, i);
    const wr_format_info *format = wr_format_find(tensor->number);
    out->name = tensor->name.data;
    out->name_size = tensor->name.size;
    out->format = format ? format->name : NULL;
    out->number = tensor->number;
    out->dims = tensor->dims;
    memcpy(out->dim, tensor->dim, sizeof out->dim);
    out->bytes = (int64_t)tensor->bytes;
}

/* --- Text ------------------------------------------------------------------------------------- */

typedef struct tokenize_context {
    weir_token_fn emit;
    void *context;
    bool ends;    /* with BOS and EOS where the model adds them */
    bool special; /* control tokens are parsed */
} tokenize_context;

static weir_status pass_tokens(void *context, const int32_t *tokens, int64_t count,
                               weir_error *error) {
    const tokenize_context *to = context;
    weir_status status = to->emit(to->context, tokens, count);
    if (status != WEIR_OK) weir_error_set(error, status, "%s", weir_status_text(status));
    return status;
}

static weir_status tokenize_with(wr_tokenizer *tokenizer, const wr_vocab *vocab, const char *text,
                                 size_t size, tokenize_context *to, weir_error *error) {
    int32_t bos = wr_vocab_bos(vocab);
    int32_t eos = wr_vocab_eos(vocab);
    weir_status status = WEIR_OK;
    wr_tokenizer_reset(tokenizer, true);
    if (to->ends && wr_vocab_adds_bos(vocab) && bos >= 0) status = pass_tokens(to, &bos, 1, error);
    if (status == WEIR_OK)
        status = wr_tokenizer_feed(tokenizer, text, size, to->special, pass_tokens, to, error);
    if (status == WEIR_OK) status = wr_tokenizer_flush(tokenizer, pass_tokens, to, error);
    if (status == WEIR_OK && to->ends && wr_vocab_adds_eos(vocab) && eos >= 0)
        status = pass_tokens(to, &eos, 1, error);
    return status;
}

static weir_status tokenize(const weir_model *model, const char *text, size_t size,
                            tokenize_context *to, weir_error *error) {
    const weir_allocator *allocator = wr_model_allocator(model);
    weir_status status = wr_vocab_usable(model->vocab, error);
    if (status != WEIR_OK) return status;
    wr_arena arena = {0};
    wr_tokenizer_layout(&arena, model->vocab);
    if (wr_arena_bind(&arena, allocator) != WEIR_OK)
        return weir_error_set(error, WEIR_MEMORY, "no memory for a tokenizer");
    wr_tokenizer *tokenizer = wr_tokenizer_layout(&arena, model->vocab);
    status = tokenize_with(tokenizer, model->vocab, text, size, to, error);
    wr_arena_release(&arena, allocator);
    return status;
}

weir_status weir_model_tokenize(const weir_model *model, const char *text, size_t size, bool bos,
                                weir_token_fn emit, void *context, weir_error *error) {
    tokenize_context to = {.emit = emit, .context = context, .ends = bos};
    return tokenize(model, text, size, &to, error);
}

weir_status weir_model_tokenize_special(const weir_model *model, const char *text, size_t size,
                                        bool bos, weir_token_fn emit, void *context,
                                        weir_error *error) {
    tokenize_context to = {.emit = emit, .context = context, .ends = bos, .special = true};
    return tokenize(model, text, size, &to, error);
}

size_t weir_model_token_piece(const weir_model *model, int32_t token, char *out, size_t capacity) {
    wr_string piece = wr_vocab_piece(model->vocab, token);
    size_t size = piece.size < capacity ? piece.size : capacity;
    if (size > 0) memcpy(out, piece.data, size);
    return size;
}

double weir_model_nll(const weir_model *model, const float *logits, int32_t token) {
    assert(token >= 0 && token < model->vocabulary);
    return model->kernels->log_sum_exp(logits, model->vocabulary) - (double)logits[token];
}
