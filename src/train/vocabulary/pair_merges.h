/*
 * Byte-pair encoding (Sennrich et al. 2016) over counted words, with SentencePiece's rules:
 *
 *   - merged is the pair that stands most often in the texts; among equals the one whose piece has
 *     fewer characters, then the one whose bytes come first;
 *   - a pair whose piece exists already, made of other parts, is passed over;
 *   - a piece has at most 16 characters of one script; a digit stands alone; a space begins a piece
 *     or the piece is nothing but spaces.
 *
 * Every pair knows in which words it stands, so that a merge touches these only:
 *
 *   words   [▁ t h e] [▁ h e n] ...      symbols, rewritten in place as pairs become one symbol
 *   pairs   (h, e): count 2, words -> {0, 1}
 *   heap    the pairs that may be merged, the best first
 */
#ifndef WR_PAIR_MERGES_H
#define WR_PAIR_MERGES_H

#include "train/vocabulary/characters.h"
#include "train/vocabulary/word_counts.h"

typedef struct wr_pair_merges wr_pair_merges;

/* Other characters of the words stand in the way of every pair. */
weir_status wr_pair_merges_create(const wr_words *words, const wr_character *characters,
                                  size_t count, const weir_allocator *allocator,
                                  wr_pair_merges **out, weir_error *error);
void wr_pair_merges_destroy(wr_pair_merges *merges);

/* Merge once more. *found is false when no pair is left. */
weir_status wr_pair_merges_next(wr_pair_merges *merges, bool *found, weir_error *error);

/* Piece i, in the order of their merging; before them the characters as they were given. */
wr_string wr_pair_merges_piece(const wr_pair_merges *merges, size_t i);
size_t wr_pair_merges_count(const wr_pair_merges *merges); /* characters included */

#endif
