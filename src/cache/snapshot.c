/*
 * A cache to bytes and back. What is written: the numbers, the message starts that are known, and
 * whole pages, pinned and recent. The stream's snapshot around it carries version, checksum and
 * fingerprint; here every number is checked all the same.
 */
#include <string.h>

#include "cache/cache_private.h"

static int64_t saved_starts(const wr_cache *cache) {
    if (!cache->options.by_message) return 0;
    return cache->length - wr_max(cache->starts_resident, 0);
}

/* Whether a slot has tokens of the stream: not those that were only prepared. */
static bool in_use(const wr_cache *cache, const wr_cache_group *group, int32_t slot) {
    int64_t number = group->numbers[slot];
    return number >= 0 && number * WR_PAGE_TOKENS < cache->length;
}

static void save_group(const wr_cache *cache, const wr_cache_group *group, wr_writer *writer) {
    wr_write_u64(writer, (uint64_t)group->resident);
    wr_write_u64(writer, (uint64_t)group->gap_begin);
    wr_write_u64(writer, (uint64_t)group->gap_end);
    wr_write_u32(writer, (uint32_t)group->pinned_pages);
    for (int32_t i = 0; i < group->pinned_pages; i++)
        wr_write_bytes(writer, group->pinned[i]->data, wr_pool_page_bytes(group->pinned_pool));
    uint32_t used = 0;
    for (int32_t i = 0; i < group->ring_pages; i++) used += in_use(cache, group, i);
    wr_write_u32(writer, used);
    for (int32_t i = 0; i < group->ring_pages; i++) {
        if (!in_use(cache, group, i)) continue;
        wr_write_u64(writer, (uint64_t)group->numbers[i]);
        wr_write_bytes(writer, group->ring[i]->data, wr_pool_page_bytes(group->recent_pool));
    }
}

void wr_cache_save(const wr_cache *cache, wr_writer *writer) {
    wr_write_u64(writer, (uint64_t)cache->length);
    wr_write_u64(writer, (uint64_t)cache->first);
    wr_write_u64(writer, (uint64_t)cache->floor);
    wr_write_u8(writer, cache->border_pending);
    int64_t starts = saved_starts(cache);
    wr_write_u64(writer, (uint64_t)starts);
    for (int64_t t = cache->length - starts; t < cache->length; t++)
        wr_write_u64(writer, (uint64_t)cache->starts[t % cache->starts_capacity]);
    wr_write_u32(writer, (uint32_t)cache->group_count);
    for (int32_t g = 0; g < cache->group_count; g++) save_group(cache, &cache->groups[g], writer);
}

static weir_status damaged(weir_error *error, const char *what) {
    return weir_error_set(error, WEIR_DAMAGED, "the saved cache is damaged: %s", what);
}

/* A number between low and high, or the reader fails. */
static int64_t read_index(wr_reader *reader, int64_t low, int64_t high) {
    uint64_t value = wr_read_u64(reader);
    if (value > INT64_MAX || (int64_t)value < low || (int64_t)value > high) {
        reader->failed = true;
        return low;
    }
    return (int64_t)value;
}

/* The saved file may have been made with a larger chunk: older pages than the ring holds are
 * skipped, and rewinding reaches less far. */
static bool load_ring(wr_cache *cache, wr_cache_group *group, wr_reader *reader) {
    uint32_t count = wr_read_u32(reader);
    size_t bytes = wr_pool_page_bytes(group->recent_pool);
    int64_t newest = cache->length > 0 ? wr_page_of(cache->length - 1) : -1;
    for (uint32_t i = 0; i < count && !reader->failed; i++) {
        int64_t number = read_index(reader, 0, newest);
        const void *data = wr_read_bytes(reader, bytes);
        if (!data || number <= newest - group->ring_pages) continue;
        int64_t slot = number % group->ring_pages;
        if (group->numbers[slot] >= 0) return false;
        group->ring[slot] = wr_pool_take(group->recent_pool, false);
        memcpy(group->ring[slot]->data, data, bytes);
        group->numbers[slot] = number;
    }
    /* Rows are intact only where their pages came, whatever the file says. */
    int64_t oldest = newest + 1;
    while (oldest > 0 && oldest > newest - group->ring_pages + 1 &&
           group->numbers[(oldest - 1) % group->ring_pages] == oldest - 1)
        oldest--;
    int64_t from = wr_min(oldest * WR_PAGE_TOKENS, cache->length);
    if (from > cache->options.pinned) group->resident = wr_max(group->resident, from);
    return !reader->failed;
}

