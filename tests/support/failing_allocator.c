/* An allocator that fails when told to: see failing_allocator.h. */
#include "support/failing_allocator.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every block is preceded by 64 bytes that remember it, so that alignment stays. */
enum { HEADER = 64 };
#define LIVE UINT64_C(0x6c69766520626c6b)
#define DEAD UINT64_C(0x6465616420626c6b)

typedef struct header {
    uint64_t mark; /* LIVE or DEAD */
    size_t size;
} header;

static bool must_fail(failing_allocator *memory) {
    bool fail = memory->fail_all;
    if (memory->fail_at > 0 && --memory->fail_at == 0) fail = true;
    memory->requests++;
    memory->failures += fail;
    return fail;
}

static void *allocate(void *context, size_t size) {
    failing_allocator *memory = context;
    uint8_t *block = NULL;
    pthread_mutex_lock(&memory->mutex);
    if (size > memory->largest) memory->largest = size;
    if (!must_fail(memory) && size <= SIZE_MAX / 2)
        block = aligned_alloc(HEADER, HEADER + (size + HEADER - 1) / HEADER * HEADER);
    if (block != NULL) {
        header head = {.mark = LIVE, .size = size};
        memcpy(block, &head, sizeof head);
        memset(block + HEADER, 0xA5, size); /* not cleared: say so loudly */
        memory->live++;
        memory->live_bytes += size;
        if (memory->live_bytes > memory->peak_bytes) memory->peak_bytes = memory->live_bytes;
    }
    pthread_mutex_unlock(&memory->mutex);
    return block == NULL ? NULL : block + HEADER;
}

static void release(void *context, void *data, size_t size) {
    failing_allocator *memory = context;
    uint8_t *block = (uint8_t *)data - HEADER;
    header head;
    pthread_mutex_lock(&memory->mutex);
    memcpy(&head, block, sizeof head);
    bool known = head.mark == LIVE;
    if (!known || head.size != size) memory->mismatches++;
    if (known) {
        memory->live--;
        memory->live_bytes -= head.size;
        head.mark = DEAD;
        memcpy(block, &head, sizeof head);
        free(block);
    }
    pthread_mutex_unlock(&memory->mutex);
}

void failing_allocator_init(failing_allocator *memory) {
    *memory = (failing_allocator){
        .allocator = {.allocate = allocate, .release = release, .context = memory},
    };
    pthread_mutex_init(&memory->mutex, NULL);
}

bool failing_allocator_clean(const failing_allocator *memory) {
    if (memory->live == 0 && memory->mismatches == 0) return true;
    fprintf(stderr, "%" PRId64 " blocks (%zu bytes) leaked, %" PRId64 " released wrongly\n",
            memory->live, memory->live_bytes, memory->mismatches);
    return false;
}
