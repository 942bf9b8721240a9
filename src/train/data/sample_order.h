/*
 * Which window is drawn when: pure functions of a seed and a number.
 *
 * A turn belongs to one text. The pattern of turns repeats after WR_TURNS, is the same for every
 * seed, and gives each text its share of them as evenly as whole numbers allow, also in any part of
 * it (the texts that are furthest behind their share come first).
 */
#ifndef WR_SAMPLE_ORDER_H
#define WR_SAMPLE_ORDER_H

#include "base/allocate.h"

#define WR_TURNS 65536

typedef struct wr_turn {
    uint32_t text;
    uint32_t earlier; /* turns of this text before this one in the pattern */
} wr_turn;

/* Share out WR_TURNS turns by `weights` (> 0), at least one for each; count <= 1024. turns[k] gets
 * how many are of text k, pattern [WR_TURNS] the pattern; `owed` is scratch, [count]. */
void wr_turns_share(const double *weights, int32_t count, int64_t *turns, wr_turn *pattern,
                    int64_t *owed);

/* An epoch of one text. */
typedef struct wr_epoch {
    uint64_t offset; /* random: where its first window begins, to be taken modulo the tokens */
    uint64_t key;    /* of its order */
} wr_epoch;

wr_epoch wr_epoch_of(uint64_t seed, uint32_t text, uint64_t epoch);

/* The place of window i < count in the order of `key`: a permutation of 0 ... count - 1. */
uint64_t wr_epoch_place(uint64_t key, uint64_t i, uint64_t count);

#endif
