/*
 * GGUF bytes put together by hand, piece by piece, so that a test can put any of them wrong.
 */
#ifndef GGUF_SAMPLE_H
#define GGUF_SAMPLE_H

#include "file/gguf.h"

void sample_string(wr_writer *out, const char *text);
void sample_header(wr_writer *out, uint32_t version, uint64_t tensors, uint64_t keys);
void sample_key(wr_writer *out, const char *key, uint32_t type); /* the value follows */
void sample_array(wr_writer *out, const char *key, uint32_t item_type, uint64_t count);
void sample_tensor(wr_writer *out, const char *name, uint32_t format, uint32_t dims,
                   const uint64_t *dim, uint64_t offset);
void sample_pad(wr_writer *out, size_t alignment);

/* A whole valid file: every type of value ("type.u8" ...), every type of array ("array.u8" ...,
 * three items, and "array.none" with none), two tensors of weir's and one foreign. Returns where
 * the directory ends. The numbers are those of sample_int and sample_float. */
size_t sample_file(wr_writer *out, uint32_t version, uint32_t alignment);
int64_t sample_int(wr_gguf_type type, uint64_t i); /* item i; a scalar is item 0 */
double sample_float(wr_gguf_type type, uint64_t i);

/* "u8" ...; of every type, for the names of the sample's keys. */
const char *sample_type_name(wr_gguf_type type);

/* Visit everything that an open file has, through every getter. */
void sample_walk(const wr_gguf *gguf);

/* The path of a file in the shared folder (WEIR_SHARED, or beside the sources), or false. */
bool sample_shared(const char *name, char *path, size_t size);

#endif
