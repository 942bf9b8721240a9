/* Byte-pair encoding over counted words: see pair_merges.h. */
#include "train/vocabulary/pair_merges.h"

#include <string.h>

#include "train/vocabulary/scripts.h"

#define NONE UINT32_MAX
#define PIECE_CHARACTERS 16
#define PIECE_BYTES (4 * PIECE_CHARACTERS)
#define BLOCK_WORDS 14

/* A character or a merge. */
typedef struct symbol {
    uint32_t text; /* in `bytes` */
    uint8_t size, characters;
    uint8_t script; /* of all that is neither common nor inherited nor a space; see `any` */
    bool any;       /* nothing in it has a script: spaces, inherited marks */
    bool spaces;    /* nothing but spaces */
    bool begins;    /* with a space */
    bool digit;
} symbol;

/* The symbols of a word. */
typedef struct run {
    size_t begin;
    uint32_t size;
    int64_t count;
} run;

/* Some of the words that a pair stands in, or stood in. */
typedef struct block {
    uint32_t next; /* block + 1, or 0 */
    uint32_t used;
    uint32_t words[BLOCK_WORDS];
} block;

typedef struct pair {
    uint32_t left, right;
    int64_t count;
    int64_t rank;         /* the count that the heap knows */
    uint32_t first, last; /* blocks + 1, or 0 */
    uint32_t recent;      /* the word that was listed last */
    uint32_t place;       /* in the heap, or NONE */
    bool touched;         /* is in the list of pairs whose count has changed */
    bool done;            /* merged, or passed over for good */
} pair;

struct wr_pair_merges {
    const weir_allocator *allocator;
    run *runs; /* of each word */
    size_t run_count;
    uint32_t *symbols; /* of all words; NONE is a character without a piece */
    size_t symbol_count;
    wr_writer table;   /* of symbol */
    wr_writer bytes;   /* of their pieces */
    wr_writer pairs;   /* of pair */
    wr_writer blocks;  /* of block */
    uint32_t unused;   /* first of the blocks given back, + 1 */
    wr_writer heap;    /* of numbers of pairs */
    wr_writer touched; /* of numbers of pairs */
    uint32_t *slots;   /* open addressing over the pairs: number + 1, or 0 */
    size_t slot_count;
    uint32_t *pieces; /* the same over the merges, by their bytes */
    size_t piece_slots;
};

static weir_status no_memory(weir_error *error) {
    return weir_error_set(error, WEIR_MEMORY, "no memory to train a vocabulary");
}

static symbol *symbol_at(const wr_pair_merges *m, uint32_t i) {
    return (symbol *)m->table.data + i;
}
static pair *pair_at(const wr_pair_merges *m, uint32_t i) { return (pair *)m->pairs.data + i; }
static block *block_at(const wr_pair_merges *m, uint32_t i) { return (block *)m->blocks.data + i; }
static uint32_t *heap_at(const wr_pair_merges *m, size_t i) { return (uint32_t *)m->heap.data + i; }
static size_t heap_count(const wr_pair_merges *m) { return m->heap.size / sizeof(uint32_t); }

static bool failed(const wr_pair_merges *m) {
    return m->table.failed || m->bytes.failed || m->pairs.failed || m->blocks.failed ||
           m->heap.failed || m->touched.failed;
}

static uint64_t mix(uint64_t hash) {
    hash = (hash ^ (hash >> 32)) * 0xD6E8FEB86659FD93u;
    return hash ^ (hash >> 32);
}

size_t wr_pair_merges_count(const wr_pair_merges *merges) {
    return merges->table.size / sizeof(symbol);
}

wr_string wr_pair_merges_piece(const wr_pair_merges *merges, size_t i) {
    const symbol *s = symbol_at(merges, (uint32_t)i);
    return (wr_string){(const char *)merges->bytes.data + s->text, s->size};
}

/* ---- characters ------------------------------------------------------------------------------ */

static bool is_digit(uint32_t code) {
    return (code >= '0' && code <= '9') || (code >= 0xFF10 && code <= 0xFF19);
}

