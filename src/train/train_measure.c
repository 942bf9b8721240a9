/* How long a step takes, how good the model is on the validation text, and who gets its attention.
 */
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "train/trainer.h"

enum { PROBE_SAMPLES = 16 };
#define SINK_FROM 0.3     /* attention on a token that makes it a sink (Gu et al. 2025) */
#define LONG_ENOUGH 0.5   /* seconds that a measurement should last */
#define FORWARD_SHARE 0.4 /* of learning, in time: a forward pass and the loss */

#define IN_TIME 0.95 /* of the minutes that decide the steps: what is planned for */

/* ---- the time of a step ---------------------------------------------------------------------- */

static weir_status time_learning(wr_trainer *trainer, int64_t samples, double *seconds,
                                 weir_error *error) {
    const weir_train_shape *shape = &trainer->options.shape;
    for (int64_t i = 0; i < samples * (shape->context + 1); i++) {
        double draw = wr_random_unit(trainer->options.seed, 0, (uint64_t)i);
        trainer->tokens[i] = (int32_t)(draw * (double)shape->vocabulary);
    }
    double nll, begin = wr_clock_seconds();
    int64_t scored;
    weir_status status =
        wr_core_learn(trainer->core, trainer->tokens, samples, &nll, &scored, error);
    *seconds = wr_clock_seconds() - begin;
    return status;
}

static weir_status time_update(wr_trainer *trainer, double *seconds, weir_error *error) {
    const weir_train_options *options = &trainer->options;
    const wr_core_update update = {.rate = options->rate,
                                   .beta1 = options->beta1,
                                   .beta2 = options->beta2,
                                   .epsilon = options->epsilon,
                                   .clip = options->clip,
                                   .gradient_scale = 1,
                                   .step = 1};
    double norm, begin = wr_clock_seconds();
    weir_status status = wr_core_step(trainer->core, &update, &norm, error);
    *seconds = wr_clock_seconds() - begin;
    return status;
}

/* Seconds for one sample and for an update. The first call of all warms up, with one sample. */
static weir_status time_parts(wr_trainer *trainer, double *sample, double *update,
                              weir_error *error) {
    int64_t samples = 1;
    wr_core_start(trainer->core, trainer->options.seed);
    weir_status status = time_learning(trainer, 1, sample, error);
    if (status == WEIR_OK && *sample * (double)trainer->options.micro < 8 * LONG_ENOUGH) {
        samples = trainer->options.micro;
    }
    double spent = 0;
    int64_t learned = 0;
    while (status == WEIR_OK && spent < LONG_ENOUGH && learned < 16 * samples) {
        double seconds = 0;
        status = time_learning(trainer, samples, &seconds, error);
        spent += seconds;
        learned += samples;
    }
    *sample = learned > 0 ? spent / (double)learned : 0;
    return status == WEIR_OK ? time_update(trainer, update, error) : status;
}

/* The steps and evaluations after `step`. */
static double estimate(const wr_trainer *trainer, int64_t step, int64_t steps, double sample,
                       double update) {
    const weir_train_options *options = &trainer->options;
    int64_t begin, end;
    wr_trainer_part(trainer, options->batch, &begin, &end);
    double each = (double)(end - begin) * sample + update;
    if (options->evaluate > 0 && options->validation != NULL) {
        wr_trainer_part(trainer, options->evaluate_most, &begin, &end);
        each += FORWARD_SHARE * (double)(end - begin) * sample / (double)options->evaluate;
    }
    return each * (double)(steps - step);
}

weir_status wr_trainer_measure(wr_trainer *trainer, weir_error *error) {
    const weir_train_options *options = &trainer->options;
    double sample = 0, update = 0;
    weir_status status =
        wr_exchange_agree(trainer->exchange, time_parts(trainer, &sample, &update, error), error);
    if (status != WEIR_OK) {
        return status;
    }
    if (options->steps == 0) {
        double left = IN_TIME * options->minutes * 60 - (wr_clock_seconds() - trainer->called_at);
        int64_t steps = (int64_t)(left / estimate(trainer, 0, 1, sample, update));
        steps = steps < 1 ? 1 : steps;
        wr_exchange_share(trainer->exchange, &steps, sizeof steps);
        wr_trainer_set_steps(trainer, steps);
    }
    trainer->plan.seconds = estimate(trainer, trainer->state.step, options->steps, sample, update);
    return WEIR_OK;
}

