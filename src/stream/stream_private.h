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
#include "stream/lookup.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"
#include "weir/stream.h"

/* Options, resolved against the model: nothing is a default any more. */
typedef struct wr_settings {
    weir_policy policy;
    int64_t sinks;  /* S at creation */
    int64_t window; /* W at creation; dense: the capacity */
    int64_t chunk;
    int threads;
    weir_cache_type cache_type;
    weir_eviction eviction;
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
    wr_forward *forward;
    wr_threads *threads;
    float *logits; /* [vocabulary] after the last token, when logits_ready */
    bool logits_ready;
    bool logits_unasked; /* they came with a draft: nobody has looked at them yet */
    float *rows;         /* [logit rows, vocabulary] for weir_stream_feed_scored and drafts */
    wr_ahead ahead;
    wr_lookup_pace pace;
    bool observed;    /* somebody sees every row that is computed: so none is computed in vain */
    int32_t *pending; /* [chunk] tokens from text, on their way */
    int64_t pending_count;
    char *text; /* text of one token, with what a stop string may have held back */
    weir_evicted_fn evicted;
    void *evicted_context;
    int64_t reserved_bytes;
    float *scores; /* [heads, S + W] while scores are observed */
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
/* Chunk and threads only; 0 means the default. */
weir_status wr_settings_machine(wr_settings *settings, int64_t chunk, int32_t threads,
                                weir_error *error);
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

#endif
