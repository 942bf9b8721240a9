/* A heap of pairs in which every symbol knows its place. */
#include "text/kinds/merger.h"

/* ---- the heap -------------------------------------------------------------------------------- */

static bool before(const wr_merger *m, int32_t a, int32_t b) {
    float left = m->symbols[a].rank, right = m->symbols[b].rank;
    return left < right || (left == right && a < b);
}

static void put(wr_merger *m, int32_t place, int32_t s) {
    m->heap[place] = s;
    m->symbols[s].place = place;
}

/* Move the symbol at `place` to where it belongs. */
static void settle(wr_merger *m, int32_t place) {
    int32_t s = m->heap[place];
    while (place > 0 && before(m, s, m->heap[(place - 1) / 2])) {
        put(m, place, m->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    for (;;) {
        int32_t child = 2 * place + 1;
        if (child >= m->heap_count) break;
        if (child + 1 < m->heap_count && before(m, m->heap[child + 1], m->heap[child])) child++;
        if (!before(m, m->heap[child], s)) break;
        put(m, place, m->heap[child]);
        place = child;
    }
    put(m, place, s);
}

static void leave_heap(wr_merger *m, int32_t s) {
    int32_t place = m->symbols[s].place;
    if (place < 0) return;
    m->symbols[s].place = -1;
    int32_t last = m->heap[--m->heap_count];
    if (last == s) return;
    put(m, place, last);
    settle(m, place);
}

/* ---- merging --------------------------------------------------------------------------------- */

/* Symbol s has got another neighbour or size: look its pair up anew. */
static void pair_up(wr_merger *m, int32_t s) {
    if (s < 0) return;
    wr_symbol *left = &m->symbols[s];
    left->pair = -1;
    if (left->next >= 0)
        left->pair = m->pair_of(m->context, left, &m->symbols[left->next], &left->rank);
    if (left->pair < 0) {
        leave_heap(m, s);
        return;
    }
    if (left->place < 0) put(m, m->heap_count++, s);
    settle(m, left->place);
}

static void merge_best(wr_merger *m) {
    int32_t s = m->heap[0];
    wr_symbol *left = &m->symbols[s];
    int32_t gone = left->next;
    wr_symbol *right = &m->symbols[gone];
    left->token = left->pair;
    left->size += right->size;
    left->next = right->next;
    if (right->next >= 0) m->symbols[right->next].prev = s;
    leave_heap(m, gone);
    pair_up(m, s);
    pair_up(m, left->prev);
}

void wr_merger_run(wr_merger *m) {
    if (m->count == 0) return;
    m->symbols[m->count - 1].next = -1;
    for (int32_t s = 0; s < m->count - 1; s++) pair_up(m, s);
    while (m->heap_count > 0) merge_best(m);
}
