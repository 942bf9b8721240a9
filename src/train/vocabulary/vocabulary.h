/*
 * Training a vocabulary: byte-pair encoding as SentencePiece does it (Sennrich et al. 2016; Kudo
 * and Richardson 2018), with byte fallback, stored as a GGUF file that holds only a vocabulary.
 *
 * Pieces: 0 <unk>, 1 <s>, 2 </s>, 256 bytes, then merges, the more frequent first, then the single
 * characters that the texts need. A space is U+2581 and begins a piece; digits stand alone; line
 * ends are characters like others. The pieces are those of SentencePiece for the same documents,
 * each one sentence of its own, with split_digits, allow_whitespace_only_pieces and the identity as
 * normalisation; where the texts run out of pairs this is an error here.
 *
 * Memory grows with the different words of the texts: 0.23 GB for 61 MB of English. `per_file`
 * bounds it.
 */
#ifndef WR_VOCABULARY_H
#define WR_VOCABULARY_H

#include "base/allocate.h"
#include "weir/status.h"

typedef struct wr_vocabulary_options {
    const char *const *paths; /* texts; <|endoftext|> on a line of its own ends a document */
    int32_t count;
    int64_t size;     /* pieces in all */
    double coverage;  /* share of characters that get a piece; the others are bytes: 0.9995 */
    int64_t per_file; /* bytes read of each text, at most; 0: all */
    bool (*progress)(void *context, int64_t done, int64_t of); /* may be NULL; false cancels */
    void *progress_context;
} wr_vocabulary_options;

weir_status wr_vocabulary_train(const char *path, const wr_vocabulary_options *options,
                                const weir_allocator *allocator, weir_error *error);

#endif
