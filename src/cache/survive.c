/*
 * Pin, fork, mark, rewind, return: how a cache's past is shared and shortened.
 *
 * Rows are never moved (a pin copies from recent to pinned pages, once). A table that takes over
 * another's past holds its pages; complete pinned pages are never written again and are shared
 * without a reservation, an incomplete one is copied, so that neither side finds it changed.
 */
#include <assert.h>
#include <string.h>

#include "cache/cache_private.h"

int32_t wr_cache_complete_pages(const wr_cache *cache) {
    int64_t written = wr_min(cache->length, cache->options.pinned);
    if (written == cache->options.pinned) return (int32_t)wr_pages_for(written);
    return (int32_t)(written / WR_PAGE_TOKENS);
}

/* --- Taking over a past ----------------------------------------------------------------------- */

static void adopt_pinned(wr_cache_group *to, const wr_cache_group *from, int32_t complete,
                         bool partial) {
    wr_pool *pool = to->pinned_pool;
    for (int32_t i = 0; i < complete; i++) {
        wr_pool_hold(pool, from->pinned[i]);
        to->pinned[i] = from->pinned[i];
    }
    to->pinned_pages = complete;
    if (partial) {
        to->pinned[complete] = wr_pool_take(pool, true);
        memcpy(to->pinned[complete]->data, from->pinned[complete]->data, wr_pool_page_bytes(pool));
        to->pinned_pages++;
        to->hand--;
    }
    to->gap_begin = from->gap_begin;
    to->gap_end = from->gap_end;
}

static void adopt_ring(wr_cache_group *to, const wr_cache_group *from) {
    int64_t newest = -1;
    for (int32_t i = 0; i < from->ring_pages; i++) newest = wr_max(newest, from->numbers[i]);
    to->resident = wr_max(from->resident, (newest - to->ring_pages + 1) * WR_PAGE_TOKENS);
    for (int32_t i = 0; i < from->ring_pages; i++) {
        int64_t number = from->numbers[i];
        if (number < 0 || number <= newest - to->ring_pages) continue;
        int64_t slot = number % to->ring_pages;
        wr_pool_hold(to->recent_pool, from->ring[i]);
        to->ring[slot] = from->ring[i];
        to->numbers[slot] = number;
    }
}

static void adopt_starts(wr_cache *to, const wr_cache *from) {
    to->border_pending = from->border_pending;
    to->starts_resident = wr_max(from->starts_resident, from->length - to->starts_capacity);
    if (!from->options.by_message) return;
    for (int64_t t = to->starts_resident; t < from->length; t++)
        to->starts[t % to->starts_capacity] = from->starts[t % from->starts_capacity];
}

/* Become what `from` is; `to` has no pages, and enough pinned pages in hand. */
static void adopt(wr_cache *to, const wr_cache *from) {
    int32_t complete = wr_cache_complete_pages(from);
    bool partial = complete * WR_PAGE_TOKENS < wr_min(from->length, from->options.pinned);
    to->options.pinned = from->options.pinned;
    to->options.recent = from->options.recent;
    to->length = from->length;
    to->first = from->first;
    to->floor = from->floor;
    to->prepared = 0;
    for (int32_t g = 0; g < to->group_count; g++) {
        adopt_pinned(&to->groups[g], &from->groups[g], complete, partial);
        adopt_ring(&to->groups[g], &from->groups[g]);
    }
    adopt_starts(to, from);
}

/* Pinned pages that a cache with this past may still have to take. */
static int64_t pinned_to_come(const wr_cache *past) {
    return wr_pages_for(past->options.pinned) - wr_cache_complete_pages(past);
}

static int64_t ring_in_use(const wr_cache_group *group) {
    int64_t used = 0;
    for (int32_t i = 0; i < group->ring_pages; i++) used += group->numbers[i] >= 0;
    return used;
}

