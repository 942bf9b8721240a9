/*
 * Bytes from outside: a bounds-checked cursor to read with, a bounded buffer to write with.
 * Numbers are little-endian.
 *
 * A reader never goes past its end: a read that would sets `failed`, returns zero, and every later
 * read does the same; so a parser checks once after a group of reads.
 */
#ifndef WR_BYTES_H
#define WR_BYTES_H

#include <stdbool.h>

#include "base/allocate.h"

/* Borrowed bytes, not NUL-terminated. */
typedef struct wr_string {
    const char *data;
    size_t size;
} wr_string;

/* true when `string` holds exactly the characters of `text`. */
bool wr_string_is(wr_string string, const char *text);

typedef struct wr_reader {
    const uint8_t *data;
    size_t size;
    size_t at;   /* <= size */
    bool failed; /* a read went past the end */
} wr_reader;

const void *wr_read_bytes(wr_reader *reader, size_t size); /* borrowed; NULL on failure */
uint8_t wr_read_u8(wr_reader *reader);
uint16_t wr_read_u16(wr_reader *reader);
uint32_t wr_read_u32(wr_reader *reader);
uint64_t wr_read_u64(wr_reader *reader);
float wr_read_f32(wr_reader *reader);
double wr_read_f64(wr_reader *reader);
static inline size_t wr_reader_left(const wr_reader *reader) { return reader->size - reader->at; }

typedef struct wr_writer {
    const weir_allocator *allocator;
    uint8_t *data;
    size_t size;     /* bytes written */
    size_t capacity; /* bytes behind data */
    bool failed;     /* memory ran out: every later write does nothing */
} wr_writer;

void wr_write_bytes(wr_writer *writer, const void *data, size_t size);
void wr_write_u8(wr_writer *writer, uint8_t value);
void wr_write_u16(wr_writer *writer, uint16_t value);
void wr_write_u32(wr_writer *writer, uint32_t value);
void wr_write_u64(wr_writer *writer, uint64_t value);
void wr_write_f32(wr_writer *writer, float value);
void wr_write_f64(wr_writer *writer, double value);
void wr_write_zeros(wr_writer *writer, size_t count);
void wr_writer_release(wr_writer *writer);

/* A 64-bit checksum (not cryptographic): same bytes, same number, on every machine. Chain pieces by
 * passing the last result as `seed`. */
uint64_t wr_checksum(uint64_t seed, const void *data, size_t size);

#endif
