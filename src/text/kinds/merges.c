/* A hash table of pairs, with seeds against pairs chosen to collide (as in pieces.c). */
#include "text/kinds/merges.h"

#include <string.h>

#define KEY "tokenizer.ggml.merges"
#define MOST_MERGES (1 << 24) /* every rank is a float, exactly */
#define LONGEST_PROBE 256
#define SEEDS 64

static uint32_t slot_of(const wr_merges *m, int32_t left, int32_t right) {
    uint64_t hash = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    hash = (hash ^ m->seed * 0x9E3779B97F4A7C15u) * 0xD6E8FEB86659FD93u;
    hash ^= hash >> 32;
    hash *= 0xD6E8FEB86659FD93u;
    hash ^= hash >> 32;
    return (uint32_t)(((hash & 0xFFFFFFFFu) * m->slot_count) >> 32);
}

int32_t wr_merges_find(const wr_merges *m, int32_t left, int32_t right) {
    if (m->slot_count == 0) return -1;
    uint32_t at = slot_of(m, left, right);
    for (int probe = 0; probe < LONGEST_PROBE && m->slots[at] != 0; probe++) {
        int32_t merge = (int32_t)(m->slots[at] - 1);
        if (m->pairs[merge][0] == left && m->pairs[merge][1] == right) return merge;
        if (++at == m->slot_count) at = 0;
    }
    return -1;
}

/* Of equal pairs the first counts. False when the probe is too long. */
static bool insert(wr_merges *m, int32_t merge) {
    const int32_t *pair = m->pairs[merge];
    if (pair[0] < 0) return true;
    uint32_t at = slot_of(m, pair[0], pair[1]);
    for (int probe = 0; probe < LONGEST_PROBE; probe++) {
        if (m->slots[at] == 0) {
            m->slots[at] = (uint32_t)merge + 1;
            return true;
        }
        const int32_t *there = m->pairs[m->slots[at] - 1];
        if (there[0] == pair[0] && there[1] == pair[1]) return true;
        if (++at == m->slot_count) at = 0;
    }
    return false;
}

static weir_status index_pairs(wr_merges *m, const wr_gguf *gguf, weir_error *error) {
    for (m->seed = 0; m->seed < SEEDS; m->seed++) {
        int32_t merge = 0;
        while (merge < m->count && insert(m, merge)) merge++;
        if (merge == m->count) return WEIR_OK;
        memset(m->slots, 0, m->slot_count * sizeof *m->slots);
    }
    return weir_error_set(error, WEIR_LIMIT,
                          "%s: key " KEY ": the merges cannot be told apart in bounded time",
                          wr_gguf_path(gguf));
}

/* One "LEFT RIGHT"; `both` has room for the longest piece. A space may begin the left piece. */
static bool read_merge(wr_merges *m, int32_t merge, const wr_vocab *vocab, wr_string text,
                       char *both) {
    const char *space = text.size > 2 ? memchr(text.data + 1, ' ', text.size - 2) : NULL;
    if (!space || text.size - 1 > vocab->longest) return false;
    size_t left = (size_t)(space - text.data), right = text.size - left - 1;
    memcpy(both, text.data, left);
    memcpy(both + left, space + 1, right);
    int32_t *pair = m->pairs[merge];
    pair[0] = wr_vocab_find(vocab, text.data, left);
    pair[1] = wr_vocab_find(vocab, space + 1, right);
    m->merged[merge] = wr_vocab_find(vocab, both, left + right);
    if (pair[0] < 0 || pair[1] < 0 || m->merged[merge] < 0) return false;
    if (!wr_is_plain(vocab, m->merged[merge])) pair[0] = -1;
    return true;
}

static weir_status read_all(wr_merges *m, const wr_vocab *vocab, const wr_gguf *gguf,
                            const wr_gguf_value *value, weir_error *error) {
    char *both = wr_allocate(m->allocator, vocab->longest);
    if (!both) return weir_error_set(error, WEIR_MEMORY, "no memory for the vocabulary");
    wr_gguf_cursor cursor = {0};
    wr_string text;
    int32_t merge = 0;
    while (wr_gguf_next_string(value, &cursor, &text) && read_merge(m, merge, vocab, text, both))
        merge++;
    wr_release(m->allocator, both, vocab->longest);
    if (merge == m->count) return index_pairs(m, gguf, error);
    return weir_error_set(error, WEIR_DAMAGED,
                          "%s: key " KEY ": merge %d is not two pieces that make a third",
                          wr_gguf_path(gguf), (int)merge);
}

weir_status wr_merges_read(wr_merges *m, const wr_vocab *vocab, const wr_gguf *gguf,
                           weir_error *error) {
    *m = (wr_merges){.allocator = vocab->allocator};
    const wr_gguf_value *value = wr_gguf_find(gguf, KEY);
    if (!value || value->count == 0) return WEIR_OK;
    if (value->type != WR_GGUF_ARRAY || value->item_type != WR_GGUF_STRING)
        return weir_error_set(error, WEIR_DAMAGED, "%s: key " KEY " is not an array of strings",
                              wr_gguf_path(gguf));
    if (value->count > MOST_MERGES)
        return weir_error_set(error, WEIR_LIMIT, "%s: key " KEY " is too long", wr_gguf_path(gguf));
    m->count = (int32_t)value->count;
    m->slot_count = (uint32_t)(m->count + m->count / 2 + 1);
    m->pairs = wr_allocate_array(m->allocator, (size_t)m->count, sizeof *m->pairs);
    m->merged = wr_allocate_array(m->allocator, (size_t)m->count, sizeof *m->merged);
    m->slots = wr_allocate_array(m->allocator, m->slot_count, sizeof *m->slots);
    if (!m->pairs || !m->merged || !m->slots)
        return weir_error_set(error, WEIR_MEMORY, "no memory for the vocabulary");
    return read_all(m, vocab, gguf, value, error);
}

void wr_merges_release(wr_merges *m) {
    wr_release(m->allocator, m->pairs, (size_t)m->count * sizeof *m->pairs);
    wr_release(m->allocator, m->merged, (size_t)m->count * sizeof *m->merged);
    wr_release(m->allocator, m->slots, (size_t)m->slot_count * sizeof *m->slots);
}
