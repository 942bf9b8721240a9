/*
 * The weights of a Hugging Face folder: model.safetensors, or the shards that
 * model.safetensors.index.json names. Tensors are found by name; each remembers whether somebody
 * wanted it, so that a tensor that no one knows is noticed.
 */
#ifndef WR_WEIGHTS_H
#define WR_WEIGHTS_H

#include "convert/safetensors.h"

typedef struct wr_weight {
    const wr_safe_tensor *tensor;
    const char *path; /* the file that holds it */
    bool used;
} wr_weight;

typedef struct wr_weights wr_weights;

weir_status wr_weights_open(const char *folder, const weir_allocator *allocator, wr_weights **out,
                            weir_error *error);
void wr_weights_close(wr_weights *weights);

size_t wr_weights_count(const wr_weights *weights);
wr_weight *wr_weights_at(wr_weights *weights, size_t i);           /* in the order of their names */
wr_weight *wr_weights_find(wr_weights *weights, const char *name); /* NULL when absent */

#endif
