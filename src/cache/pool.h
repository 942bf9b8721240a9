/*
 * A pool of equal pages, reference-counted, shared by a stream and its forks.
 *
 * Memory is reserved before it is needed: reserve() makes pages, take() only hands out a page that
 * somebody has reserved, so it cannot fail and the token loop never allocates.
 *
 *     pages made = free + in use >= reserved          (the invariant)
 *
 * A stream's table never names more pages than the stream has reserved, and a shared page is named
 * by several tables; so distinct pages in use never exceed what is reserved, and copy on write
 * finds a free page. A page that was "given" carries its own reservation with it (pinned pages,
 * which outlive the stream that wrote them while a fork still reads them).
 *
 * What is reserved first, a stream's ring, is one block, in huge pages of memory where they pay:
 * reading a large window otherwise spends a tenth of its time finding memory pages. The block stays
 * until the pool goes, so its pages are taken first; others are given back when nobody reserves
 * them.
 */
#ifndef WR_POOL_H
#define WR_POOL_H

#include <stdbool.h>

#include "base/allocate.h"

typedef struct wr_page {
    struct wr_page *next; /* in the free list */
    int32_t references;   /* guarded by the pool's lock */
    bool given;           /* carries its own reservation */
    bool in_block;        /* lies beside others, in what was reserved first */
    uint8_t *data;        /* page_bytes, aligned to 64 */
} wr_page;

typedef struct wr_pool wr_pool;

weir_status wr_pool_create(size_t page_bytes, const weir_allocator *allocator, wr_pool **out,
                           weir_error *error);
wr_pool *wr_pool_share(wr_pool *pool);
void wr_pool_release(wr_pool *pool); /* frees with the last reference; NULL is allowed */

size_t wr_pool_page_bytes(const wr_pool *pool);
/* Bytes that `pages` pages take, bookkeeping included. */
size_t wr_pool_bytes(size_t page_bytes, int64_t pages);

/* Make sure of `pages` more; all or nothing. */
weir_status wr_pool_reserve(wr_pool *pool, int64_t pages, weir_error *error);
void wr_pool_unreserve(wr_pool *pool, int64_t pages);

/* A page with one reference, from the caller's reservation. `give`: one page of the caller's
 * reservation moves into the page. The content is arbitrary but initialised. */
wr_page *wr_pool_take(wr_pool *pool, bool give);
/* One more reference. */
void wr_pool_hold(wr_pool *pool, wr_page *page);
void wr_pool_drop(wr_pool *pool, wr_page *page); /* NULL is allowed */
/* Whether others hold the page as well. */
bool wr_pool_shared(wr_pool *pool, const wr_page *page);

/* *slot is a page that the caller holds: afterwards it is one that nobody else holds, with the same
 * bytes when `keep`. Returns true when a new page was taken (with `give`, from the caller's hand).
 */
bool wr_pool_own(wr_pool *pool, wr_page **slot, bool keep, bool give);

#endif
