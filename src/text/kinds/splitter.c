/*
 * Stages of patterns over lists of pieces.
 *
 *   text          |Hello| |world|, y...      ends of closed pieces, then the open piece
 *   next stage    |Hel|lo| |world|, ...      every closed piece is cut by itself
 *
 * The open piece is the last one of a text that may go on. What is known of it only shrinks from
 * stage to stage: where a match might still grow, or begin, the known part ends before it.
 *
 * No pattern of the table looks behind or repeats a group, so a match takes constant stack and time
 * linear in its text; PCRE2's limits stand behind that. Matching allocates nothing: the little that
 * PCRE2 wants besides comes from a block of the scratch.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/kinds/splitter.h"

#include <assert.h>
#include <pcre2.h>
#include <stdio.h>
#include <string.h>

#define MATCH_LIMIT 10000000
#define BLOCK_BYTES ((size_t)32 << 10) /* frames of the interpreter, where there is no JIT */

/* Unicode's White_Space; PCRE2's own \s has U+180E too. */
#define WHITE                                                                                      \
    "\\x09-\\x0D\\x20\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}"        \
    "\\x{205F}\\x{3000}"

struct wr_splitter {
    const weir_allocator *allocator;
    pcre2_general_context *general;
    pcre2_match_context *limits;
    pcre2_code *stages[WR_SPLIT_STAGES]; /* NULL after the last */
};

typedef struct block {
    size_t used;
    uint8_t bytes[BLOCK_BYTES];
} block;

struct wr_splitter_scratch {
    pcre2_match_data *match;
    uint32_t ends[2][WR_SPLITTER_BYTES + 1];
    block memory;
};

/* ---- memory ---------------------------------------------------------------------------------- */

/* PCRE2 gives no size back, so it stands in front. */
static void *take(size_t size, void *data) {
    const wr_splitter *splitter = data;
    if (size > SIZE_MAX / 2) return NULL;
    uint8_t *memory = wr_allocate(splitter->allocator, size + 64);
    if (!memory) return NULL;
    memcpy(memory, &size, sizeof size);
    return memory + 64;
}

static void give(void *memory, void *data) {
    const wr_splitter *splitter = data;
    if (!memory) return;
    size_t size;
    memcpy(&size, (uint8_t *)memory - 64, sizeof size);
    wr_release(splitter->allocator, (uint8_t *)memory - 64, size + 64);
}

static void *take_block(size_t size, void *data) {
    block *b = data;
    size_t aligned = (size + 63) / 64 * 64;
    if (aligned < size || aligned > BLOCK_BYTES - b->used) return NULL;
    void *memory = b->bytes + b->used;
    b->used += aligned;
    return memory;
}

static void give_block(void *memory, void *data) {
    (void)memory;
    (void)data;
}

wr_splitter_scratch *wr_splitter_layout(wr_arena *arena) {
    wr_splitter_scratch *scratch = wr_arena_take(arena, 1, sizeof *scratch);
    if (!scratch) return NULL;
    pcre2_general_context *general =
        pcre2_general_context_create(take_block, give_block, &scratch->memory);
    scratch->match = general ? pcre2_match_data_create(1, general) : NULL;
    assert(scratch->match && "the block is large enough");
    return scratch;
}

/* ---- compiling ------------------------------------------------------------------------------- */

/* The pattern with \s and \S written out. */
static bool expand(const char *pattern, char *out, size_t room) {
    size_t size = 0;
    bool in_class = false;
    for (const char *p = pattern; *p; p++) {
        char one[3] = {*p, '\0', '\0'};
        const char *more = one;
        if (*p == '\\') {
            one[1] = *++p;
            if (*p == 's') more = in_class ? WHITE : "[" WHITE "]";
            if (*p == 'S') more = "[^" WHITE "]"; /* never inside a class */
        } else if (*p == '[' || *p == ']') {
            in_class = *p == '[';
        }
        size_t length = strlen(more);
        if (size + length >= room) return false;
        memcpy(out + size, more, length + 1);
        size += length;
    }
    return true;
}

