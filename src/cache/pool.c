/* A pool of equal, reference-counted pages: see pool.h. */
#include "cache/pool.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

struct wr_pool {
    pthread_mutex_t lock;
    weir_allocator allocator;
    bool has_allocator;
    int references;
    size_t page_bytes;
    int64_t made;
    int64_t reserved;
    uint8_t *block; /* what was reserved first lies side by side, and stays */
    int64_t block_pages;
    wr_page *free_in_block; /* taken first */
    wr_page *free;          /* pages that are blocks of their own; may be given back */
};

static const weir_allocator *allocator_of(const wr_pool *pool) {
    return pool->has_allocator ? &pool->allocator : NULL;
}

/* A block of pages from here on gains from huge pages of memory. */
static const size_t huge_gain = (size_t)4 << 20;

/* Of a page and its header, which takes the first line. */
static size_t whole_bytes(size_t page_bytes) { return 64 + (page_bytes + 63) / 64 * 64; }

size_t wr_pool_bytes(size_t page_bytes, int64_t pages) {
    return (size_t)pages * whole_bytes(page_bytes);
}

weir_status wr_pool_create(size_t page_bytes, const weir_allocator *allocator, wr_pool **out,
                           weir_error *error) {
    wr_pool *pool = wr_allocate_array(allocator, 1, sizeof *pool);
    *out = pool;
    if (!pool) return weir_error_set(error, WEIR_MEMORY, "no memory for a page pool");
    if (allocator) {
        pool->allocator = *allocator;
        pool->has_allocator = true;
    }
    pthread_mutex_init(&pool->lock, NULL);
    pool->references = 1;
    pool->page_bytes = page_bytes;
    return WEIR_OK;
}

wr_pool *wr_pool_share(wr_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    pool->references++;
    pthread_mutex_unlock(&pool->lock);
    return pool;
}

static void free_page(wr_pool *pool, wr_page *page) {
    pool->made--;
    wr_release(allocator_of(pool), page, whole_bytes(pool->page_bytes));
}

static void put_free(wr_pool *pool, wr_page *page) {
    wr_page **list = page->in_block ? &pool->free_in_block : &pool->free;
    page->next = *list;
    *list = page;
}

/* Give back free pages that nobody has reserved, but for the block's. Called with the lock held. */
static void trim(wr_pool *pool) {
    while (pool->free && pool->made > pool->reserved) {
        wr_page *page = pool->free;
        pool->free = page->next;
        free_page(pool, page);
    }
}

void wr_pool_release(wr_pool *pool) {
    if (!pool) return;
    pthread_mutex_lock(&pool->lock);
    int left = --pool->references;
    pthread_mutex_unlock(&pool->lock);
    if (left > 0) return;
    assert(pool->reserved == 0 && "every holder gave its reservation back");
    trim(pool);
    assert(pool->made == pool->block_pages && "every page came back");
    wr_release(allocator_of(pool), pool->block, wr_pool_bytes(pool->page_bytes, pool->block_pages));
    pthread_mutex_destroy(&pool->lock);
    weir_allocator allocator = pool->allocator;
    wr_release(pool->has_allocator ? &allocator : NULL, pool, sizeof *pool);
}

size_t wr_pool_page_bytes(const wr_pool *pool) { return pool->page_bytes; }

/* `pages` free pages side by side. They are cleared, so that a snapshot never writes foreign
 * memory, and paid for now, not per token. NULL without memory. Called with the lock held. */
static uint8_t *make_pages(wr_pool *pool, int64_t pages, bool in_block) {
    const size_t stride = whole_bytes(pool->page_bytes);
    size_t size;
    uint8_t *block = NULL;
    if (wr_multiply_size(stride, (size_t)pages, &size))
        block = wr_allocate(allocator_of(pool), size);
    if (!block) return NULL;
    if (size >= huge_gain) wr_advise_huge(block, size);
    memset(block, 0, size);
    for (int64_t i = pages - 1; i >= 0; i--) {
        wr_page *page = (wr_page *)(void *)(block + stride * (size_t)i);
        page->data = (uint8_t *)page + 64;
        page->in_block = in_block;
        put_free(pool, page);
    }
    pool->made += pages;
    return block;
}

/* Called with the lock held. */
static bool make_reserved(wr_pool *pool) {
    if (pool->made == 0 && pool->reserved > 0) {
        pool->block = make_pages(pool, pool->reserved, true);
        if (!pool->block) return false;
        pool->block_pages = pool->reserved;
    }
    while (pool->made < pool->reserved)
        if (!make_pages(pool, 1, false)) return false;
    return true;
}

weir_status wr_pool_reserve(wr_pool *pool, int64_t pages, weir_error *error) {
    pthread_mutex_lock(&pool->lock);
    pool->reserved += pages;
    bool enough = make_reserved(pool);
    if (!enough) {
        pool->reserved -= pages;
        trim(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    if (!enough)
        return weir_error_set(
            error, WEIR_MEMORY,
            "no memory for %lld cache pages of %zu bytes: choose a smaller window "
            "or a smaller cache type",
            (long long)pages, pool->page_bytes);
    return WEIR_OK;
}

void wr_pool_unreserve(wr_pool *pool, int64_t pages) {
    pthread_mutex_lock(&pool->lock);
    pool->reserved -= pages;
    assert(pool->reserved >= 0);
    trim(pool);
    pthread_mutex_unlock(&pool->lock);
}

/* Called with the lock held. */
static wr_page *take(wr_pool *pool, bool give) {
    wr_page **list = pool->free_in_block ? &pool->free_in_block : &pool->free;
    wr_page *page = *list;
    assert(page && "tables name no more pages than were reserved");
    *list = page->next;
    page->next = NULL;
    page->references = 1;
    page->given = give;
    return page;
}

wr_page *wr_pool_take(wr_pool *pool, bool give) {
    pthread_mutex_lock(&pool->lock);
    wr_page *page = take(pool, give);
    pthread_mutex_unlock(&pool->lock);
    return page;
}

void wr_pool_hold(wr_pool *pool, wr_page *page) {
    pthread_mutex_lock(&pool->lock);
    page->references++;
    pthread_mutex_unlock(&pool->lock);
}

/* Called with the lock held. */
static void drop(wr_pool *pool, wr_page *page) {
    if (--page->references > 0) return;
    if (page->given) {
        pool->reserved--;
        page->given = false;
    }
    put_free(pool, page);
    trim(pool);
}

void wr_pool_drop(wr_pool *pool, wr_page *page) {
    if (!page) return;
    pthread_mutex_lock(&pool->lock);
    drop(pool, page);
    pthread_mutex_unlock(&pool->lock);
}

bool wr_pool_shared(wr_pool *pool, const wr_page *page) {
    pthread_mutex_lock(&pool->lock);
    bool shared = page->references > 1;
    pthread_mutex_unlock(&pool->lock);
    return shared;
}

bool wr_pool_own(wr_pool *pool, wr_page **slot, bool keep, bool give) {
    pthread_mutex_lock(&pool->lock);
    wr_page *old = *slot;
    bool shared = old->references > 1;
    if (shared) {
        /* The copy is made under the lock: once our reference is gone, the last other holder may
         * write to the page. */
        wr_page *page = take(pool, give);
        if (keep) memcpy(page->data, old->data, pool->page_bytes);
        drop(pool, old);
        *slot = page;
    }
    pthread_mutex_unlock(&pool->lock);
    return shared;
}
