/*
 * A trained model as a GGUF file: the parameters of core.h under GGUF's names, with the vocabulary
 * of another GGUF file.
 *
 * `none` and `token` with rotary positions are the architecture "llama", which other engines load.
 * What they would load wrongly (`zero`, `logit`, ALiBi) is "weir", so that they refuse.
 */
#ifndef WR_EXPORT_H
#define WR_EXPORT_H

#include "base/allocate.h"
#include "train/core/parameters.h"

typedef struct wr_export {
    weir_train_shape shape;
    const float *parameters; /* as parameters.h lays them out */
    const char *vocabulary;  /* GGUF file whose tokenizer.* keys are taken over */
    const char *format;      /* of the matrices: "F32", "F16", "BF16", "Q8_0"; vectors are F32 */
    const char *name;        /* general.name */
    int64_t steps, tokens;   /* what it was trained with: weir.train.* */
} wr_export;

/* Every refusal that needs no parameters, before time is spent on them: a format that is not
 * written, rows that are not whole blocks of it, another size of vocabulary, no BOS for the sink
 * token. Where the vocabulary is not yet there (NULL), what can be known without it. */
weir_status wr_export_check(const wr_export *model, const weir_allocator *allocator,
                            weir_error *error);

/* The file appears under its name only when whole. WEIR_NAN names the tensor with a number that the
 * format cannot hold. */
weir_status wr_export_write(const char *path, const wr_export *model,
                            const weir_allocator *allocator, weir_error *error);

#endif
