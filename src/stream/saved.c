/*
 * A stream to a file and back.
 *
 *     magic "WEIRSTRM" | u32 version | u64 fingerprint of the model
 *     settings, with their frequencies | text and sampling state | tokens | hidden state | cache
 *     u64 checksum of everything before
 *
 * Little-endian. A file is refused when its checksum fails, when it was made with another model, or
 * when its version is not this library's; every number is checked even so.
 */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "stream/stream_private.h"

static const char magic[8] = "WEIRSTRM";

/* 2: keys lie transposed in their pages (tensor/kv.h). 4: the frequencies of rotary positions. */
#define SAVED_VERSION 4

/* --- Writing ---------------------------------------------------------------------------------- */

/* What was chosen, and the phases themselves: every key in the cache was turned by them, and
 * another machine's pow() may end in another bit. */
static void save_rope(const wr_settings *settings, wr_writer *w) {
    wr_write_u8(w, (uint8_t)settings->rope_options.scaling);
    wr_write_f64(w, settings->rope_options.factor);
    wr_write_f64(w, settings->rope_options.base);
    wr_write_u64(w, (uint64_t)settings->rope_options.original_context);
    for (const wr_rope *rope = settings->ropes; rope < settings->ropes + WR_ROPES; rope++) {
        wr_write_f64(w, rope->magnitude);
        for (int32_t i = 0; i < rope->dim / 2; i++) wr_write_u64(w, rope->turns[i]);
    }
}

static void save_settings(const weir_stream *stream, wr_writer *w) {
    wr_write_u8(w, (uint8_t)stream->settings.policy);
    wr_write_u8(w, (uint8_t)stream->settings.cache_type);
    wr_write_u8(w, (uint8_t)stream->settings.eviction);
    wr_write_u64(w, (uint64_t)wr_cache_pinned(stream->past.cache));
    wr_write_u64(w, (uint64_t)wr_cache_recent(stream->past.cache));
    save_rope(&stream->settings, w);
}

/* Tokens that a rewind, a recomputation or the penalties may ask for again. */
static void save_tokens(const wr_past *past, wr_writer *w) {
    int64_t early = past->index < past->early_size ? past->index : past->early_size;
    int64_t recent = past->index - past->history_begin;
    if (recent > past->history_size) recent = past->history_size;
    wr_write_u64(w, (uint64_t)early);
    for (int64_t i = 0; i < early; i++) wr_write_u32(w, (uint32_t)past->early[i]);
    wr_write_u64(w, (uint64_t)recent);
    for (int64_t i = past->index - recent; i < past->index; i++)
        wr_write_u32(w, (uint32_t)past->history[i % past->history_size]);
}

static void save_past(const weir_stream *stream, wr_writer *w) {
    const wr_past *past = &stream->past;
    wr_write_u64(w, (uint64_t)past->index);
    wr_write_u8(w, past->text_begun);
    wr_write_u8(w, past->stale);
    wr_write_u8(w, past->detokenizer.begun);
    wr_write_u8(w, past->detokenizer.held_size);
    wr_write_bytes(w, past->detokenizer.held, sizeof past->detokenizer.held);
    save_tokens(past, w);
    wr_write_u8(w, past->hidden_ready);
    for (int32_t i = 0; past->hidden_ready && i < stream->model->width; i++)
        wr_write_f32(w, past->hidden[i]);
    wr_sampler_save(past->sampler, w);
    if (past->tokenizer) wr_tokenizer_save(past->tokenizer, w);
    wr_cache_save(past->cache, w);
}

weir_status weir_stream_save(weir_stream *stream, const char *path, weir_error *error) {
    wr_writer w = {.allocator = wr_stream_allocator(stream)};
    wr_write_bytes(&w, magic, sizeof magic);
    wr_write_u32(&w, SAVED_VERSION);
    wr_write_u64(&w, weir_model_fingerprint(stream->model));
    save_settings(stream, &w);
    save_past(stream, &w);
    if (!w.failed) wr_write_u64(&w, wr_checksum(0, w.data, w.size));
    weir_status status =
        w.failed ? weir_error_set(error, WEIR_MEMORY, "%s: no memory to save the stream", path)
                 : wr_file_replace(path, w.data, w.size, w.allocator, error);
    wr_writer_release(&w);
    return status;
}

/* --- Reading ---------------------------------------------------------------------------------- */

typedef struct loader {
    const weir_model *model;
    const char *path;
    wr_reader reader;
    weir_error *error;
} loader;

static weir_status damaged(const loader *l, const char *what) {
    return weir_error_set(l->error, WEIR_DAMAGED, "%s: the saved stream is damaged: %s", l->path,
                          what);
}

