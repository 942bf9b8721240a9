/*
 * The run: step after step, a checkpoint now and then, the model at the end.
 *
 * What a step computes depends on the recipe, the parameters, the moments and the step's number
 * alone. So a run that goes on from a checkpoint is the run that nothing interrupted.
 */
#include "train/trainer.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "train/export.h"

/* ---- telling --------------------------------------------------------------------------------- */

void wr_trainer_part(const wr_trainer *trainer, int64_t count, int64_t *begin, int64_t *end) {
    *begin = count * trainer->rank / trainer->ranks;
    *end = count * (trainer->rank + 1) / trainer->ranks;
}

/* Seconds trained in this call. */
static double training_for(const wr_trainer *trainer) {
    return trainer->began_at > 0 ? wr_clock_seconds() - trainer->began_at : 0;
}

static double speed(const wr_trainer *trainer) {
    int64_t steps = trainer->state.step - trainer->begun_step;
    double seconds = training_for(trainer);
    return steps > 0 && seconds > 0 ? (double)(steps * trainer->plan.step_tokens) / seconds
                                    : (double)NAN;
}

static void describe(const wr_trainer *trainer, weir_train_progress *out) {
    const wr_training_state *state = &trainer->state;
    double tokens_per_second = speed(trainer);
    int64_t left = (trainer->options.steps - state->step) * trainer->plan.step_tokens;
    out->plan = &trainer->plan;
    out->folder = trainer->folder;
    out->log = trainer->log_path;
    out->step = state->step;
    out->tokens = state->step * trainer->plan.step_tokens;
    out->text_tokens = trainer->data != NULL ? wr_data_tokens(trainer->data) : 0;
    out->rate = trainer->rate;
    out->gradient_norm = trainer->gradient_norm;
    out->loss = state->loss;
    out->validation = state->validation;
    out->bits_per_character = state->bits_per_character;
    out->sink_rate = state->sink_rate;
    out->term_rate = state->term_rate;
    out->seconds = state->seconds;
    out->tokens_per_second = tokens_per_second;
    out->seconds_left =
        isnan(tokens_per_second) ? trainer->plan.seconds : (double)left / tokens_per_second;
}

bool wr_trainer_tell(wr_trainer *trainer, weir_train_stage stage, int64_t done, int64_t total,
                     const char *note) {
    const weir_train_options *options = &trainer->options;
    if (options->progress == NULL || trainer->rank > 0) {
        return true;
    }
    weir_train_progress progress = {.stage = stage, .done = done, .total = total, .note = note};
    describe(trainer, &progress);
    if (!options->progress(options->progress_context, &progress)) {
        trainer->cancelled = true;
    }
    return !trainer->cancelled;
}

/* ---- one step -------------------------------------------------------------------------------- */

/* Learn from this process's part of the samples of a step. sums: nll, tokens scored. */
static weir_status learn_part(wr_trainer *trainer, int64_t step, double sums[2],
                              weir_error *error) {
    const weir_train_options *options = &trainer->options;
    const int64_t context = options->shape.context;
    int64_t begin, end;
    weir_status status = WEIR_OK;
    wr_trainer_part(trainer, options->batch, &begin, &end);
    while (begin < end && status == WEIR_OK) {
        int64_t samples = end - begin < options->micro ? end - begin : options->micro;
        for (int64_t i = 0; i < samples; i++) {
            wr_data_sample(trainer->data, (step - 1) * options->batch + begin + i,
                           trainer->tokens + i * (context + 1));
        }
        double nll = 0;
        int64_t scored = 0;
        status = wr_core_learn(trainer->core, trainer->tokens, samples, &nll, &scored, error);
        sums[0] += nll;
        sums[1] += (double)scored;
        begin += samples;
    }
    return status;
}

