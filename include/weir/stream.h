/*
 * A stream: one endless context over a model, in memory that does not grow.
 *
 *     weir_stream_options options = weir_stream_options_default();
 *     options.sinks = 4;
 *     options.window = 252;
 *     weir_stream *stream;
 *     weir_stream_create(model, &options, &stream, &error);
 *     weir_stream_feed_text(stream, text, size, &error);      any length, any number of times
 *     weir_generate generate = weir_generate_default();
 *     generate.tokens = 100;
 *     weir_stream_generate(stream, &generate, print, NULL, NULL, &error);
 *     weir_stream_destroy(stream);
 *
 * A stream is used by one thread at a time; only weir_stream_cancel may be called from another.
 * After weir_stream_create the token loop allocates nothing. A call that fails leaves the stream
 * at a token border: weir_stream_get_state tells how far it came.
 *
 * The words: `index` counts tokens from the stream's beginning; S sinks (pinned tokens, indices 0
 * ... S-1) and the window W, which counts the current token, are what a token may attend.
 * Source: Xiao et al., Efficient Streaming Language Models with Attention Sinks (ICLR 2024), 3.2.
 */
#ifndef WEIR_STREAM_H
#define WEIR_STREAM_H

#include "weir/message.h"
#include "weir/model.h"
#include "weir/observe.h"
#include "weir/positions.h"
#include "weir/sampling.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_stream weir_stream;
typedef struct weir_batch weir_batch; /* batch.h */

/* Which keys token t may attend. */
typedef enum weir_policy {
    WEIR_SINK,     /* 0 ... S-1 and the last W: StreamingLLM */
    WEIR_WINDOW,   /* the last W */
    WEIR_DENSE,    /* all, up to a capacity */
    WEIR_RECOMPUTE /* the last W, computed again from nothing for every token */
} weir_policy;

typedef enum weir_cache_type { WEIR_CACHE_F16, WEIR_CACHE_F32, WEIR_CACHE_Q8_0 } weir_cache_type;

typedef enum weir_eviction {
    WEIR_EVICT_TOKEN,  /* the oldest token goes, one at a time */
    WEIR_EVICT_MESSAGE /* whole messages go, as weir_stream_border marks them */
} weir_eviction;

/* Tokens [first, end) of the stream have left the window, and no later token will see them. */
typedef void (*weir_evicted_fn)(void *context, int64_t first, int64_t end);

typedef struct weir_stream_options {
    weir_policy policy;
    int64_t sinks;          /* sink policy: S; -1: 4, or 1 where the model has a sink token */
    int64_t window;         /* W; 0: from `cache` */
    int64_t cache;          /* S + W; 0: the trained context. Not together with `window` */
    int64_t context;        /* dense policy: capacity in tokens; 0: the trained context */
    bool beyond;            /* dense policy: allow a capacity over the trained context */
    weir_rope_options rope; /* all 0: as the file says. The context that a scaling chosen here
                               reaches takes the place of the trained one */
    weir_cache_type cache_type;
    weir_eviction eviction;
    int64_t chunk;           /* tokens computed together at most; 0: 128. Never changes a bit */
    int32_t threads;         /* 0: one per CPU. Never changes a bit */
    weir_evicted_fn evicted; /* may be NULL; called between tokens, on the feeding thread */
    void *evicted_context;
    const weir_allocator *allocator; /* NULL: the model's */
    weir_batch *batch; /* NULL: a scratch and threads of its own; else those of this batch */
} weir_stream_options;

/* Sink policy, S and W from the model, f16 pages, token eviction. */
WEIR_API weir_stream_options weir_stream_options_default(void);

/* The memory that a stream would take, to the byte, with nothing reserved. */
typedef struct weir_plan {
    weir_policy policy;
    int64_t sinks;
    int64_t window;          /* dense: the capacity */
    int64_t slots;           /* S + W */
    int64_t context;         /* that slots may be at most: trained, or reached by a RoPE scaling */
    int64_t kv_bytes;        /* keys and values of exactly S + W slots */
    int64_t page_bytes;      /* pages that hold them, with rounding and slack for a chunk */
    int64_t scratch_bytes;   /* everything else that lives with the stream */
    int64_t reserved_bytes;  /* page_bytes + scratch_bytes */
    int64_t bytes_per_token; /* keys and values of one recent token */
} weir_plan;

WEIR_API weir_status weir_stream_plan(const weir_model *model, const weir_stream_options *options,
                                      weir_plan *out, weir_error *error);

/* Reserve everything and begin. WEIR_USAGE: an option is out of range or does not apply.
 * WEIR_LIMIT: S + W exceeds the trained context (the message has the largest W that fits). */
WEIR_API weir_status weir_stream_create(const weir_model *model, const weir_stream_options *options,
                                        weir_stream **out, weir_error *error);
