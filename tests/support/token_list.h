/* Tokens as a tokenizer emits them, gathered in one growing list. Header only. */
#ifndef TOKEN_LIST_H
#define TOKEN_LIST_H

#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"

typedef struct token_list {
    int32_t *ids;
    int64_t count, capacity;
} token_list;

static inline void token_list_add(token_list *list, int32_t id) {
    if (list->count == list->capacity) {
        list->capacity = 2 * list->capacity + 64;
        int32_t *ids = realloc(list->ids, (size_t)list->capacity * sizeof *ids);
        if (!ids) abort();
        list->ids = ids;
    }
    list->ids[list->count++] = id;
}

static inline void token_list_free(token_list *list) {
    free(list->ids);
    *list = (token_list){0};
}

static inline bool token_list_equal(const token_list *a, const token_list *b) {
    return a->count == b->count &&
           (a->count == 0 || memcmp(a->ids, b->ids, (size_t)a->count * sizeof *a->ids) == 0);
}

static inline weir_status token_list_emit(void *context, const int32_t *tokens, int64_t count,
                                          weir_error *error) {
    (void)error;
    for (int64_t i = 0; i < count; i++) token_list_add(context, tokens[i]);
    return WEIR_OK;
}

/* A tokenizer in an arena of its own. */
static inline wr_tokenizer *token_list_tokenizer(wr_arena *arena, const wr_vocab *vocab) {
    *arena = (wr_arena){0};
    wr_tokenizer_layout(arena, vocab);
    if (wr_arena_bind(arena, NULL) != WEIR_OK) abort();
    return wr_tokenizer_layout(arena, vocab);
}

/* The tokens of a whole text fed in one piece. */
static inline void token_list_encode(token_list *list, const wr_vocab *vocab, const char *text,
                                     size_t size, bool special) {
    wr_arena arena;
    wr_tokenizer *tokenizer = token_list_tokenizer(&arena, vocab);
    wr_tokenizer_feed(tokenizer, text, size, special, token_list_emit, list, NULL);
    wr_tokenizer_flush(tokenizer, token_list_emit, list, NULL);
    wr_arena_release(&arena, NULL);
}

#endif
