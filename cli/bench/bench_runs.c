/* The runs of `weir bench`: first a prefill, then tokens one by one through a full window. */
#include <stdio.h>
#include <stdlib.h>

#include "bench/bench_session.h"
#include "common/interrupt.h"

/* ---- planning -------------------------------------------------------------------------------- */

weir_status bench_take_times(bench_phase *phase, int64_t capacity, weir_error *error) {
    phase->capacity = capacity;
    phase->ms = calloc((size_t)capacity, sizeof *phase->ms);
    return phase->ms != NULL ? WEIR_OK
                             : weir_error_set(error, WEIR_MEMORY, "no memory for %lld times",
                                              (long long)capacity);
}

static weir_status add_run(void *context, const weir_stream_options *options, weir_error *error) {
    bench_session *session = context;
    if (session->count == BENCH_RUNS_MAX) {
        return weir_error_set(error, WEIR_USAGE, "more than %d runs in one call: make two of it",
                              BENCH_RUNS_MAX);
    }
    const int64_t tokens = session->prefill + session->decode;
    bench_run *run = &session->runs[session->count];
    run->options = *options;
    weir_status status = grid_plan(&run->options, session->model, tokens, &run->plan, error);
    if (status != WEIR_OK) return status;
    session->count++;
    const int64_t pieces = (session->prefill + session->piece_tokens - 1) / session->piece_tokens;
    status = bench_take_times(&run->prefill, pieces, error);
    if (status == WEIR_OK) status = bench_take_times(&run->decode, session->decode, error);
    return status == WEIR_OK ? bench_batches_plan(session, run, error) : status;
}

weir_status bench_plan(const bench_arguments *arguments, bench_session *session,
                       weir_error *error) {
    session->piece_tokens = arguments->engine.chunk.given ? arguments->engine.chunk.count : 128;
    session->tokens = calloc((size_t)session->piece_tokens, sizeof *session->tokens);
    if (session->tokens == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for a chunk of tokens");
    }
    return grid_walk(&arguments->grid, &arguments->engine, add_run, session, error);
}

/* ---- running --------------------------------------------------------------------------------- */

typedef struct running {
    bench_session *session;
    bench_run *run;
    weir_stream *stream;
    uint64_t random; /* every run has the same tokens */
    cli_progress progress;
} running;

int32_t bench_token(const weir_model *model, uint64_t *random) {
    uint64_t x = *random += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    x ^= x >> 31;
    return (int32_t)(x % (uint64_t)weir_model_get_info(model)->vocabulary);
}

/* Uniform over the vocabulary; BOS first, where the model adds it. */
static int32_t next_token(running *now, bool first) {
    const weir_model_info *info = weir_model_get_info(now->session->model);
    if (first && info->adds_bos && info->bos >= 0) {
        return info->bos;
    }
    return bench_token(now->session->model, &now->random);
}

/* Feed tokens, a chunk at most. */
static weir_status feed(running *now, int64_t count, weir_error *error) {
    weir_stream_state state;
    weir_stream_get_state(now->stream, &state);
    for (int64_t i = 0; i < count; i++) {
        now->session->tokens[i] = next_token(now, state.index + i == 0);
    }
    return weir_stream_feed_tokens(now->stream, now->session->tokens, count, error);
}

static weir_status look(running *now, weir_error *error) {
    const float *logits;
    return weir_stream_logits(now->stream, &logits, error);
}

weir_status bench_note(bench_session *session, bench_phase *phase, const char *name, int64_t index,
                       int64_t tokens, double seconds, weir_error *error) {
    const weir_plan *plan = &session->runs[session->done].plan;
    const double ms = 1e3 * seconds / (double)tokens;
    char row[160];
    phase->ms[phase->pieces++] = ms;
    phase->tokens += tokens;
    phase->seconds += seconds;
    if (session->csv.path == NULL) {
        return WEIR_OK;
    }
    int size = snprintf(row, sizeof row, "%d,%s,%lld,%lld,%s,%lld,%lld,%.6g\n", session->done,
                        policy_name(plan->policy), (long long)plan->sinks, (long long)plan->window,
                        name, (long long)index, (long long)tokens, ms);
    return output_file_write(&session->csv, row, (size_t)size, error);
}

/* The same for tokens that the run's stream has just been fed. */
static weir_status note(running *now, bench_phase *phase, const char *name, int64_t tokens,
                        double seconds, weir_error *error) {
    weir_stream_state state;
    weir_stream_get_state(now->stream, &state);
    return bench_note(now->session, phase, name, state.index - tokens, tokens, seconds, error);
}

/* Chunk by chunk, up to the logits of the last one. Under recompute nothing is computed before
 * somebody looks, so the whole is one piece. */
