/*
 * Vectors of texts.
 *
 * Texts of an encoder are computed together, one behind the other in the rows of a chunk. In the
 * cache that they share each stands from the beginning of a page on: what a text is summed over
 * then has the same order wherever it stands, and so the same bits.
 *
 *     rows    [ text 0 ....... ][ text 1 ... ][ text 2 ...
 *     cache   [ text 0 .......        ][ text 1 ...         ][ text 2 ...
 *             0                        32                    64
 *
 * Nothing is ever committed to that cache. A decoder reads one text at a time, a chunk after the
 * other.
 */
#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "model/forward_inside.h"
#include "text/tokenizer.h"
#include "weir/embed.h"

enum {
    USUAL_TOKENS = 2048, /* the longest text where nobody says how long */
    LEAST_ROWS = 256,    /* so that short texts share the reading of the weights */
    SLOTS_PER_ROW = 2,   /* of the cache: a short text leaves most of its page */
    CHUNK = 128,         /* of a decoder */
    MAX_THREADS = 256
};

/* Hidden states becoming a vector, in the order of the tokens. */
typedef struct pool {
    double *sum; /* [width] */
    int64_t seen;
} pool;

struct weir_embedder {
    const weir_model *model;
    weir_allocator allocator;
    bool has_allocator;
    weir_embed_options options;
    int64_t limit; /* tokens of a text */
    int64_t rows;  /* of a chunk */
    wr_rope ropes[WR_ROPES];
    wr_arena arena;
    wr_cache *cache;
    wr_forward *forward;
    wr_threads *threads;
    wr_tokenizer *tokenizer; /* NULL: only tokens can be embedded */
    int32_t *tokens;         /* [rows] of the texts that wait */
    wr_segment *texts;       /* [slots / WR_PAGE_TOKENS] each of them, and */
    float **vectors;         /* where its vector goes; NULL: it is not wanted */
    int64_t text_count, used_rows, used_slots;
    int32_t *text; /* [limit + 1] tokens of the text at hand */
    int64_t text_size;
    float *state; /* [width] */
    pool pool;
    float *states; /* where every state goes, or NULL */
    wr_observer observer;
};

static const weir_allocator *allocator_of(const weir_embedder *e) {
    return e->has_allocator ? &e->allocator : NULL;
}

weir_embed_options weir_embed_options_default(void) { return (weir_embed_options){.tokens = 0}; }

weir_pooling weir_embedder_get_pooling(const weir_embedder *e) { return e->options.pooling; }

int64_t weir_embedder_get_tokens(const weir_embedder *e) { return e->limit; }

/* ---- settings -------------------------------------------------------------------------------- */

static int64_t whole_pages(int64_t tokens) {
    return (tokens + WR_PAGE_TOKENS - 1) / WR_PAGE_TOKENS * WR_PAGE_TOKENS;
}

static weir_pooling pooling_of(const weir_model_info *info) {
    if (strcmp(info->pooling, "cls") == 0) return WEIR_POOLING_CLS;
    return strcmp(info->pooling, "last") == 0 ? WEIR_POOLING_LAST : WEIR_POOLING_MEAN;
}

/* Frequencies are chosen for texts of that length. */
static weir_status resolve_ropes(weir_embedder *e, weir_error *error) {
    const weir_model *m = e->model;
    for (int32_t i = 0; i < m->rope_count; i++) {
        weir_error inner;
        weir_status status =
            wr_rope_init(&e->ropes[i], m->family->pairing, &m->rope_recipes[i], e->limit, &inner);
        if (status != WEIR_OK)
            return weir_error_set(error, status, "%s: %s", m->info.path, inner.message);
    }
    return WEIR_OK;
}

