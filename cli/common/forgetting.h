/* The moment when a stream begins to forget, told once and in plain words on stderr. */
#ifndef WEIR_CLI_FORGETTING_H
#define WEIR_CLI_FORGETTING_H

#include "weir/stream.h"

typedef struct cli_forgetting {
    weir_stream *stream; /* whose forgetting it is; NULL: not yet known */
    bool begun;          /* said already, or begun before this program */
    bool quiet;          /* a fork is at work: what it forgets is not the stream's loss */
    bool mid_line;       /* text stands on the terminal's line */
} cli_forgetting;

/* A weir_evicted_fn; context is a cli_forgetting. */
void forgetting_begins(void *context, int64_t first, int64_t end);

#endif
