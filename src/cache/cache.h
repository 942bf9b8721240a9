/*
 * The cache: which past survives. One structure for every policy: a page table and a retention rule
 * {pinned, recent} = {S, W}; dense is {0, capacity}, window {0, W}, StreamingLLM {S, W}. Eviction
 * only moves b(t), the oldest recent token kept (STREAMING.md, "Policies").
 *
 *     index      0 ... S-1 | S ......... b(t)-1 | b(t) ........ t |
 *                 pinned   |      evicted       |     recent      |
 *     pages     [ P0 ]                     [ R1 ][ R2 ][ R0 ]          a ring, by index / 32
 *
 * Pages cover WR_PAGE_TOKENS indices each, aligned to stream index, for all layers of a group.
 * Pinned tokens have pages of their own, at least f16, written once and then shared for ever. The
 * recent pages of a group form a ring with room for its window and a chunk, so that inside a chunk
 * every query still has its whole window.
 *
 * Inside a page, for layer l of the group and KV head h (tensor/kv.h has the details):
 *
 *     [l][h] { keys, transposed: [key_dim][32] | values: 32 rows }
 *
 * Layers of equal retention form a group with one page table. A layer with a trained window L keeps
 * only min(W, L) recent tokens, and sees key j only where also c(t) - c(j) < L.
 *
 * Writing is in two steps, so that a failed or cancelled chunk leaves no trace: prepare() makes the
 * rows of the next tokens writable, commit() makes them part of the stream: all of them, or some
 * and later the next ones, or never the rest.
 */
#ifndef WR_CACHE_H
#define WR_CACHE_H

#include "base/arena.h"
#include "base/bytes.h"
#include "cache/pool.h"
#include "tensor/kernels.h"

typedef struct wr_cache_shape {
    int32_t layers;
    int32_t kv_heads;
    int32_t key_dim;
    int32_t value_dim;
    const int64_t *layer_windows; /* [layers], 0: none; NULL: no layer has one. Borrowed for ever */
} wr_cache_shape;

typedef struct wr_cache_options {
    wr_cache_shape shape;
    int64_t pinned;  /* S */
    int64_t recent;  /* W >= 1 */
    int64_t chunk;   /* tokens that one prepare() may take, >= 1 */
    wr_kv_type type; /* of recent pages; pinned ones are at least f16 */
    bool by_message; /* message eviction */
    bool bounded;    /* dense: no more than W tokens ever come, so the ring needs no slack */
} wr_cache_options;

typedef struct wr_cache wr_cache;

/* Bytes of keys and values of exactly S + W slots: what the paper's arithmetic counts. */
size_t wr_cache_kv_bytes(const wr_cache_options *options);
/* Bytes of one recent token's keys and values over all layers. */
size_t wr_cache_token_bytes(const wr_cache_options *options);
/* Bytes of pages that wr_cache_open reserves. */
size_t wr_cache_page_bytes(const wr_cache_options *options);

/* Tables from the arena (NULL while measuring; the same options both times). */
wr_cache *wr_cache_layout(wr_arena *arena, const wr_cache_options *options);

/* Make the pools and reserve every page; or share the pools of `relative` (a fork's parent), copy
 * its past, and reserve what this cache may come to need on its own. */
weir_status wr_cache_open(wr_cache *cache, const weir_allocator *allocator, weir_error *error);
weir_status wr_cache_open_fork(wr_cache *cache, wr_cache *relative, weir_error *error);
/* As a fork that will only be returned to, never written: reserves only the pages it holds. */
weir_status wr_cache_open_mark(wr_cache *cache, wr_cache *relative, weir_error *error);
void wr_cache_close(wr_cache *cache); /* gives everything back; a cache that never opened is fine */

int64_t wr_cache_length(const wr_cache *cache); /* tokens committed: the next token's index */
int64_t wr_cache_pinned(const wr_cache *cache); /* S */
int64_t wr_cache_recent(const wr_cache *cache); /* W */
int64_t wr_cache_first(const wr_cache *cache);  /* b of the last committed token; S while empty */

/* Make rows for the next `count` <= chunk tokens writable. Never fails after opening. */
void wr_cache_prepare(wr_cache *cache, int64_t count);
/* Rows that are prepared and not committed. 0 after anything else has changed the cache. */
int64_t wr_cache_prepared(const wr_cache *cache);
/* How many of the next `count` tokens can be prepared with no more old tokens lost than preparing
 * one would: if they are never committed, a rewind reaches as far as if they had not been there. */
