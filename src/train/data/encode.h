/*
 * The tokens of a text of many documents: each document is a text of its own for the tokenizer, and
 * ends with EOS. Documents are shared out among threads, a few megabytes at a time; a larger one is
 * computed as a stream. So memory is constant for any text, and the tokens are the same for any
 * number of threads.
 */
#ifndef WR_ENCODE_H
#define WR_ENCODE_H

#include "base/threads.h"
#include "text/tokenizer.h"

typedef struct wr_encoder wr_encoder;

/* Both are borrowed; `threads` may be NULL. */
weir_status wr_encoder_create(const wr_vocab *vocab, wr_threads *threads,
                              const weir_allocator *allocator, wr_encoder **out, weir_error *error);
void wr_encoder_destroy(wr_encoder *encoder);

/* `read` hears how many bytes of the text are done (may be NULL); what it returns ends the work
 * unless it is WEIR_OK. */
typedef struct wr_encoder_sink {
    wr_token_emit emit;
    weir_status (*read)(void *context, int64_t bytes, weir_error *error);
    void *context;
} wr_encoder_sink;

weir_status wr_encoder_run(wr_encoder *encoder, wr_string text, const wr_encoder_sink *sink,
                           weir_error *error);

#endif
