/* A ring of tokens and the counts of those inside the window. */
#include "sample/history.h"

#include <assert.h>
#include <string.h>

#define RING WEIR_MAX_PENALTY_WINDOW

void wr_history_layout(wr_arena *arena, wr_history *history, int32_t n_vocab) {
    int32_t *ring = wr_arena_take(arena, RING, sizeof *ring);
    int32_t *counts = wr_arena_take(arena, (size_t)n_vocab, sizeof *counts);
    int32_t *places = wr_arena_take(arena, (size_t)n_vocab, sizeof *places);
    int32_t *distinct = wr_arena_take(arena, (size_t)n_vocab, sizeof *distinct);
    if (!history) return;
    *history = (wr_history){
        .n_vocab = n_vocab, .ring = ring, .counts = counts, .places = places, .distinct = distinct};
}

/* A token outside the vocabulary takes its place in the ring, but has no logit to penalise. */
static bool counts_for(const wr_history *h, int32_t token) {
    return token >= 0 && token < h->n_vocab;
}

static void count_in(wr_history *h, int32_t token) {
    if (!counts_for(h, token) || h->counts[token]++ > 0) return;
    h->places[token] = h->distinct_count;
    h->distinct[h->distinct_count++] = token;
}

static void count_out(wr_history *h, int32_t token) {
    if (!counts_for(h, token)) return;
    assert(h->counts[token] > 0);
    if (--h->counts[token] > 0) return;
    int32_t last = h->distinct[--h->distinct_count];
    h->distinct[h->places[token]] = last;
    h->places[last] = h->places[token];
}

/* The token of age 0 is the newest. */
static int32_t token_of_age(const wr_history *h, int32_t age) {
    assert(age >= 0 && age < h->held);
    return h->ring[(h->next - 1 - age + RING) % RING];
}

static void uncount_all(wr_history *h) {
    while (h->distinct_count > 0) h->counts[h->distinct[--h->distinct_count]] = 0;
}

void wr_history_clear(wr_history *h) {
    uncount_all(h);
    h->next = h->held = 0;
}

void wr_history_set_window(wr_history *h, int32_t window) {
    if (window == h->window) return;
    h->window = window;
    uncount_all(h);
    for (int32_t age = 0; age < window && age < h->held; age++) count_in(h, token_of_age(h, age));
}

void wr_history_accept(wr_history *h, int32_t token) {
    if (h->window > 0) {
        if (h->held >= h->window) count_out(h, token_of_age(h, h->window - 1));
        count_in(h, token);
    }
    h->ring[h->next] = token;
    h->next = (h->next + 1) % RING;
    if (h->held < RING) h->held++;
}

void wr_history_forget(wr_history *h, int64_t count) {
    if (count >= h->held) {
        wr_history_clear(h);
        return;
    }
    for (; count > 0; count--) {
        if (h->window > 0) count_out(h, token_of_age(h, 0));
        h->next = (h->next - 1 + RING) % RING;
        h->held--;
        if (h->window > 0 && h->held >= h->window) count_in(h, token_of_age(h, h->window - 1));
    }
}

void wr_history_copy(wr_history *to, const wr_history *from) {
    assert(to->n_vocab == from->n_vocab);
    wr_history_clear(to);
    to->window = from->window;
    for (int32_t age = from->held; age-- > 0;) wr_history_accept(to, token_of_age(from, age));
}

void wr_history_save(const wr_history *h, wr_writer *writer) {
    wr_write_u32(writer, (uint32_t)h->held);
    for (int32_t age = h->held; age-- > 0;) wr_write_u32(writer, (uint32_t)token_of_age(h, age));
}

bool wr_history_load(wr_history *h, wr_reader *reader) {
    wr_history_clear(h);
    uint32_t held = wr_read_u32(reader);
    if (reader->failed || held > RING) return false;
    for (uint32_t i = 0; i < held; i++) {
        uint32_t token = wr_read_u32(reader);
        if (reader->failed) {
            wr_history_clear(h);
            return false;
        }
        wr_history_accept(h, (int32_t)token);
    }
    return true;
}