static bool load_pinned(wr_cache *cache, wr_cache_group *group, wr_reader *reader) {
    int64_t count = wr_read_u32(reader);
    if (count < wr_pages_for(wr_min(cache->length, cache->options.pinned)) ||
        count > wr_pages_for(cache->options.pinned))
        return false;
    size_t bytes = wr_pool_page_bytes(group->pinned_pool);
    for (int64_t i = 0; i < count; i++) {
        const void *data = wr_read_bytes(reader, bytes);
        if (!data) return false;
        group->pinned[i] = wr_pool_take(group->pinned_pool, true);
        group->pinned_pages++;
        group->hand--;
        memcpy(group->pinned[i]->data, data, bytes);
    }
    return true;
}

/* Every page of the last token's window must be there. */
static bool window_complete(const wr_cache *cache, const wr_cache_group *group) {
    int64_t low = wr_max(cache->first, cache->options.pinned);
    if (group->layer_window > 0) low = wr_max(low, cache->length - group->layer_window);
    if (low >= cache->length) return true;
    if (low < group->resident) return false;
    for (int64_t p = wr_page_of(low); p * WR_PAGE_TOKENS < cache->length; p++)
        if (group->numbers[p % group->ring_pages] != p) return false;
    return true;
}

static bool load_starts(wr_cache *cache, wr_reader *reader) {
    int64_t count = read_index(reader, 0, cache->length);
    if (!cache->options.by_message) return count == 0;
    int64_t begin = cache->length - count;
    cache->starts_resident = wr_max(begin, cache->length - cache->starts_capacity);
    int64_t previous = 0;
    for (int64_t t = begin; t < cache->length && !reader->failed; t++) {
        int64_t start = read_index(reader, previous, t);
        previous = start;
        if (t >= cache->starts_resident) cache->starts[t % cache->starts_capacity] = start;
    }
    int64_t low =
        wr_max(wr_max(cache->options.pinned, cache->floor), cache->length - cache->options.recent);
    return low >= cache->starts_resident || low >= cache->length;
}

weir_status wr_cache_load(wr_cache *cache, wr_reader *reader, weir_error *error) {
    const int64_t far = INT64_MAX / 4; /* room for sums of indices */
    cache->length = read_index(reader, 0, cache->options.bounded ? cache->options.recent : far);
    int64_t first =
        read_index(reader, cache->options.pinned, wr_max(cache->length, cache->options.pinned));
    cache->floor = read_index(reader, 0, cache->length);
    cache->border_pending = wr_read_u8(reader) != 0;
    if (reader->failed || !load_starts(cache, reader) || reader->failed)
        return damaged(error, "its numbers are out of range");
    cache->first = cache->length > cache->options.pinned
                       ? wr_cache_compute_first(cache, cache->length - 1)
                       : cache->options.pinned;
    if (wr_read_u32(reader) != (uint32_t)cache->group_count)
        return damaged(error, "it has another number of layer groups");
    for (int32_t g = 0; g < cache->group_count; g++) {
        wr_cache_group *group = &cache->groups[g];
        group->resident = read_index(reader, 0, cache->length);
        group->gap_begin = read_index(reader, 0, cache->options.pinned);
        group->gap_end = read_index(reader, 0, cache->options.pinned);
        if (reader->failed || !load_pinned(cache, group, reader) ||
            !load_ring(cache, group, reader) || !window_complete(cache, group))
            return damaged(error, "pages are missing");
    }
    if (first != cache->first)
        return damaged(error, "its oldest token does not follow from its length");
    return WEIR_OK;
}
