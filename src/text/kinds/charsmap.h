/*
 * SentencePiece's normalisation as a file carries it (tokenizer.ggml.precompiled_charsmap): a trie
 * of byte strings, each with what stands for it. Every number in it is distrusted.
 *
 *   u32 bytes of the trie | trie: u32 units | strings, each ended by NUL
 *
 * The trie is a double array (Darts-clone). The children of a unit stand at its place XOR its
 * offset XOR their byte, and say by that byte that they are its children.
 */
#ifndef WR_CHARSMAP_H
#define WR_CHARSMAP_H

#include "file/gguf.h"

#define WR_CHARSMAP_STRING 256 /* bytes of the longest replacement, and of what it replaces */

typedef struct wr_charsmap {
    const uint8_t *units; /* u32, little-endian, perhaps unaligned */
    uint32_t unit_count;  /* 0: no text is replaced */
    const char *strings;
    uint32_t strings_size;
} wr_charsmap;

/* Borrowed from the file. Absent is WEIR_OK: nothing is replaced. */
weir_status wr_charsmap_read(wr_charsmap *map, const wr_gguf *gguf, weir_error *error);

/* What stands for the beginning of a text of size >= 1: the longest rule that fits, else its first
 * character, else its first byte. Returns the bytes that *out stands for, 1 or more; 0 when a
 * longer rule might fit with more text, which there may be if `open`. */
size_t wr_charsmap_step(const wr_charsmap *map, const uint8_t *text, size_t size, bool open,
                        wr_string *out);

#endif