static weir_status open_relative(wr_cache *cache, wr_cache *relative, bool mark,
                                 weir_error *error) {
    weir_status status = WEIR_OK;
    assert(cache->group_count == relative->group_count);
    for (int32_t g = 0; g < cache->group_count && status == WEIR_OK; g++) {
        wr_cache_group *group = &cache->groups[g];
        group->recent_pool = wr_pool_share(relative->groups[g].recent_pool);
        group->pinned_pool = wr_pool_share(relative->groups[g].pinned_pool);
        int64_t ring = mark ? ring_in_use(&relative->groups[g]) : group->ring_pages;
        status = wr_pool_reserve(group->recent_pool, ring, error);
        group->ring_reserved = status == WEIR_OK ? ring : 0;
        if (status == WEIR_OK)
            status = wr_pool_reserve(group->pinned_pool, pinned_to_come(relative), error);
        if (status == WEIR_OK) group->hand = pinned_to_come(relative);
    }
    if (status == WEIR_OK)
        adopt(cache, relative);
    else
        wr_cache_close(cache);
    return status;
}

weir_status wr_cache_open_fork(wr_cache *cache, wr_cache *relative, weir_error *error) {
    return open_relative(cache, relative, false, error);
}

weir_status wr_cache_open_mark(wr_cache *cache, wr_cache *relative, weir_error *error) {
    return open_relative(cache, relative, true, error);
}

bool wr_cache_related(const wr_cache *a, const wr_cache *b) {
    return a->groups[0].recent_pool == b->groups[0].recent_pool;
}

weir_status wr_cache_return(wr_cache *cache, wr_cache *mark, weir_error *error) {
    for (int32_t g = 0; g < cache->group_count; g++) {
        wr_cache_group *group = &cache->groups[g];
        weir_status status = wr_pool_reserve(group->pinned_pool, pinned_to_come(mark), error);
        if (status != WEIR_OK) return status; /* what earlier groups reserved stays in their hand */
        group->hand += pinned_to_come(mark);
    }
    wr_cache_drop_pages(cache);
    for (int32_t g = 0; g < cache->group_count; g++) {
        wr_cache_group *group = &cache->groups[g];
        int64_t spare = group->hand - pinned_to_come(mark);
        wr_pool_unreserve(group->pinned_pool, spare);
        group->hand -= spare;
    }
    adopt(cache, mark);
    return WEIR_OK;
}

/* --- Pin -------------------------------------------------------------------------------------- */

/* Copy the rows of one index from recent to pinned pages, for every layer of the group. */
static void copy_row(wr_cache *cache, int32_t layer, int64_t index, const wr_kernels *kernels,
                     int64_t pinned) {
    const wr_cache_shape *shape = &cache->options.shape;
    float row[1024];
    assert(shape->key_dim <= 1024 && shape->value_dim <= 1024);
    wr_cache_row from = wr_cache_row_at(cache, layer, index);
    int64_t old = cache->options.pinned;
    cache->options.pinned = pinned;
    wr_cache_row to = wr_cache_row_at(cache, layer, index);
    cache->options.pinned = old;
    for (int32_t head = 0; head < shape->kv_heads; head++) {
        size_t old_at = from.head_stride * (size_t)head, new_at = to.head_stride * (size_t)head;
        kernels->kv_read_key(from.type, from.keys + old_at, from.place, row, shape->key_dim);
        kernels->kv_write_key(to.type, to.keys + new_at, to.place, row, shape->key_dim);
        kernels->kv_read(from.type, from.value + old_at, row, shape->value_dim);
        kernels->kv_write(to.type, to.value + new_at, row, shape->value_dim);
    }
}

static void take_pinned_to(wr_cache_group *group, int64_t pages) {
    while (group->pinned_pages < pages) {
        group->pinned[group->pinned_pages++] = wr_pool_take(group->pinned_pool, true);
        group->hand--;
    }
}

