#include "streams/opening.h"

#include <stdlib.h>
#include <string.h>

int64_t opening_size(int64_t count, int64_t more) {
    int64_t room = OPENING_MOST - count;
    return room <= 0 ? OPENING_MOST : count + (more < 0 || more > room ? room : more);
}

bool opening_begin(server_opening *opening, const int32_t *entries, int64_t count, int64_t more) {
    int64_t capacity = opening_size(count, more);
    int64_t kept = count < capacity ? count : capacity;
    int32_t *room = malloc((size_t)capacity * sizeof *room + 1);
    if (room == NULL) {
        return false;
    }
    memcpy(room, entries, (size_t)kept * sizeof *room);
    *opening = (server_opening){
        .entries = room, .count = kept, .capacity = capacity, .closed = kept < count};
    return true;
}

void opening_free(server_opening *opening) {
    free(opening->entries);
    *opening = (server_opening){.entries = NULL};
}

void opening_fed(server_opening *opening, int64_t count) {
    for (; count > 0 && opening->fed < opening->count; count--) {
        opening->tokens += opening->entries[opening->fed++] != OPENING_BORDER;
    }
}

void opening_drew(server_opening *opening, int32_t token, int64_t index) {
    bool goes_on = !opening->closed && opening->fed == opening->count && opening->tokens == index;
    if (opening->entries == NULL || !goes_on || opening->count == opening->capacity) {
        opening->closed = true;
        return;
    }
    opening->entries[opening->count++] = token;
    opening_fed(opening, 1);
}

void opening_close(server_opening *opening) {
    opening->count = opening->fed;
    opening->closed = true;
}

int64_t opening_common(const server_opening *opening, const int32_t *entries, int64_t count) {
    int64_t most = count < opening->count ? count : opening->count, at = 0;
    while (at < most && opening->entries[at] == entries[at]) {
        at++;
    }
    return at;
}

int64_t opening_tokens(const int32_t *entries, int64_t count) {
    int64_t tokens = 0;
    for (int64_t i = 0; i < count; i++) {
        tokens += entries[i] != OPENING_BORDER;
    }
    return tokens;
}

int64_t opening_place(const int32_t *entries, int64_t tokens) {
    int64_t at = 0;
    while (tokens > 0) {
        tokens -= entries[at++] != OPENING_BORDER;
    }
    return at;
}
