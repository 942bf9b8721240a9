/* The different words of texts: see word_counts.h. */
#include "train/vocabulary/word_counts.h"

#include <string.h>

#include "text/tokenizer.h"
#include "text/utf8.h"

#define MARK "\xE2\x96\x81" /* U+2581, which text may hold too */
#define FIRST_SLOTS 4096

void wr_words_init(wr_words *words, const weir_allocator *allocator) {
    *words = (wr_words){.allocator = allocator, .list = {.allocator = allocator}};
}

void wr_words_deinit(wr_words *words) {
    wr_release(words->allocator, words->slots, words->slot_count * sizeof *words->slots);
    wr_writer_release(&words->list);
    *words = (wr_words){.allocator = words->allocator, .list = {.allocator = words->allocator}};
}

size_t wr_words_count(const wr_words *words) { return words->list.size / sizeof(wr_word); }

static wr_word *word_at(const wr_words *words, size_t i) { return (wr_word *)words->list.data + i; }

const wr_word *wr_words_at(const wr_words *words, size_t i) { return word_at(words, i); }

/* ---- the table ------------------------------------------------------------------------------- */

static uint64_t hash_of(const wr_word *word) {
    uint64_t hash = wr_checksum(word->marked, word->text, word->size);
    hash = (hash ^ (hash >> 32)) * 0xD6E8FEB86659FD93u;
    return hash ^ (hash >> 32);
}

static bool equal(const wr_word *a, const wr_word *b) {
    return a->size == b->size && a->marked == b->marked && memcmp(a->text, b->text, a->size) == 0;
}

/* The slot that holds a word, or the free one where it belongs. */
static uint32_t *find(const wr_words *words, const wr_word *word) {
    size_t at = hash_of(word) & (words->slot_count - 1);
    while (words->slots[at] != 0 && !equal(word_at(words, words->slots[at] - 1), word))
        at = (at + 1) & (words->slot_count - 1);
    return &words->slots[at];
}

/* At most half of the slots are taken. */
static bool make_room(wr_words *words) {
    size_t count = wr_words_count(words);
    if (2 * count < words->slot_count) return true;
    size_t size = words->slot_count ? 2 * words->slot_count : FIRST_SLOTS;
    uint32_t *slots = wr_allocate_array(words->allocator, size, sizeof *slots);
    if (!slots) return false;
    wr_release(words->allocator, words->slots, words->slot_count * sizeof *slots);
    words->slots = slots;
    words->slot_count = size;
    for (size_t i = 0; i < count; i++) *find(words, word_at(words, i)) = (uint32_t)i + 1;
    return true;
}

static weir_status count_word(wr_words *words, const wr_word *word, weir_error *error) {
    bool room = make_room(words);
    uint32_t *slot = room ? find(words, word) : NULL;
    if (slot && *slot != 0) {
        word_at(words, *slot - 1)->count++;
        return WEIR_OK;
    }
    if (room && wr_words_count(words) >= UINT32_MAX - 1)
        return weir_error_set(error, WEIR_LIMIT, "the texts have too many different words");
    if (room) wr_write_bytes(&words->list, word, sizeof *word);
    if (!room || words->list.failed)
        return weir_error_set(error, WEIR_MEMORY, "no memory for the words of the texts");
    *slot = (uint32_t)wr_words_count(words);
    return WEIR_OK;
}

/* ---- the words of a document ----------------------------------------------------------------- */

static bool is_space(const char *text, size_t size) {
    return text[0] == ' ' || (size == 3 && memcmp(text, MARK, 3) == 0);
}

static weir_status end_word(wr_words *words, const char *begin, const char *end, bool first,
                            weir_error *error) {
    size_t space = first || *begin != ' ' ? 0 : 1;
    wr_word word = {.text = begin + space,
                    .size = (uint32_t)((size_t)(end - begin) - space),
                    .marked = first || space > 0,
                    .count = 1};
    return count_word(words, &word, error);
}

weir_status wr_words_add(wr_words *words, wr_string document, weir_error *error) {
    const char *begin = document.data, *end = document.data + document.size;
    bool first = true, after_space = true;
    for (const char *at = begin; at < end;) {
        int length = wr_utf8_length((const uint8_t *)at, (size_t)(end - at));
        size_t size = length > 0 ? (size_t)length : 1;
        bool space = is_space(at, size);
        bool full = (size_t)(at - begin) + size > WR_HELD_BYTES;
        if (at > begin && (full || (space && !after_space))) {
            weir_status status = end_word(words, begin, at, first, error);
            if (status != WEIR_OK) return status;
            first = false;
            begin = at;
        }
        after_space = space;
        at += size;
    }
    return begin < end ? end_word(words, begin, end, first, error) : WEIR_OK;
}