int64_t wr_cache_room_ahead(const wr_cache *cache, int64_t count);
/* Where layer's keys and values of KV head 0 for a prepared index lie: the keys of its page and its
 * place among them, its value row, the bytes from one head's to the next head's, and their type. */
typedef struct wr_cache_row {
    uint8_t *keys;
    uint8_t *value;
    size_t head_stride;
    int32_t place;
    wr_kv_type type;
} wr_cache_row;
wr_cache_row wr_cache_row_at(const wr_cache *cache, int32_t layer, int64_t index);
/* The next `count` prepared tokens belong to the stream now. Reports [*first, *end) newly evicted
 * (may be empty). */
void wr_cache_commit(wr_cache *cache, int64_t count, int64_t *first, int64_t *end);

/* b(t) for t <= length + prepared - 1. */
int64_t wr_cache_first_for(const wr_cache *cache, int64_t t);
/* c(t), the position of the current token in the cache. */
int64_t wr_cache_position(const wr_cache *cache, int64_t t);

/* --- Views ------------------------------------------------------------------------------------ */

int32_t wr_cache_count_groups(const wr_cache_shape *shape); /* as a cache of this shape has */
int32_t wr_cache_groups(const wr_cache *cache);
int32_t wr_cache_group_of(const wr_cache *cache, int32_t layer);
/* Pages of a view, pinned and recent together: no view has more. */
int32_t wr_cache_max_pages(const wr_cache_options *options);

/* The pages that tokens of a chunk may attend in the layers of a group, as two sequences. */
typedef struct wr_cache_view {
    const uint8_t **pages; /* the caller's, room for wr_cache_max_pages(); pinned ones first */
    int32_t pinned;        /* pages, from index 0 on */
    int32_t recent;        /* pages */
    int64_t recent_first;  /* index of the first recent page's place 0 */
} wr_cache_view;
/* For tokens [first, end), prepared or committed. */
void wr_cache_view_of(const wr_cache *cache, int32_t group, int64_t first, int64_t end,
                      wr_cache_view *view);
/* Which of a view's keys token t may attend: numbers in its two sequences. The pinned ones may be
 * none; the recent ones are none only while t itself is pinned. */
void wr_cache_spans(const wr_cache *cache, int32_t group, const wr_cache_view *view, int64_t t,
                    wr_kv_span *pinned, wr_kv_span *recent);
/* Key and value offsets of (layer, KV head) inside a pinned or recent page, and the type. */
void wr_cache_offsets(const wr_cache *cache, int32_t layer, int32_t head, wr_kv_sequence *pinned,
                      wr_kv_sequence *recent);

/* --- What survives ---------------------------------------------------------------------------- */

/* The token at index length begins a message from which the rest is a valid conversation. */
void wr_cache_border(wr_cache *cache);
bool wr_cache_border_pending(const wr_cache *cache);

/* S becomes `pinned`, W shrinks by as much. Allowed while nothing is evicted and S + W keeps at
 * least one recent slot; reserves the pages. */
weir_status wr_cache_pin(wr_cache *cache, int64_t pinned, const wr_kernels *kernels,
                         weir_error *error);

/* wr_cache_rewind accepts every length from here on (and any up to S, unless a pin came after
 * layers with windows of their own had dropped what it pinned). A border that stood before the
 * token at `length` stands again. */
int64_t wr_cache_reach(const wr_cache *cache);
weir_status wr_cache_rewind(wr_cache *cache, int64_t length, weir_error *error);
/* Take back the last token, which is about to be written again with the same key. Its own window is
 * resident; that of the token before need not be, so this reaches one further than a rewind. */
weir_status wr_cache_take_back(wr_cache *cache, weir_error *error);
/* Whether two caches share their pools: one is the other's fork or mark, or they have an ancestor.
 */
bool wr_cache_related(const wr_cache *a, const wr_cache *b);
/* Become what `mark` (of a relative) is; the own past is dropped. On failure nothing changed. */
weir_status wr_cache_return(wr_cache *cache, wr_cache *mark, weir_error *error);

/* Pretend that tokens up to index `length` came and went: only pinned keys remain. For the test of
 * far positions; length >= S, and S tokens have been committed. */
void wr_cache_skip_to(wr_cache *cache, int64_t length);

void wr_cache_save(const wr_cache *cache, wr_writer *writer);
/* Into an opened, empty cache with the saved S, W, type and shape (any chunk). */
weir_status wr_cache_load(wr_cache *cache, wr_reader *reader, weir_error *error);

#endif