static weir_status prefill(running *now, weir_error *error) {
    bench_phase *phase = &now->run->prefill;
    const int64_t total = now->session->prefill;
    const bool whole = now->run->plan.policy == WEIR_RECOMPUTE;
    int64_t done = 0, pending = 0;
    double start = now_seconds();
    weir_status status = WEIR_OK;
    while (done < total && status == WEIR_OK && !interrupted()) {
        int64_t left = total - done, most = now->session->piece_tokens;
        int64_t count = left < most ? left : most;
        status = feed(now, count, error);
        done += count;
        pending += count;
        if (status == WEIR_OK && done == total) {
            status = look(now, error);
        }
        if (status == WEIR_OK && (!whole || done == total)) {
            status = note(now, phase, "prefill", pending, now_seconds() - start, error);
            progress_show(&now->progress, done, total + now->session->decode, "tokens");
            pending = 0;
            start = now_seconds();
        }
    }
    return status;
}

/* Untimed, until the next token evicts one; a dense cache has no such moment. */
static weir_status fill(running *now, weir_error *error) {
    weir_stream_state state;
    weir_stream_get_state(now->stream, &state);
    int64_t left = now->run->plan.policy == WEIR_DENSE ? 0 : now->run->plan.slots - state.index;
    weir_status status = WEIR_OK;
    while (left > 0 && status == WEIR_OK && !interrupted()) {
        int64_t most = now->session->piece_tokens, count = left < most ? left : most;
        status = feed(now, count, error);
        left -= count;
    }
    return status;
}

static weir_status decode(running *now, weir_error *error) {
    bench_phase *phase = &now->run->decode;
    const int64_t before = now->session->prefill, total = before + phase->capacity;
    weir_status status = WEIR_OK;
    while (phase->pieces < phase->capacity && status == WEIR_OK && !interrupted()) {
        const double start = now_seconds();
        status = feed(now, 1, error);
        if (status == WEIR_OK) {
            status = look(now, error);
        }
        if (status == WEIR_OK) {
            status = note(now, phase, "decode", 1, now_seconds() - start, error);
            progress_show(&now->progress, before + phase->pieces, total, "tokens");
        }
    }
    return status;
}

/* A first chunk on a stream of its own: weights come from the disk, threads wake up. */
static weir_status warm_up(running *now, weir_error *error) {
    const uint64_t random = now->random;
    weir_status status =
        weir_stream_create(now->session->model, &now->run->options, &now->stream, error);
    if (status == WEIR_OK) {
        interrupt_watch(now->stream);
        int64_t most = now->session->piece_tokens, slots = now->run->plan.slots;
        status = feed(now, most < slots ? most : slots, error);
        if (status == WEIR_OK) {
            status = look(now, error);
        }
        interrupt_watch(NULL);
    }
    weir_stream_destroy(now->stream);
    now->stream = NULL;
    now->random = random;
    return status;
}

static weir_status measure(running *now, weir_error *error) {
    weir_status status =
        weir_stream_create(now->session->model, &now->run->options, &now->stream, error);
    if (status != WEIR_OK) {
        return status;
    }
    interrupt_watch(now->stream);
    status = prefill(now, error);
    if (status == WEIR_OK) {
        status = fill(now, error);
    }
    if (status == WEIR_OK) {
        status = decode(now, error);
    }
    interrupt_watch(NULL);
    now->run->resident = weir_memory_resident();
    weir_stream_destroy(now->stream);
    return status;
}

weir_status bench_run_next(bench_session *session, weir_error *error) {
    bench_run *run = &session->runs[session->done];
    running now = {.session = session, .run = run, .random = session->seed};
    char title[96];
    snprintf(title, sizeof title, "run %d of %d, %s", session->done + 1, session->count,
             policy_name(run->plan.policy));
    weir_status status = session->done == 0 ? warm_up(&now, error) : WEIR_OK;
    if (status == WEIR_OK) {
        progress_begin(&now.progress, title);
        status = measure(&now, error);
    }
    weir_times_sum_up(run->prefill.ms, run->prefill.pieces, &run->prefill.times);
    weir_times_sum_up(run->decode.ms, run->decode.pieces, &run->decode.times);
    if (status == WEIR_OK && !interrupted()) {
        status = bench_batches_run(session, run, &now.progress, error);
    }
    progress_clear(&now.progress);
    session->partial = (status != WEIR_OK || interrupted()) && run->prefill.pieces > 0;
    if (interrupted()) {
        return weir_error_set(error, WEIR_CANCELLED, "interrupted in run %d of %d",
                              session->done + 1, session->count);
    }
    session->done += status == WEIR_OK;
    return status;
}

void bench_session_free(bench_session *session) {
    for (int i = 0; i < session->count; i++) {
        free(session->runs[i].prefill.ms);
        free(session->runs[i].decode.ms);
        for (int k = 0; k < session->runs[i].batch_count; k++) {
            free(session->runs[i].batches[k].decode.ms);
        }
    }
    output_file_close(&session->csv);
    free(session->tokens);
    weir_model_close(session->model);
}
