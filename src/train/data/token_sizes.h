/* How much text each token of a vocabulary stands for. */
#ifndef WR_TOKEN_SIZES_H
#define WR_TOKEN_SIZES_H

#include "text/vocab.h"

typedef struct wr_token_size {
    uint32_t bytes;
    uint32_t characters;    /* that begin in it: a character of several tokens counts once */
    bool begins_with_space; /* the vocabulary puts a space before a text, and this may hold it */
} wr_token_size;

typedef struct wr_token_sizes {
    wr_token_size *list; /* [count] */
    int64_t count;
} wr_token_sizes;

/* false when there is no memory. The vocabulary is usable. */
bool wr_token_sizes_init(wr_token_sizes *sizes, const wr_vocab *vocab,
                         const weir_allocator *allocator);
void wr_token_sizes_deinit(wr_token_sizes *sizes, const weir_allocator *allocator);

#endif
