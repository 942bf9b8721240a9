/*
 * A stream's inside, shared by the files of this folder.
 *
 * Two parts: the past (what the stream has become: cache, tokens, text and sampling state), which a
 * fork copies, a mark keeps and a file saves; and the machinery around it (scratch, threads,
 * callbacks), which every stream has for itself.
 */
#ifndef WR_STREAM_PRIVATE_H
#define WR_STREAM_PRIVATE_H

#include "model/forward.h"
#include "sample/sampler.h"
#include "sample/stop.h"
#include "stream/lookup.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"
#include "weir/stream.h"

/* Rows of logits that one stream computes together at most: enough to share the reading of the
 * head.
 */
#define WR_LOGIT_ROWS 32

/* Options, resolved against the model: nothing is a default any more. */
typedef struct wr_settings {
    weir_policy policy;
    int64_t sinks;  /* S at creation */
    int64_t window; /* W at creation; dense: the capacity */
    int64_t chunk;
    int threads;
    weir_cache_type cache_type;
    weir_eviction eviction;
    weir_rope_options rope_options; /* as they were given */
    int64_t context;                /* S + W may be so many */
    wr_rope ropes[WR_ROPES];        /* [rope_count] frequencies: constants of the stream */
    weir_batch *batch; /* whose scratch and threads the stream uses; NULL: it has its own */
} wr_settings;

/* What the stream has become. All of it lies in one arena. */
typedef struct wr_past {
    int64_t index;   /* tokens fed */
    bool text_begun; /* the space prefix has been decided */
    bool stale;      /* recompute: the cache does not hold the window of the last token */
    wr_detokenizer detokenizer;
    wr_cache *cache;
    wr_sampler *sampler;
    wr_tokenizer *tokenizer; /* NULL: the vocabulary is not usable */
    int32_t *early;          /* [slots] tokens 0 ... S + W - 1 */
    int64_t early_size;
    int32_t *history; /* [history_size] token j at j % history_size */
    int64_t history_size;
    int64_t history_begin; /* nothing older is in the history (a file may bring less) */
    float *hidden;         /* [width] of the last token, when hidden_ready */
    bool hidden_ready;
} wr_past;

/* A generation that is under way: its rules, and what a stop string holds back. */
typedef struct wr_generation {
    bool active; /* another token is to be drawn */
    bool stop_at_end;
    int64_t limit; /* tokens at most; -1: no end */
    weir_text_fn fn;
    void *context;
    weir_generated result;
    wr_stop stop;
} wr_generation;

/* Rows that were computed and are no part of the stream yet: a drawn token's draft. They stand in
 * the cache's prepared rows and in the forward pass, with logits in `rows`. */
typedef struct wr_ahead {
    int32_t tokens[1 + WEIR_MAX_LOOKUP];
    int64_t count;
    int64_t next; /* those before it have become part of the stream */
    bool scored;  /* their logits are there, all numbers */
} wr_ahead;

struct weir_stream {
    const weir_model *model;
    weir_allocator allocator;
    bool has_allocator;
    wr_arena arena;
    wr_settings settings;
    wr_past past;
    wr_forward *forward; /* the batch's, where the settings name one; rows too */
    wr_threads *threads;
    float *logits; /* [vocabulary] after the last token, when logits_ready */
    bool logits_ready;
    bool logits_unasked;  /* they came with a draft: nobody has looked at them yet */
    float *rows;          /* [logit_rows, vocabulary] for weir_stream_feed_scored and drafts */
    int64_t logit_rows;   /* <= chunk */
    wr_cache **windows;   /* [window_count] recompute: windows computed beside the last one */
    int64_t window_count; /* 0 under any other policy */
    wr_ahead ahead;
    wr_lookup_pace pace;
    int32_t *pending; /* [chunk] tokens from text, on their way */
    int64_t pending_count;
    char *text; /* text of one token, with what a stop string may have held back */
    weir_evicted_fn evicted;
    void *evicted_context;
    int64_t reserved_bytes;
    wr_observer observer;
    wr_generation generation; /* stepped by a batch; weir_stream_generate has its own */
    bool in_step;             /* has a turn in the batch's step that is running */
    atomic_bool cancel;
};

struct weir_mark {
    weir_allocator allocator;
    bool has_allocator;
    wr_arena arena;
    const weir_model *model;
    wr_settings settings;
    wr_past past;
};

static inline const weir_allocator *wr_stream_allocator(const weir_stream *stream) {
    return stream->has_allocator ? &stream->allocator : NULL;
}

/* options.c */
weir_status wr_settings_resolve(const weir_model *model, const weir_stream_options *options,
                                wr_settings *out, weir_error *error);
