/* Tokens of a text into an array of the caller's. */
#ifndef WR_TOKEN_ROOM_H
#define WR_TOKEN_ROOM_H

#include <stdint.h>
#include <string.h>

#include "weir/status.h"

typedef struct token_room {
    int32_t *items;
    int64_t count, capacity;
} token_room;

/* For weir_model_tokenize: WEIR_LIMIT when there is no room for them. */
static inline weir_status keep_tokens(void *context, const int32_t *tokens, int64_t count) {
    token_room *room = context;
    if (count > room->capacity - room->count) {
        return WEIR_LIMIT;
    }
    memcpy(room->items + room->count, tokens, (size_t)count * sizeof *tokens);
    room->count += count;
    return WEIR_OK;
}

#endif
