/*
 * A text as tokens on disk, mapped:
 *
 *   token token token ...           u16 where the vocabulary has at most 65,536, else u32
 *   footer                          what they were made of, their count, checksums
 *
 * The footer stands at the end, so that a shard is written in one go. It is a copy that can be made
 * again at any time, in the byte order of the machine: what does not match in every respect is
 * made anew.
 */
#ifndef WR_SHARD_H
#define WR_SHARD_H

#include "base/file.h"

/* What a shard must have been made of. */
typedef struct wr_shard_key {
    uint64_t vocabulary;      /* fingerprint */
    uint64_t vocabulary_size; /* every token is below */
    uint64_t text_size;       /* bytes */
    int64_t text_seconds;     /* when the text was last changed, and nanoseconds of it */
    int64_t text_nanoseconds;
} wr_shard_key;

typedef struct wr_shard {
    wr_map map;
    int32_t token_bytes; /* 2 or 4 */
    int64_t count;       /* tokens, at least 1 */
    uint64_t checksum;   /* of the tokens */
} wr_shard;

/* true when the file is a whole shard of this key; every token is looked at. */
bool wr_shard_open(const char *path, const wr_shard_key *key, wr_shard *out);
void wr_shard_close(wr_shard *shard);

/* Tokens [first, first + count), which the shard has. */
void wr_shard_read(const wr_shard *shard, int64_t first, int64_t count, int32_t *out);

/* Writing: the file appears under its name only when whole. */
typedef struct wr_shard_writer wr_shard_writer;

weir_status wr_shard_writer_open(const char *path, const wr_shard_key *key,
                                 const weir_allocator *allocator, wr_shard_writer **out,
                                 weir_error *error);
weir_status wr_shard_write(wr_shard_writer *writer, const int32_t *tokens, int64_t count,
                           weir_error *error);
weir_status wr_shard_writer_commit(wr_shard_writer *writer, weir_error *error);
void wr_shard_writer_close(wr_shard_writer *writer);

#endif
