/*
 * A batch: many streams stepped as one, so that they share the reading of the weights.
 *
 *     weir_batch_options sizes = weir_batch_options_default();
 *     weir_batch *batch;
 *     weir_batch_create(model, &sizes, &batch, &error);
 *     options.batch = batch;                                 streams without a scratch of their own
 *     weir_stream_create(model, &options, &a, &error);       b as well
 *     weir_batch_generate(a, &generate, print, NULL, &error);
 *     weir_turn turns[] = {{.stream = a},                                  a: draws a token
 *                          {.stream = b, .tokens = piece, .count = 100}};  b: a piece of a prompt
 *     weir_batch_step(batch, turns, 2, &error);              now turns[0].done tells when a is
 *     weir_stream_destroy(a);                                finished, and b has fed 100 tokens
 *     weir_batch_destroy(batch);
 *
 * It is what a scheduler stands on: before each step the caller decides whose turn it is. Streams
 * join and leave between any two steps, forks too; policies, windows and page types may differ. A
 * stream's bits are those that it would have alone: rows of different streams never meet in a sum.
 *
 * One thread at a time uses a batch and all streams made for it; only weir_stream_cancel may be
 * called from another. After weir_batch_create stepping allocates nothing.
 */
#ifndef WEIR_BATCH_H
#define WEIR_BATCH_H

#include "weir/chat.h"
#include "weir/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_batch_options {
    int64_t rows;    /* tokens of all turns of a step together, at most; 0: 256 */
    int32_t streams; /* turns of a step at most; 0: 64, or as many as rows */
    int64_t slots;   /* S + W of a stream at most (dense: its capacity); 0: the trained context */
    int32_t threads; /* 0: one per CPU. Never changes a bit */
    const weir_allocator *allocator; /* NULL: the model's */
} weir_batch_options;

WEIR_API weir_batch_options weir_batch_options_default(void);

/* The memory that a batch takes, to the byte, with nothing reserved: the sizes resolved, the
 * scratch of a chunk of `rows` tokens, and logits for every turn. What each stream takes beside it,
 * weir_stream_plan tells when its options name the batch: pages and its past, but no scratch. */
typedef struct weir_batch_plan {
    int64_t rows;
    int32_t streams;
    int64_t slots;
    int32_t threads;
    int64_t reserved_bytes;
} weir_batch_plan;

WEIR_API weir_status weir_batch_plan_sizes(const weir_model *model,
                                           const weir_batch_options *options, weir_batch_plan *out,
                                           weir_error *error);

/* Reserve everything. WEIR_USAGE: a size is out of range. */
WEIR_API weir_status weir_batch_create(const weir_model *model, const weir_batch_options *options,
                                       weir_batch **out, weir_error *error);

/* NULL is allowed. The memory goes with the last stream that was made for the batch. */
WEIR_API void weir_batch_destroy(weir_batch *batch);

/* --- Streams of a batch ----------------------------------------------------------------------- */

/*
 * A stream whose weir_stream_options name the batch (at creation or when it is loaded), and every
 * fork of it, computes in the batch's scratch, in a step or by itself. Its `chunk`, by default
 * min(128, rows), is the most tokens that it feeds in one turn: its ring of pages has room for the
 * window and so many. WEIR_USAGE: more slots or a larger chunk than the batch has room for, threads
 * given, or the recompute policy, which computes a whole window for each token. WEIR_MISMATCH:
 * another model.
 *
 * A stream with a scratch of its own may have turns as well.
 */

/* Begin to generate: each turn without tokens draws one, feeds it, and hands over its text, until
 * the turn's `done` says that the generation has ended as weir_stream_generate would have (the stop
 * strings are copied). What an earlier generation of the stream held back is dropped. */
WEIR_API weir_status weir_batch_generate(weir_stream *stream, const weir_generate *options,
                                         weir_text_fn fn, void *context, weir_error *error);

/*
 * Text for steps. The tokens that weir_stream_feed_text would feed now are handed over instead, in
 * order and with BOS where it belongs; the caller feeds all of them, in as many turns as it likes,
 * before anything else is done with the stream. What later bytes could change stays held, across
 * such turns when they say so (weir_turn.holds), until more text comes or `flush` hands it over
 * too. When `fn` fails, the rest of this text is lost.
 */
WEIR_API weir_status weir_batch_tokenize(weir_stream *stream, const char *text, size_t size,
                                         bool flush, weir_token_fn fn, void *context,
                                         weir_error *error);

/* The same for messages, as weir_stream_feed_chat would feed them; text that is held goes into the
 * stream first. Where `border` is said, weir_stream_border is the caller's, when all tokens before
 * it have been fed. An end token of another format is taken back at once. */
WEIR_API weir_status weir_batch_tokenize_chat(weir_stream *stream, const weir_message *messages,
                                              int64_t count, weir_chat_token_fn fn, void *context,
                                              weir_error *error);

/* --- Steps ------------------------------------------------------------------------------------ */

/* What one stream does in a step. */
typedef struct weir_turn {
    weir_stream *stream;
    const int32_t *tokens; /* [count] to feed; borrowed during the step */
    int64_t count;         /* 0: draw one token and feed it */
    bool holds; /* the tokens come before text that the stream holds back, which stays held */
    weir_logits_fn logits; /* NULL, or receives the logits after every token of this turn */
    void *logits_context;
    weir_logits_fn draws_from; /* NULL, or receives the logits that the turn's token is drawn from:
                                  those of the product that all draws share */
    void *draws_context;

    /* Set by the step. */
    weir_error error;         /* status WEIR_OK, or why the stream's turn failed */
    int32_t token;            /* the token that was drawn and fed; -1: none */
    bool done;                /* no generation is under way (any more) */
    weir_generated generated; /* of the generation: tokens so far; when it is done, why */
} weir_turn;

/*
 * Every stream has its turn: logits of all that draw in one product, then one forward pass over all
 * tokens, then, stream by stream in the order of the turns, tokens evicted, logits, text. Callbacks
 * must not use a stream of the step.
 *
 * Fails as a whole (WEIR_USAGE) only before anything was done: too many turns or rows, a piece
 * longer than its stream's chunk, a stream twice, of another model or with too many slots. Anything
 * else concerns one turn, whose `error` says it, and the others go on: a cancelled stream
 * (WEIR_CANCELLED; nothing of the turn was fed), a token outside the vocabulary, a dense stream
 * that is full, logits that are not numbers (WEIR_NAN), a draw from an empty stream, the recompute
 * policy (WEIR_UNSUPPORTED). Held text is fed before a turn that does not hold it, by itself.
 */
WEIR_API weir_status weir_batch_step(weir_batch *batch, weir_turn *turns, int32_t count,
                                     weir_error *error);

#ifdef __cplusplus
}
#endif
#endif
