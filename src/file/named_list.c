/* A list of things with names: see named_list.h. */
#include "file/named_list.h"

#include <assert.h>
#include <string.h>

static size_t chunk_count(const wr_named_list *list) {
    return list->capacity / WR_NAMED_LIST_CHUNK + (list->capacity % WR_NAMED_LIST_CHUNK != 0);
}

/* The last chunk is only as long as the capacity needs. */
static size_t chunk_items(const wr_named_list *list, size_t chunk) {
    size_t left = list->capacity - chunk * WR_NAMED_LIST_CHUNK;
    return left < WR_NAMED_LIST_CHUNK ? left : WR_NAMED_LIST_CHUNK;
}

bool wr_named_list_init(wr_named_list *list, const weir_allocator *allocator, size_t item_size,
                        size_t capacity) {
    assert(capacity <= UINT32_MAX);
    *list = (wr_named_list){.allocator = allocator, .item_size = item_size, .capacity = capacity};
    if (capacity == 0) return true;
    list->chunks = wr_allocate_array(allocator, chunk_count(list), sizeof *list->chunks);
    return list->chunks != NULL;
}

void wr_named_list_deinit(wr_named_list *list) {
    if (list->chunks != NULL)
        for (size_t i = 0; i < chunk_count(list); i++)
            wr_release(list->allocator, list->chunks[i], chunk_items(list, i) * list->item_size);
    wr_release(list->allocator, list->chunks, chunk_count(list) * sizeof *list->chunks);
    wr_release(list->allocator, list->order, list->count * sizeof *list->order);
    *list = (wr_named_list){0};
}

void *wr_named_list_add(wr_named_list *list) {
    assert(list->count < list->capacity && list->order == NULL);
    size_t chunk = list->count / WR_NAMED_LIST_CHUNK;
    if (list->chunks[chunk] == NULL)
        list->chunks[chunk] =
            wr_allocate_array(list->allocator, chunk_items(list, chunk), list->item_size);
    if (list->chunks[chunk] == NULL) return NULL;
    return wr_named_list_at(list, list->count++);
}

void *wr_named_list_at(const wr_named_list *list, size_t i) {
    assert(i < list->count);
    uint8_t *chunk = list->chunks[i / WR_NAMED_LIST_CHUNK];
    return chunk + i % WR_NAMED_LIST_CHUNK * list->item_size;
}

static wr_string name_at(const wr_named_list *list, size_t i) {
    return *(const wr_string *)wr_named_list_at(list, i);
}

static bool name_less(const void *context, uint32_t a, uint32_t b) {
    const wr_named_list *list = context;
    return wr_string_order(name_at(list, a), name_at(list, b)) < 0;
}

bool wr_named_list_sort(wr_named_list *list, size_t *twin) {
    *twin = list->count;
    if (list->count == 0) return true;
    list->order = wr_allocate_array(list->allocator, list->count, sizeof *list->order);
    if (list->order == NULL) return false;
    wr_order_sort(list->order, list->count, name_less, list);
    for (size_t i = 1; i < list->count; i++)
        if (!name_less(list, list->order[i - 1], list->order[i])) *twin = list->order[i];
    return true;
}

const void *wr_named_list_find(const wr_named_list *list, const char *name) {
    if (list->order == NULL) return NULL;
    wr_string wanted = {name, strlen(name)};
    size_t low = 0;
    size_t high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint32_t item = list->order[middle];
        int side = wr_string_order(wanted, name_at(list, item));
        if (side == 0) return wr_named_list_at(list, item);
        if (side < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

int wr_string_order(wr_string a, wr_string b) {
    size_t common = a.size < b.size ? a.size : b.size;
    int side = common == 0 ? 0 : memcmp(a.data, b.data, common);
    return side != 0 ? side : (a.size > b.size) - (a.size < b.size);
}

/* Let order[at] sink until no child is greater (a heap of `count` with the greatest on top). */
static void sift_down(uint32_t *order, size_t at, size_t count, wr_order_less less,
                      const void *context) {
    uint32_t item = order[at];
    for (size_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && less(context, order[child], order[child + 1])) child++;
        if (!less(context, item, order[child])) break;
        order[at] = order[child];
        at = child;
    }
    order[at] = item;
}

void wr_order_sort(uint32_t *order, size_t count, wr_order_less less, const void *context) {
    for (size_t i = 0; i < count; i++) order[i] = (uint32_t)i;
    for (size_t i = count / 2; i-- > 0;) sift_down(order, i, count, less, context);
    for (size_t end = count; end-- > 1;) {
        uint32_t greatest = order[0];
        order[0] = order[end];
        order[end] = greatest;
        sift_down(order, 0, end, less, context);
    }
}
