/*
 * A batch: the scratch that streams share, and the step that computes their turns together.
 *
 *     turns     feed a | draw b | feed c | draw d
 *     draw                 b                 d        logits in one product, then a token each
 *     compute   a a a a  | b      | c c    | d        one forward pass, a segment for each turn
 *     finish    a, b, c, d                            commit, logits that were asked for, text
 *
 * A turn that fails drops out of what follows; the rows of the others do not know it. A stream that
 * is cancelled meanwhile is computed with the others and not committed.
 */
#include "weir/batch.h"

#include <assert.h>
#include <string.h>

#include "base/largest.h"
#include "stream/stream_private.h"

enum { MAX_ROWS = 65536, MAX_THREADS = 256, DEFAULT_ROWS = 256, DEFAULT_STREAMS = 64 };

struct weir_batch {
    const weir_model *model;
    weir_allocator allocator;
    bool has_allocator;
    atomic_int references; /* the caller's and one for each stream */
    wr_arena arena;
    weir_batch_plan sizes;
    wr_forward *forward;
    wr_threads *threads;
    float *logits;         /* [streams, vocabulary] */
    wr_logit_row *wanted;  /* [streams] whose logits are computed together */
    weir_turn **owners;    /* [streams] whose rows those are */
    wr_segment *segments;  /* [streams] */
    weir_turn **computing; /* [streams] whose segments those are */
};

static const weir_allocator *batch_allocator(const weir_batch *batch) {
    return batch->has_allocator ? &batch->allocator : NULL;
}

/* --- Memory ----------------------------------------------------------------------------------- */

weir_batch_options weir_batch_options_default(void) { return (weir_batch_options){.rows = 0}; }

static weir_status resolve(const weir_model *model, const weir_batch_options *options,
                           weir_batch_plan *out, weir_error *error) {
    weir_batch_options o = options ? *options : weir_batch_options_default();
    if (!model->described)
        return weir_error_set(error, model->flaw.status, "%s", model->flaw.message);
    if (o.rows < 0 || o.rows > MAX_ROWS)
        return weir_error_set(error, WEIR_USAGE, "a batch of %lld rows is out of range (1 to %d)",
                              (long long)o.rows, MAX_ROWS);
    out->rows = o.rows > 0 ? o.rows : DEFAULT_ROWS;
    if (o.streams < 0 || o.streams > out->rows)
        return weir_error_set(error, WEIR_USAGE,
                              "a batch of %d streams does not fit %lld rows: each takes one at "
                              "least",
                              (int)o.streams, (long long)out->rows);
    out->streams = o.streams;
    if (o.streams == 0)
        out->streams = out->rows < DEFAULT_STREAMS ? (int32_t)out->rows : DEFAULT_STREAMS;
    if (o.slots < 0 || o.slots > INT32_MAX)
        return weir_error_set(error, WEIR_USAGE, "%lld slots are out of range (1 to %d)",
                              (long long)o.slots, INT32_MAX);
    out->slots = o.slots > 0 ? o.slots : model->info.trained_context;
    if (o.threads < 0 || o.threads > MAX_THREADS)
        return weir_error_set(error, WEIR_USAGE, "%d threads are out of range (1 to %d)",
                              (int)o.threads, MAX_THREADS);
    out->threads = o.threads > 0 ? o.threads : wr_cpu_count();
    return WEIR_OK;
}

static void lay_batch(wr_arena *arena, weir_batch *batch) {
    const weir_model *model = batch->model;
    const weir_batch_plan *sizes = &batch->sizes;
    size_t streams = (size_t)sizes->streams;
    wr_settings widest = {.window = sizes->slots, .chunk = sizes->rows};
    wr_cache_options cache = wr_settings_cache(model, &widest);
    batch->forward =
        wr_forward_layout(arena, model, sizes->rows, sizes->threads, sizes->streams, &cache);
    batch->logits =
        wr_arena_take(arena, streams * (size_t)model->vocabulary, sizeof *batch->logits);
    batch->wanted = wr_arena_take(arena, streams, sizeof *batch->wanted);
    batch->owners = wr_arena_take(arena, streams, sizeof *batch->owners);
    batch->segments = wr_arena_take(arena, streams, sizeof *batch->segments);
    batch->computing = wr_arena_take(arena, streams, sizeof *batch->computing);
}

weir_status weir_batch_plan_sizes(const weir_model *model, const weir_batch_options *options,
                                  weir_batch_plan *out, weir_error *error) {
    weir_batch measured = {.model = model};
    wr_arena arena = {0};
    weir_status status = resolve(model, options, &measured.sizes, error);
    if (status != WEIR_OK) return status;
    lay_batch(&arena, &measured);
    *out = measured.sizes;
    out->reserved_bytes = (int64_t)(arena.used + sizeof measured);
    return WEIR_OK;
}