/* Chunk, threads and batch only, for a stream whose other settings stand; NULL: defaults. */
weir_status wr_settings_machine(const weir_model *model, const weir_stream_options *options,
                                wr_settings *settings, weir_error *error);
wr_cache_options wr_settings_cache(const weir_model *model, const wr_settings *settings);

/* stream.c */
void wr_past_layout(wr_arena *arena, const weir_model *model, const wr_settings *settings,
                    wr_past *past);
/* Everything but the cache. */
void wr_past_copy(wr_past *to, const wr_past *from, int32_t width);
/* Memory and machinery, with an empty past and the cache not opened. */
weir_status wr_stream_reserve(const weir_model *model, const wr_settings *settings,
                              const weir_allocator *allocator, wr_threads *threads,
                              weir_stream **out, weir_error *error);

/* feed.c */
/* The token at `index`, which must be remembered. */
int32_t wr_past_token(const wr_past *past, int64_t index);
/* Whether every token of [begin, end) is remembered. */
bool wr_past_remembers(const wr_past *past, int64_t begin, int64_t end);
/* Tokens from here on are in the history. */
int64_t wr_past_history_begin(const wr_past *past);
/* Make the last token's hidden state available (after a rewind, and under recompute). */
weir_status wr_stream_ready(weir_stream *stream, weir_error *error);
/* Tokens that may come next: each in the vocabulary, and room for all. */
weir_status wr_stream_check_tokens(const weir_stream *stream, const int32_t *tokens, int64_t count,
                                   weir_error *error);
/* Prepare the cache for `count` <= chunk tokens, which are borrowed until they are computed. */
wr_segment wr_stream_segment(weir_stream *stream, const int32_t *tokens, int64_t count,
                             const atomic_bool *cancel);
/* The segment was computed, up to the `hidden` state of its last token: it becomes the stream's
 * past, and the caller hears what left the window. */
void wr_stream_commit(weir_stream *stream, const wr_segment *segment, const float *hidden);
/* One row of logits to the caller; WEIR_NAN when one is not a number. */
weir_status wr_stream_hand_over(const weir_stream *stream, int64_t index, const float *logits,
                                weir_logits_fn fn, void *context, weir_error *error);
/* wr_token_emit over a stream: tokens of text are gathered until a chunk is full. */
weir_status wr_stream_gather(void *stream, const int32_t *tokens, int64_t count, weir_error *error);
/* What is gathered is fed, or after a failure dropped; the status is passed on. */
weir_status wr_stream_end_text(weir_stream *stream, weir_status status, weir_error *error);
/* Text goes on after tokens that were fed. */
void wr_stream_note_fed(weir_stream *stream, const int32_t *tokens, int64_t count);
/* Whether the stream was cancelled; the request is taken back. */
bool wr_stream_cancelled(weir_stream *stream, weir_error *error);
/* The logits after token `index` are not numbers. */
weir_status wr_stream_not_a_number(int64_t index, weir_error *error);
/* Feed a drawn token and compute `count` - 1 more behind it, which may turn out to be drawn next:
 * tokens[0] is fed as weir_stream_feed_tokens feeds it, the others leave no trace until they are
 * taken. 2 <= count <= 1 + wr_stream_room_ahead(). Not under recompute. */
weir_status wr_stream_feed_ahead(weir_stream *stream, const int32_t *tokens, int64_t count,
                                 weir_error *error);
/* How many tokens may be computed ahead of the next one, `most` at most. */
int64_t wr_stream_room_ahead(const weir_stream *stream, int64_t most);
/* Whether the next token has been computed ahead and is `token`. */
bool wr_stream_is_ahead(const weir_stream *stream, int32_t token);
/* Feed it: it becomes part of the stream as it is, with its logits. */
weir_status wr_stream_take_ahead(weir_stream *stream, weir_error *error);

/* Pretend that tokens up to `index` came and went: see wr_cache_skip_to. For tests. */
void wr_stream_skip_to(weir_stream *stream, int64_t index);

/* generate.c */
weir_status wr_generation_begin(wr_generation *generation, const weir_generate *options,
                                weir_text_fn fn, void *context, weir_error *error);
/* A token was drawn and fed: its text is handed over, and the generation may end. */
void wr_generation_take(weir_stream *stream, wr_generation *generation, int32_t token);

/* batch.c */
/* Refuses settings whose batch cannot hold such a stream; a default chunk becomes one that fits. */
weir_status wr_batch_admit(const weir_model *model, wr_settings *settings, bool default_chunk,
                           weir_error *error);
/* The stream uses the batch's scratch and threads, and keeps them until weir_batch_destroy. */
void wr_batch_lend(weir_batch *batch, weir_stream *stream);

#endif
