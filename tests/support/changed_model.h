/*
 * A model's file written once more, with keys and tensors that it had not.
 */
#ifndef CHANGED_MODEL_H
#define CHANGED_MODEL_H

#include "file/gguf.h"

typedef struct extra_tensor {
    const char *name;
    const float *numbers; /* [count] as F32 */
    int64_t count;
} extra_tensor;

/* Writes the further keys. */
typedef void (*extra_keys_fn)(wr_gguf_writer *writer);

/* Keys of `from` that are called `without` (NULL: none) are left out. `keys` may be NULL; `tensors`
 * ends with a NULL name, or is NULL. */
void changed_model(const char *from, const char *to, const char *without, extra_keys_fn keys,
                   const extra_tensor *tensors);

#endif
