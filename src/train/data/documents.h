/*
 * The documents of a text: what stands between the marks <|endoftext|>, without the line ends
 * around it. Documents with nothing in them are none.
 */
#ifndef WR_DOCUMENTS_H
#define WR_DOCUMENTS_H

#include "base/bytes.h"
#include "base/file.h"

/* Map a text. A folder, an unreadable or empty file is one sentence; so is one that is no text: the
 * first byte that is NUL or not UTF-8 is named. */
weir_status wr_text_open(const char *path, wr_map *out, weir_error *error);

/* Set `text` and begin with at = 0. */
typedef struct wr_documents {
    wr_string text;
    size_t at;
} wr_documents;

bool wr_documents_next(wr_documents *documents, wr_string *out);

#endif
