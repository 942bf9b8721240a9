/*
 * What the files that read GGUF share: the open file, its types, its failures.
 */
#ifndef WR_GGUF_INSIDE_H
#define WR_GGUF_INSIDE_H

#include "base/file.h"
#include "file/gguf.h"
#include "file/name.h"
#include "file/named_list.h"

#define WR_GGUF_MAGIC "GGUF"
#define WR_GGUF_KEY_LIMIT 65536 /* bytes of a key */
#define WR_GGUF_NAME_LIMIT 255  /* bytes of a tensor's name */
#define WR_GGUF_ALIGNMENT_KEY "general.alignment"
#define WR_GGUF_ALIGNMENT_DEFAULT 32
#define WR_GGUF_ALIGNMENT_MIN 8
#define WR_GGUF_ALIGNMENT_MAX 65536

/* A tensor and what only the reader needs: where the file says that it begins. */
typedef struct wr_gguf_entry {
    wr_gguf_tensor tensor; /* first: the list finds it by its name */
    uint64_t offset;       /* from the start of the data */
} wr_gguf_entry;

struct wr_gguf {
    const weir_allocator *allocator;
    wr_map map; /* data is NULL when the bytes are the caller's */
    char *path;
    size_t path_size; /* with its NUL */
    const uint8_t *data;
    size_t size;
    uint32_t version;
    size_t alignment;
    wr_named_list values;  /* of wr_gguf_value */
    wr_named_list tensors; /* of wr_gguf_entry */
    wr_gguf **parts;       /* [part_count] the other files of a model in several; NULL: not open */
    size_t part_count;
};

typedef struct wr_gguf_type_info {
    const char *name; /* "u32", as messages say it */
    size_t size;      /* bytes of one; 0 where that varies (string, array) */
    bool integer;
    int64_t low; /* of an integer; a u64's high is UINT64_MAX */
    int64_t high;
} wr_gguf_type_info;

extern const wr_gguf_type_info wr_gguf_types[WR_GGUF_TYPES];

/* "PATH: " and the sentence; a path too long to leave room for it keeps its end. */
weir_status wr_gguf_fail(const wr_gguf *gguf, weir_error *error, weir_status status,
                         const char *format, ...) WEIR_FORMAT(4, 5);
weir_status wr_gguf_no_memory(const wr_gguf *gguf, weir_error *error);

/* Open a file by itself, one of several or not. */
weir_status wr_gguf_open_alone(const char *path, const weir_allocator *allocator, wr_gguf **out,
                               weir_error *error);
/* If the file says that it is the first of several: open the others, and become all of them. */
weir_status wr_gguf_join_parts(wr_gguf *first, weir_error *error);

/* A string: u64 size, bytes (borrowed). A failed reader gives an empty one. */
wr_string wr_gguf_read_string(wr_reader *reader);

/* The directory of `count` tensors, from where `reader` stands, and what their offsets point at. */
weir_status wr_gguf_read_tensors(wr_gguf *gguf, wr_reader *reader, size_t count, weir_error *error);

static inline bool wr_gguf_alignment_valid(int64_t value) {
    return value >= WR_GGUF_ALIGNMENT_MIN && value <= WR_GGUF_ALIGNMENT_MAX &&
           (value & (value - 1)) == 0;
}

#endif
