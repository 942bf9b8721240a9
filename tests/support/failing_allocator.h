/*
 * The system's memory behind a counter: a test decides which request fails, and sees every mistake.
 *
 *     failing_allocator memory;
 *     failing_allocator_init(&memory);
 *     memory.fail_at = 3;                          the third request from now fails
 *     ... use &memory.allocator ...
 *     assert_true(failing_allocator_clean(&memory));   nothing leaked, no size was wrong
 *
 * Safe to use from several threads. Set the fields only while no other thread allocates.
 */
#ifndef FAILING_ALLOCATOR_H
#define FAILING_ALLOCATOR_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/memory.h"

typedef struct failing_allocator {
    weir_allocator allocator; /* give its address to the code under test */
    /* What the test sets. */
    int64_t fail_at; /* fail the n-th request from now (1: the next), once; 0: none */
    bool fail_all;   /* fail every request from now on */
    /* What the test reads. */
    int64_t requests;   /* all, those that failed included */
    int64_t failures;   /* requests that failed on purpose */
    int64_t live;       /* blocks not yet released */
    size_t live_bytes;  /* their bytes */
    size_t peak_bytes;  /* the most bytes live at once */
    size_t largest;     /* the largest request, granted or not */
    int64_t mismatches; /* blocks released with another size than asked for, or that are none */
    pthread_mutex_t mutex;
} failing_allocator;

void failing_allocator_init(failing_allocator *memory);

/* Nothing is live and nothing was mismatched; otherwise it says on stderr what is. */
bool failing_allocator_clean(const failing_allocator *memory);

#endif
