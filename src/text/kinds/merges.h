/*
 * The merges of a byte-level vocabulary: which two tokens become which one, and how early.
 */
#ifndef WR_MERGES_H
#define WR_MERGES_H

#include "text/vocab_inside.h"

typedef struct wr_merges {
    const weir_allocator *allocator;
    int32_t count;
    int32_t (*pairs)[2]; /* [count] left and right token; -1 where a merge is left out */
    int32_t *merged;     /* [count] the token of both */
    uint32_t *slots;     /* [slot_count] open addressing; a merge's number + 1, or 0 */
    uint32_t slot_count;
    uint64_t seed;
} wr_merges;

/* Read tokenizer.ggml.merges, "LEFT RIGHT" each; a merge that names no piece is WEIR_DAMAGED. One
 * that makes what text may not become (a control token) is left out. */
weir_status wr_merges_read(wr_merges *merges, const wr_vocab *vocab, const wr_gguf *gguf,
                           weir_error *error);
void wr_merges_release(wr_merges *merges);

/* The number of the merge of two tokens, which is its rank, or -1. */
int32_t wr_merges_find(const wr_merges *merges, int32_t left, int32_t right);

#endif
