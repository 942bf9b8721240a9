/*
 * The tokens that penalties look back on: the last `window` tokens of a stream, and how often each
 * occurs among them.
 *
 *   ring      [ ... older ... | window ............ | next ... ]   WEIR_MAX_PENALTY_WINDOW tokens
 *   counts    [n_vocab]  occurrences inside the window
 *   distinct  the tokens whose count is not 0, in no particular order
 *
 * The ring remembers more than the window, so that after forgetting (a rewind) the window reaches
 * as far back as it would have, had the forgotten tokens never come.
 */
#ifndef WR_HISTORY_H
#define WR_HISTORY_H

#include "base/arena.h"
#include "base/bytes.h"
#include "weir/sampling.h"

typedef struct wr_history {
    int32_t n_vocab;
    int32_t window;
    int32_t next; /* where the next token goes in the ring */
    int32_t held; /* tokens in the ring */
    int32_t distinct_count;
    int32_t *ring;     /* [WEIR_MAX_PENALTY_WINDOW] */
    int32_t *counts;   /* [n_vocab] */
    int32_t *places;   /* [n_vocab] where in distinct, if the count is not 0 */
    int32_t *distinct; /* [n_vocab] */
} wr_history;

/* Take the arrays from the arena; `history` may be NULL while measuring. */
void wr_history_layout(wr_arena *arena, wr_history *history, int32_t n_vocab);

void wr_history_clear(wr_history *history);
void wr_history_set_window(wr_history *history, int32_t window);
void wr_history_accept(wr_history *history, int32_t token);
void wr_history_forget(wr_history *history, int64_t count);

void wr_history_copy(wr_history *to, const wr_history *from);
void wr_history_save(const wr_history *history, wr_writer *writer);
/* The window is kept; false when the bytes are damaged (the history is then empty). */
bool wr_history_load(wr_history *history, wr_reader *reader);

#endif
