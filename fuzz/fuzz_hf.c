/*
 * Any bytes as what stands beside weights in a folder of Hugging Face. The first byte says as what:
 * c config.json, t tokenizer.json, m tokenizer.model. What is read can be written as keys.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "convert/hf/hf_vocab.h"

enum { TOKENS = 300 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth) {
    if (!truth) abort();
}

static void check(weir_status status, const weir_error *error) {
    require(status == WEIR_OK || (error->message[0] != '\0' && !strchr(error->message, '\n')));
}

/* A file that is never committed. */
static wr_gguf_writer *writer_open(void) {
    char path[64];
    wr_gguf_writer *writer = NULL;
    snprintf(path, sizeof path, "/tmp/weir-fuzz-%d.gguf", (int)getpid());
    require(wr_gguf_writer_open(path, NULL, &writer, NULL) == WEIR_OK);
    return writer;
}

static void read_config(const wr_json *config) {
    wr_hf_model model;
    weir_error error = {0};
    wr_hf_rope_list lists[WR_HF_ROPE_LISTS];
    int count;
    weir_status status = wr_hf_model_read(config, "/none", &model, &error);
    check(status, &error);
    if (status != WEIR_OK) return;
    wr_gguf_writer *writer = writer_open();
    check(wr_hf_put_keys(&model, writer, &error), &error);
    wr_gguf_writer_close(writer);
    check(wr_hf_rope_lists(&model, lists, &count, &error), &error);
}

static void read_vocabulary(const wr_json *tokenizer, const uint8_t *data, size_t size) {
    wr_hf_model model = {.config = tokenizer, .folder = "/none"};
    wr_hf_vocab *vocab = wr_allocate_array(NULL, 1, sizeof *vocab);
    weir_error error = {0};
    require(vocab != NULL);
    *vocab = (wr_hf_vocab){.folder = "/none", .model = "none", .count = TOKENS};
    vocab->pieces = wr_allocate_array(NULL, TOKENS, sizeof *vocab->pieces);
    require(vocab->pieces != NULL);
    for (int i = 0; i < WR_SPECIALS; i++) vocab->special[i] = -1;
    weir_status status = tokenizer != NULL
                             ? wr_hf_tokenizer_read(vocab, tokenizer, NULL, &error)
                             : wr_sentencepiece_read(vocab, "fuzz", data, size, &error);
    if (status == WEIR_OK) status = wr_hf_special_read(vocab, &model, tokenizer, &error);
    check(status, &error);
    if (status == WEIR_OK) {
        wr_gguf_writer *writer = writer_open();
        check(wr_hf_vocab_put(vocab, writer, &error), &error);
        wr_gguf_writer_close(writer);
    }
    wr_hf_vocab_release(vocab);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    wr_json *document = NULL;
    weir_error error = {0};
    if (size == 0) return 0;
    if (data[0] == 'm') {
        read_vocabulary(NULL, data + 1, size - 1);
        return 0;
    }
    const weir_status status = wr_json_parse("fuzz", data + 1, size - 1, &document, &error);
    check(status, &error);
    if (status == WEIR_OK && data[0] == 'c') read_config(document);
    if (status == WEIR_OK && data[0] == 't') read_vocabulary(document, NULL, 0);
    wr_json_close(document);
    return 0;
}
