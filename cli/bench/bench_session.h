/* The runs of one `weir bench`: planned together, measured one after the other. */
#ifndef WEIR_CLI_BENCH_SESSION_H
#define WEIR_CLI_BENCH_SESSION_H

#include "common/grid.h"
#include "common/output.h"
#include "common/progress.h"
#include "weir/machine.h"

typedef struct bench_arguments {
    cli_value prefill, decode, seed, json, csv, plot, no_machine;
    cli_list streams;
    grid_arguments grid;
    engine_arguments engine;
} bench_arguments;

#define BENCH_RUNS_MAX 64

/* Tokens fed one after the other, in pieces that were timed each: chunks of a prefill, single
 * tokens of a decode. */
typedef struct bench_phase {
    double *ms; /* [capacity] per token of a piece; sorted once `times` is there */
    int64_t capacity;
    int64_t pieces, tokens;
    double seconds;
    weir_times times; /* of ms */
} bench_phase;

/* So many streams of a run's kind decoding as one batch. */
typedef struct bench_batch {
    int32_t streams;
    bench_phase decode;     /* a piece is a step: a token of every stream */
    int64_t reserved_bytes; /* of the batch and its streams */
} bench_batch;

typedef struct bench_run {
    weir_stream_options options;
    weir_plan plan;
    bench_phase prefill, decode;
    bench_batch batches[OPTION_LIST_MAX];
    int batch_count, batches_done;
    int64_t resident; /* weir_memory_resident() at the run's end; -1: unknown */
} bench_run;

/* What a token costs, whatever the policy. */
typedef struct bench_work {
    int64_t weight_bytes;    /* read to decode a token: all matrices once, the output's included */
    double float_operations; /* of a prefilled token's matrix products on float weights */
    double int8_operations;  /* the same on quantised weights, in integers */
} bench_work;

typedef struct bench_session {
    weir_model *model;
    int64_t prefill, decode;
    cli_list streams; /* sizes of batches, every run's; none: 0 items */
    uint64_t seed;
    bool by_window; /* runs compare by --window, not by S + W */
    bool measured;  /* `machine` is filled */
    weir_machine machine;
    bench_work work;
    bench_run runs[BENCH_RUNS_MAX];
    int count, done;
    bool partial;    /* runs[done] stopped on its way, and has times */
    output_file csv; /* path NULL: none */
    int32_t *tokens; /* [piece_tokens] */
    int64_t piece_tokens;
} bench_session;

/* Every run of the call, checked against the model, with the memory for its times. */
weir_status bench_plan(const bench_arguments *arguments, bench_session *session, weir_error *error);
/* WEIR_CANCELLED after an interruption. */
weir_status bench_run_next(bench_session *session, weir_error *error);
/* Measure the batches of a run, whose prefill is known. */
weir_status bench_batches_plan(const bench_session *session, bench_run *run, weir_error *error);
weir_status bench_batches_run(bench_session *session, bench_run *run, cli_progress *progress,
                              weir_error *error);
void bench_session_free(bench_session *session);

/* Runs with times: the finished ones, and one that stopped on its way. */
int bench_shown(const bench_session *session);
/* Tokens by which runs are compared: W where --window was given, else S + W. */
int64_t bench_size(const bench_session *session, const bench_run *run);
/* The time of a decoded token under recompute with as large a cache, over this run's; NaN when
 * there is no such run. Interruptions by other programs weigh on the mean of both alike, but spare
 * the median of short tokens: on a busy machine the second ratio flatters. */
typedef struct bench_ratios {
    double mean, median;
} bench_ratios;
bench_ratios bench_compare(const bench_session *session, const bench_run *run);
/* Tokens per second of a batch, over those of the batch of one stream (NaN when there is none), and
 * over those of the run's prefill. Of means, as the ratio to recompute. */
double bench_batch_ratio(const bench_run *run, const bench_batch *batch);
double bench_batch_share(const bench_run *run, const bench_batch *batch);
/* Random tokens, the same for every run (splitmix64). */
int32_t bench_token(const weir_model *model, uint64_t *random);
/* Note a piece of `tokens` tokens, and write its row of the CSV where there is one. */
weir_status bench_note(bench_session *session, bench_phase *phase, const char *name, int64_t index,
                       int64_t tokens, double seconds, weir_error *error);
weir_status bench_take_times(bench_phase *phase, int64_t capacity, weir_error *error);
/* Shares of the machine's limits that a run reached; NaN when unknown. */
double bench_reading_share(const bench_session *session, const bench_run *run);
double bench_computing_share(const bench_session *session, const bench_run *run);

weir_status bench_figure_save(const bench_session *session, const char *path, weir_error *error);
/* `failed`: why not all is there, or NULL. */
weir_status bench_print_json(const bench_session *session, const char *model,
                             const weir_error *failed, weir_error *error);
weir_status bench_print_table(const bench_session *session, weir_error *error);

#endif