static weir_status reserve(weir_batch *batch, weir_error *error) {
    lay_batch(&batch->arena, batch);
    if (wr_arena_bind(&batch->arena, batch_allocator(batch)) != WEIR_OK)
        return weir_error_set(error, WEIR_MEMORY,
                              "no memory for a batch of %lld bytes: choose fewer rows or streams",
                              (long long)batch->sizes.reserved_bytes);
    lay_batch(&batch->arena, batch);
    weir_status status =
        wr_threads_create(batch->sizes.threads, batch_allocator(batch), &batch->threads, error);
    if (status == WEIR_OK) wr_forward_use_threads(batch->forward, batch->threads);
    return status;
}

weir_status weir_batch_create(const weir_model *model, const weir_batch_options *options,
                              weir_batch **out, weir_error *error) {
    weir_batch_plan sizes;
    *out = NULL;
    weir_status status = weir_batch_plan_sizes(model, options, &sizes, error);
    if (status != WEIR_OK) return status;
    if (!model->bound)
        return weir_error_set(error, WEIR_USAGE, "%s was opened for its metadata only",
                              model->info.path);
    const weir_allocator *allocator =
        options && options->allocator ? options->allocator : wr_model_allocator(model);
    weir_batch *batch = wr_allocate_array(allocator, 1, sizeof *batch);
    if (!batch) return weir_error_set(error, WEIR_MEMORY, "no memory for a batch");
    batch->model = model;
    batch->sizes = sizes;
    batch->has_allocator = allocator != NULL;
    if (allocator) batch->allocator = *allocator;
    atomic_init(&batch->references, 1);
    status = reserve(batch, error);
    if (status != WEIR_OK)
        weir_batch_destroy(batch);
    else
        *out = batch;
    return status;
}

void weir_batch_destroy(weir_batch *batch) {
    if (!batch || atomic_fetch_sub(&batch->references, 1) > 1) return;
    weir_allocator copy = batch->allocator;
    const weir_allocator *allocator = batch->has_allocator ? &copy : NULL;
    wr_threads_release(batch->threads);
    wr_arena_release(&batch->arena, allocator);
    wr_release(allocator, batch, sizeof *batch);
}

/* --- Streams of a batch ----------------------------------------------------------------------- */

weir_status wr_batch_admit(const weir_model *model, wr_settings *settings, bool default_chunk,
                           weir_error *error) {
    const weir_batch_plan *sizes = &settings->batch->sizes;
    if (default_chunk && settings->chunk > sizes->rows) settings->chunk = sizes->rows;
    if (settings->batch->model != model)
        return weir_error_set(error, WEIR_MISMATCH, "the batch was made for another model");
    if (settings->policy == WEIR_RECOMPUTE)
        return weir_error_set(error, WEIR_USAGE,
                              "the recompute policy computes a whole window for each token: it "
                              "cannot be batched");
    if (settings->sinks + settings->window > sizes->slots)
        return weir_error_set(
            error, WEIR_USAGE, "a stream of %lld slots does not fit a batch made for %lld",
            (long long)(settings->sinks + settings->window), (long long)sizes->slots);
    if (settings->chunk > sizes->rows)
        return weir_error_set(error, WEIR_USAGE,
                              "a chunk of %lld does not fit a batch of %lld rows",
                              (long long)settings->chunk, (long long)sizes->rows);
    settings->threads = sizes->threads;
    return WEIR_OK;
}

void wr_batch_lend(weir_batch *batch, weir_stream *stream) {
    atomic_fetch_add(&batch->references, 1);
    stream->forward = batch->forward;
    stream->threads = batch->threads;
    stream->rows = batch->logits;
    stream->logit_rows =
        batch->sizes.streams < WR_LOGIT_ROWS ? batch->sizes.streams : WR_LOGIT_ROWS;
}

weir_status weir_batch_generate(weir_stream *stream, const weir_generate *options, weir_text_fn fn,
                                void *context, weir_error *error) {
    if (options && options->lookup > 0)
        return weir_error_set(error, WEIR_USAGE,
                              "looking back does not apply in a batch, whose streams already share "
                              "a step: leave lookup at 0");
    return wr_generation_begin(&stream->generation, options, fn, context, error);
}

/* --- What a step refuses as a whole ------------------------------------------------------------
 */

