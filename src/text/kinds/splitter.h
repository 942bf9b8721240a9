/*
 * Text cut into pieces by the patterns of a pre-tokenizer. PCRE2 stands behind this file alone.
 *
 * A text that may go on gives only the pieces that no later byte can change: PCRE2's hard partial
 * matching says of every match whether the end of the text was looked at on the way. So the pieces
 * of a text are found however it arrives, and a border once found is never taken back.
 */
#ifndef WR_SPLITTER_H
#define WR_SPLITTER_H

#include "base/arena.h"
#include "text/kinds/kind.h"
#include "text/kinds/pretokenizer.h"

typedef struct wr_splitter wr_splitter;                 /* patterns, compiled; immutable */
typedef struct wr_splitter_scratch wr_splitter_scratch; /* of one tokenizer */

#define WR_SPLITTER_BYTES (WR_RUN_BYTES + 1) /* no text is longer */

weir_status wr_splitter_open(const wr_pretokenizer *row, const weir_allocator *allocator,
                             wr_splitter **out, weir_error *error);
void wr_splitter_close(wr_splitter *splitter);

wr_splitter_scratch *wr_splitter_layout(wr_arena *arena); /* NULL while measuring */

/* The ends of the pieces of `text`, valid UTF-8 of at most WR_SPLITTER_BYTES, in *ends (the
 * scratch's, until the next call); returns their count. Where the text is not `open` the last
 * piece ends it; else only certain pieces count. */
int32_t wr_splitter_run(const wr_splitter *splitter, wr_splitter_scratch *scratch, const char *text,
                        size_t size, bool open, const uint32_t **ends);

#endif
