/*
 * From the bytes of a piece to its token: a hash table for whole pieces, and sorted lists for the
 * tokens that are recognised literally in raw text.
 *
 * A file is distrusted, so its pieces might have been chosen to collide. The table is therefore
 * built with the first of several hash seeds under which no probe is long: pieces that collide
 * under all of them are beyond anybody's reach, and lookups stay short for every file.
 */
#include <string.h>

#include "text/vocab_inside.h"

#define LONGEST_PROBE 256
#define SEEDS 64

static uint32_t slot_of(const wr_vocab *vocab, const char *text, size_t size) {
    uint64_t hash = vocab->hash_seed * 0x9E3779B97F4A7C15u ^ 0xCBF29CE484222325u;
    for (size_t i = 0; i < size; i++) hash = (hash ^ (uint8_t)text[i]) * 0x100000001B3u;
    hash ^= hash >> 32;
    hash *= 0xD6E8FEB86659FD93u;
    hash ^= hash >> 32;
    return (uint32_t)(((hash & 0xFFFFFFFFu) * vocab->slot_count) >> 32);
}

static bool piece_is(const wr_vocab *vocab, int32_t token, const char *text, size_t size) {
    wr_string piece = wr_piece_of(vocab, token);
    return piece.size == size && memcmp(piece.data, text, size) == 0;
}

int32_t wr_vocab_find(const wr_vocab *vocab, const char *text, size_t size) {
    if (!vocab->slots || size == 0 || size > vocab->longest) return -1;
    uint32_t at = slot_of(vocab, text, size);
    for (int probe = 0; probe < LONGEST_PROBE && vocab->slots[at] != 0; probe++) {
        int32_t token = (int32_t)(vocab->slots[at] - 1);
        if (piece_is(vocab, token, text, size)) return token;
        if (++at == vocab->slot_count) at = 0;
    }
    return -1;
}

/* Of equal pieces the last one counts (as in llama.cpp), but one that text may become before one
 * that it may not. False when the probe is too long. */
static bool insert(wr_vocab *vocab, int32_t token) {
    wr_string piece = wr_piece_of(vocab, token);
    if (piece.size == 0) return true;
    uint32_t at = slot_of(vocab, piece.data, piece.size);
    for (int probe = 0; probe < LONGEST_PROBE; probe++) {
        int32_t there = (int32_t)vocab->slots[at] - 1;
        if (there < 0 || piece_is(vocab, there, piece.data, piece.size)) {
            if (there < 0 || wr_is_plain(vocab, token) || !wr_is_plain(vocab, there))
                vocab->slots[at] = (uint32_t)token + 1;
            return true;
        }
        if (++at == vocab->slot_count) at = 0;
    }
    return false;
}

weir_status wr_pieces_index(wr_vocab *vocab, weir_error *error) {
    size_t count = (size_t)vocab->size + (size_t)vocab->size / 2 + 1;
    if (count > UINT32_MAX)
        return weir_error_set(error, WEIR_LIMIT, "tokenizer.ggml.tokens: too many tokens");
    vocab->slots = wr_allocate_array(vocab->allocator, count, sizeof *vocab->slots);
    if (!vocab->slots) return weir_error_set(error, WEIR_MEMORY, "no memory for the vocabulary");
    vocab->slot_count = (uint32_t)count;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        vocab->hash_seed = seed;
        int32_t token = 0;
        while (token < vocab->size && insert(vocab, token)) token++;
        if (token == vocab->size) return WEIR_OK;
        memset(vocab->slots, 0, count * sizeof *vocab->slots);
    }
    return weir_error_set(error, WEIR_LIMIT,
                          "tokenizer.ggml.tokens: the pieces cannot be told apart in bounded time");
}

/* Bytes first, then the id: so of equal pieces the one with the higher id is the last. */
static int compare(const wr_vocab *vocab, int32_t a, int32_t b) {
    wr_string left = wr_piece_of(vocab, a), right = wr_piece_of(vocab, b);
    size_t both = left.size < right.size ? left.size : right.size;
    int order = memcmp(left.data, right.data, both);
    if (order != 0) return order;
    if (left.size != right.size) return left.size < right.size ? -1 : 1;
    return a < b ? -1 : a > b;
}

/* Heap sort: bounded time for any file, and no memory. */
static void sift(const wr_vocab *vocab, int32_t *ids, int32_t at, int32_t count) {
    for (;;) {
        int64_t child = 2 * (int64_t)at + 1;
        if (child >= count) return;
        if (child + 1 < count && compare(vocab, ids[child], ids[child + 1]) < 0) child++;
        if (compare(vocab, ids[at], ids[child]) >= 0) return;
        int32_t id = ids[at];
        ids[at] = ids[child];
        ids[child] = id;
        at = (int32_t)child;
    }
}

