/*
 * An opening: what a stream was given since it began, remembered so that another stream that begins
 * alike need not be computed again: it is forked from there (sharing.h).
 *
 *     entries   token token BORDER token token | token ...
 *               ------- the stream has them --- | still wait to be fed
 *
 * It is always a beginning of what the stream has: what comes later than it can hold is left out.
 */
#ifndef WEIR_SERVER_OPENING_H
#define WEIR_SERVER_OPENING_H

#include <stdbool.h>
#include <stdint.h>

#define OPENING_BORDER (-1)             /* the next token begins a message */
#define OPENING_MOST (INT64_C(1) << 20) /* entries that are remembered */

typedef struct server_opening {
    int32_t *entries; /* [count]; NULL: nothing is remembered */
    int64_t count, capacity;
    int64_t fed;    /* of them, those that the stream has */
    int64_t tokens; /* of those, tokens */
    bool closed;    /* the stream was given something that is not here */
} server_opening;

/* Entries that an opening of `count` that wait and `more` that may be drawn takes. */
int64_t opening_size(int64_t count, int64_t more);
/* From here on remembered: `count` entries that wait. False: no memory. */
bool opening_begin(server_opening *opening, const int32_t *entries, int64_t count, int64_t more);
void opening_free(server_opening *opening); /* nothing is remembered any more */

/* The stream was fed so many more entries, in order. */
void opening_fed(server_opening *opening, int64_t count);
/* It drew a token when it had `index`. */
void opening_drew(server_opening *opening, int32_t token, int64_t index);
/* What waits is never fed. */
void opening_close(server_opening *opening);

/* How many entries both begin with. */
int64_t opening_common(const server_opening *opening, const int32_t *entries, int64_t count);
/* Tokens among the first `count` entries; and the entries up to the one that is token `tokens`. */
int64_t opening_tokens(const int32_t *entries, int64_t count);
int64_t opening_place(const int32_t *entries, int64_t tokens);

#endif
