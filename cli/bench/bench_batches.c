/* Batches of `weir bench --streams`: so many streams of a run's kind, through full windows, each
 * drawing a token in every step. */
#include <stdlib.h>

#include "bench/bench_session.h"
#include "common/interrupt.h"
#include "weir/batch.h"

weir_status bench_batches_plan(const bench_session *session, bench_run *run, weir_error *error) {
    weir_status status = WEIR_OK;
    for (int i = 0; i < session->streams.size && status == WEIR_OK; i++) {
        bench_batch *batch = &run->batches[run->batch_count++];
        batch->streams = (int32_t)session->streams.items[i];
        status = bench_take_times(&batch->decode, session->decode, error);
    }
    return status;
}

typedef struct stepping {
    bench_session *session;
    bench_run *run;
    weir_batch *batch;
    weir_turn *turns; /* [streams] */
    int32_t streams;
    uint64_t random;
    int64_t reserved_bytes; /* of one stream */
} stepping;

/* A stream whose next token evicts one; dense: with the tokens of the prefill. */
static weir_status add_stream(stepping *now, weir_stream **out, weir_error *error) {
    bench_session *session = now->session;
    weir_stream_options options = now->run->options;
    weir_stream_state state = {0};
    const bool dense = options.policy == WEIR_DENSE;
    const int64_t total = dense ? session->prefill : now->run->plan.slots;
    options.batch = now->batch;
    options.threads = 0;
    weir_status status = weir_stream_create(session->model, &options, out, error);
    while (status == WEIR_OK && state.index < total && !interrupted()) {
        int64_t count = total - state.index;
        count = count < session->piece_tokens ? count : session->piece_tokens;
        for (int64_t i = 0; i < count; i++) {
            session->tokens[i] = bench_token(session->model, &now->random);
        }
        status = weir_stream_feed_tokens(*out, session->tokens, count, error);
        weir_stream_get_state(*out, &state);
    }
    now->reserved_bytes = state.reserved_bytes;
    return status;
}

static weir_batch_options sizes_of(const bench_session *session, const bench_run *run,
                                   int32_t streams) {
    const int64_t piece = session->piece_tokens;
    return (weir_batch_options){.rows = piece > streams ? piece : streams,
                                .streams = streams,
                                .slots = run->plan.slots,
                                .threads = run->options.threads};
}

static weir_status create(stepping *now, int32_t streams, weir_error *error) {
    const weir_batch_options sizes = sizes_of(now->session, now->run, streams);
    now->turns = calloc((size_t)streams, sizeof *now->turns);
    if (now->turns == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for %d streams", (int)streams);
    }
    weir_status status = weir_batch_create(now->session->model, &sizes, &now->batch, error);
    while (status == WEIR_OK && now->streams < streams && !interrupted()) {
        status = add_stream(now, &now->turns[now->streams].stream, error);
        now->streams++;
    }
    return status;
}

static weir_status step(stepping *now, weir_error *error) {
    weir_status status = weir_batch_step(now->batch, now->turns, now->streams, error);
    for (int32_t i = 0; i < now->streams && status == WEIR_OK; i++) {
        if (now->turns[i].error.status != WEIR_OK) {
            status = weir_error_set(error, now->turns[i].error.status, "%s",
                                    now->turns[i].error.message);
        }
    }
    return status;
}

/* The first step is not timed: it computes the logits of what was fed. A dense stream has room for
 * as many tokens as are timed, so there the first one counts. */
static weir_status decode(stepping *now, bench_batch *batch, weir_error *error) {
    bench_phase *phase = &batch->decode;
    weir_status status = WEIR_OK;
    if (now->run->plan.policy != WEIR_DENSE) {
        status = step(now, error);
    }
    while (phase->pieces < phase->capacity && status == WEIR_OK && !interrupted()) {
        const double start = now_seconds();
        status = step(now, error);
        if (status == WEIR_OK) {
            status = bench_note(now->session, phase, "batch", phase->pieces, now->streams,
                                now_seconds() - start, error);
        }
    }
    return status;
}

static weir_status measure(bench_session *session, bench_run *run, bench_batch *batch,
                           weir_error *error) {
    stepping now = {.session = session, .run = run, .random = session->seed};
    const weir_batch_options sizes = sizes_of(session, run, batch->streams);
    weir_batch_plan plan = {0};
    weir_status status = weir_batch_plan_sizes(session->model, &sizes, &plan, error);
    if (status == WEIR_OK) {
        status = create(&now, batch->streams, error);
    }
    if (status == WEIR_OK) {
        status = decode(&now, batch, error);
    }
    weir_times_sum_up(batch->decode.ms, batch->decode.pieces, &batch->decode.times);
    batch->reserved_bytes = plan.reserved_bytes + now.reserved_bytes * batch->streams;
    for (int32_t i = 0; i < now.streams; i++) {
        weir_stream_destroy(now.turns[i].stream);
    }
    weir_batch_destroy(now.batch);
    free(now.turns);
    return status;
}

weir_status bench_batches_run(bench_session *session, bench_run *run, cli_progress *progress,
                              weir_error *error) {
    weir_status status = WEIR_OK;
    for (int i = 0; i < run->batch_count && status == WEIR_OK && !interrupted(); i++) {
        progress_show(progress, i, run->batch_count, "batches");
        status = measure(session, run, &run->batches[i], error);
        run->batches_done += run->batches[i].decode.pieces > 0;
    }
    return status;
}