static void add_character(wr_pair_merges *m, uint32_t code) {
    char text[4];
    uint8_t script = wr_script_of(code);
    bool space = code == WR_SPACE_MARK;
    symbol s = {.text = (uint32_t)m->bytes.size,
                .size = (uint8_t)wr_character_write(code, text),
                .characters = 1,
                .script = script,
                .any = space || script == WR_SCRIPT_INHERITED,
                .spaces = space,
                .begins = space,
                .digit = is_digit(code)};
    wr_write_bytes(&m->bytes, text, s.size);
    wr_write_bytes(&m->table, &s, sizeof s);
}

/* ---- what may be a piece --------------------------------------------------------------------- */

static bool may_join(const wr_pair_merges *m, uint32_t left, uint32_t right) {
    if (left == NONE || right == NONE) return false;
    const symbol *a = symbol_at(m, left), *b = symbol_at(m, right);
    if (a->characters + b->characters > PIECE_CHARACTERS || a->digit || b->digit) return false;
    if (b->begins) return a->spaces && b->spaces;
    if (a->spaces && a->characters > 1) return false;
    return a->any || b->any || a->script == b->script;
}

static uint32_t add_merge(wr_pair_merges *m, uint32_t left, uint32_t right) {
    symbol a = *symbol_at(m, left), b = *symbol_at(m, right);
    char text[2 * PIECE_BYTES];
    memcpy(text, m->bytes.data + a.text, a.size);
    memcpy(text + a.size, m->bytes.data + b.text, b.size);
    symbol s = {.text = (uint32_t)m->bytes.size,
                .size = (uint8_t)(a.size + b.size),
                .characters = (uint8_t)(a.characters + b.characters),
                .script = a.any ? b.script : a.script,
                .any = a.any && b.any,
                .spaces = a.spaces && b.spaces,
                .begins = a.begins};
    wr_write_bytes(&m->bytes, text, s.size);
    wr_write_bytes(&m->table, &s, sizeof s);
    return (uint32_t)(wr_pair_merges_count(m) - 1);
}

/* ---- the order of pairs ---------------------------------------------------------------------- */

static size_t join(const wr_pair_merges *m, const pair *p, char out[2 * PIECE_BYTES]) {
    const symbol *a = symbol_at(m, p->left), *b = symbol_at(m, p->right);
    memcpy(out, m->bytes.data + a->text, a->size);
    memcpy(out + a->size, m->bytes.data + b->text, b->size);
    return (size_t)a->size + b->size;
}

static int characters_of(const wr_pair_merges *m, const pair *p) {
    return symbol_at(m, p->left)->characters + symbol_at(m, p->right)->characters;
}

static bool before(const wr_pair_merges *m, uint32_t left, uint32_t right) {
    const pair *a = pair_at(m, left), *b = pair_at(m, right);
    if (a->rank != b->rank) return a->rank > b->rank;
    int more = characters_of(m, a) - characters_of(m, b);
    if (more != 0) return more < 0;
    char first[2 * PIECE_BYTES], second[2 * PIECE_BYTES];
    size_t size = join(m, a, first), other = join(m, b, second);
    int order = memcmp(first, second, size < other ? size : other);
    if (order != 0) return order < 0;
    return size != other ? size < other : left < right;
}

static void put(wr_pair_merges *m, size_t place, uint32_t p) {
    *heap_at(m, place) = p;
    pair_at(m, p)->place = (uint32_t)place;
}

