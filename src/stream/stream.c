/* A stream's memory: planned, reserved once, given back. */
#include "stream/stream_private.h"

#include <assert.h>
#include <string.h>

#include "weir/batch.h"
#include "weir/weir.h"

const char *weir_version(void) { return WEIR_VERSION; }

/* Chunk rows, ring rounding and what penalties look back on: all that may be asked for again. */
static int64_t history_size(const wr_settings *settings) {
    return settings->window + settings->chunk + 4 * WR_PAGE_TOKENS + WEIR_MAX_PENALTY_WINDOW;
}

void wr_past_layout(wr_arena *arena, const weir_model *model, const wr_settings *settings,
                    wr_past *past) {
    wr_cache_options cache = wr_settings_cache(model, settings);
    bool usable = wr_vocab_usable(model->vocab, NULL) == WEIR_OK;
    past->cache = wr_cache_layout(arena, &cache);
    past->sampler = wr_sampler_layout(arena, model->vocabulary);
    past->tokenizer = usable ? wr_tokenizer_layout(arena, model->vocab) : NULL;
    past->early_size = settings->sinks + settings->window;
    past->early = wr_arena_take(arena, (size_t)past->early_size, sizeof *past->early);
    past->history_size = history_size(settings);
    past->history = wr_arena_take(arena, (size_t)past->history_size, sizeof *past->history);
    past->hidden = wr_arena_take(arena, (size_t)model->width, sizeof *past->hidden);
}

void wr_past_copy(wr_past *to, const wr_past *from, int32_t width) {
    to->index = from->index;
    to->text_begun = from->text_begun;
    to->stale = from->stale;
    to->history_begin = from->history_begin;
    to->detokenizer = from->detokenizer;
    to->hidden_ready = from->hidden_ready;
    wr_sampler_copy(to->sampler, from->sampler);
    if (to->tokenizer) wr_tokenizer_copy(to->tokenizer, from->tokenizer);
    assert(to->early_size == from->early_size && to->history_size == from->history_size);
    memcpy(to->early, from->early, (size_t)to->early_size * sizeof *to->early);
    memcpy(to->history, from->history, (size_t)to->history_size * sizeof *to->history);
    memcpy(to->hidden, from->hidden, (size_t)width * sizeof *to->hidden);
}

/* Rows that share the reading of the weights well; more bring nothing and take memory. */
#define WINDOW_ROWS 128

/* Recompute, scored: windows that fill a chunk are computed together, each in a cache of its own;
 * the last of them in the stream's. */
static int64_t window_count(const wr_settings *settings) {
    if (settings->policy != WEIR_RECOMPUTE) return 0;
    int64_t rows = settings->chunk < WINDOW_ROWS ? settings->chunk : WINDOW_ROWS;
    int64_t pages = (settings->window + WR_PAGE_TOKENS - 1) / WR_PAGE_TOKENS;
    int64_t together = rows / (pages * WR_PAGE_TOKENS); /* pages count, not tokens */
    return together > 1 ? together - 1 : 0;
}

static wr_cache_options window_cache(const weir_model *model, const wr_settings *settings) {
    wr_settings one = *settings;
    one.chunk = settings->window;
    return wr_settings_cache(model, &one);
}

static void lay_windows(wr_arena *arena, const weir_model *model, const wr_settings *settings,
                        weir_stream *stream) {
    wr_cache_options options = window_cache(model, settings);
    int64_t count = window_count(settings);
    stream->window_count = count;
    stream->windows = wr_arena_take(arena, (size_t)count, sizeof *stream->windows);
    for (int64_t i = 0; i < count; i++) {
        wr_cache *cache = wr_cache_layout(arena, &options);
        if (stream->windows) stream->windows[i] = cache;
    }
}

static size_t page_bytes(const weir_model *model, const wr_settings *settings) {
    wr_cache_options own = wr_settings_cache(model, settings);
    wr_cache_options window = window_cache(model, settings);
    return wr_cache_page_bytes(&own) +
           (size_t)window_count(settings) * wr_cache_page_bytes(&window);
}

