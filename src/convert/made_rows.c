/*
 * Rows of made tensors: where in its source a row stands.
 *
 * Heads of queries and keys are rotated by pairs: here (i, i + dim / 2), in a Llama's GGUF
 * (2i, 2i + 1). A scalar product of two rotated heads does not care for their order, so rows are
 * exchanged once and for all:
 *
 *     row h * dim + 2 i + s   is   row h * dim + s * dim / 2 + i        s = 0, 1
 */
#include <string.h>

#include "convert/made_tensors.h"

#define BLOCK 32 /* weights of a block of MXFP4: a byte of scale, 16 of codes */

static int64_t paired(int64_t row, int64_t dim) {
    const int64_t head = row / dim, at = row % dim;
    return head * dim + at % 2 * (dim / 2) + at / 2;
}

/* A group here: its queries, its key, its value. There: all queries, all keys, all values. */
static int64_t unfused(const wr_hf_model *model, int64_t row) {
    const int64_t dim = model->head_dim, share = model->heads / model->kv_heads;
    int64_t head = row / dim, group, place;
    if (head < model->heads) {
        group = head / share;
        place = head % share;
    } else {
        head -= model->heads;
        group = head % model->kv_heads;
        place = share + head / model->kv_heads;
    }
    return (group * (share + 2) + place) * dim + row % dim;
}

static int64_t source_row(const wr_hf_model *model, const wr_made_tensor *tensor, int64_t row,
                          int64_t rows) {
    switch (tensor->rename->rows) {
    case WR_ROWS_PAIRED_Q:
    case WR_ROWS_PAIRED_K:
        return paired(row, model->head_dim);
    case WR_ROWS_UNFUSED:
        return unfused(model, row);
    case WR_ROWS_EVEN:
        return 2 * row;
    case WR_ROWS_ODD:
        return 2 * row + 1;
    case WR_ROWS_SECOND_HALF:
        return rows + row;
    default:
        return row;
    }
}

/* Rows (of a vector: elements) that the source of a matrix has. */
static int64_t source_rows(const wr_made_tensor *tensor, int64_t rows) {
    return tensor->rename->rows < WR_ROWS_EVEN ? rows : 2 * rows;
}

static const wr_safe_tensor *source_of(const wr_made *made, const wr_made_tensor *tensor,
                                       int64_t matrix) {
    return made->sources[tensor->first + (size_t)(matrix / tensor->matrices)]->tensor;
}

static void vector_row(const wr_made *made, const wr_made_tensor *tensor, int64_t matrix,
                       float *out) {
    const wr_safe_tensor *source = source_of(made, tensor, matrix);
    const int64_t have = source_rows(tensor, tensor->columns);
    const int64_t begin = matrix % tensor->matrices * have;
    for (int64_t i = 0; i < tensor->columns; i++)
        out[i] = wr_safe_float(
            source, (size_t)(begin + source_row(made->model, tensor, i, tensor->columns)));
}

static void matrix_row(const wr_made *made, const wr_made_tensor *tensor, int64_t r, float *out) {
    const int64_t matrix = r / tensor->rows, rows = source_rows(tensor, tensor->rows);
    const int64_t row = source_row(made->model, tensor, r % tensor->rows, tensor->rows);
    const int64_t begin = matrix % tensor->matrices * rows * tensor->columns;
    const bool turned = (tensor->rename->flags & WR_RENAME_TRANSPOSED) != 0;
    wr_safe_floats(source_of(made, tensor, matrix),
                   (size_t)(begin + (turned ? row : row * tensor->columns)),
                   turned ? (size_t)rows : 1, (size_t)tensor->columns, out);
}

void wr_made_row(const wr_made *made, const wr_made_tensor *tensor, int64_t r, float *out) {
    if (tensor->list != NULL) {
        memcpy(out, tensor->list->divisors, (size_t)tensor->columns * sizeof *out);
        return;
    }
    if (tensor->rows == 1)
        vector_row(made, tensor, r, out);
    else
        matrix_row(made, tensor, r, out);
    if (tensor->rename->flags & WR_RENAME_PLUS_ONE)
        for (int64_t i = 0; i < tensor->columns; i++) out[i] += 1;
}

/* There two weights that follow one another share a byte, here weights i and i + 16 do. */
static void repack(const uint8_t *codes, uint8_t scale, uint8_t *out) {
    out[0] = scale;
    for (int i = 0; i < BLOCK / 2; i++) {
        const int shift = i % 2 * 4;
        const int low = codes[i / 2] >> shift & 15, high = codes[8 + i / 2] >> shift & 15;
        out[1 + i] = (uint8_t)(low | high << 4);
    }
}

void wr_made_blocks(const wr_made *made, const wr_made_tensor *tensor, int64_t r, uint8_t *out) {
    const int64_t matrix = r / tensor->rows, blocks = tensor->columns / BLOCK;
    const int64_t row = source_row(made->model, tensor, r % tensor->rows, tensor->rows);
    const size_t first = (size_t)((matrix * source_rows(tensor, tensor->rows) + row) * blocks);
    const uint8_t *codes = made->sources[tensor->first]->tensor->data + first * (BLOCK / 2);
    const uint8_t *scales = made->sources[tensor->first + 1]->tensor->data + first;
    for (int64_t i = 0; i < blocks; i++)
        repack(codes + i * (BLOCK / 2), scales[i], out + i * (1 + BLOCK / 2));
}