WEIR_API void weir_stream_destroy(weir_stream *stream); /* NULL is allowed */

/* --- Feeding ---------------------------------------------------------------------------------- */

/* Append tokens: any number, none added. Text that is held back goes first. */
WEIR_API weir_status weir_stream_feed_tokens(weir_stream *stream, const int32_t *tokens,
                                             int64_t count, weir_error *error);

/* Receives the logits [n_vocab] that follow the token at `index`; borrowed during the call. */
typedef weir_status (*weir_logits_fn)(void *context, int64_t index, const float *logits,
                                      int32_t n_vocab);

/* The same, and hand over the logits after every token, in order. */
WEIR_API weir_status weir_stream_feed_scored(weir_stream *stream, const int32_t *tokens,
                                             int64_t count, weir_logits_fn fn, void *context,
                                             weir_error *error);

/* Append text, in pieces of any size: the tokens are those of the whole text. When the call fails
 * or is cancelled, what of this text had not become tokens of the stream is dropped. The first text
 * of an empty stream begins with BOS where the model adds one. A tail that later bytes could change
 * is held back until more text, a flush, a border or a request to generate comes. */
WEIR_API weir_status weir_stream_feed_text(weir_stream *stream, const char *text, size_t size,
                                           weir_error *error);
WEIR_API weir_status weir_stream_flush(weir_stream *stream, weir_error *error);

/* The next token begins a message from which the rest is a valid conversation (flushes). */
WEIR_API weir_status weir_stream_border(weir_stream *stream, weir_error *error);

/* Feed messages as the model's chat template has them (weir/chat.h), and what makes the model
 * answer, with borders. On an empty stream the conversation begins; else they follow an answer,
 * which is closed first as far as the model has not done so (an end token of another format is
 * taken back). Every message but the last may be an answer that somebody else gave. */
WEIR_API weir_status weir_stream_feed_chat(weir_stream *stream, const weir_message *messages,
                                           int64_t count, weir_error *error);

/* --- Reading ---------------------------------------------------------------------------------- */

/* The logits [n_vocab] after the last token; borrowed until the next call on the stream. Held text
 * is flushed. WEIR_USAGE on an empty stream, WEIR_NAN when one is not a number. */
WEIR_API weir_status weir_stream_logits(weir_stream *stream, const float **logits,
                                        weir_error *error);

/* The rules by which tokens are drawn (copied). A new stream has weir_sampling_default(). */
WEIR_API weir_status weir_stream_set_sampling(weir_stream *stream, const weir_sampling *sampling,
                                              weir_error *error);

/* Draw the next token and feed it. */
WEIR_API weir_status weir_stream_next(weir_stream *stream, int32_t *token, weir_error *error);

/* Receives a generated token and the text that it completes (maybe none); false ends generation.
 * Text that was held back as the possible beginning of a stop string comes last, with token -1. */
typedef bool (*weir_text_fn)(void *context, int32_t token, const char *text, size_t size);

#define WEIR_MAX_LOOKUP 31

typedef struct weir_generate {
    int64_t tokens;   /* at most so many; -1: endlessly */
    bool stop_at_end; /* stop when the model ends its text (the end token is fed, not shown) */
    const char *const *stop; /* strings that end the text; NULL: none. They are not shown */
    int stop_count;
    int lookup; /* look back: tokens of a draft at most, 0 ... WEIR_MAX_LOOKUP; 0: none */
} weir_generate;

/*
 * Looking back (prompt lookup). Where the text repeats something that the stream still remembers
 * (code, a log, a quotation), what followed then is a draft of what follows now. It is computed in
 * one chunk together with the token at hand, cheaper than token by token, and of it is kept what
 * the sampler draws. Tokens, text, callbacks and every bit of the stream are those without it, for
 * any sampling; only the time differs. It is measured as it runs: while drafts lose time, none is
 * made for a while.
 *
 * A draft is also no longer than the stream's chunk - 1, and none is made while a
 * weir_stream_observe() function would see rows in vain. The recompute policy refuses it.
 */

/* No limit of its own: tokens 0, stop_at_end true. */
WEIR_API weir_generate weir_generate_default(void);

typedef enum weir_stop_reason {
    WEIR_STOP_LENGTH, /* `tokens` were made */
    WEIR_STOP_END,    /* end of text */
    WEIR_STOP_STRING, /* a stop string */
    WEIR_STOP_CALLER  /* the callback said so */
} weir_stop_reason;

typedef struct weir_generated {
    int64_t tokens; /* made and fed, the end token included */
    weir_stop_reason reason;
    int64_t drafted;  /* tokens proposed by looking back. How many depends on time as well */
    int64_t accepted; /* of them, drawn: not computed one by one */
} weir_generated;

