/* The cache's memory, its writing and its views: see cache.h. */
#include <assert.h>
#include <string.h>

#include "cache/cache_private.h"

/* --- Sizes ------------------------------------------------------------------------------------ */

static wr_kv_type pinned_type(wr_kv_type type) { return type == WR_KV_Q8_0 ? WR_KV_F16 : type; }

wr_kv_type wr_cache_pinned_type(const wr_cache *cache) { return pinned_type(cache->options.type); }

static size_t row_pair_bytes(const wr_cache_shape *shape, wr_kv_type type) {
    return wr_kv_row_bytes(type, shape->key_dim) + wr_kv_row_bytes(type, shape->value_dim);
}

size_t wr_cache_layers_page_bytes(const wr_cache_shape *shape, int32_t layers, wr_kv_type type) {
    return row_pair_bytes(shape, type) * WR_PAGE_TOKENS * (size_t)shape->kv_heads * (size_t)layers;
}

size_t wr_cache_key_offset(const wr_cache_shape *shape, int32_t place, int32_t head,
                           wr_kv_type type) {
    size_t head_bytes = row_pair_bytes(shape, type) * WR_PAGE_TOKENS;
    return head_bytes * ((size_t)place * (size_t)shape->kv_heads + (size_t)head);
}

static int64_t layer_window(const wr_cache_shape *shape, int32_t layer) {
    return shape->layer_windows ? shape->layer_windows[layer] : 0;
}

/* Recent tokens that a layer with window L (0: none) keeps of W. */
static int64_t kept(int64_t recent, int64_t window) {
    return window > 0 ? wr_min(recent, window) : recent;
}

/* Pages that any `span` consecutive indices can touch, wherever they begin. */
static int64_t ring_pages(const wr_cache_options *options, int64_t window) {
    if (options->bounded) return wr_pages_for(options->recent);
    int64_t span = kept(options->recent, window) + options->chunk - 1;
    return wr_pages_for(span - 1) + 1;
}

size_t wr_cache_kv_bytes(const wr_cache_options *options) {
    const wr_cache_shape *shape = &options->shape;
    size_t pinned = row_pair_bytes(shape, pinned_type(options->type)) * (size_t)options->pinned;
    size_t total = 0;
    for (int32_t layer = 0; layer < shape->layers; layer++) {
        int64_t recent = kept(options->recent, layer_window(shape, layer));
        total += (pinned + row_pair_bytes(shape, options->type) * (size_t)recent) *
                 (size_t)shape->kv_heads;
    }
    return total;
}

size_t wr_cache_token_bytes(const wr_cache_options *options) {
    const wr_cache_shape *shape = &options->shape;
    return row_pair_bytes(shape, options->type) * (size_t)shape->kv_heads * (size_t)shape->layers;
}

/* --- Layout ----------------------------------------------------------------------------------- */

/* The group of `layer`: the first layer with the same window leads it. */
static int32_t leader_of(const wr_cache_shape *shape, int32_t layer) {
    int32_t leader = 0;
    while (layer_window(shape, leader) != layer_window(shape, layer)) leader++;
    return leader;
}

int32_t wr_cache_count_groups(const wr_cache_shape *shape) {
    int32_t count = 0;
    for (int32_t layer = 0; layer < shape->layers; layer++)
        count += leader_of(shape, layer) == layer;
    return count;
}

size_t wr_cache_page_bytes(const wr_cache_options *options) {
    const wr_cache_shape *shape = &options->shape;
    size_t total = 0;
    for (int32_t layer = 0; layer < shape->layers; layer++) {
        if (leader_of(shape, layer) != layer) continue;
        int32_t members = 0;
        for (int32_t other = layer; other < shape->layers; other++)
            members += leader_of(shape, other) == layer;
        size_t recent = wr_cache_layers_page_bytes(shape, members, options->type);
        size_t pinned = wr_cache_layers_page_bytes(shape, members, pinned_type(options->type));
        total += wr_pool_bytes(recent, ring_pages(options, layer_window(shape, layer)));
        total += wr_pool_bytes(pinned, wr_pages_for(options->pinned));
    }
    return total;
}