/* ---- validation ------------------------------------------------------------------------------ */

static int64_t spread_samples(const wr_data *data, int64_t most) {
    int64_t have = wr_data_windows(data);
    return most < have ? most : have;
}

/* nll, tokens scored, and characters that they stand for, of this process's part of the samples. */
typedef struct score_sums {
    double nll, scored, characters;
} score_sums;

static weir_status score_part(wr_trainer *trainer, score_sums *sums, weir_error *error) {
    const int64_t row = trainer->options.shape.context + 1, micro = trainer->options.micro;
    const int64_t count = spread_samples(trainer->validation, trainer->options.evaluate_most);
    int64_t begin, end;
    weir_status status = WEIR_OK;
    wr_trainer_part(trainer, count, &begin, &end);
    while (begin < end && status == WEIR_OK) {
        const int64_t samples = end - begin < micro ? end - begin : micro;
        int64_t scored = 0, bytes = 0, characters = 0;
        double nll = 0;
        for (int64_t i = 0; i < samples; i++) {
            int32_t *sample = trainer->tokens + i * row;
            wr_data_spread(trainer->validation, begin + i, count, sample);
            wr_data_measure(trainer->validation, sample, &bytes, &characters);
        }
        status = wr_core_score(trainer->core, trainer->tokens, samples, &nll, &scored, NULL, error);
        sums->nll += nll;
        sums->scored += (double)scored;
        sums->characters += (double)characters;
        begin += samples;
    }
    return status;
}

weir_status wr_trainer_evaluate(wr_trainer *trainer, weir_error *error) {
    score_sums sums = {0};
    weir_status status =
        wr_exchange_agree(trainer->exchange, score_part(trainer, &sums, error), error);
    if (status != WEIR_OK) {
        return status;
    }
    wr_exchange_sum_doubles(trainer->exchange, &sums.nll, 1);
    wr_exchange_sum_doubles(trainer->exchange, &sums.scored, 1);
    wr_exchange_sum_doubles(trainer->exchange, &sums.characters, 1);
    trainer->state.validation = sums.nll / sums.scored;
    trainer->state.bits_per_character = sums.nll / sums.characters / log(2.0);
    return WEIR_OK;
}

/* ---- sinks ----------------------------------------------------------------------------------- */

/* Every process looks at the same few samples: its own answer is everybody's. */
weir_status wr_trainer_probe(wr_trainer *trainer, weir_error *error) {
    const weir_train_shape *shape = &trainer->options.shape;
    const wr_data *data = trainer->validation != NULL ? trainer->validation : trainer->data;
    const int64_t most =
        PROBE_SAMPLES < trainer->options.micro ? PROBE_SAMPLES : trainer->options.micro;
    const int64_t samples = spread_samples(data, most);
    for (int64_t i = 0; i < samples; i++) {
        wr_data_spread(data, i, samples, trainer->tokens + i * (shape->context + 1));
    }
    weir_status status =
        wr_core_sinks(trainer->core, trainer->tokens, samples, trainer->attention, error);
    if (status != WEIR_OK) {
        return status;
    }
    const int64_t heads = shape->layers * shape->heads;
    int64_t sinks[2] = {0, 0};
    memset(trainer->layers, 0, 2 * (size_t)shape->layers * sizeof(double));
    for (int64_t i = 0; i < heads; i++) {
        for (int which = 0; which < 2; which++) {
            double attention = trainer->attention[2 * i + which];
            sinks[which] += attention > SINK_FROM;
            trainer->layers[which * shape->layers + i / shape->heads] +=
                attention / (double)shape->heads;
        }
    }
    trainer->state.sink_rate = (double)sinks[0] / (double)heads;
    trainer->state.term_rate = (double)sinks[1] / (double)heads;
    trainer->probed = true;
    return WEIR_OK;
}
