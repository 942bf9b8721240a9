/*
 * safetensors: one file of tensors, every byte distrusted.
 *
 *     u64 size of the header | header: JSON | data
 *     header: {"name": {"dtype": "F32", "shape": [rows, columns], "data_offsets": [begin, end]}}
 *
 * Opening checks that every tensor lies in the data, has the bytes of its shape, and shares none
 * with another. Names and bytes are borrowed until close.
 */
#ifndef WR_SAFETENSORS_H
#define WR_SAFETENSORS_H

#include "base/bytes.h"

#define WR_SAFE_DIMS 5

/* What is read as numbers; the others are only carried, and named when somebody wants them. */
typedef enum wr_safe_type {
    WR_SAFE_F32,
    WR_SAFE_F16,
    WR_SAFE_BF16,
    WR_SAFE_F64,
    WR_SAFE_BYTES, /* U8 */
    WR_SAFE_OTHER
} wr_safe_type;

typedef struct wr_safe_tensor {
    wr_string name;
    wr_safe_type type;
    const char *type_name;     /* "F32" */
    int32_t dims;              /* 0: one number */
    int64_t dim[WR_SAFE_DIMS]; /* slowest first; unused ones are 1 */
    const uint8_t *data;
    size_t bytes;
} wr_safe_tensor;

typedef struct wr_safetensors wr_safetensors;

weir_status wr_safetensors_open(const char *path, const weir_allocator *allocator,
                                wr_safetensors **out, weir_error *error);
/* The same over bytes in memory, borrowed until close; `name` stands in for the path. */
weir_status wr_safetensors_parse(const char *name, const void *data, size_t size,
                                 const weir_allocator *allocator, wr_safetensors **out,
                                 weir_error *error);
void wr_safetensors_close(wr_safetensors *file);

size_t wr_safetensors_count(const wr_safetensors *file);
const wr_safe_tensor *wr_safetensors_at(const wr_safetensors *file, size_t i);

/* Element i as a float; of a type that is a number. */
float wr_safe_float(const wr_safe_tensor *tensor, size_t i);
/* `count` of them from element `from`, `step` elements apart. */
void wr_safe_floats(const wr_safe_tensor *tensor, size_t from, size_t step, size_t count,
                    float *out);
/* Bytes of an element. */
size_t wr_safe_size(wr_safe_type type);

#endif
