/*
 * Files: mapped read-only, or replaced as a whole. Every error names the path.
 */
#ifndef WR_FILE_H
#define WR_FILE_H

#include "base/allocate.h"

typedef struct wr_map {
    const uint8_t *data;
    size_t size;
} wr_map;

/* Map a regular file read-only. A folder, a missing, unreadable or empty file is one sentence. */
weir_status wr_map_open(const char *path, wr_map *out, weir_error *error);
void wr_map_close(wr_map *map);

/* Give the pages of mapped bytes [data, data + size) back to the system; they stay readable, from
 * the file. */
void wr_map_forget(const void *data, size_t size);

/* Replace `path` atomically (temporary file beside it, fsync, rename); on failure the old file
 * stays and no temporary is left. */
weir_status wr_file_replace(const char *path, const void *data, size_t size,
                            const weir_allocator *allocator, weir_error *error);

#endif
