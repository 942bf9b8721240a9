#include "common/forgetting.h"

#include <stdio.h>
#include <unistd.h>

#include "common/words.h"

void forgetting_begins(void *context, int64_t first, int64_t end) {
    cli_forgetting *forgetting = context;
    (void)first, (void)end;
    if (forgetting->begun || forgetting->quiet || forgetting->stream == NULL) {
        return;
    }
    forgetting->begun = true;
    weir_stream_state state;
    weir_stream_get_state(forgetting->stream, &state);
    char sinks[WORD_MAX], window[WORD_MAX];
    word_count(state.window, window);
    word_count(state.sinks, sinks);
    if (forgetting->mid_line && isatty(STDERR_FILENO)) {
        fputc('\n', stderr);
    }
    fputs("weir: the cache is full: from here on the oldest text is forgotten; the model sees the ",
          stderr);
    if (state.sinks > 0) {
        fprintf(stderr, "first%s%s and the ", state.sinks > 1 ? " " : "",
                state.sinks > 1 ? sinks : "");
    }
    fprintf(stderr, "last %s tokens\n", window);
}
