/* The cache's inside, shared by the files of this folder and by nobody else. */
#ifndef WR_CACHE_PRIVATE_H
#define WR_CACHE_PRIVATE_H

#include "cache/cache.h"

/* Layers of equal retention: one page table. */
typedef struct wr_cache_group {
    int64_t layer_window; /* L, 0: none */
    int32_t layers;
    wr_pool *recent_pool; /* NULL until opened */
    wr_pool *pinned_pool;

    /* The ring: page number p (indices 32 p ... 32 p + 31) lives in slot p % ring_pages. */
    int32_t ring_pages;
    wr_page **ring;   /* [ring_pages], NULL: never used */
    int64_t *numbers; /* [ring_pages] the page number in each slot, -1: none */
    int64_t resident; /* every recent row of indices [max(resident, S), length) is intact */

    wr_page **pinned;     /* [pinned_capacity] */
    int32_t pinned_pages; /* taken so far */
    /* Pinned rows [gap_begin, gap_end) were no longer resident when they were pinned. Layers with a
     * window of their own never look at them again, unless a rewind would take them there. */
    int64_t gap_begin;
    int64_t gap_end;

    int64_t ring_reserved;
    int64_t hand; /* reserved pinned pages that are not taken yet */
} wr_cache_group;

struct wr_cache {
    wr_cache_options options; /* pinned and recent are the current S and W */
    int32_t group_count;
    wr_cache_group *groups;
    int32_t *group_of;       /* [layers] */
    int32_t *place_of;       /* [layers] the layer's place inside its group's pages */
    int32_t pinned_capacity; /* pages that tables have room for: S + W tokens */

    int64_t length;
    int64_t first;    /* b(length - 1) */
    int64_t floor;    /* recent tokens below this were never there (wr_cache_skip_to) */
    int64_t prepared; /* tokens writable beyond length */
    int64_t *firsts;  /* [chunk] b(t) of the prepared tokens */

    /* Message eviction: starts[j % starts_capacity] is where the message of token j begins. */
    int64_t *starts;
    int64_t starts_capacity;
    int64_t starts_resident; /* known for indices [starts_resident, length + prepared) */
    bool border_pending;     /* the next token begins a message */
};

static inline int64_t wr_page_of(int64_t index) { return index / WR_PAGE_TOKENS; }
static inline int64_t wr_pages_for(int64_t tokens) {
    return (tokens + WR_PAGE_TOKENS - 1) / WR_PAGE_TOKENS;
}
static inline int64_t wr_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t wr_min(int64_t a, int64_t b) { return a < b ? a : b; }

wr_kv_type wr_cache_pinned_type(const wr_cache *cache);
/* Bytes of a page of `layers` layers. */
size_t wr_cache_layers_page_bytes(const wr_cache_shape *shape, int32_t layers, wr_kv_type type);
/* Offset of the keys of (place, head); their values follow. */
size_t wr_cache_key_offset(const wr_cache_shape *shape, int32_t place, int32_t head,
                           wr_kv_type type);
/* Pinned pages whose rows are all written: never written again, so they may be shared. */
int32_t wr_cache_complete_pages(const wr_cache *cache);
/* b(t) for a t whose message starts are known, without the chunk's table. */
int64_t wr_cache_compute_first(const wr_cache *cache, int64_t t);
/* Forget every page and reservation of the past; the pools stay. */
void wr_cache_drop_pages(wr_cache *cache);

#endif
