/*
 * The allocator seam and the figure that "constant memory" means.
 */
#include "base/allocate.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ALIGNMENT = 64 };

/* aligned_alloc wants a multiple of the alignment. */
static void *system_allocate(size_t size) {
    if (size > SIZE_MAX - ALIGNMENT) return NULL;
    size_t whole = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return aligned_alloc(ALIGNMENT, whole);
}

void *wr_allocate(const weir_allocator *allocator, size_t size) {
    if (size == 0) size = 1;
    if (allocator == NULL) return system_allocate(size);
    return allocator->allocate(allocator->context, size);
}

void *wr_allocate_array(const weir_allocator *allocator, size_t count, size_t size) {
    size_t bytes;
    if (!wr_multiply_size(count, size, &bytes)) return NULL;
    void *memory = wr_allocate(allocator, bytes);
    if (memory != NULL) memset(memory, 0, bytes);
    return memory;
}

void wr_release(const weir_allocator *allocator, void *memory, size_t size) {
    if (memory == NULL) return;
    if (size == 0) size = 1;
    if (allocator == NULL) {
        free(memory);
    } else {
        allocator->release(allocator->context, memory, size);
    }
}

void wr_advise_huge(void *memory, size_t size) {
#ifdef MADV_HUGEPAGE
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t begin = ((uintptr_t)memory + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)memory + size) / page * page;
    if (begin < end) madvise((void *)begin, end - begin, MADV_HUGEPAGE);
#else
    (void)memory;
    (void)size;
#endif
}

bool wr_multiply_size(size_t a, size_t b, size_t *product) {
    return !__builtin_mul_overflow(a, b, product);
}

/* The number after "NAME:" in the text of /proc/self/status, in bytes (it counts in kB); -1 when
 * the line is not there. */
static int64_t status_bytes(const char *text, const char *name) {
    const char *line = strstr(text, name);
    if (line == NULL) return -1;
    int64_t kilobytes = 0;
    const char *at = line + strlen(name);
    while (*at == ' ' || *at == '\t') at++;
    for (; *at >= '0' && *at <= '9'; at++) kilobytes = kilobytes * 10 + (*at - '0');
    return kilobytes * 1024;
}

/* Read without stdio, so that the question takes no memory and so does not change its answer. */
int64_t weir_memory_resident(void) {
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    char text[4096];
    size_t size = 0;
    ssize_t got;
    while (size < sizeof text - 1 && (got = read(fd, text + size, sizeof text - 1 - size)) > 0) {
        size += (size_t)got;
    }
    close(fd);
    text[size] = '\0';
    int64_t anonymous = status_bytes(text, "\nRssAnon:");
    int64_t swapped = status_bytes(text, "\nVmSwap:");
    if (anonymous < 0) return -1;
    return swapped < 0 ? anonymous : anonymous + swapped;
}
