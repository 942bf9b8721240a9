/* UTF-8 as Unicode defines it: which bytes form a character, and which never can. */
#ifndef WR_UTF8_H
#define WR_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define WR_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/*
 * Look at the bytes that begin at `text`, size >= 1:
 *   1 ... 4   a well-formed character of so many bytes begins here
 *   0         all `size` bytes begin a character whose rest is not here yet
 *   -1 ... -3 ill-formed: so many bytes are the maximal part that ever began a character
 */
int wr_utf8_length(const uint8_t *text, size_t size);

/* The code point of the well-formed character of `length` bytes at `text`. */
uint32_t wr_utf8_code(const uint8_t *text, int length);

#endif