/* Flush, then draw and feed tokens, handing over text as it is made. `result` may be NULL; it is
 * set on failure too. */
WEIR_API weir_status weir_stream_generate(weir_stream *stream, const weir_generate *options,
                                          weir_text_fn fn, void *context, weir_generated *result,
                                          weir_error *error);

/* --- What survives ---------------------------------------------------------------------------- */

/* Pin the first `count` tokens for ever: S becomes max(S, count) and S + W stays. Sink policy only;
 * allowed while nothing has been evicted (WEIR_EVICTED after that). Rows that were written as
 * recent ones are copied to pinned pages: later logits equal those of a stream that had this S from
 * its beginning up to rounding, and to the bit when no token beyond the old S had been fed. */
WEIR_API weir_status weir_stream_pin(weir_stream *stream, int64_t count, weir_error *error);

/* A second stream with the same past: every page is shared until one of the two writes to it. The
 * whole memory that the child may come to need is reserved here, or it fails. The child has the
 * parent's evicted callback, sampling and worker threads. */
WEIR_API weir_status weir_stream_fork(weir_stream *stream, weir_stream **out, weir_error *error);

/* Go back to the moment when `index` tokens had been fed. WEIR_EVICTED when a key that the token
 * before needs is no longer resident: never a shorter window. Held text is dropped. */
WEIR_API weir_status weir_stream_rewind(weir_stream *stream, int64_t index, weir_error *error);

/* A moment that rewinding reaches however far the stream goes on; counted in memory. */
typedef struct weir_mark weir_mark;
WEIR_API weir_status weir_stream_mark(weir_stream *stream, weir_mark **out, weir_error *error);
/* The mark stays good and can be returned to again. It belongs to this stream (or its forks). */
WEIR_API weir_status weir_stream_return(weir_stream *stream, const weir_mark *mark,
                                        weir_error *error);
WEIR_API void weir_mark_destroy(weir_mark *mark); /* NULL is allowed */

/* Write the whole stream to a file, replaced atomically; and continue it, with the same bits, in
 * another process. WEIR_MISMATCH when the file was made with another model; WEIR_DAMAGED when its
 * checksum fails. Of `options` only chunk, threads, batch, evicted and allocator count (NULL:
 * defaults); the rest is the file's. */
WEIR_API weir_status weir_stream_save(weir_stream *stream, const char *path, weir_error *error);
WEIR_API weir_status weir_stream_load(const weir_model *model, const char *path,
                                      const weir_stream_options *options, weir_stream **out,
                                      weir_error *error);

/* --- State ------------------------------------------------------------------------------------ */

typedef struct weir_stream_state {
    int64_t index;     /* tokens fed so far: the index of the next token */
    int64_t evicted;   /* of them, no longer visible to the next token's predecessor */
    int64_t sinks;     /* S */
    int64_t window;    /* W; dense: the capacity */
    int64_t oldest;    /* index of the oldest recent token still visible */
    int64_t reachable; /* weir_stream_rewind accepts every index from here on, and any up to S */
    size_t held;       /* bytes of text held back */
    int64_t reserved_bytes;
} weir_stream_state;

WEIR_API void weir_stream_get_state(const weir_stream *stream, weir_stream_state *out);
WEIR_API const weir_model *weir_stream_get_model(const weir_stream *stream);

/* Tokens [first, end) of the stream, fed or drawn: out[end - first]. Its first S + W are
 * remembered, and more of its last ones than the window sees (some 4,000 more, for the penalties);
 * WEIR_EVICTED for others, WEIR_USAGE beyond its end. */
WEIR_API weir_status weir_stream_get_tokens(const weir_stream *stream, int64_t first, int64_t end,
                                            int32_t *out, weir_error *error);

/* Ask the call that is running on the stream (or, when none is, the next one that feeds) to return
 * WEIR_CANCELLED soon: at the latest after a layer of the chunk at hand. Tokens of chunks that were
 * complete stay fed; a rewind may reach less far by what was to make room for the chunk at hand.
 * Callable from any thread or signal handler. */
WEIR_API void weir_stream_cancel(weir_stream *stream);

/* --- Observing -------------------------------------------------------------------------------- */

/* NULL takes the observer away; without one the hook costs a comparison per layer. */
WEIR_API void weir_stream_observe(weir_stream *stream, weir_observer_fn fn, void *context);

/* The same for attention scores: they are computed a second time for the observer, into heads *
 * (S + W) floats that this call takes (WEIR_MEMORY) and a NULL `fn` gives back. */
WEIR_API weir_status weir_stream_observe_scores(weir_stream *stream, weir_scores_fn fn,
                                                void *context, weir_error *error);

#ifdef __cplusplus
}
#endif
#endif
