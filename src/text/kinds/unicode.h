/*
 * What BERT's way of reading text has to know of characters, as the reference has it (unicode.c):
 * classes, small letters, parts. utf8proc stands behind this file alone.
 */
#ifndef WR_UNICODE_H
#define WR_UNICODE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum wr_character {
    WR_CHARACTER_PLAIN,
    WR_CHARACTER_REMOVED, /* controls, format characters, private use, U+FFFD */
    WR_CHARACTER_WHITE,
    WR_CHARACTER_IDEOGRAPH, /* a word of its own */
    WR_CHARACTER_PUNCTUATION,
    WR_CHARACTER_MARK /* nonspacing */
} wr_character;

wr_character wr_unicode_class(uint32_t code);
/* Whether the reference classes this code point otherwise than newer tables do. */
bool wr_unicode_differs(uint32_t code);

/* The canonical combining class: 0 for a starter. */
int wr_unicode_order(uint32_t code);

uint32_t wr_unicode_lower(uint32_t code);

/* The full canonical decomposition; returns the count of parts, at least 1. */
#define WR_DECOMPOSED 8
int wr_unicode_decompose(uint32_t code, uint32_t out[WR_DECOMPOSED]);

#endif