/* Everything of a stream but its pages. */
static void lay_stream(wr_arena *arena, const weir_model *model, const wr_settings *settings,
                       weir_stream *stream) {
    size_t vocabulary = (size_t)model->vocabulary;
    wr_cache_options cache = wr_settings_cache(model, settings);
    wr_past_layout(arena, model, settings, &stream->past);
    stream->logits = wr_arena_take(arena, vocabulary, sizeof *stream->logits);
    if (!settings->batch) {
        stream->forward = wr_forward_layout(arena, model, settings->chunk, settings->threads,
                                            1 + (int32_t)window_count(settings), &cache);
        stream->logit_rows = settings->chunk < WR_LOGIT_ROWS ? settings->chunk : WR_LOGIT_ROWS;
        stream->rows =
            wr_arena_take(arena, vocabulary * (size_t)stream->logit_rows, sizeof *stream->rows);
    }
    lay_windows(arena, model, settings, stream);
    stream->pending = wr_arena_take(arena, (size_t)settings->chunk, sizeof *stream->pending);
    stream->text =
        wr_arena_take(arena, WR_STOP_MAX_BYTES + 2 * wr_detokenizer_room(model->vocab), 1);
}

static size_t measure(const weir_model *model, const wr_settings *settings) {
    weir_stream scratch;
    wr_arena arena = {0};
    memset(&scratch, 0, sizeof scratch);
    lay_stream(&arena, model, settings, &scratch);
    return arena.used;
}

weir_status weir_stream_plan(const weir_model *model, const weir_stream_options *options,
                             weir_plan *out, weir_error *error) {
    wr_settings settings;
    weir_status status = wr_settings_resolve(model, options, &settings, error);
    if (status != WEIR_OK) return status;
    wr_cache_options cache = wr_settings_cache(model, &settings);
    out->policy = settings.policy;
    out->sinks = settings.sinks;
    out->window = settings.window;
    out->slots = settings.sinks + settings.window;
    out->context = settings.context;
    out->kv_bytes = (int64_t)wr_cache_kv_bytes(&cache);
    out->page_bytes = (int64_t)page_bytes(model, &settings);
    out->scratch_bytes = (int64_t)(measure(model, &settings) + sizeof(weir_stream));
    out->reserved_bytes = out->page_bytes + out->scratch_bytes;
    out->bytes_per_token = (int64_t)wr_cache_token_bytes(&cache);
    return WEIR_OK;
}

/* --- Reserving -------------------------------------------------------------------------------- */

static weir_status reserve_threads(weir_stream *stream, wr_threads *threads, weir_error *error) {
    weir_status status = WEIR_OK;
    if (stream->settings.batch) {
        wr_batch_lend(stream->settings.batch, stream);
        return WEIR_OK;
    }
    if (threads)
        stream->threads = wr_threads_share(threads);
    else
        status = wr_threads_create(stream->settings.threads, wr_stream_allocator(stream),
                                   &stream->threads, error);
    if (status == WEIR_OK) wr_forward_use_threads(stream->forward, stream->threads);
    return status;
}

weir_status wr_stream_reserve(const weir_model *model, const wr_settings *settings,
                              const weir_allocator *allocator, wr_threads *threads,
                              weir_stream **out, weir_error *error) {
    *out = NULL;
    if (!model->bound)
        return weir_error_set(error, WEIR_USAGE, "%s was opened for its metadata only",
                              model->info.path);
    weir_stream *stream = wr_allocate_array(allocator, 1, sizeof *stream);
    if (!stream) return weir_error_set(error, WEIR_MEMORY, "no memory for a stream");
    if (allocator) {
        stream->allocator = *allocator;
        stream->has_allocator = true;
    }
    stream->model = model;
    stream->settings = *settings;
    atomic_init(&stream->cancel, false);
    lay_stream(&stream->arena, model, settings, stream);
    size_t bytes = stream->arena.used;
    weir_status status = wr_arena_bind(&stream->arena, allocator);
    if (status != WEIR_OK) {
        wr_release(allocator, stream, sizeof *stream);
        return weir_error_set(
            error, WEIR_MEMORY,
            "no memory for a stream of %zu bytes: choose a smaller window or chunk", bytes);
    }
    lay_stream(&stream->arena, model, settings, stream);
    stream->reserved_bytes = (int64_t)(bytes + sizeof *stream + page_bytes(model, settings));
    if (stream->past.tokenizer) wr_tokenizer_reset(stream->past.tokenizer, true);
    status = reserve_threads(stream, threads, error);
    for (int64_t i = 0; i < stream->window_count && status == WEIR_OK; i++)
        status = wr_cache_open(stream->windows[i], allocator, error);
    if (status != WEIR_OK)
        weir_stream_destroy(stream);
    else
        *out = stream;
    return status;
}