static weir_status check_envelope(loader *l) {
    wr_reader *r = &l->reader;
    const char *begin = wr_read_bytes(r, sizeof magic);
    if (!begin || memcmp(begin, magic, sizeof magic) != 0)
        return weir_error_set(l->error, WEIR_DAMAGED, "%s is not a saved stream", l->path);
    uint32_t version = wr_read_u32(r);
    if (!r->failed && version > SAVED_VERSION)
        return weir_error_set(l->error, WEIR_UNSUPPORTED,
                              "%s was saved by a newer weir (format %u, this one knows %d only)",
                              l->path, (unsigned)version, SAVED_VERSION);
    if (!r->failed && version > 0 && version < SAVED_VERSION)
        return weir_error_set(l->error, WEIR_UNSUPPORTED,
                              "%s was saved by an older weir (format %u, this one knows %d only): "
                              "feed its text again",
                              l->path, (unsigned)version, SAVED_VERSION);
    uint64_t fingerprint = wr_read_u64(r);
    if (r->failed || version == 0 || r->size < r->at + 8) return damaged(l, "it is too short");
    wr_reader tail = {.data = r->data + r->size - 8, .size = 8};
    r->size -= 8;
    if (wr_read_u64(&tail) != wr_checksum(0, r->data, r->size))
        return damaged(l, "its checksum does not match its content");
    if (fingerprint != weir_model_fingerprint(l->model))
        return weir_error_set(
            l->error, WEIR_MISMATCH,
            "%s was saved with another model than %s: load it with the model that "
            "made it",
            l->path, l->model->info.path);
    return WEIR_OK;
}

/* A dense stream may be longer than the model was trained for, and says itself by how much: a file
 * must not make us reserve what the machine cannot hold. */
static weir_status check_size(const loader *l, const weir_stream_options *options) {
    weir_plan plan;
    weir_status status = weir_stream_plan(l->model, options, &plan, l->error);
    long pages = sysconf(_SC_PHYS_PAGES);
    long page = sysconf(_SC_PAGESIZE);
    if (status == WEIR_OK && pages > 0 && page > 0 && plan.reserved_bytes / page > pages)
        status = weir_error_set(l->error, WEIR_MEMORY,
                                "%s: the saved stream needs %lld bytes of memory, more than this "
                                "machine has",
                                l->path, (long long)plan.reserved_bytes);
    return status;
}

static weir_rope_options load_rope_options(loader *l) {
    wr_reader *r = &l->reader;
    weir_rope_options o = {.scaling = (weir_rope_scaling)wr_read_u8(r)};
    o.factor = wr_read_f64(r);
    o.base = wr_read_f64(r);
    uint64_t original = wr_read_u64(r);
    o.original_context = original <= INT64_MAX ? (int64_t)original : -1;
    return o;
}

/* Any phases are possible; how much the vectors grow is the model's to say, up to rounding. */
static weir_status load_ropes(loader *l, wr_settings *out) {
    wr_reader *r = &l->reader;
    if (!l->model->bound) return WEIR_OK; /* it will be refused for that */
    for (wr_rope *rope = out->ropes; rope < out->ropes + WR_ROPES; rope++) {
        double magnitude = wr_read_f64(r);
        if (r->failed || !(fabs(magnitude - rope->magnitude) <= 1e-9 * rope->magnitude))
            return damaged(l, "its rotary positions are not those of its settings");
        rope->magnitude = magnitude;
        for (int32_t i = 0; i < rope->dim / 2; i++) rope->turns[i] = wr_read_u64(r);
    }
    return r->failed ? damaged(l, "its rotary positions are missing") : WEIR_OK;
}

/* The file's policy, S and W, through the same checks as a person's options. */
static weir_status load_settings(loader *l, wr_settings *out) {
    wr_reader *r = &l->reader;
    weir_stream_options o = weir_stream_options_default();
    uint8_t policy = wr_read_u8(r);
    uint8_t cache_type = wr_read_u8(r);
    uint8_t eviction = wr_read_u8(r);
    uint64_t sinks = wr_read_u64(r);
    uint64_t window = wr_read_u64(r);
    o.rope = load_rope_options(l);
    if (r->failed || policy > WEIR_RECOMPUTE || cache_type > WEIR_CACHE_Q8_0 ||
        eviction > WEIR_EVICT_MESSAGE || sinks > INT32_MAX || window < 1 || window > INT32_MAX)
        return damaged(l, "its settings are out of range");
    o.policy = (weir_policy)policy;
    o.cache_type = (weir_cache_type)cache_type;
    o.eviction = (weir_eviction)eviction;
    if (policy == WEIR_DENSE) {
        o.context = (int64_t)window;
        o.beyond = true;
    } else {
        o.sinks = (int64_t)sinks;
        o.window = (int64_t)window;
    }
    weir_error inner;
    if (wr_settings_resolve(l->model, &o, out, &inner) != WEIR_OK) return damaged(l, inner.message);
    weir_status status = load_ropes(l, out);
    return status == WEIR_OK ? check_size(l, &o) : status;
}

static bool read_tokens(loader *l, int64_t index, int64_t begin, int64_t count, int32_t *to,
                        int64_t size) {
    for (int64_t i = begin; i < begin + count; i++) {
        uint32_t token = wr_read_u32(&l->reader);
        if (token >= (uint32_t)l->model->vocabulary || i >= index) return false;
        to[i % size] = (int32_t)token;
    }
    return !l->reader.failed;
}

