/*
 * Memory: the allocator that a caller may give, and the figure that "constant memory" means.
 *
 * All memory that weir takes comes through a weir_allocator. Tests use it to fail the n-th
 * allocation, and to prove that the token loop allocates nothing.
 */
#ifndef WEIR_MEMORY_H
#define WEIR_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "weir/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_allocator {
    /* `size` bytes aligned to 64, or NULL. `size` is never 0. Called from any thread. */
    void *(*allocate)(void *context, size_t size);
    /* Give back what allocate() returned, with the size that was asked for. Never NULL. */
    void (*release)(void *context, void *memory, size_t size);
    void *context;
} weir_allocator;

/* RssAnon + VmSwap of this process in bytes: memory that the program itself holds, without mapped
 * files; -1 where the system does not tell. This is what must not grow with a stream. */
WEIR_API int64_t weir_memory_resident(void);

#ifdef __cplusplus
}
#endif
#endif