static void lay_group(wr_arena *arena, wr_cache_group *group, const wr_cache_options *options,
                      int64_t window, int64_t pinned_capacity) {
    int64_t pages = ring_pages(options, window);
    wr_page **ring = wr_arena_take(arena, (size_t)pages, sizeof *ring);
    int64_t *numbers = wr_arena_take(arena, (size_t)pages, sizeof *numbers);
    wr_page **pinned = wr_arena_take(arena, (size_t)pinned_capacity, sizeof *pinned);
    if (!group) return;
    group->layer_window = window;
    group->ring_pages = (int32_t)pages;
    group->ring = ring;
    group->numbers = numbers;
    group->pinned = pinned;
    for (int64_t i = 0; i < pages; i++) numbers[i] = -1;
}

/* Sort layers into groups, in the order of their leaders. `cache` is NULL while measuring. */
static void lay_groups(wr_arena *arena, wr_cache *cache, const wr_cache_options *options) {
    const wr_cache_shape *shape = &options->shape;
    int64_t pinned_capacity = wr_pages_for(options->pinned + options->recent);
    int32_t next = 0;
    for (int32_t layer = 0; layer < shape->layers; layer++) {
        int32_t leader = leader_of(shape, layer);
        if (leader == layer)
            lay_group(arena, cache ? &cache->groups[next] : NULL, options,
                      layer_window(shape, layer), pinned_capacity);
        if (!cache) continue;
        cache->pinned_capacity = (int32_t)pinned_capacity;
        cache->group_of[layer] = leader == layer ? next++ : cache->group_of[leader];
        cache->place_of[layer] = cache->groups[cache->group_of[layer]].layers++;
    }
}

wr_cache *wr_cache_layout(wr_arena *arena, const wr_cache_options *options) {
    const wr_cache_shape *shape = &options->shape;
    int32_t group_count = wr_cache_count_groups(shape);
    /* For every token in the ring, also when a whole chunk is prepared and not committed. */
    int64_t starts =
        options->by_message ? options->recent + 2 * (options->chunk + WR_PAGE_TOKENS) : 0;
    wr_cache *cache = wr_arena_take(arena, 1, sizeof *cache);
    wr_cache_group *groups = wr_arena_take(arena, (size_t)group_count, sizeof *groups);
    int32_t *group_of = wr_arena_take(arena, (size_t)shape->layers, sizeof *group_of);
    int32_t *place_of = wr_arena_take(arena, (size_t)shape->layers, sizeof *place_of);
    int64_t *firsts = wr_arena_take(arena, (size_t)options->chunk, sizeof *firsts);
    int64_t *start_ring = wr_arena_take(arena, (size_t)starts, sizeof *start_ring);
    if (cache) {
        cache->options = *options;
        cache->group_count = group_count;
        cache->groups = groups;
        cache->group_of = group_of;
        cache->place_of = place_of;
        cache->firsts = firsts;
        cache->starts = start_ring;
        cache->starts_capacity = starts;
        cache->first = options->pinned;
    }
    lay_groups(arena, cache, options);
    return cache;
}

/* --- Opening and closing ---------------------------------------------------------------------- */

static weir_status reserve_group(wr_cache_group *group, int64_t ring, int64_t pinned,
                                 weir_error *error) {
    weir_status status = wr_pool_reserve(group->recent_pool, ring, error);
    if (status == WEIR_OK) group->ring_reserved += ring;
    if (status == WEIR_OK) status = wr_pool_reserve(group->pinned_pool, pinned, error);
    if (status == WEIR_OK) group->hand += pinned;
    return status;
}

weir_status wr_cache_open(wr_cache *cache, const weir_allocator *allocator, weir_error *error) {
    const wr_cache_shape *shape = &cache->options.shape;
    weir_status status = WEIR_OK;
    for (int32_t g = 0; g < cache->group_count && status == WEIR_OK; g++) {
        wr_cache_group *group = &cache->groups[g];
        size_t recent = wr_cache_layers_page_bytes(shape, group->layers, cache->options.type);
        size_t pinned =
            wr_cache_layers_page_bytes(shape, group->layers, wr_cache_pinned_type(cache));
        status = wr_pool_create(recent, allocator, &group->recent_pool, error);
        if (status == WEIR_OK)
            status = wr_pool_create(pinned, allocator, &group->pinned_pool, error);
        if (status == WEIR_OK)
            status =
                reserve_group(group, group->ring_pages, wr_pages_for(cache->options.pinned), error);
    }
    if (status != WEIR_OK) wr_cache_close(cache);
    return status;
}

