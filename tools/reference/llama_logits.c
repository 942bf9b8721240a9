/*
 * The logits of llama.cpp for every token of a list, with float32 keys and values: against_llama.py
 * builds and runs it against an installed or built copy of that project.
 *
 *     llama_logits MODEL.gguf OUT.f32 TOKEN...        exit 3: the model is refused
 */
#include <stdio.h>
#include <stdlib.h>

#include "llama.h"

static void say_errors(enum ggml_log_level level, const char *text, void *unused) {
    (void)unused;
    if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

static struct llama_context *open_context(struct llama_model *model, int count) {
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = params.n_batch = params.n_ubatch = (uint32_t)count;
    params.n_threads = params.n_threads_batch = 2;
    params.type_k = params.type_v = GGML_TYPE_F32;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    return llama_init_from_model(model, params);
}

/* One batch, logits of every row. */
static int compute(struct llama_context *context, char **words, int count) {
    struct llama_batch batch = llama_batch_init(count, 0, 1);
    for (int i = 0; i < count; i++) {
        batch.token[i] = atoi(words[i]);
        batch.pos[i] = i;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i] = 1;
    }
    batch.n_tokens = count;
    int failed = llama_decode(context, batch);
    llama_batch_free(batch);
    return failed;
}

int main(int count, char **words) {
    if (count < 4) return 2;
    llama_log_set(say_errors, NULL);
    llama_backend_init();
    struct llama_model *model = llama_model_load_from_file(words[1], llama_model_default_params());
    if (model == NULL) return 3;
    struct llama_context *context = open_context(model, count - 3);
    if (context == NULL || compute(context, words + 3, count - 3) != 0) return 1;
    size_t vocabulary = (size_t)llama_vocab_n_tokens(llama_model_get_vocab(model));
    FILE *out = fopen(words[2], "wb");
    if (out == NULL) return 1;
    for (int i = 0; i < count - 3; i++)
        fwrite(llama_get_logits_ith(context, i), sizeof(float), vocabulary, out);
    int failed = fclose(out);
    llama_free(context);
    llama_model_free(model);
    return failed != 0;
}
