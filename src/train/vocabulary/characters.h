/* Characters of texts as a vocabulary knows them: code points, a space as U+2581. */
#ifndef WR_CHARACTERS_H
#define WR_CHARACTERS_H

#include <stddef.h>
#include <stdint.h>

#define WR_SPACE_MARK 0x2581
#define WR_CHARACTERS 0x110000 /* code points are below */

/* A character that is a piece. */
typedef struct wr_character {
    uint32_t code;
    int64_t count; /* in the texts */
} wr_character;

/* UTF-8 of a code point; returns its bytes, at most 4. */
size_t wr_character_write(uint32_t code, char out[4]);

/* The character that begins at `text`, which is UTF-8; *size gets its bytes. */
uint32_t wr_character_read(const char *text, size_t left, size_t *size);

#endif
