/*
 * Any bytes as a model in two files: the first two say how long the first part is. Whatever they
 * are, opening succeeds or says one sentence.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth) {
    if (!truth) abort();
}

static void write_file(const char *path, const uint8_t *data, size_t size) {
    FILE *file = fopen(path, "wb");
    require(file != NULL);
    require(fwrite(data, 1, size, file) == size);
    require(fclose(file) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char folder[] = "/tmp/weir-fuzz-split-XXXXXX";
    char first[64], second[64];
    wr_gguf *gguf;
    weir_error error;
    if (size < 2) return 0;
    size_t cut = (size_t)data[0] | (size_t)data[1] << 8;
    if (cut > size - 2) cut = size - 2;
    require(mkdtemp(folder) != NULL);
    snprintf(first, sizeof first, "%s/m-00001-of-00002.gguf", folder);
    snprintf(second, sizeof second, "%s/m-00002-of-00002.gguf", folder);
    write_file(first, data + 2, cut);
    write_file(second, data + 2 + cut, size - 2 - cut);
    if (wr_gguf_open(first, NULL, &gguf, &error) == WEIR_OK) {
        require(wr_gguf_size(gguf) <= size);
        for (int64_t i = 0; i < wr_gguf_tensor_count(gguf); i++) {
            const wr_gguf_tensor *tensor = wr_gguf_tensor_at(gguf, i);
            if (!tensor->foreign) wr_checksum(0, tensor->data, tensor->bytes);
        }
        wr_gguf_close(gguf);
    } else {
        require(gguf == NULL && strchr(error.message, '\n') == NULL);
    }
    unlink(first);
    unlink(second);
    rmdir(folder);
    return 0;
}
