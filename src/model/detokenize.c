/* Tokens back to text, for whoever has tokens and no stream that generates. */
#include "weir/detokenize.h"

#include <string.h>

#include "model/network.h"
#include "text/detokenizer.h"

static wr_detokenizer take(const weir_detokenizer *state) {
    wr_detokenizer inner = {.begun = state->begun};
    inner.held_size = state->held_size < sizeof inner.held ? state->held_size : 0;
    memcpy(inner.held, state->held, sizeof inner.held);
    return inner;
}

static void give(weir_detokenizer *state, const wr_detokenizer *inner) {
    memcpy(state->held, inner->held, sizeof inner->held);
    state->held_size = inner->held_size;
    state->begun = inner->begun;
}

size_t weir_detokenize_room(const weir_model *model) { return wr_detokenizer_room(model->vocab); }

size_t weir_detokenize(const weir_model *model, weir_detokenizer *state, int32_t token, char *out) {
    wr_detokenizer inner = take(state);
    size_t size = wr_detokenize(model->vocab, &inner, token, false, out);
    give(state, &inner);
    return size;
}

size_t weir_detokenize_end(weir_detokenizer *state, char *out) {
    wr_detokenizer inner = take(state);
    size_t size = wr_detokenize_flush(&inner, out);
    give(state, &inner);
    return size;
}
