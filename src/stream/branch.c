/* Pin, fork, rewind, mark, return: a stream's past shared, shortened and kept. */
#include "stream/stream_private.h"

weir_status weir_stream_pin(weir_stream *stream, int64_t count, weir_error *error) {
    if (stream->settings.policy != WEIR_SINK)
        return weir_error_set(error, WEIR_USAGE, "only the sink policy can pin tokens");
    if (count < 0)
        return weir_error_set(error, WEIR_USAGE, "cannot pin %lld tokens", (long long)count);
    weir_status status = weir_stream_flush(stream, error);
    if (status == WEIR_OK)
        status = wr_cache_pin(stream->past.cache, count, stream->model->kernels, error);
    return status;
}

/* A fork or mark has tables of the same size, so it is laid out with the settings at creation; what
 * a pin has changed since comes with the past. */
weir_status weir_stream_fork(weir_stream *stream, weir_stream **out, weir_error *error) {
    weir_stream *child;
    *out = NULL;
    weir_status status =
        wr_stream_reserve(stream->model, &stream->settings, wr_stream_allocator(stream),
                          stream->threads, &child, error);
    if (status != WEIR_OK) return status;
    status = wr_cache_open_fork(child->past.cache, stream->past.cache, error);
    if (status != WEIR_OK) {
        weir_stream_destroy(child);
        return status;
    }
    wr_past_copy(&child->past, &stream->past, stream->model->width);
    child->evicted = stream->evicted;
    child->evicted_context = stream->evicted_context;
    *out = child;
    return WEIR_OK;
}

/* --- Rewind ----------------------------------------------------------------------------------- */

/* Whether the first `index` tokens have text; `begun`: whether those up to now have. */
static bool text_before(const wr_past *past, const wr_vocab *vocab, int64_t index, bool begun) {
    if (index > past->early_size) return begun;
    for (int64_t i = 0; i < index; i++)
        if (wr_vocab_type(vocab, past->early[i]) != WR_TOKEN_CONTROL) return begun;
    return false;
}

/* What the text and sampling state was at `index` tokens: held text is gone, and the penalties look
 * back over the tokens that stand before. */
static void forget_after(wr_past *past, const wr_vocab *vocab, int64_t index) {
    int64_t begin = index > WEIR_MAX_PENALTY_WINDOW ? index - WEIR_MAX_PENALTY_WINDOW : 0;
    int64_t history = wr_past_history_begin(past);
    past->history_begin = history < index ? history : index; /* older ones were overwritten */
    past->index = index;
    past->hidden_ready = false;
    wr_sampler_forget(past->sampler, INT64_MAX);
    for (int64_t i = begin; i < index; i++)
        if (wr_past_remembers(past, i, i + 1))
            wr_sampler_accept(past->sampler, wr_past_token(past, i));
    bool begun = text_before(past, vocab, index, past->detokenizer.begun);
    past->detokenizer = (wr_detokenizer){.begun = begun};
    if (past->tokenizer) wr_tokenizer_reset(past->tokenizer, !begun);
    if (index == 0) past->text_begun = false;
}

static weir_status rewind_recompute(weir_stream *stream, int64_t index, weir_error *error) {
    wr_past *past = &stream->past;
    int64_t window = stream->settings.window;
    int64_t begin = index > window ? index - window : 0;
    if (index < 0 || index > past->index)
        return weir_error_set(error, WEIR_USAGE, "cannot rewind to token %lld of a stream of %lld",
                              (long long)index, (long long)past->index);
    if (!wr_past_remembers(past, begin, index))
        return weir_error_set(error, WEIR_EVICTED,
                              "cannot rewind to token %lld: its window is no longer remembered",
                              (long long)index);
    past->stale = true;
    return WEIR_OK;
}

static weir_status rewind_cache(wr_past *past, int64_t index, weir_error *error) {
    /* A file may bring fewer tokens than pages. */
    if (index > 0 && index < past->index && !wr_past_remembers(past, index - 1, index))
        return weir_error_set(error, WEIR_EVICTED,
                              "cannot rewind to token %lld: it is no longer remembered",
                              (long long)index);
    return wr_cache_rewind(past->cache, index, error);
}

weir_status weir_stream_rewind(weir_stream *stream, int64_t index, weir_error *error) {
    wr_past *past = &stream->past;
    weir_status status = WEIR_OK;
    if (stream->settings.policy == WEIR_RECOMPUTE)
        status = rewind_recompute(stream, index, error);
    else
        status = rewind_cache(past, index, error);
    if (status != WEIR_OK) return status;
    bool all = index == past->index;
    bool ready = past->hidden_ready;
    forget_after(past, stream->model->vocab, index);
    past->hidden_ready = all && ready && !past->stale;
    stream->logits_ready = stream->logits_ready && past->hidden_ready;
    return WEIR_OK;
}

/* --- Marks ------------------------------------------------------------------------------------ */

static const weir_allocator *mark_allocator(const weir_mark *mark) {
    return mark->has_allocator ? &mark->allocator : NULL;
}

static weir_status open_mark(weir_mark *mark, weir_stream *stream, weir_error *error) {
    const weir_model *model = stream->model;
    mark->model = model;
    mark->settings = stream->settings;
    wr_past_layout(&mark->arena, model, &mark->settings, &mark->past);
    if (wr_arena_bind(&mark->arena, mark_allocator(mark)) != WEIR_OK)
        return weir_error_set(error, WEIR_MEMORY, "no memory for a mark");
    wr_past_layout(&mark->arena, model, &mark->settings, &mark->past);
    weir_status status = wr_cache_open_mark(mark->past.cache, stream->past.cache, error);
    if (status == WEIR_OK) wr_past_copy(&mark->past, &stream->past, model->width);
    return status;
}

weir_status weir_stream_mark(weir_stream *stream, weir_mark **out, weir_error *error) {
    weir_mark *mark = wr_allocate_array(wr_stream_allocator(stream), 1, sizeof *mark);
    *out = NULL;
    if (!mark) return weir_error_set(error, WEIR_MEMORY, "no memory for a mark");
    mark->allocator = stream->allocator;
    mark->has_allocator = stream->has_allocator;
    weir_status status = open_mark(mark, stream, error);
    if (status != WEIR_OK)
        weir_mark_destroy(mark);
    else
        *out = mark;
    return status;
}

weir_status weir_stream_return(weir_stream *stream, const weir_mark *mark, weir_error *error) {
    if (!wr_cache_related(stream->past.cache, mark->past.cache))
        return weir_error_set(
            error, WEIR_USAGE,
            "the mark belongs to another stream: return to it from the stream that "
            "set it, or from a fork of that");
    weir_status status = wr_cache_return(stream->past.cache, mark->past.cache, error);
    if (status != WEIR_OK) return status;
    wr_past_copy(&stream->past, &mark->past, stream->model->width);
    stream->logits_ready = false;
    return WEIR_OK;
}

void weir_mark_destroy(weir_mark *mark) {
    if (!mark) return;
    weir_allocator copy = mark->allocator;
    const weir_allocator *allocator = mark->has_allocator ? &copy : NULL;
    wr_cache_close(mark->past.cache);
    wr_arena_release(&mark->arena, allocator);
    wr_release(allocator, mark, sizeof *mark);
}
