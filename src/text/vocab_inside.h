/*
 * The inside of a vocabulary, for the files of this folder.
 *
 * Everything is sized by the count of tokens that the file really holds, and no array takes more
 * bytes than the file spends on the same tokens (a string costs 8 bytes of length there): a file
 * cannot make weir allocate more than its own size.
 */
#ifndef WR_VOCAB_INSIDE_H
#define WR_VOCAB_INSIDE_H

#include "text/kinds/kind.h"

/* A longer piece is never looked for in the raw text: what might be one has to be held back. */
#define WR_LITERAL_BYTES 1024

/* Where a piece lies in the file's array of strings. */
typedef struct wr_piece {
    uint32_t offset;
    uint32_t size;
} wr_piece;

/* Tokens that are looked for in a text at every place, sorted by the bytes of their pieces. */
typedef struct wr_literals {
    int32_t *ids;
    int32_t count;
    size_t longest;
    int32_t first[257]; /* how many begin with a lower byte */
} wr_literals;

struct wr_vocab {
    const weir_allocator *allocator;
    const wr_tokenizer_kind *kind; /* NULL: none, or one that weir has never heard of */
    char name[64];                 /* the kind in words */
    char model[64];                /* tokenizer.ggml.model, printable */

    int32_t size;
    const uint8_t *bytes; /* the file's array of strings */
    wr_piece *pieces;     /* [size] */
    uint8_t *types;       /* [size] wr_token_type */
    float *scores;        /* [size], 0 where the file has none */
    size_t longest;       /* bytes of the longest piece, at least 4 */

    /* Open addressing with linear probing; a slot holds id + 1, or 0. */
    uint32_t *slots; /* [slot_count] */
    uint32_t slot_count;
    uint64_t hash_seed;

    wr_literals user_defined; /* always recognised */
    wr_literals special;      /* those, control and unknown tokens: with parse_special */

    int32_t bos, eos, eot, eom, unknown;
    bool adds_bos, adds_eos, adds_space;
    bool scored, typed; /* the file has tokenizer.ggml.scores, .token_type */

    int32_t byte_tokens[256]; /* -1 where the vocabulary has none */
    bool has_bytes;           /* all of them */
    bool cuts_at_spaces;      /* no piece has an inner U+2581 after anything else */

    void *own; /* what the kind keeps; its release gives it back */
};

static inline wr_string wr_piece_of(const wr_vocab *vocab, int32_t token) {
    const wr_piece *piece = &vocab->pieces[token];
    return (wr_string){(const char *)vocab->bytes + piece->offset, piece->size};
}

/* Ordinary text may become this token; control, unknown and byte tokens it may not. */
static inline bool wr_is_plain(const wr_vocab *vocab, int32_t token) {
    uint8_t type = vocab->types[token];
    return type == WR_TOKEN_NORMAL || type == WR_TOKEN_USER_DEFINED || type == WR_TOKEN_UNUSED;
}

/* Copy what can be printed, so that a message about it is one line. */
void wr_vocab_printable(char out[64], wr_string text);

/* pieces.c: build the table behind wr_vocab_find, and the literals. */
weir_status wr_pieces_index(wr_vocab *vocab, weir_error *error);
weir_status wr_literals_build(wr_vocab *vocab, weir_error *error);
weir_status wr_literals_rebuild(wr_vocab *vocab, weir_error *error); /* types have changed */
weir_status wr_literals_collect(wr_vocab *vocab, wr_literals *literals,
                                bool (*wanted)(const wr_vocab *vocab, int32_t token),
                                weir_error *error);

/* A walk along a text from one place: ids[low, high) are the tokens that begin with its bytes so
 * far and go on; it is over when there are none. */
typedef struct wr_literal_walk {
    int32_t low, high;
    size_t at;
} wr_literal_walk;

wr_literal_walk wr_literals_begin(const wr_literals *literals, uint8_t first);
/* One byte more (the first one too); returns the token that ends with it, or -1. */
int32_t wr_literals_step(const wr_vocab *vocab, const wr_literals *literals, wr_literal_walk *walk,
                         uint8_t byte);

typedef struct wr_literal_match {
    int32_t token;  /* the longest literal that is wholly here, or -1 */
    bool undecided; /* all of the text begins a longer literal, which may still be arriving */
} wr_literal_match;

wr_literal_match wr_literals_match(const wr_vocab *vocab, const wr_literals *literals,
                                   const uint8_t *text, size_t size);

#endif
