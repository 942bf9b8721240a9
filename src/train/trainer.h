/*
 * One call of weir_train_run: what it holds, and its parts in the order of a run.
 *
 *   prepare   check the options, find the checkpoint, make every choice, plan      train_prepare.c
 *   open      folder and lock, vocabulary, texts as tokens, core, log              train_open.c
 *   measure   seconds of a step; validation; attention on sinks                    train_measure.c
 *   run       step after step, checkpoints, the model at the end                   trainer.c
 *
 * With MPI every process does the same; rank 0 alone writes, and is the only one that is watched.
 * After every part that may fail in one process only, all agree on whether it failed.
 */
#ifndef WR_TRAINER_H
#define WR_TRAINER_H

#include <limits.h>

#include "train/checkpoint.h"
#include "train/core/core.h"
#include "train/data/data.h"
#include "train/exchange.h"
#include "train/run_log.h"

typedef struct wr_trainer {
    weir_train_options options; /* as given, and from prepare on with every choice made */
    const weir_allocator *allocator;
    char folder[PATH_MAX], shards[PATH_MAX], log_path[PATH_MAX], vocabulary[PATH_MAX];
    char name[128];

    wr_exchange *exchange;
    int32_t rank, ranks;
    wr_threads *threads;
    const wr_products *products;
    weir_train_plan plan;

    wr_checkpoint_file from; /* the checkpoint that the run goes on from; map NULL: none */
    wr_recipe recipe;
    wr_training_state state;

    int lock; /* -1: not held */
    wr_core *core;
    wr_data *data, *validation;
    int32_t *tokens;   /* [micro, context + 1] */
    double *attention; /* [layers, heads, 2] */
    double *layers;    /* [2, layers]: on token 0, on the term */
    bool probed;       /* `layers` holds what the last step gave */
    wr_run_log *log;

    double called_at;           /* seconds */
    double began_at;            /* the first step of this call */
    double seconds_before;      /* trained in calls before */
    double saved_at;            /* the last checkpoint: seconds, */
    int64_t saved_step;         /* and its step; -1: none */
    int64_t begun_step;         /* where this call began */
    double gradient_norm, rate; /* of the last step */
    bool cancelled, time_up;
} wr_trainer;

/* ---- train_prepare.c ---- */
weir_status wr_trainer_prepare(wr_trainer *trainer, const weir_train_options *options,
                               weir_error *error);
/* The vocabulary's own size becomes the shape's. */
weir_status wr_trainer_count_pieces(wr_trainer *trainer, weir_error *error);
/* Plan again: the vocabulary has another size than was asked for. */
weir_status wr_trainer_plan(wr_trainer *trainer, weir_error *error);
/* The steps are known: what depends on their number. */
void wr_trainer_set_steps(wr_trainer *trainer, int64_t steps);
void wr_trainer_close(wr_trainer *trainer);

/* ---- train_open.c ---- */
weir_status wr_trainer_open(wr_trainer *trainer, weir_error *error);
weir_status wr_trainer_create_core(wr_trainer *trainer, weir_error *error);

/* ---- train_measure.c ---- */
/* Seconds that the rest will take, from steps on random tokens; the core's parameters are lost.
 * Where the time decides the number of steps, it is set. */
weir_status wr_trainer_measure(wr_trainer *trainer, weir_error *error);
weir_status wr_trainer_evaluate(wr_trainer *trainer, weir_error *error);
weir_status wr_trainer_probe(wr_trainer *trainer, weir_error *error);

/* ---- trainer.c ---- */
/* Tell the caller; false, and `cancelled`, when the call should end. */
bool wr_trainer_tell(wr_trainer *trainer, weir_train_stage stage, int64_t done, int64_t total,
                     const char *note);

/* The part of `count` things that this process has: [*begin, *end). */
void wr_trainer_part(const wr_trainer *trainer, int64_t count, int64_t *begin, int64_t *end);

#endif