weir_status weir_stream_create(const weir_model *model, const weir_stream_options *options,
                               weir_stream **out, weir_error *error) {
    wr_settings settings;
    *out = NULL;
    weir_status status = wr_settings_resolve(model, options, &settings, error);
    if (status != WEIR_OK) return status;
    const weir_allocator *allocator =
        options && options->allocator ? options->allocator : wr_model_allocator(model);
    weir_stream *stream;
    status = wr_stream_reserve(model, &settings, allocator, NULL, &stream, error);
    if (status != WEIR_OK) return status;
    weir_sampling sampling = weir_sampling_default();
    status = wr_cache_open(stream->past.cache, allocator, error);
    if (status == WEIR_OK) status = wr_sampler_set(stream->past.sampler, &sampling, error);
    if (status != WEIR_OK) {
        weir_stream_destroy(stream);
        return status;
    }
    if (options) {
        stream->evicted = options->evicted;
        stream->evicted_context = options->evicted_context;
    }
    *out = stream;
    return WEIR_OK;
}

static size_t scores_bytes(const weir_stream *stream) {
    return (size_t)stream->model->heads *
           (size_t)(stream->settings.sinks + stream->settings.window) * sizeof(float);
}

void weir_stream_destroy(weir_stream *stream) {
    if (!stream) return;
    weir_allocator copy = stream->allocator;
    const weir_allocator *allocator = stream->has_allocator ? &copy : NULL;
    wr_cache_close(stream->past.cache);
    for (int64_t i = 0; i < stream->window_count; i++) wr_cache_close(stream->windows[i]);
    if (stream->settings.batch)
        weir_batch_destroy(stream->settings.batch);
    else
        wr_threads_release(stream->threads);
    wr_release(allocator, stream->observer.scores, scores_bytes(stream));
    wr_arena_release(&stream->arena, allocator);
    wr_release(allocator, stream, sizeof *stream);
}

/* --- State ------------------------------------------------------------------------------------ */

/* Under recompute a rewind needs the tokens of the window, and nothing else. */
static int64_t reach_recompute(const wr_past *past, int64_t window) {
    int64_t history = wr_past_history_begin(past);
    if (history <= past->early_size) return 0;
    return history + window < past->index ? history + window : past->index;
}

void weir_stream_get_state(const weir_stream *stream, weir_stream_state *out) {
    const wr_past *past = &stream->past;
    int64_t window = wr_cache_recent(past->cache);
    int64_t sinks = wr_cache_pinned(past->cache);
    bool recompute = stream->settings.policy == WEIR_RECOMPUTE;
    int64_t slid = past->index > window ? past->index - window : 0;
    *out = (weir_stream_state){
        .index = past->index,
        .sinks = sinks,
        .window = window,
        .oldest = recompute ? slid : wr_cache_first(past->cache),
        .evicted = recompute ? slid : wr_cache_first(past->cache) - sinks,
        .reachable = recompute ? reach_recompute(past, window) : wr_cache_reach(past->cache),
        .held = past->tokenizer ? wr_tokenizer_held(past->tokenizer) : 0,
        .reserved_bytes = stream->reserved_bytes,
    };
}

const weir_model *weir_stream_get_model(const weir_stream *stream) { return stream->model; }

void weir_stream_cancel(weir_stream *stream) {
    atomic_store_explicit(&stream->cancel, true, memory_order_relaxed);
}

void weir_stream_observe(weir_stream *stream, weir_observer_fn fn, void *context) {
    if (stream->logits_unasked) stream->logits_ready = false; /* they are to be seen */
    stream->observer.fn = fn;
    stream->observer.context = context;
}

weir_status weir_stream_observe_scores(weir_stream *stream, weir_scores_fn fn, void *context,
                                       weir_error *error) {
    const weir_allocator *allocator = wr_stream_allocator(stream);
    wr_observer *observer = &stream->observer;
    if (fn && !observer->scores) observer->scores = wr_allocate(allocator, scores_bytes(stream));
    if (fn && !observer->scores)
        return weir_error_set(error, WEIR_MEMORY, "no memory for attention scores");
    if (!fn) {
        wr_release(allocator, observer->scores, scores_bytes(stream));
        observer->scores = NULL;
    }
    observer->scores_fn = fn;
    observer->scores_context = context;
    return WEIR_OK;
}

weir_status weir_stream_get_tokens(const weir_stream *stream, int64_t first, int64_t end,
                                   int32_t *out, weir_error *error) {
    const wr_past *past = &stream->past;
    if (first < 0 || end < first || end > past->index)
        return weir_error_set(error, WEIR_USAGE, "the stream has no tokens %lld to %lld",
                              (long long)first, (long long)end - 1);
    if (!wr_past_remembers(past, first, end))
        return weir_error_set(error, WEIR_EVICTED,
                              "tokens %lld to %lld of the stream are no longer remembered",
                              (long long)first, (long long)end - 1);
    for (int64_t i = first; i < end; i++) out[i - first] = wr_past_token(past, i);
    return WEIR_OK;
}