void wr_cache_drop_pages(wr_cache *cache) {
    for (int32_t g = 0; g < cache->group_count; g++) {
        wr_cache_group *group = &cache->groups[g];
        for (int32_t i = 0; i < group->ring_pages; i++) {
            wr_pool_drop(group->recent_pool, group->ring[i]);
            group->ring[i] = NULL;
            group->numbers[i] = -1;
        }
        for (int32_t i = 0; i < group->pinned_pages; i++) {
            wr_pool_drop(group->pinned_pool, group->pinned[i]);
            group->pinned[i] = NULL;
        }
        group->pinned_pages = 0;
    }
}

void wr_cache_close(wr_cache *cache) {
    if (!cache) return;
    wr_cache_drop_pages(cache);
    for (int32_t g = 0; g < cache->group_count; g++) {
        wr_cache_group *group = &cache->groups[g];
        if (group->recent_pool) wr_pool_unreserve(group->recent_pool, group->ring_reserved);
        if (group->pinned_pool) wr_pool_unreserve(group->pinned_pool, group->hand);
        group->ring_reserved = group->hand = 0;
        wr_pool_release(group->recent_pool);
        wr_pool_release(group->pinned_pool);
        group->recent_pool = group->pinned_pool = NULL;
    }
}

/* --- What b(t) is ----------------------------------------------------------------------------- */

int64_t wr_cache_length(const wr_cache *cache) { return cache->length; }
int64_t wr_cache_pinned(const wr_cache *cache) { return cache->options.pinned; }
int64_t wr_cache_recent(const wr_cache *cache) { return cache->options.recent; }
int64_t wr_cache_first(const wr_cache *cache) { return cache->first; }

static int64_t start_of(const wr_cache *cache, int64_t index) {
    return cache->starts[index % cache->starts_capacity];
}

/*
 * b(t). By token: max(S, t - W + 1) = low. By message, when low lies inside a message: the next
 * message's beginning, unless that message is longer than W (then by token), or still open (then it
 * is longer than W as well). `next` is any index <= the next border after low (a hint that makes a
 * chunk's worth of calls linear), and is moved forward.
 */
static int64_t first_from(const wr_cache *cache, int64_t t, int64_t *next) {
    int64_t pinned = cache->options.pinned;
    int64_t oldest = wr_max(pinned, cache->floor);
    int64_t low = wr_max(oldest, t - cache->options.recent + 1);
    if (!cache->options.by_message || low == oldest || start_of(cache, low) == low) return low;
    int64_t begin = wr_max(oldest, start_of(cache, low));
    *next = wr_max(*next, low + 1);
    while (*next <= t && start_of(cache, *next) != *next) ++*next;
    return *next > t || *next - begin > cache->options.recent ? low : *next;
}

int64_t wr_cache_compute_first(const wr_cache *cache, int64_t t) {
    int64_t next = 0;
    return first_from(cache, t, &next);
}

int64_t wr_cache_first_for(const wr_cache *cache, int64_t t) {
    if (t >= cache->length) return cache->firsts[t - cache->length];
    return t == cache->length - 1 ? cache->first : wr_cache_compute_first(cache, t);
}

int64_t wr_cache_position(const wr_cache *cache, int64_t t) {
    return t - (wr_cache_first_for(cache, t) - cache->options.pinned);
}

/* --- Writing ---------------------------------------------------------------------------------- */

static void own_pinned(wr_cache_group *group, int64_t page) {
    if (page < group->pinned_pages) {
        if (wr_pool_own(group->pinned_pool, &group->pinned[page], true, true)) group->hand--;
        return;
    }
    assert(page == group->pinned_pages && group->hand > 0);
    group->pinned[page] = wr_pool_take(group->pinned_pool, true);
    group->pinned_pages++;
    group->hand--;
}

