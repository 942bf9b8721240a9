/* A text as tokens on disk: see shard.h. */
#include "train/data/shard.h"

#include <string.h>

#include "base/bytes.h"
#include "base/new_file.h"

#define MAGIC 0x6B6F742072696577u /* "weir tok" */
#define VERSION 1
#define BUFFER_TOKENS 16384

typedef struct footer {
    uint64_t magic;
    uint32_t version;
    uint32_t token_bytes;
    wr_shard_key key;
    uint64_t count;
    uint64_t tokens_checksum;
    uint64_t footer_checksum; /* of what stands before it */
} footer;

static uint64_t footer_checksum(const footer *f) {
    return wr_checksum(MAGIC, f, offsetof(footer, footer_checksum));
}

static uint32_t bytes_for(const wr_shard_key *key) {
    return key->vocabulary_size <= UINT16_MAX + 1 ? 2 : 4;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool read_footer(const wr_map *map, const wr_shard_key *key, footer *f) {
    if (map->size < sizeof *f) return false;
    memcpy(f, map->data + map->size - sizeof *f, sizeof *f);
    return f->magic == MAGIC && f->version == VERSION && f->token_bytes == bytes_for(key) &&
           memcmp(&f->key, key, sizeof *key) == 0 && f->footer_checksum == footer_checksum(f) &&
           f->count > 0 && f->count <= map->size / f->token_bytes &&
           f->count * f->token_bytes == map->size - sizeof *f;
}

static uint64_t highest(const wr_shard *shard) {
    uint32_t most = 0;
    if (shard->token_bytes == 2) {
        const uint16_t *tokens = (const uint16_t *)(const void *)shard->map.data;
        for (int64_t i = 0; i < shard->count; i++) most = tokens[i] > most ? tokens[i] : most;
    } else {
        const uint32_t *tokens = (const uint32_t *)(const void *)shard->map.data;
        for (int64_t i = 0; i < shard->count; i++) most = tokens[i] > most ? tokens[i] : most;
    }
    return most;
}

bool wr_shard_open(const char *path, const wr_shard_key *key, wr_shard *out) {
    *out = (wr_shard){0};
    footer f;
    if (wr_map_open(path, &out->map, NULL) != WEIR_OK) return false;
    if (read_footer(&out->map, key, &f)) {
        out->token_bytes = (int32_t)f.token_bytes;
        out->count = (int64_t)f.count;
        out->checksum = wr_checksum(0, out->map.data, (size_t)f.count * f.token_bytes);
        if (out->checksum == f.tokens_checksum && highest(out) < key->vocabulary_size) return true;
    }
    wr_shard_close(out);
    return false;
}

void wr_shard_close(wr_shard *shard) {
    wr_map_close(&shard->map);
    *shard = (wr_shard){0};
}

void wr_shard_read(const wr_shard *shard, int64_t first, int64_t count, int32_t *out) {
    if (shard->token_bytes == 2) {
        const uint16_t *tokens = (const uint16_t *)(const void *)shard->map.data + first;
        for (int64_t i = 0; i < count; i++) out[i] = tokens[i];
    } else {
        memcpy(out, (const int32_t *)(const void *)shard->map.data + first,
               (size_t)count * sizeof *out);
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

struct wr_shard_writer {
    const weir_allocator *allocator;
    wr_new_file *file;
    footer footer;
    uint16_t narrow[BUFFER_TOKENS];
};

weir_status wr_shard_writer_open(const char *path, const wr_shard_key *key,
                                 const weir_allocator *allocator, wr_shard_writer **out,
                                 weir_error *error) {
    *out = NULL;
    wr_shard_writer *writer = wr_allocate_array(allocator, 1, sizeof *writer);
    if (!writer) return weir_error_set(error, WEIR_MEMORY, "%.300s: no memory to write it", path);
    writer->allocator = allocator;
    writer->footer.magic = MAGIC;
    writer->footer.version = VERSION;
    writer->footer.token_bytes = bytes_for(key);
    writer->footer.key = *key;
    weir_status status = wr_new_file_open(path, allocator, &writer->file, error);
    if (status == WEIR_OK)
        *out = writer;
    else
        wr_shard_writer_close(writer);
    return status;
}

static weir_status write_bytes(wr_shard_writer *writer, const void *data, int64_t count,
                               weir_error *error) {
    footer *f = &writer->footer;
    size_t size = (size_t)count * f->token_bytes;
    f->tokens_checksum = wr_checksum(f->tokens_checksum, data, size);
    f->count += (uint64_t)count;
    return wr_new_file_write(writer->file, data, size, error);
}

weir_status wr_shard_write(wr_shard_writer *writer, const int32_t *tokens, int64_t count,
                           weir_error *error) {
    if (writer->footer.token_bytes == 4) return write_bytes(writer, tokens, count, error);
    weir_status status = WEIR_OK;
    while (status == WEIR_OK && count > 0) {
        int64_t some = count < BUFFER_TOKENS ? count : BUFFER_TOKENS;
        for (int64_t i = 0; i < some; i++) writer->narrow[i] = (uint16_t)tokens[i];
        status = write_bytes(writer, writer->narrow, some, error);
        tokens += some;
        count -= some;
    }
    return status;
}

weir_status wr_shard_writer_commit(wr_shard_writer *writer, weir_error *error) {
    footer *f = &writer->footer;
    f->footer_checksum = footer_checksum(f);
    weir_status status = wr_new_file_write(writer->file, f, sizeof *f, error);
    return status == WEIR_OK ? wr_new_file_commit(writer->file, error) : status;
}

void wr_shard_writer_close(wr_shard_writer *writer) {
    if (!writer) return;
    wr_new_file_close(writer->file);
    wr_release(writer->allocator, writer, sizeof *writer);
}