static void sort(const wr_vocab *vocab, int32_t *ids, int32_t count) {
    for (int32_t at = count / 2; at-- > 0;) sift(vocab, ids, at, count);
    for (int32_t end = count; --end > 0;) {
        int32_t id = ids[0];
        ids[0] = ids[end];
        ids[end] = id;
        sift(vocab, ids, 0, end);
    }
}

static bool is_user_defined(const wr_vocab *vocab, int32_t token) {
    return vocab->pieces[token].size <= WR_LITERAL_BYTES &&
           vocab->types[token] == WR_TOKEN_USER_DEFINED;
}

static bool is_special(const wr_vocab *vocab, int32_t token) {
    uint8_t type = vocab->types[token];
    return is_user_defined(vocab, token) ||
           (vocab->pieces[token].size <= WR_LITERAL_BYTES &&
            (type == WR_TOKEN_CONTROL || type == WR_TOKEN_UNKNOWN));
}

weir_status wr_literals_collect(wr_vocab *vocab, wr_literals *literals,
                                bool (*wanted)(const wr_vocab *vocab, int32_t token),
                                weir_error *error) {
    for (int32_t token = 0; token < vocab->size; token++)
        literals->count += vocab->pieces[token].size > 0 && wanted(vocab, token);
    if (literals->count == 0) return WEIR_OK;
    literals->ids = wr_allocate_array(vocab->allocator, (size_t)literals->count, sizeof(int32_t));
    if (!literals->ids) return weir_error_set(error, WEIR_MEMORY, "no memory for the vocabulary");
    int32_t count = 0;
    for (int32_t token = 0; token < vocab->size; token++)
        if (vocab->pieces[token].size > 0 && wanted(vocab, token)) literals->ids[count++] = token;
    sort(vocab, literals->ids, count);
    for (int32_t i = 0; i < count; i++) {
        wr_string piece = wr_piece_of(vocab, literals->ids[i]);
        if (piece.size > literals->longest) literals->longest = piece.size;
        for (int byte = (uint8_t)piece.data[0] + 1; byte <= 256; byte++) literals->first[byte]++;
    }
    return WEIR_OK;
}

weir_status wr_literals_build(wr_vocab *vocab, weir_error *error) {
    weir_status status = wr_literals_collect(vocab, &vocab->user_defined, is_user_defined, error);
    if (status != WEIR_OK) return status;
    return wr_literals_collect(vocab, &vocab->special, is_special, error);
}

static void release_literals(wr_vocab *vocab, wr_literals *literals) {
    wr_release(vocab->allocator, literals->ids, (size_t)literals->count * sizeof(int32_t));
    *literals = (wr_literals){0};
}

weir_status wr_literals_rebuild(wr_vocab *vocab, weir_error *error) {
    release_literals(vocab, &vocab->user_defined);
    release_literals(vocab, &vocab->special);
    return wr_literals_build(vocab, error);
}

/* The first of ids[low, high) whose byte number `at` is at least `byte` (all are longer than `at`,
 * agree before it, and so are sorted by it). */
static int32_t lower(const wr_vocab *vocab, const int32_t *ids, int32_t low, int32_t high,
                     size_t at, int byte) {
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if ((uint8_t)wr_piece_of(vocab, ids[middle]).data[at] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

wr_literal_walk wr_literals_begin(const wr_literals *literals, uint8_t first) {
    return (wr_literal_walk){.low = literals->first[first], .high = literals->first[first + 1]};
}

int32_t wr_literals_step(const wr_vocab *vocab, const wr_literals *literals, wr_literal_walk *walk,
                         uint8_t byte) {
    const int32_t *ids = literals->ids;
    if (walk->at > 0) { /* of the first byte the table knows */
        walk->low = lower(vocab, ids, walk->low, walk->high, walk->at, byte);
        walk->high = lower(vocab, ids, walk->low, walk->high, walk->at, byte + 1);
    }
    walk->at++;
    /* The shorter ones come first: those of exactly these bytes are whole. */
    int32_t token = -1;
    while (walk->low < walk->high && wr_piece_of(vocab, ids[walk->low]).size == walk->at)
        token = ids[walk->low++];
    return token;
}

wr_literal_match wr_literals_match(const wr_vocab *vocab, const wr_literals *literals,
                                   const uint8_t *text, size_t size) {
    wr_literal_match match = {.token = -1};
    wr_literal_walk walk = wr_literals_begin(literals, text[0]);
    while (walk.low < walk.high) {
        if (walk.at == size) {
            match.undecided = true;
            break;
        }
        int32_t token = wr_literals_step(vocab, literals, &walk, text[walk.at]);
        if (token >= 0) match.token = token;
    }
    return match;
}
