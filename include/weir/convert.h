/*
 * Conversion: a model as Hugging Face keeps it becomes one GGUF file. (libweir-lab)
 *
 *     weir_convert_options options = weir_convert_options_default();
 *     options.out = "model.gguf";
 *     if (weir_convert("Llama-3.2-1B", &options, NULL, &error) != WEIR_OK) ...
 *
 * The folder holds config.json, safetensors (one file, or shards and their index), and a tokenizer:
 * tokenizer.json or tokenizer.model, with tokenizer_config.json and generation_config.json where
 * they are there. Names of keys and tensors are GGUF's own, so that other engines load the file.
 * Tensors are made row by row: the model is never in memory. The file appears under its name only
 * when it is whole. Nothing in the folder is trusted: what does not fit is one sentence.
 */
#ifndef WEIR_CONVERT_H
#define WEIR_CONVERT_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/memory.h"
#include "weir/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_convert_options {
    const char *out;  /* the GGUF file */
    const char *type; /* of matrices: "f32", "f16", "bf16", or "keep": each as the folder has it */
    const char *name; /* general.name; NULL: the folder's */
    const char *pre;  /* the pre-tokenizer by GGUF's name; NULL: known by its patterns */
    bool no_vocab;    /* leave the tokenizer out: only token ids can be fed */
    const weir_allocator *allocator; /* NULL: the system's. (JSON takes memory beside it.) */
    /* Told now and then; false cancels. May be NULL. */
    bool (*progress)(void *context, int64_t done_bytes, int64_t total_bytes);
    void *progress_context;
} weir_convert_options;

typedef struct weir_convert_result {
    char family[32];
    int64_t tensors;
    int64_t parameters; /* numbers in them */
    int64_t bytes;      /* of tensor data */
    int64_t vocabulary; /* rows of the embedding */
} weir_convert_result;

WEIR_API weir_convert_options weir_convert_options_default(void);

/* `result` may be NULL. WEIR_UNSUPPORTED: a model that weir does not run; WEIR_DAMAGED: files that
 * contradict themselves or each other; WEIR_NAN: a number that `type` cannot hold. */
WEIR_API weir_status weir_convert(const char *folder, const weir_convert_options *options,
                                  weir_convert_result *result, weir_error *error);

#ifdef __cplusplus
}
#endif
#endif
