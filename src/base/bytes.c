/*
 * Bytes from outside. Numbers are put together byte by byte, so alignment and the machine's own
 * byte order never matter.
 */
#include "base/bytes.h"

#include <string.h>

bool wr_string_is(wr_string string, const char *text) {
    size_t size = strlen(text);
    return string.size == size && (size == 0 || memcmp(string.data, text, size) == 0);
}

const void *wr_read_bytes(wr_reader *reader, size_t size) {
    if (reader->failed || size > wr_reader_left(reader)) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *bytes = reader->data + reader->at;
    reader->at += size;
    return bytes;
}

/* `size` bytes, 1 ... 8, as a little-endian number. */
static uint64_t read_number(wr_reader *reader, size_t size) {
    const uint8_t *bytes = wr_read_bytes(reader, size);
    if (bytes == NULL) return 0;
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

uint8_t wr_read_u8(wr_reader *reader) { return (uint8_t)read_number(reader, 1); }
uint16_t wr_read_u16(wr_reader *reader) { return (uint16_t)read_number(reader, 2); }
uint32_t wr_read_u32(wr_reader *reader) { return (uint32_t)read_number(reader, 4); }
uint64_t wr_read_u64(wr_reader *reader) { return read_number(reader, 8); }

float wr_read_f32(wr_reader *reader) {
    uint32_t bits = wr_read_u32(reader);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

double wr_read_f64(wr_reader *reader) {
    uint64_t bits = wr_read_u64(reader);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Room for `size` more bytes; at least doubles, so that a long writing costs linear time. */
static bool reserve(wr_writer *writer, size_t size) {
    if (writer->failed) return false;
    if (size <= writer->capacity - writer->size) return true;
    size_t need, capacity;
    uint8_t *data = NULL;
    if (!__builtin_add_overflow(writer->size, size, &need)) {
        capacity = writer->capacity > SIZE_MAX / 2 ? need : 2 * writer->capacity;
        if (capacity < need) capacity = need;
        if (capacity < 256) capacity = 256;
        data = wr_allocate(writer->allocator, capacity);
    }
    if (data == NULL) {
        writer->failed = true;
        return false;
    }
    if (writer->size > 0) memcpy(data, writer->data, writer->size);
    wr_release(writer->allocator, writer->data, writer->capacity);
    writer->data = data;
    writer->capacity = capacity;
    return true;
}

void wr_write_bytes(wr_writer *writer, const void *data, size_t size) {
    if (size == 0 || !reserve(writer, size)) return;
    memcpy(writer->data + writer->size, data, size);
    writer->size += size;
}

static void write_number(wr_writer *writer, uint64_t value, size_t size) {
    uint8_t bytes[8];
    for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)(value >> (8 * i));
    wr_write_bytes(writer, bytes, size);
}

void wr_write_u8(wr_writer *writer, uint8_t value) { write_number(writer, value, 1); }
void wr_write_u16(wr_writer *writer, uint16_t value) { write_number(writer, value, 2); }
void wr_write_u32(wr_writer *writer, uint32_t value) { write_number(writer, value, 4); }
void wr_write_u64(wr_writer *writer, uint64_t value) { write_number(writer, value, 8); }

void wr_write_f32(wr_writer *writer, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    wr_write_u32(writer, bits);
}

void wr_write_f64(wr_writer *writer, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    wr_write_u64(writer, bits);
}

void wr_write_zeros(wr_writer *writer, size_t count) {
    if (count == 0 || !reserve(writer, count)) return;
    memset(writer->data + writer->size, 0, count);
    writer->size += count;
}

void wr_writer_release(wr_writer *writer) {
    wr_release(writer->allocator, writer->data, writer->capacity);
    *writer = (wr_writer){.allocator = writer->allocator};
}

/*
 * A polynomial in an odd K modulo 2^64:  h -> h K + byte + 1
 *
 * Any one changed byte changes the sum (K has an inverse), zeros count (the + 1), and a checksum of
 * pieces equals that of the whole. Eight steps at a time wait for only one product.
 */
#define K1 0x9E3779B97F4A7C15u
#define K2 (K1 * K1)
#define K3 (K2 * K1)
#define K4 (K2 * K2)
#define K5 (K4 * K1)
#define K6 (K4 * K2)
#define K7 (K4 * K3)
#define K8 (K4 * K4)

uint64_t wr_checksum(uint64_t seed, const void *data, size_t size) {
    const uint8_t *b = data;
    uint64_t h = seed;
    const uint64_t ones = K7 + K6 + K5 + K4 + K3 + K2 + K1 + 1;
    for (; size >= 8; size -= 8, b += 8) {
        uint64_t low = b[3] * K4 + b[2] * K5 + b[1] * K6 + b[0] * K7;
        uint64_t high = b[7] + b[6] * K1 + b[5] * K2 + b[4] * K3;
        h = h * K8 + (low + high + ones);
    }
    for (; size > 0; size--, b++) h = h * K1 + *b + 1;
    return h;
}