static weir_status update(wr_trainer *trainer, int64_t step, double scored, weir_error *error) {
    const weir_train_options *options = &trainer->options;
    trainer->rate = wr_recipe_rate(&trainer->recipe, step);
    const wr_core_update wanted = {.rate = trainer->rate,
                                   .beta1 = options->beta1,
                                   .beta2 = options->beta2,
                                   .epsilon = options->epsilon,
                                   .decay = options->decay,
                                   .clip = options->clip,
                                   .gradient_scale = 1 / scored,
                                   .step = step};
    wr_exchange_sum(trainer->exchange, wr_core_gradients(trainer->core),
                    wr_parameters_size(&options->shape));
    return wr_core_step(trainer->core, &wanted, &trainer->gradient_norm, error);
}

static weir_status say_where(const wr_trainer *trainer, int64_t step, weir_status status,
                             weir_error *error) {
    if (status != WEIR_NAN || error == NULL) {
        return status;
    }
    weir_error what = *error;
    return weir_error_set(error, status,
                          "step %lld: %.300s; the checkpoint of step %lld stays: try a lower rate",
                          (long long)step, what.message, (long long)trainer->saved_step);
}

static weir_status take_step(wr_trainer *trainer, weir_error *error) {
    const int64_t step = trainer->state.step + 1;
    double sums[2] = {0, 0};
    weir_status status = learn_part(trainer, step, sums, error);
    status = wr_exchange_agree(trainer->exchange, status, error);
    if (status == WEIR_OK) {
        wr_exchange_sum_doubles(trainer->exchange, sums, 2);
        status = update(trainer, step, sums[1], error);
    }
    if (status != WEIR_OK) {
        return say_where(trainer, step, status, error);
    }
    trainer->state.step = step;
    trainer->state.loss = sums[0] / sums[1];
    return WEIR_OK;
}

/* ---- after a step ---------------------------------------------------------------------------- */

static bool is_due(int64_t every, int64_t step, int64_t last) {
    return every > 0 && (step % every == 0 || step == last);
}

static weir_status log_step(wr_trainer *trainer, bool evaluated, weir_error *error) {
    const wr_training_state *state = &trainer->state;
    const double unknown = (double)NAN;
    const bool probed = trainer->probed;
    const wr_run_line line = {
        .step = state->step,
        .tokens = state->step * trainer->plan.step_tokens,
        .rate = trainer->rate,
        .loss = state->loss,
        .gradient_norm = trainer->gradient_norm,
        .validation = evaluated ? state->validation : unknown,
        .bits_per_character = evaluated ? state->bits_per_character : unknown,
        .sink_rate = probed ? state->sink_rate : unknown,
        .term_rate = probed ? state->term_rate : unknown,
        .tokens_per_second = speed(trainer),
        .seconds = state->seconds,
        .token0 = probed ? trainer->layers : NULL,
        .term = probed ? trainer->layers + trainer->options.shape.layers : NULL,
    };
    return trainer->log != NULL ? wr_run_log_add(trainer->log, &line, error) : WEIR_OK;
}

/* Measure what is due, write the line. */
static weir_status finish_step(wr_trainer *trainer, weir_error *error) {
    const weir_train_options *options = &trainer->options;
    const int64_t step = trainer->state.step;
    const bool evaluates =
        trainer->validation != NULL && is_due(options->evaluate, step, options->steps);
    weir_status status = WEIR_OK;
    trainer->probed = false;
    if (evaluates) {
        status = wr_trainer_evaluate(trainer, error);
    }
    if (status == WEIR_OK && is_due(options->probe, step, options->steps)) {
        status = wr_trainer_probe(trainer, error);
    }
    trainer->state.seconds = trainer->seconds_before + training_for(trainer);
    if (status == WEIR_OK) {
        status = log_step(trainer, evaluates, error);
    }
    return wr_exchange_agree(trainer->exchange, say_where(trainer, step, status, error), error);
}

/* The log is on the disk before the checkpoint that counts on it. */
static weir_status write_checkpoint(wr_trainer *trainer, weir_error *error) {
    wr_checkpoint checkpoint = {
        .recipe = trainer->recipe,
        .state = trainer->state,
        .numbers = wr_parameters_size(&trainer->options.shape),
        .arrays = {wr_core_parameters(trainer->core), wr_core_moments(trainer->core, 0),
                   wr_core_moments(trainer->core, 1)},
    };
    weir_status status = trainer->log != NULL ? wr_run_log_sync(trainer->log, error) : WEIR_OK;
    return status == WEIR_OK
               ? wr_checkpoint_write(trainer->folder, &checkpoint, trainer->allocator, error)
               : status;
}