/* Move the rows [S, end) to pinned pages. */
static void move_rows(wr_cache *cache, int64_t pinned, int64_t end, const wr_kernels *kernels) {
    int64_t old = cache->options.pinned;
    for (int32_t g = 0; g < cache->group_count; g++) {
        wr_cache_group *group = &cache->groups[g];
        if (old % WR_PAGE_TOKENS != 0 &&
            wr_pool_own(group->pinned_pool, &group->pinned[wr_page_of(old)], true, true))
            group->hand--;
        take_pinned_to(group, wr_pages_for(end));
        if (group->resident > old) {
            group->gap_begin = group->gap_end > 0 ? group->gap_begin : old;
            group->gap_end = wr_min(group->resident, end);
        }
    }
    for (int32_t layer = 0; layer < cache->options.shape.layers; layer++) {
        const wr_cache_group *group = &cache->groups[cache->group_of[layer]];
        for (int64_t index = wr_max(old, group->resident); index < end; index++)
            copy_row(cache, layer, index, kernels, pinned);
    }
}

/* Pages that pinning up to `pinned` takes in one group: new ones, and a copy of the last one when
 * a fork shares it (rows are moved there now, or written later). */
static int64_t pages_to_pin(const wr_cache *cache, int32_t g, int64_t pinned) {
    const wr_cache_group *group = &cache->groups[g];
    int64_t old = cache->options.pinned;
    int64_t pages = wr_pages_for(pinned) - wr_pages_for(old);
    if (old % WR_PAGE_TOKENS != 0 && wr_page_of(old) < group->pinned_pages &&
        wr_pool_shared(group->pinned_pool, group->pinned[wr_page_of(old)]))
        pages++;
    return pages;
}

weir_status wr_cache_pin(wr_cache *cache, int64_t pinned, const wr_kernels *kernels,
                         weir_error *error) {
    int64_t old = cache->options.pinned;
    int64_t slots = old + cache->options.recent;
    if (pinned <= old) return WEIR_OK;
    if (cache->length > 0 && cache->first > old)
        return weir_error_set(error, WEIR_EVICTED,
                              "%lld tokens have been forgotten already: pin before the window "
                              "overflows",
                              (long long)(cache->first - old));
    if (pinned >= slots)
        return weir_error_set(error, WEIR_LIMIT,
                              "cannot pin %lld of %lld cache slots: at least one must stay for the "
                              "window; choose a larger cache",
                              (long long)pinned, (long long)slots);
    bool moves = cache->length > old;
    for (int32_t g = 0; g < cache->group_count; g++) {
        int64_t pages = pages_to_pin(cache, g, pinned);
        weir_status status = wr_pool_reserve(cache->groups[g].pinned_pool, pages, error);
        if (status != WEIR_OK)
            return status; /* what earlier groups reserved stays in their hand, for a later pin */
        cache->groups[g].hand += pages;
    }
    if (moves) move_rows(cache, pinned, wr_min(pinned, cache->length), kernels);
    cache->options.pinned = pinned;
    cache->options.recent = slots - pinned;
    cache->first = pinned;
    cache->prepared = 0;
    return WEIR_OK;
}

/* --- Rewind ----------------------------------------------------------------------------------- */

/* Whether one group holds every key that token `last`, whose window begins at `low`, may attend. */
static bool group_resident(const wr_cache *cache, const wr_cache_group *group, int64_t low,
                           int64_t last) {
    int64_t window = group->layer_window;
    int64_t oldest = window > 0 ? wr_max(0, last - window + 1) : 0;
    if (last >= group->gap_begin && oldest < group->gap_end) return false;
    return last < cache->options.pinned || wr_max(low, oldest) >= group->resident;
}

/* Whether the last of `length` tokens still has every key of its window. */
static bool window_resident(const wr_cache *cache, int64_t length) {
    int64_t pinned = cache->options.pinned;
    int64_t last = length - 1;
    int64_t low = wr_max(wr_max(pinned, cache->floor), last - cache->options.recent + 1);
    if (last >= pinned && cache->options.by_message && low < cache->starts_resident) return false;
    for (int32_t g = 0; g < cache->group_count; g++)
        if (!group_resident(cache, &cache->groups[g], low, last)) return false;
    return true;
}