static weir_status resolve(const weir_model *model, const weir_embed_options *options,
                           weir_embedder *out, weir_error *error) {
    const int64_t trained = model->info.trained_context;
    weir_embed_options o = options ? *options : weir_embed_options_default();
    if (!model->described)
        return weir_error_set(error, model->flaw.status, "%s", model->flaw.message);
    if (!model->bound)
        return weir_error_set(error, WEIR_USAGE, "%s: was opened without its weights",
                              model->info.path);
    if ((unsigned)o.pooling > WEIR_POOLING_LAST || o.tokens < 0 || o.threads < 0 ||
        o.threads > MAX_THREADS)
        return weir_error_set(
            error, WEIR_USAGE,
            "an unknown pooling, or texts of %lld tokens, or %d threads (0 to %d)",
            (long long)o.tokens, (int)o.threads, MAX_THREADS);
    if (o.tokens > trained)
        return weir_error_set(error, WEIR_LIMIT,
                              "texts of %lld tokens are longer than the %lld that the model was "
                              "trained for",
                              (long long)o.tokens, (long long)trained);
    if (o.pooling == WEIR_POOLING_MODEL) o.pooling = pooling_of(&model->info);
    out->model = model;
    out->limit = o.tokens > 0 ? o.tokens : trained < USUAL_TOKENS ? trained : USUAL_TOKENS;
    out->rows = model->info.encoder ? whole_pages(out->limit) : CHUNK;
    if (model->info.encoder && out->rows < LEAST_ROWS) out->rows = LEAST_ROWS;
    if (o.threads == 0) o.threads = wr_cpu_count();
    out->options = o;
    return resolve_ropes(out, error);
}

/* Tokens that the cache has room for. */
static int64_t slots_of(const weir_embedder *e) {
    return e->model->info.encoder ? e->rows * SLOTS_PER_ROW : e->limit;
}

/* Texts that are computed together at most. */
static int64_t most_texts(const weir_embedder *e) {
    return e->model->info.encoder ? slots_of(e) / WR_PAGE_TOKENS : 1;
}