static weir_status save(wr_trainer *trainer, weir_error *error) {
    weir_status status = trainer->rank == 0 ? write_checkpoint(trainer, error) : WEIR_OK;
    status = wr_exchange_agree(trainer->exchange, status, error);
    if (status == WEIR_OK) {
        trainer->saved_step = trainer->state.step;
        trainer->saved_at = wr_clock_seconds();
        wr_trainer_tell(trainer, WEIR_TRAIN_SAVED, 0, 0, NULL);
    }
    return status;
}

/* What the first process decides by its clock and its caller, all do. */
static bool decide(wr_trainer *trainer) {
    const weir_train_options *options = &trainer->options;
    const double now = wr_clock_seconds();
    bool told[3] = {trainer->cancelled,
                    options->minutes > 0 && now - trainer->called_at >= options->minutes * 60,
                    options->save_minutes > 0 &&
                        now - trainer->saved_at >= options->save_minutes * 60};
    wr_exchange_share(trainer->exchange, told, sizeof told);
    trainer->cancelled = told[0];
    trainer->time_up = told[1];
    return told[2] || (options->save_steps > 0 && trainer->state.step % options->save_steps == 0);
}

static weir_status train(wr_trainer *trainer, weir_error *error) {
    weir_status status = WEIR_OK;
    trainer->began_at = wr_clock_seconds();
    while (status == WEIR_OK && trainer->state.step < trainer->options.steps &&
           !trainer->cancelled && !trainer->time_up) {
        status = take_step(trainer, error);
        if (status == WEIR_OK) {
            status = finish_step(trainer, error);
        }
        if (status == WEIR_OK) {
            wr_trainer_tell(trainer, WEIR_TRAIN_STEP, 0, 0, NULL);
            if (decide(trainer)) {
                status = save(trainer, error);
            }
        }
    }
    return status == WEIR_OK && trainer->state.step > trainer->saved_step ? save(trainer, error)
                                                                          : status;
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static void take_checkpoint(wr_trainer *trainer) {
    const wr_checkpoint *from = &trainer->from.checkpoint;
    const size_t bytes = from->numbers * sizeof(float);
    memcpy(wr_core_parameters(trainer->core), from->arrays[0], bytes);
    memcpy(wr_core_moments(trainer->core, 0), from->arrays[1], bytes);
    memcpy(wr_core_moments(trainer->core, 1), from->arrays[2], bytes);
    wr_core_parameters_changed(trainer->core);
    trainer->saved_step = trainer->state.step;
    trainer->saved_at = wr_clock_seconds();
    wr_checkpoint_close(&trainer->from);
}

/* The state before the first step of this call, and the log that belongs to it. A new run has a
 * checkpoint before it has a step: so a full disk is known at once. */
static weir_status begin(wr_trainer *trainer, weir_error *error) {
    const bool goes_on = trainer->from.map.data != NULL;
    weir_status status = WEIR_OK;
    wr_core_start(trainer->core, trainer->options.seed);
    if (goes_on) {
        take_checkpoint(trainer);
    } else if (trainer->rank == 0) {
        status = wr_checkpoint_remove(trainer->folder, error);
    }
    if (status == WEIR_OK && trainer->rank == 0) {
        status = wr_run_log_open(trainer->log_path, trainer->options.shape.layers,
                                 trainer->state.step, trainer->allocator, &trainer->log, error);
    }
    status = wr_exchange_agree(trainer->exchange, status, error);
    return status == WEIR_OK && !goes_on ? save(trainer, error) : status;
}

static weir_status write_model(wr_trainer *trainer, weir_error *error) {
    const wr_export model = {.shape = trainer->options.shape,
                             .parameters = wr_core_parameters(trainer->core),
                             .vocabulary = trainer->vocabulary,
                             .format = trainer->options.format,
                             .name = trainer->name,
                             .steps = trainer->state.step,
                             .tokens = trainer->state.step * trainer->plan.step_tokens};
    return trainer->rank == 0
               ? wr_export_write(trainer->options.out, &model, trainer->allocator, error)
               : WEIR_OK;
}

static weir_status finish(wr_trainer *trainer, weir_error *error) {
    if (trainer->cancelled) {
        return weir_error_set(error, WEIR_CANCELLED,
                              "interrupted after step %lld of %lld: the same command goes on there",
                              (long long)trainer->state.step, (long long)trainer->options.steps);
    }
    return wr_exchange_agree(trainer->exchange, write_model(trainer, error), error);
}

static void know_state(wr_trainer *trainer) {
    const double unknown = (double)NAN;
    trainer->state = (wr_training_state){.loss = unknown,
                                         .validation = unknown,
                                         .bits_per_character = unknown,
                                         .sink_rate = unknown,
                                         .term_rate = unknown};
    trainer->gradient_norm = unknown;
    if (trainer->from.map.data != NULL) {
        trainer->state = trainer->from.checkpoint.state;
        trainer->seconds_before = trainer->state.seconds;
        trainer->begun_step = trainer->state.step;
    }
    if (trainer->from.previous) {
        wr_trainer_tell(trainer, WEIR_TRAIN_NOTE, 0, 0, trainer->from.damaged.message);
    }
}

static weir_status run(wr_trainer *trainer, weir_error *error) {
    know_state(trainer);
    weir_status status = wr_trainer_open(trainer, error);
    if (status == WEIR_OK &&
        (trainer->options.steps == 0 || trainer->options.steps > trainer->state.step)) {
        status = wr_trainer_measure(trainer, error);
    }
    if (status == WEIR_OK) {
        wr_trainer_tell(trainer, WEIR_TRAIN_BEGIN, 0, 0, NULL);
        status = begin(trainer, error);
    }
    if (status == WEIR_OK) {
        status = train(trainer, error);
    }
    return status == WEIR_OK ? finish(trainer, error) : status;
}

static void report(const wr_trainer *trainer, weir_status status, weir_train_result *out) {
    const wr_training_state *state = &trainer->state;
    *out =
        (weir_train_result){.step = state->step,
                            .steps = trainer->options.steps,
                            .tokens = state->step * trainer->plan.step_tokens,
                            .parameters = trainer->plan.parameters,
                            .begun_at = trainer->begun_step,
                            .loss = state->loss,
                            .validation = state->validation,
                            .bits_per_character = state->bits_per_character,
                            .sink_rate = state->sink_rate,
                            .term_rate = state->term_rate,
                            .seconds = state->seconds,
                            .tokens_per_second = speed(trainer),
                            .finished = status == WEIR_OK && state->step >= trainer->options.steps};
}

weir_status weir_train_run(const weir_train_options *options, weir_train_result *out,
                           weir_error *error) {
    wr_trainer trainer;
    const double called_at = wr_clock_seconds();
    weir_status status = wr_trainer_prepare(&trainer, options, error);
    trainer.called_at = called_at;
    if (status == WEIR_OK) {
        status = run(&trainer, error);
    }
    if (out != NULL) {
        report(&trainer, status, out);
    }
    wr_trainer_close(&trainer);
    return status;
}

/* ---- plans ----------------------------------------------------------------------------------- */

weir_status weir_train_plan_make(const weir_train_options *options, weir_train_plan *out,
                                 weir_error *error) {
    wr_trainer trainer;
    weir_status status = wr_trainer_prepare(&trainer, options, error);
    *out = trainer.plan;
    wr_trainer_close(&trainer);
    return status;
}

weir_status weir_train_plan_measure(const weir_train_options *options, weir_train_plan *out,
                                    weir_error *error) {
    wr_trainer trainer;
    weir_status status = wr_trainer_prepare(&trainer, options, error);
    if (status == WEIR_OK) {
        know_state(&trainer);
        status = wr_trainer_create_core(&trainer, error);
    }
    if (status == WEIR_OK) {
        status = wr_trainer_measure(&trainer, error);
    }
    *out = trainer.plan;
    wr_trainer_close(&trainer);
    return status;
}
