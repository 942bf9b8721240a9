/* Scripts of characters: a piece of a vocabulary holds one script at most, as in SentencePiece. */
#ifndef WR_SCRIPTS_H
#define WR_SCRIPTS_H

#include <stddef.h>
#include <stdint.h>

enum {
    WR_SCRIPT_COMMON = 0,    /* punctuation, digits, and what nobody knows */
    WR_SCRIPT_INHERITED = 1, /* belongs to the character before */
};

typedef struct wr_script_range {
    uint32_t first, last;
    uint8_t script;
} wr_script_range;

/* Sorted; what is in no range is common. Japanese syllables count as Han. */
extern const wr_script_range wr_script_table[];
extern const size_t wr_script_table_size;

uint8_t wr_script_of(uint32_t character);

#endif
