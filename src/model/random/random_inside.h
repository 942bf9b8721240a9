/*
 * Random models inside: a shape that has been checked, the list of its tensors, and its vocabulary.
 *
 *     make_random.c    what may be asked for; the file
 *     random_layout.c  keys and tensors, as the family's row has them
 *     random_words.c   the vocabulary
 */
#ifndef WR_RANDOM_INSIDE_H
#define WR_RANDOM_INSIDE_H

#include "file/gguf.h"
#include "model/family.h"
#include "weir/make_random.h"

/* The shape with its defaults in place. */
typedef struct wr_random_shape {
    weir_random_model asked;
    const wr_format_info *format;
    const wr_family *family;
    int64_t head_dim;
    int64_t query_width, key_width; /* heads * head_dim, kv_heads * head_dim */
    const char *sink;
    wr_positions positions;
} wr_random_shape;

/* What a tensor's numbers are: of a matrix in the format that was asked for, of vectors in F32,
 * with a mean and a deviation. */
typedef struct wr_random_tensor {
    char name[48];
    int64_t rows, columns; /* rows 0: a vector */
    bool matrix;
    float mean, deviation;
    int64_t depth; /* so many matrices, or lists of vectors; 0: one */
} wr_random_tensor;

/* random_layout.c */
void wr_random_keys(wr_gguf_writer *writer, const wr_random_shape *shape);
typedef weir_status (*wr_random_tensor_fn)(void *context, const wr_random_tensor *tensor);
/* Every tensor in the order of the file. */
weir_status wr_random_tensors(const wr_random_shape *shape, wr_random_tensor_fn fn, void *context);

/* random_words.c */
weir_status wr_random_vocabulary(wr_gguf_writer *writer, int64_t size, weir_error *error);

#endif
