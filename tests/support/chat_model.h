/*
 * A model or a vocabulary with the marks of every chat format, as a file: another one, with marks
 * in place of its last tokens (where it has weights) or behind them. Header only.
 */
#ifndef CHAT_MODEL_H
#define CHAT_MODEL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "file/gguf.h"
#include "text/vocab.h"

static const char *const chat_marks[] = {"<s>",
                                         "</s>",
                                         "<|begin_of_text|>",
                                         "<|end_of_text|>",
                                         "<|start_header_id|>",
                                         "<|end_header_id|>",
                                         "<|eot_id|>",
                                         "<|im_start|>",
                                         "<|im_end|>",
                                         "<|im_sep|>",
                                         "[INST]",
                                         "[/INST]",
                                         "[SYSTEM_PROMPT]",
                                         "[/SYSTEM_PROMPT]",
                                         "<bos>",
                                         "<eos>",
                                         "<start_of_turn>",
                                         "<end_of_turn>",
                                         "<|system|>",
                                         "<|user|>",
                                         "<|assistant|>",
                                         "<|end|>",
                                         "<|endoftext|>",
                                         "<|start|>",
                                         "<|message|>",
                                         "<|channel|>",
                                         "<|return|>",
                                         "<｜begin▁of▁sentence｜>",
                                         "<｜end▁of▁sentence｜>",
                                         "<｜User｜>",
                                         "<｜Assistant｜>"};

enum { CHAT_MARKS = sizeof chat_marks / sizeof chat_marks[0] };

typedef struct chat_sample {
    const char *base;          /* the path of the other one */
    const char *chat_template; /* "": none */
    const char *named;         /* a second template, called "named"; NULL: none */
    const char *bos, *eos;     /* marks; "": none */
    bool user_defined;         /* what the marks are but BOS and EOS; else control tokens */
    bool adds_bos;
} chat_sample;

static inline int32_t chat_mark(int32_t first, const char *mark) {
    for (int32_t i = 0; i < CHAT_MARKS; i++)
        if (strcmp(chat_marks[i], mark) == 0) return first + i;
    return -1;
}

static inline bool chat_is(const wr_gguf_value *value, const char *key) {
    return wr_string_is(value->key, key);
}

/* Keys that are written anew. */
static inline bool chat_replaces(const wr_gguf_value *value) {
    return chat_is(value, "tokenizer.ggml.tokens") || chat_is(value, "tokenizer.ggml.token_type") ||
           chat_is(value, "tokenizer.ggml.scores") ||
           chat_is(value, "tokenizer.ggml.bos_token_id") ||
           chat_is(value, "tokenizer.ggml.eos_token_id") ||
           chat_is(value, "tokenizer.ggml.eot_token_id") ||
           chat_is(value, "tokenizer.ggml.add_bos_token");
}

static inline void chat_put_tokens(wr_gguf_writer *to, const wr_gguf *from,
                                   const chat_sample *sample) {
    const wr_gguf_value *tokens = wr_gguf_find(from, "tokenizer.ggml.tokens");
    const wr_gguf_value *types = wr_gguf_find(from, "tokenizer.ggml.token_type");
    const wr_gguf_value *scores = wr_gguf_find(from, "tokenizer.ggml.scores");
    int32_t had = (int32_t)tokens->count;
    int32_t first = wr_gguf_tensor_count(from) > 0 ? had - CHAT_MARKS : had;
    int32_t all = first + CHAT_MARKS;
    wr_string *pieces = calloc((size_t)all + CHAT_MARKS, sizeof *pieces);
    int32_t *kinds = calloc((size_t)all, sizeof *kinds);
    float *numbers = calloc((size_t)all, sizeof *numbers);
    wr_gguf_cursor cursor = {0};
    for (int32_t i = 0; i < had; i++) wr_gguf_next_string(tokens, &cursor, &pieces[i]);
    for (int32_t i = 0; i < first; i++) {
        kinds[i] = types ? (int32_t)wr_gguf_item_int(types, (uint64_t)i) : WR_TOKEN_NORMAL;
        if (scores) numbers[i] = (float)wr_gguf_item_float(scores, (uint64_t)i);
    }
    for (int32_t i = 0; i < CHAT_MARKS; i++) {
        const char *mark = chat_marks[i];
        bool end = strcmp(mark, sample->bos) == 0 || strcmp(mark, sample->eos) == 0;
        pieces[first + i] = (wr_string){mark, strlen(mark)};
        kinds[first + i] = sample->user_defined && !end ? WR_TOKEN_USER_DEFINED : WR_TOKEN_CONTROL;
    }
    wr_gguf_put_strings(to, "tokenizer.ggml.tokens", pieces, (uint64_t)all);
    wr_gguf_put_ints(to, "tokenizer.ggml.token_type", kinds, (uint64_t)all);
    if (scores) wr_gguf_put_floats(to, "tokenizer.ggml.scores", numbers, (uint64_t)all);
    wr_gguf_put_int(to, "tokenizer.ggml.bos_token_id", WR_GGUF_I32, chat_mark(first, sample->bos));
    wr_gguf_put_int(to, "tokenizer.ggml.eos_token_id", WR_GGUF_I32, chat_mark(first, sample->eos));
    wr_gguf_put_bool(to, "tokenizer.ggml.add_bos_token", sample->adds_bos);
    free(pieces);
    free(kinds);
    free(numbers);
}

static inline void chat_model_write(const char *path, const chat_sample *sample) {
    wr_gguf *from;
    wr_gguf_writer *to;
    if (wr_gguf_open(sample->base, NULL, &from, NULL) != WEIR_OK ||
        wr_gguf_writer_open(path, NULL, &to, NULL) != WEIR_OK)
        abort();
    for (int64_t i = 0; i < wr_gguf_value_count(from); i++)
        if (!chat_replaces(wr_gguf_value_at(from, i)))
            wr_gguf_put_value(to, wr_gguf_value_at(from, i));
    chat_put_tokens(to, from, sample);
    if (sample->chat_template[0])
        wr_gguf_put_string(to, "tokenizer.chat_template", sample->chat_template);
    if (sample->named) wr_gguf_put_string(to, "tokenizer.chat_template.named", sample->named);
    for (int64_t i = 0; i < wr_gguf_tensor_count(from); i++) {
        const wr_gguf_tensor *tensor = wr_gguf_tensor_at(from, i);
        char name[80];
        snprintf(name, sizeof name, "%.*s", (int)tensor->name.size, tensor->name.data);
        wr_gguf_put_tensor(to, name, tensor->format, tensor->dims, tensor->dim);
    }
    for (int64_t i = 0; i < wr_gguf_tensor_count(from); i++) {
        const wr_gguf_tensor *tensor = wr_gguf_tensor_at(from, i);
        if (wr_gguf_write_data(to, tensor->data, tensor->bytes, NULL) != WEIR_OK) abort();
    }
    if (wr_gguf_writer_commit(to, NULL) != WEIR_OK) abort();
    wr_gguf_writer_close(to);
    wr_gguf_close(from);
}

#endif
