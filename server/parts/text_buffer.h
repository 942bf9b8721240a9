/* Bytes that grow up to a bound. A failure (no memory, the bound) is remembered, so that a text is
 * written line by line and checked once. */
#ifndef WEIR_SERVER_TEXT_BUFFER_H
#define WEIR_SERVER_TEXT_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

#include "weir/status.h"

typedef struct text_buffer {
    char *data; /* NUL-terminated when not NULL */
    size_t size, capacity;
    size_t most; /* bytes it may have; 0: any */
    bool failed;
} text_buffer;

bool text_add(text_buffer *buffer, const char *data, size_t size);
bool text_print(text_buffer *buffer, const char *format, ...) WEIR_FORMAT(2, 3);
/* WEIR_IO and a sentence: not there, unreadable, empty, or more than the bound. */
weir_status text_add_file(text_buffer *buffer, const char *path, weir_error *error);
void text_drop(text_buffer *buffer, size_t size); /* the first `size` bytes */
void text_clear(text_buffer *buffer);             /* empty, its memory kept */
char *text_take(text_buffer *buffer);             /* the bytes are the caller's to free() */
void text_free(text_buffer *buffer);

#endif