static weir_status compile(wr_splitter *splitter, int stage, const char *pattern,
                           pcre2_compile_context *context, weir_error *error) {
    char expanded[2048];
    int number = PCRE2_ERROR_INTERNAL;
    PCRE2_SIZE at = 0;
    pcre2_code *code = NULL;
    if (expand(pattern, expanded, sizeof expanded))
        code =
            pcre2_compile((PCRE2_SPTR)expanded, PCRE2_ZERO_TERMINATED,
                          PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &number, &at, context);
    if (!code && number == PCRE2_ERROR_HEAP_FAILED)
        return weir_error_set(error, WEIR_MEMORY, "no memory for the pre-tokenizer");
    if (!code)
        return weir_error_set(error, WEIR_UNSUPPORTED,
                              "this PCRE2 cannot compile the pattern of the pre-tokenizer "
                              "(error %d at %zu)",
                              number, (size_t)at);
    splitter->stages[stage] = code;
    /* Where there is no JIT, or the system forbids it, PCRE2 interprets: the same matches. */
    (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
    return WEIR_OK;
}

static weir_status open_stages(wr_splitter *splitter, const wr_pretokenizer *row,
                               weir_error *error) {
    splitter->general = pcre2_general_context_create(take, give, splitter);
    if (splitter->general) splitter->limits = pcre2_match_context_create(splitter->general);
    pcre2_compile_context *context =
        splitter->limits ? pcre2_compile_context_create(splitter->general) : NULL;
    if (!context) return weir_error_set(error, WEIR_MEMORY, "no memory for the pre-tokenizer");
    pcre2_set_match_limit(splitter->limits, MATCH_LIMIT);
    weir_status status = WEIR_OK;
    for (int i = 0; i < WR_SPLIT_STAGES && row->patterns[i] && status == WEIR_OK; i++)
        status = compile(splitter, i, row->patterns[i], context, error);
    pcre2_compile_context_free(context);
    return status;
}

weir_status wr_splitter_open(const wr_pretokenizer *row, const weir_allocator *allocator,
                             wr_splitter **out, weir_error *error) {
    *out = NULL;
    wr_splitter *splitter = wr_allocate_array(allocator, 1, sizeof *splitter);
    if (!splitter) return weir_error_set(error, WEIR_MEMORY, "no memory for the pre-tokenizer");
    splitter->allocator = allocator;
    weir_status status = open_stages(splitter, row, error);
    if (status == WEIR_OK)
        *out = splitter;
    else
        wr_splitter_close(splitter);
    return status;
}

void wr_splitter_close(wr_splitter *splitter) {
    if (!splitter) return;
    for (int i = 0; i < WR_SPLIT_STAGES; i++) pcre2_code_free(splitter->stages[i]);
    pcre2_match_context_free(splitter->limits);
    pcre2_general_context_free(splitter->general);
    wr_release(splitter->allocator, splitter, sizeof *splitter);
}

/* ---- cutting --------------------------------------------------------------------------------- */

typedef struct cutter {
    const pcre2_code *code;
    pcre2_match_context *limits;
    pcre2_match_data *match;
    const char *text;
    uint32_t *ends; /* of the pieces so far */
    int32_t count;
} cutter;

typedef enum verdict { NOTHING, WHOLE, PARTIAL } verdict;

/* The first match in text[begin, end) from `at` on. A match that cannot be found within PCRE2's
 * limits is none. */
static verdict find(const cutter *c, uint32_t begin, uint32_t at, uint32_t end, bool open,
                    uint32_t *from, uint32_t *to) {
    uint32_t options = PCRE2_NO_UTF_CHECK | (open ? PCRE2_PARTIAL_HARD : 0);
    int result = pcre2_match(c->code, (PCRE2_SPTR)c->text + begin, end - begin, at - begin, options,
                             c->match, c->limits);
    if (result < 0 && result != PCRE2_ERROR_PARTIAL) return NOTHING;
    const PCRE2_SIZE *found = pcre2_get_ovector_pointer(c->match);
    *from = begin + (uint32_t)found[0];
    *to = begin + (uint32_t)found[1];
    if (result == PCRE2_ERROR_PARTIAL) return PARTIAL;
    return *to > *from ? WHOLE : NOTHING;
}

static void add(cutter *c, uint32_t end) { c->ends[c->count++] = end; }

/* Cut the piece text[begin, end); returns where what is known of it ends, if it is open. */
static uint32_t cut(cutter *c, uint32_t begin, uint32_t end, bool open) {
    uint32_t at = begin;
    while (at < end) {
        uint32_t from = at, to = at;
        verdict found = find(c, begin, at, end, open, &from, &to);
        if (found == PARTIAL) return from;
        if (found == NOTHING) break;
        if (from > at) add(c, from);
        add(c, to);
        at = to;
    }
    if (!open && at < end) add(c, end);
    return end;
}

int32_t wr_splitter_run(const wr_splitter *splitter, wr_splitter_scratch *scratch, const char *text,
                        size_t size, bool open, const uint32_t **ends) {
    cutter c = {.limits = splitter->limits, .match = scratch->match, .text = text};
    const uint32_t *before = NULL;
    int32_t pieces = 0;
    uint32_t known = (uint32_t)size; /* the end of the text, or of what is known of it */
    for (int i = 0; i < WR_SPLIT_STAGES && splitter->stages[i]; i++) {
        c.code = splitter->stages[i];
        c.ends = scratch->ends[i % 2];
        c.count = 0;
        uint32_t begin = 0;
        for (int32_t piece = 0; piece < pieces; begin = before[piece++])
            cut(&c, begin, before[piece], false);
        if (i == 0 || open) known = cut(&c, begin, known, open);
        before = c.ends;
        pieces = c.count;
    }
    *ends = before;
    return pieces;
}
