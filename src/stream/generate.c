/* Reading: logits, drawing a token, generating text. */
#include <string.h>

#include "base/clock.h"
#include "base/largest.h"
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
        if (!wr_all_finite(stream->logits, stream->model->vocabulary))
            return wr_stream_not_a_number(last, error);
        stream->logits_ready = true;
    }
    stream->logits_unasked = false;
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

/* --- Looking back ----------------------------------------------------------------------------- */

/* A draft of what follows `next`, behind it in tokens[]: how many there are. */
static int64_t look_up(const weir_stream *stream, int64_t most, int32_t next, int32_t *tokens,
                       wr_lookup_step *step) {
    const wr_past *past = &stream->past;
    wr_lookup_text text = {.ring = past->history,
                           .size = past->history_size,
                           .begin = wr_past_history_begin(past),
                           .end = past->index};
    double begun = wr_clock_thread_seconds();
    wr_lookup_match match = wr_lookup_find(&text, next);
    int64_t count = wr_lookup_length(&stream->pace, match.length, most);
    tokens[0] = next;
    wr_lookup_draft(&text, next, match, tokens + 1, count);
    step->match = match.length;
    step->search = wr_clock_thread_seconds() - begun;
    return count;
}

/* A step begins with `token`, drawn and not fed. `most`: tokens of a draft that can be of use. */
static weir_status begin_step(weir_stream *stream, wr_lookup_step *step, int32_t token,
                              int64_t most, weir_error *error) {
    int32_t tokens[1 + WEIR_MAX_LOOKUP];
    *step = (wr_lookup_step){.timed = wr_lookup_begin(&stream->pace)};
    most = wr_stream_room_ahead(stream, most);
    if (step->timed && most > 0) step->drafted = look_up(stream, most, token, tokens, step);
    double begun = step->timed ? wr_clock_thread_seconds() : 0;
    weir_status status = step->drafted > 0
                             ? wr_stream_feed_ahead(stream, tokens, 1 + step->drafted, error)
                             : feed_drawn(stream, token, error);
    if (step->timed) step->compute = wr_clock_thread_seconds() - begun;
    return status;
}

/* The logits belong to the step before. After a draft they are there already. */
static weir_status end_of_step(weir_stream *stream, wr_lookup_step *step, const float **logits,
                               weir_error *error) {
    bool timed = step->timed && !stream->logits_ready;
    double begun = timed ? wr_clock_thread_seconds() : 0;
    weir_status status = weir_stream_logits(stream, logits, error);
    if (timed) step->compute += wr_clock_thread_seconds() - begun;
    return status;
}

/* weir_stream_next, with a draft behind the token when that pays. */
static weir_status next_looked_up(weir_stream *stream, const weir_generate *options,
                                  weir_generated *result, wr_lookup_step *step, int32_t *token,
                                  weir_error *error) {
    const float *logits;
    weir_status status = end_of_step(stream, step, &logits, error);
    if (status == WEIR_OK)
        status = wr_sampler_draw(stream->past.sampler, logits, stream->past.index, token, error);
    if (status != WEIR_OK) return status;
    if (wr_stream_is_ahead(stream, *token)) {
        status = wr_stream_take_ahead(stream, error);
        step->accepted += status == WEIR_OK;
        result->accepted += status == WEIR_OK;
        return status;
    }
    int64_t most = options->lookup;
    int64_t left = options->tokens - result->tokens - 1;
    if (options->tokens >= 0 && left < most) most = left;
    wr_lookup_end(&stream->pace, step);
    status = begin_step(stream, step, *token, most, error);
    result->drafted += status == WEIR_OK ? step->drafted : 0;
    return status;
}

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

static weir_status check_lookup(const weir_stream *stream, int lookup, weir_error *error) {
    if (lookup < 0 || lookup > WEIR_MAX_LOOKUP)
        return weir_error_set(error, WEIR_USAGE, "a draft of %d tokens is out of range (0 to %d)",
                              lookup, WEIR_MAX_LOOKUP);
    if (lookup > 0 && stream->settings.policy == WEIR_RECOMPUTE)
        return weir_error_set(error, WEIR_USAGE,
                              "looking back does not apply to the recompute policy, which computes "
                              "its window for every token anyway: leave lookup at 0");
    return WEIR_OK;
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
    weir_generate defaults = weir_generate_default();
    if (!options) options = &defaults;
    wr_generation g = {.active = false};
    wr_lookup_step step = {0};
    weir_status status = check_lookup(stream, options->lookup, error);
    if (status == WEIR_OK) status = wr_generation_begin(&g, options, fn, context, error);
    if (status == WEIR_OK) status = weir_stream_flush(stream, error);
    while (status == WEIR_OK && g.active) {
        int32_t token;
        status = options->lookup > 0
                     ? next_looked_up(stream, options, &g.result, &step, &token, error)
                     : weir_stream_next(stream, &token, error);
        if (status == WEIR_OK) wr_generation_take(stream, &g, token);
    }
    stream->ahead.count = 0;
    if (g.active) end(stream, &g, WEIR_STOP_LENGTH); /* a failure on the way */
    if (result) *result = g.result;
    return status;
}