static void own_recent(wr_cache_group *group, int64_t page) {
    int64_t slot = page % group->ring_pages;
    int64_t old = group->numbers[slot];
    if (!group->ring[slot])
        group->ring[slot] = wr_pool_take(group->recent_pool, false);
    else
        wr_pool_own(group->recent_pool, &group->ring[slot], old == page, false);
    group->numbers[slot] = page;
    if (old >= 0 && old < page)
        group->resident = wr_max(group->resident, (old + 1) * WR_PAGE_TOKENS);
}

/* Where the messages of the prepared tokens begin. */
static void note_starts(wr_cache *cache, int64_t count) {
    for (int64_t t = cache->length; t < cache->length + count; t++) {
        int64_t start = 0;
        if (cache->border_pending && t == cache->length)
            start = t;
        else if (t - 1 >= cache->starts_resident)
            start = start_of(cache, t - 1);
        cache->starts[t % cache->starts_capacity] = start;
        cache->starts_resident = wr_max(cache->starts_resident, t - cache->starts_capacity + 1);
    }
}

void wr_cache_prepare(wr_cache *cache, int64_t count) {
    assert(count >= 1 && count <= cache->options.chunk);
    assert(!cache->options.bounded || cache->length + count <= cache->options.recent);
    int64_t end = cache->length + count;
    int64_t pinned_end = wr_min(end, cache->options.pinned);
    int64_t recent_begin = wr_max(cache->length, cache->options.pinned);
    for (int32_t g = 0; g < cache->group_count; g++) {
        wr_cache_group *group = &cache->groups[g];
        if (cache->length < pinned_end)
            for (int64_t p = wr_page_of(cache->length); p <= wr_page_of(pinned_end - 1); p++)
                own_pinned(group, p);
        if (recent_begin < end)
            for (int64_t p = wr_page_of(recent_begin); p <= wr_page_of(end - 1); p++)
                own_recent(group, p);
    }
    if (cache->options.by_message) note_starts(cache, count);
    cache->prepared = count;
    int64_t next = 0;
    for (int64_t i = 0; i < count; i++)
        cache->firsts[i] = first_from(cache, cache->length + i, &next);
}

wr_cache_row wr_cache_row_at(const wr_cache *cache, int32_t layer, int64_t index) {
    const wr_cache_shape *shape = &cache->options.shape;
    const wr_cache_group *group = &cache->groups[cache->group_of[layer]];
    bool pinned = index < cache->options.pinned;
    int64_t number = wr_page_of(index);
    const wr_page *page = pinned ? group->pinned[number] : group->ring[number % group->ring_pages];
    wr_cache_row row;
    row.type = pinned ? wr_cache_pinned_type(cache) : cache->options.type;
    size_t key_bytes = wr_kv_row_bytes(row.type, shape->key_dim);
    size_t value_bytes = wr_kv_row_bytes(row.type, shape->value_dim);
    row.place = (int32_t)(index % WR_PAGE_TOKENS);
    row.head_stride = (key_bytes + value_bytes) * WR_PAGE_TOKENS;
    row.keys = page->data + wr_cache_key_offset(shape, cache->place_of[layer], 0, row.type);
    row.value = row.keys + key_bytes * WR_PAGE_TOKENS + value_bytes * (size_t)row.place;
    return row;
}

void wr_cache_commit(wr_cache *cache, int64_t count, int64_t *first, int64_t *end) {
    assert(count >= 1 && count <= cache->prepared);
    *first = wr_max(cache->first, cache->options.pinned);
    cache->first = cache->firsts[count - 1];
    *end = wr_max(cache->first, *first);
    cache->length += count;
    cache->prepared -= count;
    memmove(cache->firsts, cache->firsts + count, (size_t)cache->prepared * sizeof *cache->firsts);
    cache->border_pending = false;
}

int64_t wr_cache_prepared(const wr_cache *cache) { return cache->prepared; }

