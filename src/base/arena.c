/*
 * An arena that is measured, then bound. Every piece begins at a multiple of 64 bytes.
 */
#include "base/arena.h"

#include <assert.h>
#include <string.h>

enum { ALIGNMENT = 64 };

/* *sum = used + count * size, rounded up to the alignment; false when that does not fit. */
static bool add_piece(size_t used, size_t count, size_t size, size_t *sum) {
    size_t bytes;
    if (used == SIZE_MAX || !wr_multiply_size(count, size, &bytes)) return false;
    if (bytes > SIZE_MAX - ALIGNMENT - used) return false;
    *sum = used + (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return true;
}

void *wr_arena_take(wr_arena *arena, size_t count, size_t size) {
    size_t sum;
    bool fits = add_piece(arena->used, count, size, &sum);
    if (arena->base == NULL) {
        arena->used = fits ? sum : SIZE_MAX;
        return NULL;
    }
    assert(fits && sum <= arena->size && "more is taken than was measured");
    void *piece = arena->base + arena->used;
    arena->used = sum;
    return piece;
}

weir_status wr_arena_bind(wr_arena *arena, const weir_allocator *allocator) {
    assert(arena->base == NULL && "an arena is bound once");
    if (arena->used == SIZE_MAX) return WEIR_MEMORY;
    uint8_t *base = wr_allocate(allocator, arena->used);
    if (base == NULL) return WEIR_MEMORY;
    /* Cleared here and once, so the pages are resident from the start and memory stays level. */
    memset(base, 0, arena->used);
    arena->base = base;
    arena->size = arena->used;
    arena->used = 0;
    return WEIR_OK;
}

void wr_arena_release(wr_arena *arena, const weir_allocator *allocator) {
    wr_release(allocator, arena->base, arena->size);
    *arena = (wr_arena){0};
}
