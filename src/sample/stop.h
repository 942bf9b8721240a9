/*
 * Stop strings over text that arrives token by token: bytes that might begin a stop string are held
 * back until it is known, so that no part of one is ever shown.
 */
#ifndef WR_STOP_H
#define WR_STOP_H

#include <stdbool.h>
#include <stddef.h>

#include "weir/status.h"

#define WR_STOP_MAX 16        /* stop strings */
#define WR_STOP_MAX_BYTES 256 /* bytes of one */

typedef struct wr_stop {
    char strings[WR_STOP_MAX][WR_STOP_MAX_BYTES];
    size_t sizes[WR_STOP_MAX];
    int count;
    char held[WR_STOP_MAX_BYTES]; /* the tail that may still become a stop string */
    size_t held_size;
} wr_stop;

/* NUL-terminated strings, none empty. WEIR_USAGE when there are too many or one is too long. */
weir_status wr_stop_init(wr_stop *stop, const char *const *strings, int count, weir_error *error);

/* Receives text that is certain not to belong to a stop string. */
typedef void (*wr_stop_emit)(void *context, const char *text, size_t size);

/* Take more text; true when a stop string is complete: what stood before the earliest match (the
 * one that ends first, of those the longest) has been emitted, the rest is dropped. Independent of
 * how the text is cut into pieces. */
bool wr_stop_feed(wr_stop *stop, const char *text, size_t size, wr_stop_emit emit, void *context);

/* The text ends here: emit what was held back. */
void wr_stop_flush(wr_stop *stop, wr_stop_emit emit, void *context);

#endif