int64_t wr_cache_room_ahead(const wr_cache *cache, int64_t count) {
    int64_t last = wr_page_of(cache->length + count - 1);
    for (int64_t p = wr_page_of(cache->length) + 1; p <= last; p++)
        for (int32_t g = 0; g < cache->group_count; g++) {
            const wr_cache_group *group = &cache->groups[g];
            int64_t old = group->numbers[p % group->ring_pages];
            if (old >= 0 && old < p) return p * WR_PAGE_TOKENS - cache->length;
        }
    return count;
}

void wr_cache_border(wr_cache *cache) {
    cache->border_pending = true;
    cache->prepared = 0; /* for other messages than these */
}

bool wr_cache_border_pending(const wr_cache *cache) { return cache->border_pending; }

/* --- Views ------------------------------------------------------------------------------------ */

int32_t wr_cache_groups(const wr_cache *cache) { return cache->group_count; }
int32_t wr_cache_group_of(const wr_cache *cache, int32_t layer) { return cache->group_of[layer]; }

int32_t wr_cache_max_pages(const wr_cache_options *options) {
    /* A span of n tokens touches at most ceil((n - 1) / 32) + 1 pages; S + W never changes. */
    return (int32_t)wr_pages_for(options->pinned + options->recent + options->chunk) + 3;
}

/* The oldest recent token that t may attend. */
static int64_t recent_low(const wr_cache *cache, const wr_cache_group *group, int64_t t) {
    int64_t low = wr_max(wr_cache_first_for(cache, t), cache->options.pinned);
    return group->layer_window > 0 ? wr_max(low, t - group->layer_window + 1) : low;
}

void wr_cache_view_of(const wr_cache *cache, int32_t group_index, int64_t first, int64_t end,
                      wr_cache_view *view) {
    const wr_cache_group *group = &cache->groups[group_index];
    int64_t pinned = wr_min(cache->options.pinned, end);
    int64_t page = wr_page_of(recent_low(cache, group, first)); /* b(t) never falls */
    view->pinned = (int32_t)wr_pages_for(pinned);
    view->recent = 0;
    view->recent_first = page * WR_PAGE_TOKENS;
    for (int32_t i = 0; i < view->pinned; i++) view->pages[i] = group->pinned[i]->data;
    if (end <= cache->options.pinned) return;
    for (; page <= wr_page_of(end - 1); page++)
        view->pages[view->pinned + view->recent++] = group->ring[page % group->ring_pages]->data;
}

void wr_cache_spans(const wr_cache *cache, int32_t group_index, const wr_cache_view *view,
                    int64_t t, wr_kv_span *pinned, wr_kv_span *recent) {
    const wr_cache_group *group = &cache->groups[group_index];
    int64_t low = 0;
    int64_t high = wr_min(cache->options.pinned, t + 1);
    if (group->layer_window > 0)
        low = wr_max(0, wr_cache_position(cache, t) - group->layer_window + 1);
    *pinned = (wr_kv_span){(int32_t)wr_min(low, high), (int32_t)high};
    low = recent_low(cache, group, t) - view->recent_first;
    high = wr_max(t + 1 - view->recent_first, low);
    *recent = (wr_kv_span){(int32_t)low, (int32_t)high};
}

static void offsets(const wr_cache *cache, int32_t layer, int32_t head, wr_kv_type type,
                    wr_kv_sequence *view) {
    const wr_cache_shape *shape = &cache->options.shape;
    view->type = type;
    view->key_offset = wr_cache_key_offset(shape, cache->place_of[layer], head, type);
    view->value_offset = view->key_offset + wr_kv_row_bytes(type, shape->key_dim) * WR_PAGE_TOKENS;
    view->head_stride = view->value_offset - view->key_offset +
                        wr_kv_row_bytes(type, shape->value_dim) * WR_PAGE_TOKENS;
}

void wr_cache_offsets(const wr_cache *cache, int32_t layer, int32_t head, wr_kv_sequence *pinned,
                      wr_kv_sequence *recent) {
    offsets(cache, layer, head, wr_cache_pinned_type(cache), pinned);
    offsets(cache, layer, head, cache->options.type, recent);
}
