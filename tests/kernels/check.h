/*
 * What the kernel tests share: guarded buffers, random numbers, the levels of this machine.
 */
#ifndef WR_TEST_CHECK_H
#define WR_TEST_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/random.h"
#include "tensor/kernels.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

#define UNIT 0x1p-24 /* relative rounding error of float32 */

enum { GUARD = 64, CANARY = 0xA5 };

/* Memory between two guards, `offset` bytes past a multiple of 64; or in front of a fence. */
typedef struct guarded {
    uint8_t *base;
    size_t size, offset;
    void *data;
    size_t mapped; /* bytes of a mapping whose last page is the fence; 0 without a fence */
} guarded;

/* Memory whose first byte beyond cannot even be read. */
static inline guarded fenced_make(size_t size) {
    const size_t page = 65536; /* a multiple of every page size there is */
    const size_t room = (size + page - 1) / page * page;
    guarded g = {.size = size, .mapped = room + page};
    g.base = mmap(NULL, g.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g.base != MAP_FAILED);
    assert_int_equal(mprotect(g.base + room, page, PROT_NONE), 0);
    g.data = g.base + room - size;
    memset(g.data, 0xff, size);
    return g;
}

static inline guarded fenced_floats(int64_t count) {
    return fenced_make((size_t)count * sizeof(float));
}

/* Filled with 0xff: as floats, NaN; so what is read before it is written shows. */
static inline guarded guarded_make(size_t size, size_t offset) {
    guarded g = {.size = size, .offset = offset};
    size_t all = (size + offset + 2 * GUARD + 63) / 64 * 64;
    g.base = aligned_alloc(64, all);
    assert_non_null(g.base);
    memset(g.base, CANARY, all);
    g.data = g.base + GUARD + offset;
    memset(g.data, 0xff, size);
    return g;
}

static inline guarded guarded_floats(int64_t count, size_t offset) {
    return guarded_make((size_t)count * sizeof(float), offset);
}

static inline void guarded_check(const guarded *g) {
    for (size_t i = 0; i < GUARD + g->offset; i++) {
        if (g->base[i] != CANARY) fail_msg("a byte before the buffer was written");
    }
    for (size_t i = 0; i < GUARD; i++) {
        if (((uint8_t *)g->data + g->size)[i] != CANARY) {
            fail_msg("byte %zu after the buffer was written", i);
        }
    }
}

static inline void guarded_free(guarded *g) {
    if (g->mapped > 0) {
        munmap(g->base, g->mapped);
        return;
    }
    guarded_check(g);
    free(g->base);
}

static inline void fill_normal(float *x, int64_t n, uint64_t seed, double deviation) {
    for (int64_t i = 0; i < n; i++) {
        x[i] = (float)(deviation * wr_random_normal(seed, 77, (uint64_t)i));
    }
}

static inline uint32_t random_below(uint32_t bound) {
    static uint64_t counter;
    return (uint32_t)(wr_random_unit(1234, 5, counter++) * bound);
}

typedef void (*level_test)(const wr_kernels *kernels);

/* Run a test for every level, say which this machine lacks. */
static inline void for_each_level(level_test test) {
    for (int level = 0; level < WR_CPU_LEVELS; level++) {
        const wr_kernels *kernels = wr_kernels_get((wr_cpu_level)level);
        if (level > (int)wr_cpu_detect() || (int)kernels->level != level) {
            print_message("             skipped: %s\n", wr_cpu_name((wr_cpu_level)level));
            continue;
        }
        test(kernels);
    }
}

#define FOR_EACH_LEVEL(name)                                                                       \
    static void name(void **state) {                                                               \
        (void)state;                                                                               \
        for_each_level(name##_at);                                                                 \
    }

static const int sizes[] = {1, 3, 7, 8, 15, 16, 17, 31, 33, 63, 65, 100, 257, 1000};

#endif