/* Move the pair at `place` to where it belongs. */
static void settle(wr_pair_merges *m, size_t place) {
    uint32_t p = *heap_at(m, place);
    size_t count = heap_count(m);
    while (place > 0 && before(m, p, *heap_at(m, (place - 1) / 2))) {
        put(m, place, *heap_at(m, (place - 1) / 2));
        place = (place - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * place + 1;
        if (child >= count) break;
        if (child + 1 < count && before(m, *heap_at(m, child + 1), *heap_at(m, child))) child++;
        if (!before(m, *heap_at(m, child), p)) break;
        put(m, place, *heap_at(m, child));
        place = child;
    }
    put(m, place, p);
}

static void leave_heap(wr_pair_merges *m, uint32_t p) {
    size_t place = pair_at(m, p)->place;
    if (place == NONE) return;
    pair_at(m, p)->place = NONE;
    m->heap.size -= sizeof(uint32_t);
    uint32_t last = *heap_at(m, heap_count(m));
    if (last == p) return;
    put(m, place, last);
    settle(m, place);
}

/* Counts have changed: put the heap in order again, one pair after another, for a heap in which
 * several are out of order cannot be mended. */
static void settle_touched(wr_pair_merges *m) {
    const uint32_t *touched = (const uint32_t *)m->touched.data;
    for (size_t i = 0; i < m->touched.size / sizeof *touched; i++) {
        pair *p = pair_at(m, touched[i]);
        p->touched = false;
        if (p->done || p->rank == p->count) continue;
        p->rank = p->count;
        if (p->count == 0) {
            leave_heap(m, touched[i]);
        } else {
            if (p->place == NONE) {
                wr_write_bytes(&m->heap, &touched[i], sizeof touched[i]);
                if (m->heap.failed) return;
                p->place = (uint32_t)heap_count(m) - 1;
            }
            settle(m, p->place);
        }
    }
    m->touched.size = 0;
}

/* ---- the table of pairs ---------------------------------------------------------------------- */

static uint32_t *slot_of(const wr_pair_merges *m, uint32_t left, uint32_t right) {
    size_t at = mix((uint64_t)left << 32 | right) & (m->slot_count - 1);
    for (; m->slots[at] != 0; at = (at + 1) & (m->slot_count - 1)) {
        const pair *p = pair_at(m, m->slots[at] - 1);
        if (p->left == left && p->right == right) break;
    }
    return &m->slots[at];
}

static bool make_room(wr_pair_merges *m) {
    size_t count = m->pairs.size / sizeof(pair);
    if (2 * count < m->slot_count) return true;
    size_t size = m->slot_count ? 2 * m->slot_count : 4096;
    uint32_t *slots =
        count < NONE - 1 ? wr_allocate_array(m->allocator, size, sizeof *slots) : NULL;
    if (!slots) return false;
    wr_release(m->allocator, m->slots, m->slot_count * sizeof *slots);
    m->slots = slots;
    m->slot_count = size;
    for (uint32_t i = 0; i < count; i++)
        *slot_of(m, pair_at(m, i)->left, pair_at(m, i)->right) = i + 1;
    return true;
}

/* The number of a pair; NONE when there is no memory for a new one. */
static uint32_t find_pair(wr_pair_merges *m, uint32_t left, uint32_t right) {
    if (!make_room(m)) m->pairs.failed = true;
    if (m->pairs.failed) return NONE;
    uint32_t *slot = slot_of(m, left, right);
    if (*slot != 0) return *slot - 1;
    pair p = {.left = left, .right = right, .recent = NONE, .place = NONE};
    wr_write_bytes(&m->pairs, &p, sizeof p);
    if (m->pairs.failed) return NONE;
    *slot = (uint32_t)(m->pairs.size / sizeof p);
    return *slot - 1;
}

static uint32_t take_block(wr_pair_merges *m) {
    block fresh = {0};
    if (m->unused != 0) {
        uint32_t taken = m->unused;
        m->unused = block_at(m, taken - 1)->next;
        *block_at(m, taken - 1) = fresh;
        return taken;
    }
    wr_write_bytes(&m->blocks, &fresh, sizeof fresh);
    return m->blocks.failed ? 0 : (uint32_t)(m->blocks.size / sizeof fresh);
}

static void list_word(wr_pair_merges *m, pair *p, uint32_t word) {
    if (p->recent == word) return;
    p->recent = word;
    if (p->last == 0 || block_at(m, p->last - 1)->used == BLOCK_WORDS) {
        uint32_t fresh = take_block(m);
        if (fresh == 0) return;
        if (p->last != 0)
            block_at(m, p->last - 1)->next = fresh;
        else
            p->first = fresh;
        p->last = fresh;
    }
    block *b = block_at(m, p->last - 1);
    b->words[b->used++] = word;
}

/* A pair stands in `word` once more (how often that is, if > 0), or once less. */
static void count_pair(wr_pair_merges *m, uint32_t left, uint32_t right, int64_t change,
                       uint32_t word) {
    if (!may_join(m, left, right)) return;
    uint32_t number = find_pair(m, left, right);
    if (number == NONE) return;
    pair *p = pair_at(m, number);
    if (p->done) return;
    p->count += change;
    if (change > 0) list_word(m, p, word);
    if (p->touched) return;
    p->touched = true;
    wr_write_bytes(&m->touched, &number, sizeof number);
}

/* ---- merging --------------------------------------------------------------------------------- */

/* Make each `left right` of a word one symbol, from left to right. Pairs count as neighbours, also
 * where they overlap; only those beside a merge change. */
static void rewrite(wr_pair_merges *m, uint32_t word, uint32_t left, uint32_t right,
                    uint32_t merged) {
    run *w = &m->runs[word];
    uint32_t *s = m->symbols + w->begin, out = 0, last = NONE;
    bool joined = false; /* the symbol before is a new one */
    for (uint32_t at = 0; at < w->size;) {
        bool here = at + 1 < w->size && s[at] == left && s[at + 1] == right;
        uint32_t was = s[at], ends = here ? right : was, now = here ? merged : was;
        if (out > 0 && (here || joined)) {
            count_pair(m, last, was, -w->count, word);
            count_pair(m, s[out - 1], now, w->count, word);
        }
        s[out++] = now;
        last = ends;
        joined = here;
        at += here ? 2 : 1;
    }
    w->size = out;
}

static void merge(wr_pair_merges *m, uint32_t best) {
    pair p = *pair_at(m, best);
    uint32_t merged = add_merge(m, p.left, p.right);
    for (uint32_t at = p.first; at != 0 && !failed(m);) {
        block b = *block_at(m, at - 1);
        for (uint32_t i = 0; i < b.used && !failed(m); i++)
            rewrite(m, b.words[i], p.left, p.right, merged);
        block_at(m, at - 1)->next = m->unused;
        m->unused = at;
        at = b.next;
    }
    if (!failed(m)) settle_touched(m);
}

/* ---- pieces that exist already --------------------------------------------------------------- */

static uint32_t *piece_slot(const wr_pair_merges *m, const char *text, size_t size) {
    size_t at = mix(wr_checksum(0, text, size)) & (m->piece_slots - 1);
    for (; m->pieces[at] != 0; at = (at + 1) & (m->piece_slots - 1)) {
        wr_string piece = wr_pair_merges_piece(m, m->pieces[at] - 1);
        if (piece.size == size && memcmp(piece.data, text, size) == 0) break;
    }
    return &m->pieces[at];
}

static bool make_piece_room(wr_pair_merges *m) {
    size_t count = wr_pair_merges_count(m);
    if (2 * (count + 1) < m->piece_slots) return true;
    size_t size = 4096;
    while (size <= 2 * (count + 1)) size *= 2;
    uint32_t *slots = wr_allocate_array(m->allocator, size, sizeof *slots);
    if (!slots) return false;
    wr_release(m->allocator, m->pieces, m->piece_slots * sizeof *slots);
    m->pieces = slots;
    m->piece_slots = size;
    for (uint32_t i = 0; i < count; i++) {
        wr_string piece = wr_pair_merges_piece(m, i);
        *piece_slot(m, piece.data, piece.size) = i + 1;
    }
    return true;
}

weir_status wr_pair_merges_next(wr_pair_merges *merges, bool *found, weir_error *error) {
    *found = false;
    while (!*found && heap_count(merges) > 0) {
        uint32_t best = *heap_at(merges, 0);
        leave_heap(merges, best);
        pair_at(merges, best)->done = true;
        if (!make_piece_room(merges)) return no_memory(error);
        char text[2 * PIECE_BYTES];
        size_t size = join(merges, pair_at(merges, best), text);
        uint32_t *slot = piece_slot(merges, text, size);
        if (*slot != 0) continue;
        *slot = (uint32_t)wr_pair_merges_count(merges) + 1;
        merge(merges, best);
        if (failed(merges)) return no_memory(error);
        *found = true;
    }
    return WEIR_OK;
}

/* ---- from words to symbols ------------------------------------------------------------------- */

static size_t characters_in(const wr_word *word) {
    size_t count = word->marked;
    for (uint32_t i = 0; i < word->size; i++) count += ((uint8_t)word->text[i] & 0xC0) != 0x80;
    return count;
}

static void write_run(wr_pair_merges *m, uint32_t word, const wr_word *from, const uint32_t *ids) {
    uint32_t *out = m->symbols + m->runs[word].begin;
    if (from->marked) *out++ = ids[WR_SPACE_MARK] - 1; /* 0, not a piece, becomes NONE */
    for (size_t at = 0, size; at < from->size; at += size)
        *out++ = ids[wr_character_read(from->text + at, from->size - at, &size)] - 1;
}

static bool fill(wr_pair_merges *m, const wr_words *words, const wr_character *characters,
                 size_t count) {
    uint32_t *ids = wr_allocate_array(m->allocator, WR_CHARACTERS, sizeof *ids);
    m->run_count = wr_words_count(words);
    for (size_t i = 0; i < m->run_count; i++)
        m->symbol_count += characters_in(wr_words_at(words, i));
    m->runs = wr_allocate_array(m->allocator, m->run_count, sizeof *m->runs);
    m->symbols = wr_allocate_array(m->allocator, m->symbol_count, sizeof *m->symbols);
    bool enough = ids && m->runs && m->symbols;
    for (size_t i = 0; enough && i < count; i++) {
        add_character(m, characters[i].code);
        ids[characters[i].code] = (uint32_t)i + 1;
    }
    size_t at = 0;
    for (uint32_t i = 0; enough && i < m->run_count; i++) {
        const wr_word *word = wr_words_at(words, i);
        m->runs[i] = (run){at, (uint32_t)characters_in(word), word->count};
        write_run(m, i, word, ids);
        at += m->runs[i].size;
    }
    wr_release(m->allocator, ids, WR_CHARACTERS * sizeof *ids);
    return enough;
}

static void count_all(wr_pair_merges *m) {
    for (uint32_t i = 0; i < m->run_count && !failed(m); i++) {
        const uint32_t *s = m->symbols + m->runs[i].begin;
        for (uint32_t at = 1; at < m->runs[i].size; at++)
            count_pair(m, s[at - 1], s[at], m->runs[i].count, i);
    }
    if (!failed(m)) settle_touched(m);
}

weir_status wr_pair_merges_create(const wr_words *words, const wr_character *characters,
                                  size_t count, const weir_allocator *allocator,
                                  wr_pair_merges **out, weir_error *error) {
    *out = NULL;
    wr_pair_merges *m = wr_allocate_array(allocator, 1, sizeof *m);
    if (!m) return no_memory(error);
    m->allocator = allocator;
    wr_writer empty = {.allocator = allocator};
    m->table = m->bytes = m->pairs = m->blocks = m->heap = m->touched = empty;
    bool filled = fill(m, words, characters, count);
    if (filled) count_all(m);
    if (!filled || failed(m)) {
        wr_pair_merges_destroy(m);
        return no_memory(error);
    }
    *out = m;
    return WEIR_OK;
}

void wr_pair_merges_destroy(wr_pair_merges *merges) {
    if (!merges) return;
    const weir_allocator *allocator = merges->allocator;
    wr_release(allocator, merges->runs, merges->run_count * sizeof *merges->runs);
    wr_release(allocator, merges->symbols, merges->symbol_count * sizeof *merges->symbols);
    wr_release(allocator, merges->slots, merges->slot_count * sizeof *merges->slots);
    wr_release(allocator, merges->pieces, merges->piece_slots * sizeof *merges->pieces);
    wr_writer_release(&merges->table);
    wr_writer_release(&merges->bytes);
    wr_writer_release(&merges->pairs);
    wr_writer_release(&merges->blocks);
    wr_writer_release(&merges->heap);
    wr_writer_release(&merges->touched);
    wr_release(allocator, merges, sizeof *merges);
}
