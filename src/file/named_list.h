/*
 * A list of things with names, as long as a file says, that never needs one large block.
 *
 *   chunks -> [item item ... 256] [item ... 256] ... [item]     in the file's order
 *   order  -> the numbers of the items, sorted by name
 *
 * Every item begins with its wr_string name. Finding is a binary search: a sorted order has no
 * worst case that a hostile file could aim at, as a hash has.
 */
#ifndef WR_NAMED_LIST_H
#define WR_NAMED_LIST_H

#include "base/bytes.h"

#define WR_NAMED_LIST_CHUNK 256

typedef struct wr_named_list {
    const weir_allocator *allocator;
    uint8_t **chunks; /* those not yet reached are NULL */
    uint32_t *order;  /* NULL before sorting */
    size_t item_size;
    size_t count;
    size_t capacity;
} wr_named_list;

/* An empty list for `capacity` (< 2^32) items. false when there is no memory; deinit either way. */
bool wr_named_list_init(wr_named_list *list, const weir_allocator *allocator, size_t item_size,
                        size_t capacity);
void wr_named_list_deinit(wr_named_list *list);

/* One more item, cleared; NULL when there is no memory. At most `capacity` times. */
void *wr_named_list_add(wr_named_list *list);

/* Item i of [0, count), in the order they were added. */
void *wr_named_list_at(const wr_named_list *list, size_t i);

/* Sort the names, after the last add. false when there is no memory. If two items have one name,
 * *twin becomes the number of one of them, otherwise it becomes `count`. */
bool wr_named_list_sort(wr_named_list *list, size_t *twin);

/* The item called `name`, or NULL. Before sorting nothing is found. */
const void *wr_named_list_find(const wr_named_list *list, const char *name);

/* Less than, equal to or greater than 0, by bytes. */
int wr_string_order(wr_string a, wr_string b);

/* Write 0 ... count-1 into `order`, sorted: in place, and never slower than n log n. */
typedef bool (*wr_order_less)(const void *context, uint32_t a, uint32_t b);
void wr_order_sort(uint32_t *order, size_t count, wr_order_less less, const void *context);

#endif
