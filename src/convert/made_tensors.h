/*
 * The tensors of a GGUF, made row by row from those of a Hugging Face model: which sources each
 * has, its shape, and any of its rows on demand. Nothing is ever in memory but a row.
 */
#ifndef WR_MADE_TENSORS_H
#define WR_MADE_TENSORS_H

#include "convert/hf/hf_keys.h"
#include "convert/weights.h"

#define WR_MADE_NAME 96

typedef struct wr_made_tensor {
    char name[WR_MADE_NAME];
    const wr_rename *rename; /* NULL: a list of divisors */
    const wr_hf_rope_list *list;
    size_t first;          /* of its sources in wr_made.sources */
    int64_t sources;       /* one for each expert (or head), else 1 */
    int64_t matrices;      /* in one source */
    int64_t rows, columns; /* of one matrix */
    int32_t dims;          /* 1: a vector [columns] */
    int64_t dim[4];        /* as GGUF has them, fastest first */
} wr_made_tensor;

typedef struct wr_made {
    const weir_allocator *allocator;
    const wr_hf_model *model;
    wr_made_tensor *tensors; /* [count] */
    size_t count, room;
    const wr_weight **sources; /* [source_count] */
    size_t source_count, source_room;
    wr_hf_rope_list lists[WR_HF_ROPE_LISTS];
} wr_made;

/* Match every tensor of the folder. What the family needs and the folder lacks, what nobody knows,
 * and shapes that do not fit are one sentence. Fills model->vocabulary. */
weir_status wr_made_list(wr_hf_model *model, wr_weights *weights, const weir_allocator *allocator,
                         wr_made *out, weir_error *error);
void wr_made_release(wr_made *made);

/* Row r (0 ... matrices * sources * rows - 1; of a vector 0) as floats [columns]. */
void wr_made_row(const wr_made *made, const wr_made_tensor *tensor, int64_t r, float *out);
/* The same of a tensor whose rename says MXFP4: blocks of GGUF's layout. */
void wr_made_blocks(const wr_made *made, const wr_made_tensor *tensor, int64_t r, uint8_t *out);

static inline int64_t wr_made_rows(const wr_made_tensor *tensor) {
    return tensor->sources * tensor->matrices * tensor->rows;
}
static inline bool wr_made_is_mxfp4(const wr_made_tensor *tensor) {
    return tensor->rename != NULL && (tensor->rename->flags & WR_RENAME_MXFP4) != 0;
}

#endif