static wr_cache_options cache_options(const weir_embedder *e) {
    const weir_model *m = e->model;
    return (wr_cache_options){.shape = {.layers = m->layers,
                                        .kv_heads = m->kv_heads,
                                        .key_dim = m->key_dim,
                                        .value_dim = m->value_dim,
                                        .layer_windows = m->layer_windows},
                              .recent = slots_of(e),
                              .chunk = m->info.encoder ? slots_of(e) : e->rows,
                              .type = WR_KV_F32,
                              .bounded = true};
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void lay_out(wr_arena *arena, weir_embedder *e) {
    const weir_model *m = e->model;
    const wr_cache_options cache = cache_options(e);
    const size_t rows = (size_t)e->rows, width = (size_t)m->width;
    const bool usable = wr_vocab_usable(m->vocab, NULL) == WEIR_OK;
    e->cache = wr_cache_layout(arena, &cache);
    e->forward =
        wr_forward_layout(arena, m, e->rows, e->options.threads, (int32_t)most_texts(e), &cache);
    e->tokenizer = usable ? wr_tokenizer_layout(arena, m->vocab) : NULL;
    e->tokens = wr_arena_take(arena, rows, sizeof *e->tokens);
    e->texts = wr_arena_take(arena, (size_t)most_texts(e), sizeof *e->texts);
    e->vectors = wr_arena_take(arena, (size_t)most_texts(e), sizeof *e->vectors);
    e->text = wr_arena_take(arena, (size_t)e->limit + 1, sizeof *e->text);
    e->state = wr_arena_take(arena, width, sizeof *e->state);
    e->pool.sum = wr_arena_take(arena, width, sizeof *e->pool.sum);
}

static weir_status reserve(weir_embedder *e, weir_error *error) {
    lay_out(&e->arena, e);
    const size_t bytes = e->arena.used;
    if (wr_arena_bind(&e->arena, allocator_of(e)) != WEIR_OK)
        return weir_error_set(error, WEIR_MEMORY,
                              "no memory to embed texts of %lld tokens: %zu bytes",
                              (long long)e->limit, bytes);
    lay_out(&e->arena, e);
    weir_status status = wr_cache_open(e->cache, allocator_of(e), error);
    if (status == WEIR_OK)
        status = wr_threads_create(e->options.threads, allocator_of(e), &e->threads, error);
    if (status == WEIR_OK) wr_forward_use_threads(e->forward, e->threads);
    return status;
}

weir_status weir_embedder_plan(const weir_model *model, const weir_embed_options *options,
                               int64_t *bytes, weir_error *error) {
    weir_embedder measured = {0};
    wr_arena arena = {0};
    *bytes = 0;
    weir_status status = resolve(model, options, &measured, error);
    if (status != WEIR_OK) return status;
    lay_out(&arena, &measured);
    const wr_cache_options cache = cache_options(&measured);
    *bytes = (int64_t)(arena.used + wr_cache_page_bytes(&cache) + sizeof measured);
    return WEIR_OK;
}

weir_status weir_embedder_create(const weir_model *model, const weir_embed_options *options,
                                 weir_embedder **out, weir_error *error) {
    const weir_allocator *given = options ? options->allocator : NULL;
    const weir_allocator *allocator = given ? given : wr_model_allocator(model);
    weir_embedder plain = {0};
    *out = NULL;
    weir_status status = resolve(model, options, &plain, error);
    if (status != WEIR_OK) return status;
    weir_embedder *e = wr_allocate_array(allocator, 1, sizeof *e);
    if (!e) return weir_error_set(error, WEIR_MEMORY, "no memory to embed texts");
    *e = plain;
    if (allocator) {
        e->allocator = *allocator;
        e->has_allocator = true;
    }
    status = reserve(e, error);
    if (status != WEIR_OK) {
        weir_embedder_destroy(e);
        return status;
    }
    *out = e;
    return WEIR_OK;
}

/* Of one query. */
static size_t score_count(const weir_embedder *e) {
    return (size_t)e->model->heads * (size_t)slots_of(e);
}

static void release_scores(weir_embedder *e) {
    wr_release(allocator_of(e), e->observer.scores, score_count(e) * sizeof(float));
    e->observer.scores = NULL;
    e->observer.scores_fn = NULL;
}

void weir_embedder_destroy(weir_embedder *e) {
    if (!e) return;
    const weir_allocator copy = e->allocator;
    const weir_allocator *allocator = e->has_allocator ? &copy : NULL;
    release_scores(e);
    if (e->cache) wr_cache_close(e->cache);
    if (e->threads) wr_threads_release(e->threads);
    wr_arena_release(&e->arena, allocator);
    wr_release(allocator, e, sizeof *e);
}

/* ---- from states to a vector ----------------------------------------------------------------- */

/* The last hidden state of a row of the chunk, through the last norm where there is one. */
static const float *state_at(const weir_embedder *e, int64_t row) {
    const weir_model *m = e->model;
    const float *hidden = wr_forward_hidden(e->forward, row);
    if (!m->final_norm.weight) return hidden;
    wr_normalise(m, e->state, hidden, &m->final_norm, m->width);
    return e->state;
}

static void pool_begin(weir_embedder *e) {
    memset(e->pool.sum, 0, (size_t)e->model->width * sizeof *e->pool.sum);
    e->pool.seen = 0;
}

/* Rows [row, row + count) follow those that were taken. */
static void pool_take(weir_embedder *e, int64_t row, int64_t count) {
    const int64_t width = e->model->width;
    for (int64_t i = 0; i < count; i++, e->pool.seen++) {
        const float *state = state_at(e, row + i);
        if (e->states)
            memcpy(e->states + e->pool.seen * width, state, (size_t)width * sizeof *state);
        if (e->options.pooling == WEIR_POOLING_CLS && e->pool.seen > 0) continue;
        const bool adds = e->options.pooling == WEIR_POOLING_MEAN;
        for (int64_t j = 0; j < width; j++)
            e->pool.sum[j] = (adds ? e->pool.sum[j] : 0) + (double)state[j];
    }
}

static weir_status pool_end(const weir_embedder *e, float *vector, weir_error *error) {
    const int64_t width = e->model->width;
    const double count = e->options.pooling == WEIR_POOLING_MEAN ? (double)e->pool.seen : 1;
    double squares = 0;
    for (int64_t j = 0; j < width; j++)
        squares += e->pool.sum[j] / count * (e->pool.sum[j] / count);
    if (!isfinite(squares))
        return weir_error_set(error, WEIR_NAN,
                              "a vector is not numbers: the model's weights are damaged");
    const double length = e->options.raw || squares == 0 ? 1 : sqrt(squares);
    for (int64_t j = 0; vector && j < width; j++)
        vector[j] = (float)(e->pool.sum[j] / count / length);
    return WEIR_OK;
}

/* ---- an encoder ------------------------------------------------------------------------------ */

static bool is_observed(const weir_embedder *e) { return e->observer.fn || e->observer.scores_fn; }

static void forget_waiting(weir_embedder *e) { e->text_count = e->used_rows = e->used_slots = 0; }

/* Compute the texts that wait. */
static weir_status run_waiting(weir_embedder *e, weir_error *error) {
    weir_status status = WEIR_OK;
    if (e->text_count == 0) return WEIR_OK;
    wr_cache_prepare(e->cache, e->used_slots);
    wr_forward_chunk(e->forward, e->texts, (int32_t)e->text_count);
    for (int64_t i = 0; i < e->text_count && status == WEIR_OK; i++) {
        pool_begin(e);
        pool_take(e, e->texts[i].row, e->texts[i].count);
        status = pool_end(e, e->vectors[i], error);
    }
    forget_waiting(e);
    return status;
}

static bool has_room(const weir_embedder *e, int64_t count) {
    if (is_observed(e) && e->text_count > 0) return false;
    return e->text_count < most_texts(e) && e->used_rows + count <= e->rows &&
           whole_pages(e->used_slots) + count <= slots_of(e);
}

/* A text joins those that wait. */
static weir_status add_text(weir_embedder *e, const int32_t *tokens, int64_t count, float *vector,
                            weir_error *error) {
    weir_status status = has_room(e, count) ? WEIR_OK : run_waiting(e, error);
    int32_t *own = e->tokens + e->used_rows;
    const int64_t first = whole_pages(e->used_slots);
    memcpy(own, tokens, (size_t)count * sizeof *own);
    e->vectors[e->text_count] = vector;
    e->texts[e->text_count++] = (wr_segment){.cache = e->cache,
                                             .tokens = own,
                                             .count = count,
                                             .first = first,
                                             .both_ways = true,
                                             .ropes = e->ropes,
                                             .observer = is_observed(e) ? &e->observer : NULL};
    e->used_rows += count;
    e->used_slots = first + count;
    return status;
}

/* ---- a decoder ------------------------------------------------------------------------------- */

static weir_status read_text(weir_embedder *e, const int32_t *tokens, int64_t count, float *vector,
                             weir_error *error) {
    weir_status status = wr_cache_rewind(e->cache, 0, error);
    pool_begin(e);
    for (int64_t at = 0; at < count && status == WEIR_OK;) {
        int64_t ignored[2];
        const int64_t rows = count - at < e->rows ? count - at : e->rows;
        wr_cache_prepare(e->cache, rows);
        wr_segment segment = {.cache = e->cache,
                              .tokens = tokens + at,
                              .count = rows,
                              .observer = is_observed(e) ? &e->observer : NULL,
                              .ropes = e->ropes};
        wr_forward_chunk(e->forward, &segment, 1);
        pool_take(e, 0, rows);
        wr_cache_commit(e->cache, rows, &ignored[0], &ignored[1]);
        at += rows;
    }
    return status == WEIR_OK ? pool_end(e, vector, error) : status;
}

static weir_status embed_tokens(weir_embedder *e, const int32_t *tokens, int64_t count,
                                float *vector, weir_error *error) {
    return e->model->info.encoder ? add_text(e, tokens, count, vector, error)
                                  : read_text(e, tokens, count, vector, error);
}

/* ---- texts ----------------------------------------------------------------------------------- */

/* wr_token_emit: as many as there may be, and how many there are. */
static weir_status take_tokens(void *context, const int32_t *tokens, int64_t count,
                               weir_error *error) {
    weir_embedder *e = context;
    (void)error;
    for (int64_t i = 0; i < count; i++, e->text_size++)
        if (e->text_size <= e->limit) e->text[e->text_size] = tokens[i];
    return WEIR_OK;
}

static weir_status tokenize(weir_embedder *e, const weir_embed_text *text, weir_error *error) {
    const wr_vocab *vocab = e->model->vocab;
    const int32_t bos = wr_vocab_bos(vocab), eos = wr_vocab_eos(vocab);
    weir_status status = WEIR_OK;
    e->text_size = 0;
    wr_tokenizer_reset(e->tokenizer, true);
    if (wr_vocab_adds_bos(vocab) && bos >= 0) status = take_tokens(e, &bos, 1, error);
    if (status == WEIR_OK)
        status =
            wr_tokenizer_feed(e->tokenizer, text->text, text->size, false, take_tokens, e, error);
    if (status == WEIR_OK) status = wr_tokenizer_flush(e->tokenizer, take_tokens, e, error);
    if (status == WEIR_OK && wr_vocab_adds_eos(vocab) && eos >= 0)
        status = take_tokens(e, &eos, 1, error);
    return status;
}

/* The text at hand fits, or is made to fit: what stands behind a text stays behind it. */
static weir_status fit(weir_embedder *e, int64_t number, weir_error *error) {
    const wr_vocab *vocab = e->model->vocab;
    if (e->text_size == 0)
        return weir_error_set(error, WEIR_USAGE, "text %lld has no tokens, so it has no vector",
                              (long long)number);
    if (e->text_size <= e->limit) return WEIR_OK;
    if (!e->options.truncate)
        return weir_error_set(error, WEIR_LIMIT,
                              "text %lld has %lld tokens, and %lld are the most that are read at "
                              "once: cut it, or choose to truncate, which reads its beginning",
                              (long long)number, (long long)e->text_size, (long long)e->limit);
    e->text_size = e->limit;
    if (wr_vocab_adds_eos(vocab) && wr_vocab_eos(vocab) >= 0)
        e->text[e->limit - 1] = wr_vocab_eos(vocab);
    return WEIR_OK;
}

weir_status weir_embed_texts(weir_embedder *e, const weir_embed_text *texts, int64_t count,
                             float *vectors, weir_error *error) {
    weir_status status = wr_vocab_usable(e->model->vocab, error);
    forget_waiting(e);
    for (int64_t i = 0; i < count && status == WEIR_OK; i++) {
        status = tokenize(e, &texts[i], error);
        if (status == WEIR_OK) status = fit(e, i, error);
        if (status == WEIR_OK)
            status = embed_tokens(e, e->text, e->text_size, vectors + i * e->model->width, error);
    }
    if (status == WEIR_OK) status = run_waiting(e, error);
    return status;
}

weir_status weir_embed_tokens(weir_embedder *e, const int32_t *tokens, int64_t count, float *vector,
                              float *states, weir_error *error) {
    if (count < 1 || count > e->limit)
        return weir_error_set(error, count < 1 ? WEIR_USAGE : WEIR_LIMIT,
                              "%lld tokens, where 1 to %lld can be read at once", (long long)count,
                              (long long)e->limit);
    for (int64_t i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= e->model->vocabulary)
            return weir_error_set(
                error, WEIR_USAGE, "token %d is outside the vocabulary of %d (0 to %d)",
                (int)tokens[i], (int)e->model->vocabulary, (int)e->model->vocabulary - 1);
    forget_waiting(e);
    e->states = states;
    weir_status status = embed_tokens(e, tokens, count, vector, error);
    if (status == WEIR_OK) status = run_waiting(e, error);
    e->states = NULL;
    return status;
}

/* ---- observing ------------------------------------------------------------------------------- */

void weir_embedder_observe(weir_embedder *e, weir_observer_fn fn, void *context) {
    e->observer.fn = fn;
    e->observer.context = context;
}

weir_status weir_embedder_observe_scores(weir_embedder *e, weir_scores_fn fn, void *context,
                                         weir_error *error) {
    release_scores(e);
    if (!fn) return WEIR_OK;
    e->observer.scores =
        wr_allocate_array(allocator_of(e), score_count(e), sizeof *e->observer.scores);
    if (!e->observer.scores)
        return weir_error_set(error, WEIR_MEMORY, "no memory for the scores of a text");
    e->observer.scores_fn = fn;
    e->observer.scores_context = context;
    return WEIR_OK;
}
