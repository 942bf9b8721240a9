/* What the parts of `weir train` share. */
#ifndef WEIR_CLI_TRAIN_SESSION_H
#define WEIR_CLI_TRAIN_SESSION_H

#include <limits.h>

#include "common/command.h"
#include "common/progress.h"
#include "weir/train.h"

typedef struct train_arguments {
    cli_texts data;
    cli_value validation, vocab, vocabulary, out, format, name;
    cli_value size, layers, width, heads, kv_heads, feed_forward, context, untied;
    cli_value sink, positions, rope_base;
    cli_value steps, tokens, minutes, batch, micro, seed, precision, threads;
    cli_value rate, rate_end, warm_up, schedule, decay_share, decay, beta1, beta2, epsilon, clip;
    cli_value checkpoint, fresh, save_steps, save_minutes, shards;
    cli_value evaluate, evaluate_samples, probe, log, plot, plan, json;
} train_arguments;

#define TRAIN_FORMAT_WORDS "f32|f16|bf16|q8_0"
#define TRAIN_SINK_WORDS "none|zero|logit|token" /* the places are those of weir_train_sink */
#define TRAIN_POSITION_WORDS "rope|alibi"        /* and of weir_train_positions */
#define TRAIN_SCHEDULE_WORDS "cosine|wsd"        /* and of weir_train_schedule */
#define TRAIN_PRECISION_WORDS "auto|float32|bfloat16"

typedef struct train_session {
    const cli_call *call;
    const train_arguments *arguments;
    weir_train_options options;
    weir_train_text *texts; /* [options.data_count] */
    char *words;            /* what the paths in `texts` lie in */
    bool watched;           /* stderr is a terminal */
    bool on_screen;         /* a line stands there that will be written over */
    bool figure;            /* the log has lines that the figure has not */
    double shown_at;
    double validation; /* that the last line told */
    char log[PATH_MAX], plot[PATH_MAX], folder[PATH_MAX];
} train_session;

/* ---- train_show.c ---- */
bool train_progress(void *context, const weir_train_progress *progress); /* context: a session */
void train_clear_line(train_session *session);
weir_status train_print_plan(const train_session *session, const weir_train_plan *plan,
                             weir_error *error);
weir_status train_print_result(const train_session *session, const weir_train_result *result,
                               const weir_error *failed, weir_error *error);

/* ---- train_figure.c ---- */
/* Draw training and validation loss by step, as the log has them. */
weir_status train_draw(const train_session *session, weir_error *error);

#endif
