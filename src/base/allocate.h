/*
 * The allocator seam: every byte that the library takes passes through here.
 *
 * A NULL allocator is the system's. Sizes are given back on release, so that an allocator needs no
 * headers of its own and a test can count exactly.
 */
#ifndef WR_ALLOCATE_H
#define WR_ALLOCATE_H

#include <stdbool.h>

#include "weir/memory.h"

/* `size` bytes aligned to 64, not cleared; NULL when there are none. size 0 is taken as 1. */
void *wr_allocate(const weir_allocator *allocator, size_t size);

/* `count` elements of `size` bytes, cleared; NULL when there are none or count * size overflows. */
void *wr_allocate_array(const weir_allocator *allocator, size_t count, size_t size);

/* Large pages for [memory, memory + size), where the system gives them. A wish: nothing fails. */
void wr_advise_huge(void *memory, size_t size);

/* `memory` may be NULL; `size` is what was asked for (count * size for an array). */
void wr_release(const weir_allocator *allocator, void *memory, size_t size);

/* *product = a * b; false when it does not fit. */
bool wr_multiply_size(size_t a, size_t b, size_t *product);

#endif
