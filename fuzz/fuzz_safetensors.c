/*
 * Any bytes as a safetensors file: when it opens, every tensor lies in the data, and every number
 * of the types that are numbers can be read.
 */
#include <stdlib.h>
#include <string.h>

#include "convert/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth) {
    if (!truth) abort();
}

static void visit(const wr_safe_tensor *tensor, const uint8_t *begin, const uint8_t *end) {
    require(tensor->data >= begin && tensor->data + tensor->bytes <= end);
    require(tensor->dims >= 0 && tensor->dims <= WR_SAFE_DIMS);
    if (tensor->type >= WR_SAFE_BYTES || tensor->bytes > 1 << 16) return;
    const size_t count = tensor->bytes / wr_safe_size(tensor->type);
    float *numbers = malloc((count > 0 ? count : 1) * sizeof *numbers);
    require(numbers != NULL);
    wr_safe_floats(tensor, 0, 1, count, numbers);
    free(numbers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    wr_safetensors *file = NULL;
    weir_error error = {0};
    if (wr_safetensors_parse("fuzz", data, size, NULL, &file, &error) != WEIR_OK) {
        require(file == NULL && error.message[0] != '\0' && !strchr(error.message, '\n'));
        return 0;
    }
    for (size_t i = 0; i < wr_safetensors_count(file); i++)
        visit(wr_safetensors_at(file, i), data, data + size);
    wr_safetensors_close(file);
    return 0;
}
