/*
 * An arena that is measured, then bound.
 *
 * The same layout function runs twice over an arena: first measuring (every take returns NULL and
 * only the sum grows), then bound to one block of exactly that size. So the bytes of a stream are
 * known before anything is reserved, and afterwards nothing can run out.
 *
 *     wr_arena arena = {0};                  measuring
 *     layout(&arena, &things);               arena.used is the size
 *     wr_arena_bind(&arena, allocator);      one allocation
 *     layout(&arena, &things);               pointers
 *     wr_arena_release(&arena, allocator);
 */
#ifndef WR_ARENA_H
#define WR_ARENA_H

#include "base/allocate.h"

typedef struct wr_arena {
    uint8_t *base; /* NULL while measuring */
    size_t size;   /* bytes behind base */
    size_t used;   /* bytes taken so far, a multiple of 64; SIZE_MAX after an overflow */
} wr_arena;

/* `count` elements of `size` bytes, aligned to 64, cleared. NULL while measuring. A bound arena
 * that is asked for more than was measured is a bug, and asserts. */
void *wr_arena_take(wr_arena *arena, size_t count, size_t size);

/* Allocate what was measured and begin again from the start. WEIR_MEMORY when there is no memory
 * (or the measure overflowed). */
weir_status wr_arena_bind(wr_arena *arena, const weir_allocator *allocator);

void wr_arena_release(wr_arena *arena, const weir_allocator *allocator);

#endif