static weir_status check_turn(const weir_batch *batch, const weir_turn *turn, int32_t number,
                              weir_error *error) {
    const weir_stream *stream = turn->stream;
    int64_t slots = stream->settings.sinks + stream->settings.window;
    if (stream->model != batch->model)
        return weir_error_set(error, WEIR_USAGE, "turn %d: the stream is one of another model",
                              (int)number);
    if (stream->in_step)
        return weir_error_set(error, WEIR_USAGE, "turn %d: its stream has a turn already",
                              (int)number);
    if (slots > batch->sizes.slots)
        return weir_error_set(error, WEIR_USAGE,
                              "turn %d: a stream of %lld slots does not fit a batch made for %lld",
                              (int)number, (long long)slots, (long long)batch->sizes.slots);
    if (turn->count < 0 || turn->count > stream->settings.chunk)
        return weir_error_set(
            error, WEIR_USAGE, "turn %d: %lld tokens at once; the stream's chunk is %lld",
            (int)number, (long long)turn->count, (long long)stream->settings.chunk);
    return WEIR_OK;
}

static weir_status check_turns(const weir_batch *batch, weir_turn *turns, int32_t count,
                               weir_error *error) {
    weir_status status = WEIR_OK;
    int64_t rows = 0;
    int32_t seen = 0;
    if (count < 0 || count > batch->sizes.streams)
        return weir_error_set(error, WEIR_USAGE, "%d turns; the batch has room for %d streams",
                              (int)count, (int)batch->sizes.streams);
    for (; seen < count && status == WEIR_OK; seen++) {
        status = check_turn(batch, &turns[seen], seen, error);
        if (status != WEIR_OK) break;
        turns[seen].stream->in_step = true;
        rows += turns[seen].count > 0 ? turns[seen].count : 1;
    }
    for (int32_t i = 0; i < seen; i++) turns[i].stream->in_step = false;
    if (status == WEIR_OK && rows > batch->sizes.rows)
        return weir_error_set(error, WEIR_USAGE, "%lld tokens; the batch has room for %lld rows",
                              (long long)rows, (long long)batch->sizes.rows);
    return status;
}

/* --- Before the pass: every stream ready, tokens drawn ------------------------------------------
 */

static bool goes_on(const weir_turn *turn) { return turn->error.status == WEIR_OK; }

static void begin(weir_turn *turn) {
    weir_stream *stream = turn->stream;
    weir_error *error = &turn->error;
    turn->error.status = WEIR_OK;
    turn->error.message[0] = '\0';
    turn->token = -1;
    if (stream->settings.policy == WEIR_RECOMPUTE) {
        weir_error_set(error, WEIR_UNSUPPORTED,
                       "the recompute policy computes a whole window for each token: it cannot be "
                       "batched");
        return;
    }
    if (wr_stream_cancelled(stream, error)) return;
    bool held = turn->holds && turn->count > 0;
    if (!held && weir_stream_flush(stream, error) != WEIR_OK) return;
    if (turn->count > 0)
        wr_stream_check_tokens(stream, turn->tokens, turn->count, error);
    else
        wr_stream_ready(stream, error);
}

/* The token that the turn draws needs room like any other. */
static void draw_one(weir_turn *turn, const float *logits) {
    weir_stream *stream = turn->stream;
    int32_t token;
    if (!wr_all_finite(logits, stream->model->vocabulary)) {
        wr_stream_not_a_number(stream->past.index - 1, &turn->error);
        return;
    }
    weir_status status =
        wr_sampler_draw(stream->past.sampler, logits, stream->past.index, &token, &turn->error);
    if (status == WEIR_OK) status = wr_stream_check_tokens(stream, &token, 1, &turn->error);
    if (status == WEIR_OK) turn->token = token;
}

/* What the token was drawn from, to whoever asked for it. */
static void show_draw(weir_turn *turn, const float *logits) {
    if (!turn->draws_from || !goes_on(turn)) return;
    wr_stream_hand_over(turn->stream, turn->stream->past.index - 1, logits, turn->draws_from,
                        turn->draws_context, &turn->error);
    if (!goes_on(turn)) turn->token = -1;
}

/* Draws are independent: the streams' samplers run beside each other. */
static void draw_task(void *context, int64_t first, int64_t end, int worker) {
    const weir_batch *batch = context;
    (void)worker;
    for (int64_t i = first; i < end; i++)
        draw_one(batch->owners[i], batch->logits + i * batch->model->vocabulary);
}

