/*
 * Quantisation: the weights of a GGUF file in fewer bits. (libweir-lab)
 *
 *     weir_quantize_options options = weir_quantize_options_default();
 *     options.out = "small.gguf";
 *     options.type = "Q4_K_M";
 *     if (weir_quantize("model.gguf", &options, NULL, &error) != WEIR_OK) ...
 *
 * Matrices change, vectors and small matrices that are read as floats do not. A type is a format
 * ("Q8_0") or a mix ("Q4_K_M") in which the tensors that matter most have more bits; mixes are
 * named and composed as in other engines. Scales are chosen for the smallest sum of squared
 * differences. The same file gives the same bytes for any number of threads. Metadata stay, but for
 * general.file_type and general.quantization_version. The file appears under its name only when it
 * is whole.
 */
#ifndef WEIR_QUANTIZE_H
#define WEIR_QUANTIZE_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/memory.h"
#include "weir/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_quantize_options {
    const char *out;  /* the file to write; not the one that is read */
    const char *type; /* see weir_quantize_types() */
    bool pure;        /* every matrix in the type's own format, whatever the mix says */
    bool requantize;  /* also matrices that are in blocks already, at a loss */
    int threads;      /* 0: as many as there are processors */
    const weir_allocator *allocator; /* NULL: the system's */
    /* Told now and then; false cancels. May be NULL. */
    bool (*progress)(void *context, int64_t done_bytes, int64_t total_bytes);
    void *progress_context;
} weir_quantize_options;

typedef struct weir_quantize_result {
    int64_t tensors, changed;    /* all; those that have another format now */
    int64_t fallen_back;         /* whose rows are no multiple of their format's block */
    int64_t bytes_in, bytes_out; /* of tensor data */
    double bits;                 /* per weight, over all tensors */
} weir_quantize_result;

WEIR_API weir_quantize_options weir_quantize_options_default(void);

/* "F32, F16, ... Q6_K": for messages. */
WEIR_API const char *weir_quantize_types(void);

/* `result` may be NULL. WEIR_USAGE: an unknown type, or the same file twice; WEIR_UNSUPPORTED: a
 * tensor that cannot be read, or is in blocks already; WEIR_NAN: a weight that no format holds. */
WEIR_API weir_status weir_quantize(const char *path, const weir_quantize_options *options,
                                   weir_quantize_result *result, weir_error *error);

#ifdef __cplusplus
}
#endif
#endif
