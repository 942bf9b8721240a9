/* Reading: logits, drawing a token, generating text. */
#include <string.h>

#include "stream/stream_private.h"

weir_status weir_stream_logits(weir_stream *stream, const float **logits, weir_error *error) {
    weir_status status = weir_stream_flush(stream, error);
    *logits = NULL;
    if (status == WEIR_OK) status = wr_stream_ready(stream, error);
    if (status != WEIR_OK) return status;
    if (!stream->logits_ready) {
        int64_t last = stream->past.index - 1;
        wr_logit_row row = {stream->past.hidden, last, &stream->observer};
        wr_forward_logits(stream->forward, &row, 1, stream->logits);
        if (!wr_logits_finite(stream->logits, stream->model->vocabulary))
            return wr_stream_not_a_number(last, error);
        stream->logits_ready = true;
    }
    *logits = stream->logits;
    return WEIR_OK;
}

weir_status weir_stream_set_sampling(weir_stream *stream, const weir_sampling *sampling,
                                     weir_error *error) {
    return wr_sampler_set(stream->past.sampler, sampling, error);
}

static weir_status feed_drawn(weir_stream *stream, int32_t token, weir_error *error) {
    wr_detokenizer kept = stream->past.detokenizer; /* a drawn token continues generated text */
    weir_status status = weir_stream_feed_tokens(stream, &token, 1, error);
    stream->past.detokenizer = kept;
    return status;
}

weir_status weir_stream_next(weir_stream *stream, int32_t *token, weir_error *error) {
    const float *logits;
    weir_status status = weir_stream_logits(stream, &logits, error);
    if (status == WEIR_OK)
        status = wr_sampler_draw(stream->past.sampler, logits, stream->past.index, token, error);
    if (status == WEIR_OK) status = feed_drawn(stream, *token, error);
    return status;
}

weir_generate weir_generate_default(void) { return (weir_generate){.stop_at_end = true}; }

/* --- Text of generated tokens ----------------------------------------------------------------- */

typedef struct writer {
    weir_stream *stream;
    size_t size; /* bytes of stream->text that are certain */
} writer;

static void keep_text(void *context, const char *text, size_t size) {
    writer *out = context;
    memcpy(out->stream->text + out->size, text, size);
    out->size += size;
}

/* The text that `token` completes goes to stream->text; true when a stop string is complete. */
static bool write_token(writer *out, wr_stop *stop, int32_t token) {
    weir_stream *stream = out->stream;
    const wr_vocab *vocab = stream->model->vocab;
    out->size = 0;
    if (stop->count == 0) {
        out->size = wr_detokenize(vocab, &stream->past.detokenizer, token, false, stream->text);
        return false;
    }
    /* The stop filter writes to the front of the room while it reads: detokenise behind it. */
    char *piece = stream->text + WR_STOP_MAX_BYTES + wr_detokenizer_room(vocab);
    size_t size = wr_detokenize(vocab, &stream->past.detokenizer, token, false, piece);
    return wr_stop_feed(stop, piece, size, keep_text, out);
}

/* No more tokens: what a stop string held back, and was not one after all. */
static void end(weir_stream *stream, wr_generation *g, weir_stop_reason reason) {
    writer out = {.stream = stream};
    g->active = false;
    g->result.reason = reason;
    if (reason == WEIR_STOP_STRING) return;
    wr_stop_flush(&g->stop, keep_text, &out);
    if (g->fn && out.size > 0) g->fn(g->context, -1, stream->text, out.size);
}

weir_status wr_generation_begin(wr_generation *g, const weir_generate *options, weir_text_fn fn,
                                void *context, weir_error *error) {
    weir_generate defaults = weir_generate_default();
    if (!options) options = &defaults;
    g->active = false;
    g->stop_at_end = options->stop_at_end;
    g->limit = options->tokens;
    g->fn = fn;
    g->context = context;
    g->result = (weir_generated){.tokens = 0, .reason = WEIR_STOP_LENGTH};
    if (options->tokens < -1)
        return weir_error_set(error, WEIR_USAGE,
                              "cannot generate %lld tokens: give 0 or more, or -1 for no end",
                              (long long)options->tokens);
    weir_status status = wr_stop_init(&g->stop, options->stop, options->stop_count, error);
    g->active = status == WEIR_OK && g->limit != 0;
    return status;
}

void wr_generation_take(weir_stream *stream, wr_generation *g, int32_t token) {
    writer out = {.stream = stream};
    g->result.tokens++;
    if (g->stop_at_end && wr_vocab_ends_text(stream->model->vocab, token)) {
        end(stream, g, WEIR_STOP_END);
        return;
    }
    bool stopped = write_token(&out, &g->stop, token);
    bool more = !g->fn || g->fn(g->context, token, stream->text, out.size);
    if (stopped)
        end(stream, g, WEIR_STOP_STRING);
    else if (!more)
        end(stream, g, WEIR_STOP_CALLER);
    else if (g->limit >= 0 && g->result.tokens >= g->limit)
        end(stream, g, WEIR_STOP_LENGTH);
}

weir_status weir_stream_generate(weir_stream *stream, const weir_generate *options, weir_text_fn fn,
                                 void *context, weir_generated *result, weir_error *error) {
    wr_generation g;
    weir_status status = wr_generation_begin(&g, options, fn, context, error);
    if (status == WEIR_OK) status = weir_stream_flush(stream, error);
    while (status == WEIR_OK && g.active) {
        int32_t token;
        status = weir_stream_next(stream, &token, error);
        if (status == WEIR_OK) wr_generation_take(stream, &g, token);
    }
    if (g.active) end(stream, &g, WEIR_STOP_LENGTH); /* a failure on the way */
    if (result) *result = g.result;
    return status;
}
