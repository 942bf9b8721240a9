/* The documents of a text: see documents.h. */
#include "train/data/documents.h"

#include <string.h>

#include "text/utf8.h"

static const char mark[] = "<|endoftext|>";

/* ---- what is text ---------------------------------------------------------------------------- */

/* Whether none of eight bytes is NUL or above 127. */
static bool is_plain(const uint8_t *bytes) {
    const uint64_t low = 0x0101010101010101u, high = 0x8080808080808080u;
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return ((word | (word - low)) & high) == 0;
}

/* Where the first byte stands that text cannot have, or `size`. */
static size_t find_flaw(const uint8_t *bytes, size_t size) {
    size_t at = 0;
    while (at < size) {
        if (size - at >= 8 && is_plain(bytes + at)) {
            at += 8;
            continue;
        }
        int length = wr_utf8_length(bytes + at, size - at);
        if (length <= 0 || bytes[at] == 0) return at;
        at += (size_t)length;
    }
    return size;
}

weir_status wr_text_open(const char *path, wr_map *out, weir_error *error) {
    weir_status status = wr_map_open(path, out, error);
    if (status != WEIR_OK) return status;
    size_t flaw = find_flaw(out->data, out->size);
    if (flaw == out->size) return WEIR_OK;
    status = weir_error_set(error, WEIR_DAMAGED,
                            out->data[flaw] == 0 ? "%.300s: byte %zu is NUL, so this is no text"
                                                 : "%.300s: byte %zu is not UTF-8; convert the "
                                                   "text first",
                            path, flaw);
    wr_map_close(out);
    return status;
}

/* ---- documents ------------------------------------------------------------------------------- */

static bool is_line_end(char c) { return c == '\n' || c == '\r'; }

static wr_string strip(wr_string text) {
    while (text.size > 0 && is_line_end(text.data[text.size - 1])) text.size--;
    while (text.size > 0 && is_line_end(text.data[0])) {
        text.data++;
        text.size--;
    }
    return text;
}

bool wr_documents_next(wr_documents *documents, wr_string *out) {
    while (documents->at < documents->text.size) {
        const char *begin = documents->text.data + documents->at;
        size_t left = documents->text.size - documents->at;
        const char *end = memmem(begin, left, mark, sizeof mark - 1);
        size_t size = end ? (size_t)(end - begin) : left;
        documents->at += end ? size + sizeof mark - 1 : left;
        *out = strip((wr_string){begin, size});
        if (out->size > 0) return true;
    }
    return false;
}
