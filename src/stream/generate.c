/* Reading: logits, drawing a token, generating text. */
#include <string.h>

#include "base/clock.h"
#include "sample/stop.h"
#include "stream/stream_private.h"

weir_status weir_stream_logits(weir_stream *stream, const float **logits, weir_error *error) {
    weir_status status = weir_stream_flush(stream, error);
    *logits = NULL;
    if (status == WEIR_OK) status = wr_stream_ready(stream, error);
    if (status != WEIR_OK) return status;
    if (!stream->logits_ready) {
        int64_t last = stream->past.index - 1;
        status = wr_forward_logits(stream->forward, stream->past.hidden, last, 1, stream->logits);
        if (status != WEIR_OK)
            return weir_error_set(
                error, status,
                "the logits after token %lld are not numbers: the model's weights "
                "are damaged",
                (long long)last);
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
    wr_stop stop;
    size_t size; /* bytes of stream->text that are certain */
    wr_lookup_step step;
} writer;

static void keep_text(void *context, const char *text, size_t size) {
    writer *out = context;
    memcpy(out->stream->text + out->size, text, size);
    out->size += size;
}

/* The text that `token` completes goes to stream->text; true when a stop string is complete. */
static bool write_token(writer *out, int32_t token) {
    weir_stream *stream = out->stream;
    const wr_vocab *vocab = stream->model->vocab;
    out->size = 0;
    if (out->stop.count == 0) {
        out->size = wr_detokenize(vocab, &stream->past.detokenizer, token, false, stream->text);
        return false;
    }
    /* The stop filter writes to the front of the room while it reads: detokenise behind it. */
    char *piece = stream->text + WR_STOP_MAX_BYTES + wr_detokenizer_room(vocab);
    size_t size = wr_detokenize(vocab, &stream->past.detokenizer, token, false, piece);
    return wr_stop_feed(&out->stop, piece, size, keep_text, out);
}

static weir_status generate_one(weir_stream *stream, writer *out, const weir_generate *options,
                                weir_text_fn fn, void *context, weir_generated *result, bool *done,
                                weir_error *error) {
    int32_t token;
    weir_status status = options->lookup > 0
                             ? next_looked_up(stream, options, result, &out->step, &token, error)
                             : weir_stream_next(stream, &token, error);
    if (status != WEIR_OK) return status;
    result->tokens++;
    if (options->stop_at_end && wr_vocab_ends_text(stream->model->vocab, token)) {
        result->reason = WEIR_STOP_END;
        *done = true;
        return WEIR_OK;
    }
    bool stopped = write_token(out, token);
    bool more = !fn || fn(context, token, stream->text, out->size);
    if (stopped)
        result->reason = WEIR_STOP_STRING;
    else if (!more)
        result->reason = WEIR_STOP_CALLER;
    *done = stopped || !more;
    return WEIR_OK;
}

/* What a stop string held back, and was not one after all. */
static void write_rest(writer *out, weir_text_fn fn, void *context) {
    out->size = 0;
    wr_stop_flush(&out->stop, keep_text, out);
    if (fn && out->size > 0) fn(context, -1, out->stream->text, out->size);
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

weir_status weir_stream_generate(weir_stream *stream, const weir_generate *options, weir_text_fn fn,
                                 void *context, weir_generated *result, weir_error *error) {
    weir_generated unused;
    weir_generate defaults = weir_generate_default();
    writer out = {.stream = stream};
    if (!result) result = &unused;
    if (!options) options = &defaults;
    *result = (weir_generated){.tokens = 0, .reason = WEIR_STOP_LENGTH};
    if (options->tokens < -1)
        return weir_error_set(error, WEIR_USAGE,
                              "cannot generate %lld tokens: give 0 or more, or -1 for no end",
                              (long long)options->tokens);
    weir_status status = check_lookup(stream, options->lookup, error);
    if (status == WEIR_OK)
        status = wr_stop_init(&out.stop, options->stop, options->stop_count, error);
    if (status == WEIR_OK) status = weir_stream_flush(stream, error);
    bool done = false;
    while (status == WEIR_OK && !done && (options->tokens < 0 || result->tokens < options->tokens))
        status = generate_one(stream, &out, options, fn, context, result, &done, error);
    stream->ahead.count = 0;
    if (result->reason != WEIR_STOP_STRING) write_rest(&out, fn, context);
    return status;
}