static void draw(weir_batch *batch, weir_turn *turns, int32_t count) {
    int32_t drawing = 0;
    for (int32_t i = 0; i < count; i++) {
        weir_stream *stream = turns[i].stream;
        if (turns[i].count > 0 || !goes_on(&turns[i])) continue;
        if (stream->logits_ready) {
            draw_one(&turns[i], stream->logits);
            show_draw(&turns[i], stream->logits);
            continue;
        }
        batch->wanted[drawing] = (wr_logit_row){.hidden = stream->past.hidden,
                                                .index = stream->past.index - 1,
                                                .observer = &stream->observer};
        batch->owners[drawing++] = &turns[i];
    }
    if (drawing == 0) return;
    wr_forward_logits(batch->forward, batch->wanted, drawing, batch->logits);
    wr_threads_run(batch->threads, drawing, 1, draw_task, batch);
    for (int32_t i = 0; i < drawing; i++)
        show_draw(batch->owners[i], batch->logits + i * batch->model->vocabulary);
}

/* --- The pass, and after it ----------------------------------------------------------------------
 */

/* A segment for each turn that goes on; returns how many. */
static int32_t gather(weir_batch *batch, weir_turn *turns, int32_t count) {
    int32_t segments = 0;
    for (int32_t i = 0; i < count; i++) {
        weir_turn *turn = &turns[i];
        if (!goes_on(turn)) continue;
        bool fed = turn->count > 0;
        batch->computing[segments] = turn;
        batch->segments[segments++] =
            wr_stream_segment(turn->stream, fed ? turn->tokens : &turn->token,
                              fed ? turn->count : 1, &turn->stream->cancel);
    }
    return segments;
}

/* The pass has its rows in the scratch of `batch`, whatever the stream's own. */
static void commit(const weir_batch *batch, weir_turn *turn, const wr_segment *segment) {
    weir_stream *stream = turn->stream;
    if (wr_stream_cancelled(stream, &turn->error)) {
        turn->token = -1;
        return;
    }
    const float *hidden = wr_forward_hidden(batch->forward, segment->row + segment->count - 1);
    wr_stream_commit(stream, segment, hidden);
    if (turn->count > 0) wr_stream_note_fed(stream, turn->tokens, turn->count);
}

/* Logits that were asked for: `count` rows were computed, in the order of the turns. */
static void hand_over(weir_batch *batch, int32_t count) {
    const int32_t vocabulary = batch->model->vocabulary;
    if (count == 0) return;
    wr_forward_logits(batch->forward, batch->wanted, count, batch->logits);
    for (int32_t i = 0; i < count; i++) {
        weir_turn *turn = batch->owners[i];
        weir_stream *stream = turn->stream;
        const float *logits = batch->logits + (int64_t)i * vocabulary;
        if (!goes_on(turn)) continue;
        wr_stream_hand_over(stream, batch->wanted[i].index, logits, turn->logits,
                            turn->logits_context, &turn->error);
        if (!goes_on(turn) || batch->wanted[i].index + 1 < stream->past.index) continue;
        memcpy(stream->logits, logits, (size_t)vocabulary * sizeof *logits);
        stream->logits_ready = true; /* the next draw looks at the same */
    }
}

static void score(weir_batch *batch, int32_t segments) {
    int32_t rows = 0;
    for (int32_t s = 0; s < segments; s++) {
        const wr_segment *segment = &batch->segments[s];
        weir_turn *turn = batch->computing[s];
        for (int64_t i = 0; i < segment->count && turn->logits && goes_on(turn); i++) {
            batch->wanted[rows] =
                (wr_logit_row){.hidden = wr_forward_hidden(batch->forward, segment->row + i),
                               .index = segment->first + i,
                               .observer = &turn->stream->observer};
            batch->owners[rows++] = turn;
            if (rows < batch->sizes.streams) continue;
            hand_over(batch, rows);
            rows = 0;
        }
    }
    hand_over(batch, rows);
}

/* Text of the tokens drawn, and where each generation stands. */
static void finish(weir_turn *turn) {
    weir_stream *stream = turn->stream;
    wr_generation *generation = &stream->generation;
    if (turn->token >= 0 && generation->active) wr_generation_take(stream, generation, turn->token);
    turn->done = !generation->active;
    turn->generated = generation->result;
}

weir_status weir_batch_step(weir_batch *batch, weir_turn *turns, int32_t count, weir_error *error) {
    weir_status status = check_turns(batch, turns, count, error);
    if (status != WEIR_OK) return status;
    for (int32_t i = 0; i < count; i++) begin(&turns[i]);
    draw(batch, turns, count);
    int32_t segments = gather(batch, turns, count);
    if (segments > 0) wr_forward_chunk(batch->forward, batch->segments, segments);
    for (int32_t i = 0; i < segments; i++) commit(batch, batch->computing[i], &batch->segments[i]);
    score(batch, segments);
    for (int32_t i = 0; i < count; i++) finish(&turns[i]);
    return WEIR_OK;
}