int64_t wr_cache_reach(const wr_cache *cache) {
    int64_t low = wr_min(cache->options.pinned + 1, cache->length);
    int64_t high = cache->length;
    if (window_resident(cache, low)) return 0;
    while (low < high) { /* residency is monotone above S: halve the interval */
        int64_t middle = low + (high - low) / 2;
        if (window_resident(cache, middle))
            high = middle;
        else
            low = middle + 1;
    }
    return high;
}

/* Pinned rows from `length` on will be written again: pages that a fork shares must be copied. */
static weir_status reserve_rewritten(wr_cache *cache, int64_t length, weir_error *error) {
    for (int32_t g = 0; g < cache->group_count; g++) {
        wr_cache_group *group = &cache->groups[g];
        int64_t shared = 0;
        for (int64_t p = wr_page_of(length); p < group->pinned_pages; p++)
            shared += wr_pool_shared(group->pinned_pool, group->pinned[p]);
        weir_status status = wr_pool_reserve(group->pinned_pool, shared, error);
        if (status != WEIR_OK) return status; /* what earlier groups reserved stays in their hand */
        group->hand += shared;
    }
    return WEIR_OK;
}

static weir_status shorten(wr_cache *cache, int64_t length, weir_error *error) {
    int64_t pinned = cache->options.pinned;
    weir_status status = length < pinned ? reserve_rewritten(cache, length, error) : WEIR_OK;
    if (status != WEIR_OK) return status;
    int64_t first = length > pinned ? wr_cache_compute_first(cache, length - 1) : pinned;
    for (int32_t g = 0; g < cache->group_count; g++) {
        wr_cache_group *group = &cache->groups[g];
        for (int32_t i = 0; i < group->ring_pages; i++)
            if (length <= pinned || group->numbers[i] * WR_PAGE_TOKENS >= length)
                group->numbers[i] = -1;
        if (length <= pinned) /* what follows is written again */
            group->resident = 0;
        group->gap_end = length > group->gap_begin ? wr_min(group->gap_end, length) : 0;
    }
    if (length <= pinned) cache->floor = 0;
    cache->border_pending = cache->options.by_message && length >= cache->starts_resident &&
                            cache->starts[length % cache->starts_capacity] == length;
    cache->starts_resident = wr_min(cache->starts_resident, length);
    cache->length = length;
    cache->first = first;
    cache->prepared = 0;
    return WEIR_OK;
}

weir_status wr_cache_take_back(wr_cache *cache, weir_error *error) {
    assert(cache->length > 0);
    return shorten(cache, cache->length - 1, error);
}

weir_status wr_cache_rewind(wr_cache *cache, int64_t length, weir_error *error) {
    if (length < 0 || length > cache->length)
        return weir_error_set(error, WEIR_USAGE, "cannot rewind to token %lld of a stream of %lld",
                              (long long)length, (long long)cache->length);
    if (length == cache->length) return WEIR_OK;
    if (!window_resident(cache, length))
        return weir_error_set(error, WEIR_EVICTED,
                              "cannot rewind to token %lld: its window has left the cache; the "
                              "oldest that can be reached is %lld (set a mark to go further back)",
                              (long long)length, (long long)wr_cache_reach(cache));
    return shorten(cache, length, error);
}

void wr_cache_skip_to(wr_cache *cache, int64_t length) {
    assert(cache->length >= cache->options.pinned && length >= cache->length);
    for (int32_t g = 0; g < cache->group_count; g++) {
        wr_cache_group *group = &cache->groups[g];
        for (int32_t i = 0; i < group->ring_pages; i++) group->numbers[i] = -1;
        group->resident = length;
    }
    cache->starts_resident = length;
    cache->length = length;
    cache->first = length;
    cache->floor = length;
    cache->prepared = 0;
}
