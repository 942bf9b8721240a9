/*
 * Perplexity over a stream.
 *
 *   nll_i = log(sum_v exp(z_v)) - z_(token i),   z the logits after token i - 1
 *
 * in double, with the largest logit taken out of the sum. The mean and its error are running ones
 * (Welford), and tokens are gathered a piece at a time, so a text of any length needs the same
 * memory.
 */
#include <math.h>
#include <string.h>
#include <time.h>

#include "weir/eval.h"

#define SAMPLE_SECONDS 0.05 /* between looks at the memory, and reports of progress */
#define PIECE 1024          /* tokens fed at once */

typedef struct running_mean {
    int64_t count;
    double mean;
    double squares; /* sum of squared differences from the mean */
} running_mean;

static void mean_add(running_mean *mean, double x) {
    mean->count++;
    double difference = x - mean->mean;
    mean->mean += difference / (double)mean->count;
    mean->squares += difference * (x - mean->mean);
}

typedef struct scoring {
    weir_stream *stream;
    const weir_eval_options *options;
    int64_t total;
    int32_t gathered[PIECE + 1]; /* one more than are fed: the last is scored by the one before */
    int64_t gathered_count, gathered_from; /* the stream index of the first */
    running_mean all, before, after;
    int64_t fed;
    int64_t peak;
    double begun, sampled; /* seconds */
    bool ended_early;
    weir_error error; /* why it failed, where that is said */
} scoring;

static double seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void sample_memory(scoring *run) {
    int64_t now = weir_memory_resident();
    run->peak = now > run->peak ? now : run->peak;
}

static weir_status score(scoring *run, int64_t next, const float *logits, int32_t n_vocab) {
    const weir_eval_options *options = run->options;
    int32_t token = run->gathered[next - run->gathered_from];
    if (token < 0 || token >= n_vocab) {
        return weir_error_set(&run->error, WEIR_USAGE,
                              "token %d at index %lld: the model has 0 to %d", token,
                              (long long)next, n_vocab - 1);
    }
    double nll = weir_model_nll(weir_stream_get_model(run->stream), logits, token);
    if (isnan(nll)) {
        return weir_error_set(&run->error, WEIR_NAN, "the logits after token %lld are not numbers",
                              (long long)next - 1);
    }
    mean_add(&run->all, nll);
    mean_add(next > options->after ? &run->after : &run->before, nll);
    return options->fn != NULL ? options->fn(options->context, next, token, nll) : WEIR_OK;
}

/* After token `index`: score the token that follows it. */
static weir_status take_logits(void *context, int64_t index, const float *logits, int32_t n_vocab) {
    scoring *run = context;
    const weir_eval_options *options = run->options;
    run->fed = index + 1;
    if (index + 1 < run->gathered_from + run->gathered_count) {
        weir_status status = score(run, index + 1, logits, n_vocab);
        if (status != WEIR_OK) {
            return status;
        }
    }
    double now = seconds();
    if (now >= run->sampled + SAMPLE_SECONDS) {
        run->sampled = now;
        sample_memory(run);
        if (options->progress != NULL &&
            !options->progress(options->progress_context, run->fed, run->total)) {
            run->ended_early = true;
            return WEIR_CANCELLED;
        }
    }
    return WEIR_OK;
}

static double mean_of(const running_mean *mean) {
    return mean->count > 0 ? mean->mean : (double)NAN;
}

/* Standard error of the mean, as if the values were independent. */
static double error_of(const running_mean *mean) {
    double count = (double)mean->count;
    return mean->count > 1 ? sqrt(mean->squares / (count - 1) / count) : (double)NAN;
}

static void fill_result(const scoring *run, weir_eval_result *out) {
    *out = (weir_eval_result){
        .tokens = run->fed,
        .scored = run->all.count,
        .nll = mean_of(&run->all),
        .error = error_of(&run->all),
        .nll_before = mean_of(&run->before),
        .scored_before = run->before.count,
        .nll_after = mean_of(&run->after),
        .error_after = error_of(&run->after),
        .scored_after = run->after.count,
        .seconds = seconds() - run->begun,
        .peak_memory = run->peak,
    };
}

/* Feed the first `count` of what is gathered. A reason that the scoring gave stands. */
static weir_status feed(scoring *run, int64_t count) {
    weir_error error = {0};
    weir_status status =
        weir_stream_feed_scored(run->stream, run->gathered, count, take_logits, run, &error);
    if (status != WEIR_OK) {
        if (run->error.status == WEIR_OK) run->error = error;
        return run->error.status;
    }
    run->gathered_count -= count;
    run->gathered_from += count;
    memmove(run->gathered, run->gathered + count,
            (size_t)run->gathered_count * sizeof *run->gathered);
    return WEIR_OK;
}

/* The last token is held back until the next one is there to be scored, or the text ends. */
static weir_status gather(void *context, const int32_t *tokens, int64_t count) {
    scoring *run = context;
    weir_status status = WEIR_OK;
    while (count > 0 && status == WEIR_OK) {
        int64_t room = PIECE + 1 - run->gathered_count;
        int64_t taken = count < room ? count : room;
        memcpy(run->gathered + run->gathered_count, tokens, (size_t)taken * sizeof *tokens);
        run->gathered_count += taken;
        tokens += taken;
        count -= taken;
        if (run->gathered_count == PIECE + 1) status = feed(run, PIECE);
    }
    return status;
}

static weir_status run_source(scoring *run, weir_eval_source source, void *source_context) {
    weir_stream_state state;
    weir_stream_get_state(run->stream, &state);
    if (state.index != 0) {
        return weir_error_set(&run->error, WEIR_USAGE, "the stream to evaluate is not empty");
    }
    sample_memory(run);
    weir_status status = source(source_context, gather, run);
    if (status == WEIR_OK) status = feed(run, run->gathered_count);
    sample_memory(run);
    return run->ended_early ? WEIR_OK : status;
}

weir_status weir_eval_from(weir_stream *stream, weir_eval_source source, void *source_context,
                           int64_t total, const weir_eval_options *options, weir_eval_result *out,
                           weir_error *error) {
    static const weir_eval_options none = {.after = INT64_MAX};
    scoring run = {
        .stream = stream,
        .options = options != NULL ? options : &none,
        .total = total,
        .peak = -1,
        .begun = seconds(),
    };
    weir_status status = run_source(&run, source, source_context);
    fill_result(&run, out);
    if (status == WEIR_OK) return WEIR_OK;
    return weir_error_set(error, status, "%s",
                          run.error.status == status ? run.error.message
                                                     : weir_status_text(status));
}

typedef struct token_array {
    const int32_t *tokens;
    int64_t count;
} token_array;

static weir_status emit_array(void *context, weir_token_fn emit, void *emit_context) {
    const token_array *array = context;
    return emit(emit_context, array->tokens, array->count);
}

weir_status weir_eval(weir_stream *stream, const int32_t *tokens, int64_t count,
                      const weir_eval_options *options, weir_eval_result *out, weir_error *error) {
    token_array array = {tokens, count};
    return weir_eval_from(stream, emit_array, &array, count, options, out, error);
}