/* The file's history may be longer than this stream's (a larger chunk: the newest are kept), or
 * shorter (then history_begin says where it begins). */
static bool load_tokens(loader *l, wr_past *past) {
    uint64_t early = wr_read_u64(&l->reader);
    uint64_t expected = (uint64_t)(past->index < past->early_size ? past->index : past->early_size);
    if (early != expected ||
        !read_tokens(l, past->index, 0, (int64_t)early, past->early, past->early_size))
        return false;
    uint64_t recent = wr_read_u64(&l->reader);
    if (recent > (uint64_t)past->index || recent > wr_reader_left(&l->reader) / 4) return false;
    past->history_begin = past->index - (int64_t)recent;
    return read_tokens(l, past->index, past->history_begin, (int64_t)recent, past->history,
                       past->history_size);
}

static weir_status load_state(loader *l, weir_stream *stream) {
    wr_reader *r = &l->reader;
    wr_past *past = &stream->past;
    uint64_t index = wr_read_u64(r);
    past->text_begun = wr_read_u8(r) != 0;
    past->stale = wr_read_u8(r) != 0;
    past->detokenizer.begun = wr_read_u8(r) != 0;
    past->detokenizer.held_size = wr_read_u8(r);
    const void *held = wr_read_bytes(r, sizeof past->detokenizer.held);
    if (!held || index > INT64_MAX / 4 || past->detokenizer.held_size > 3)
        return damaged(l, "its numbers are out of range");
    memcpy(past->detokenizer.held, held, sizeof past->detokenizer.held);
    past->index = (int64_t)index;
    if (!load_tokens(l, past)) return damaged(l, "its tokens are out of range");
    int64_t window = stream->settings.policy == WEIR_RECOMPUTE ? stream->settings.window : 1;
    int64_t first = past->index > window ? past->index - window : 0;
    if (!wr_past_remembers(past, first, past->index))
        return damaged(l, "tokens that it needs are missing");
    past->hidden_ready = wr_read_u8(r) != 0;
    for (int32_t i = 0; past->hidden_ready && i < l->model->width; i++)
        past->hidden[i] = wr_read_f32(r);
    if (r->failed || (past->hidden_ready && past->index == 0))
        return damaged(l, "its last state is missing");
    return WEIR_OK;
}

static weir_status load_past(loader *l, weir_stream *stream) {
    wr_past *past = &stream->past;
    weir_error inner = {.message = ""};
    weir_status status = load_state(l, stream);
    if (status != WEIR_OK) return status;
    status = wr_sampler_load(past->sampler, &l->reader, &inner);
    if (status == WEIR_OK && past->tokenizer)
        status = wr_tokenizer_load(past->tokenizer, &l->reader, &inner);
    if (status == WEIR_OK) status = wr_cache_load(past->cache, &l->reader, &inner);
    if (status != WEIR_OK)
        return weir_error_set(l->error, status, "%s: %s", l->path, inner.message);
    bool recompute = stream->settings.policy == WEIR_RECOMPUTE;
    if (!recompute && wr_cache_length(past->cache) != past->index)
        return damaged(l, "its cache and its tokens disagree");
    int64_t window = stream->settings.window;
    int64_t slid = past->index < window ? past->index : window;
    if (recompute && !past->stale && wr_cache_length(past->cache) != slid)
        return damaged(l, "its cache and its tokens disagree");
    if (wr_reader_left(&l->reader) != 0) return damaged(l, "it is too long");
    return WEIR_OK;
}

static weir_status load_stream(loader *l, const weir_stream_options *options, weir_stream **out) {
    wr_settings settings;
    const weir_allocator *allocator =
        options && options->allocator ? options->allocator : wr_model_allocator(l->model);
    weir_status status = check_envelope(l);
    if (status == WEIR_OK) status = load_settings(l, &settings);
    if (status == WEIR_OK) status = wr_settings_machine(l->model, options, &settings, l->error);
    if (status == WEIR_OK)
        status = wr_stream_reserve(l->model, &settings, allocator, NULL, out, l->error);
    if (status == WEIR_OK) status = wr_cache_open((*out)->past.cache, allocator, l->error);
    if (status == WEIR_OK) status = load_past(l, *out);
    return status;
}

weir_status weir_stream_load(const weir_model *model, const char *path,
                             const weir_stream_options *options, weir_stream **out,
                             weir_error *error) {
    wr_map map;
    *out = NULL;
    weir_status status = wr_map_open(path, &map, error);
    if (status != WEIR_OK) return status;
    loader l = {.model = model,
                .path = path,
                .reader = {.data = map.data, .size = map.size},
                .error = error};
    status = load_stream(&l, options, out);
    wr_map_close(&map);
    if (status != WEIR_OK) {
        weir_stream_destroy(*out);
        *out = NULL;
        return status;
    }
    if (options) {
        (*out)->evicted = options->evicted;
        (*out)->evicted_context = options->evicted_context;
    }
    return WEIR_OK;
}
