/*
 * StreamEval over a stream.
 *
 *     lines    ... | i - n + 1 ........ i - 1 | i |          n lines back from the question
 *     starts       ^ first token, by line, in a ring
 *
 * One function, walk(), decides which lines are read and when which question is asked; counting the
 * tokens beforehand and evaluating are the same walk, without and with a stream.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "eval/token_room.h"
#include "weir/streameval.h"

#define LINE_TOKENS 80 /* of one line of 40 bytes: a byte is a token at most, and what is added */
#define BATCH_TOKENS 2048  /* fed together */
#define ANSWER_TOKENS 8    /* room for " 42\n" in any vocabulary */
#define LINES_REPORTED 256 /* lines between reports of progress where nothing is asked */
#define ANSWER_BYTES 32    /* an answer with more is wrong anyway */

typedef struct evaluation {
    const weir_model *model;
    weir_stream *stream; /* NULL: only count */
    const weir_streameval_options *options;
    weir_streameval_text text;
    weir_streameval_result *result;
    int64_t farthest; /* the largest distance */
    int64_t ready;    /* lines before the first question */
    int64_t lines;    /* read */
    int64_t tokens;   /* read, also those that still wait in `batch` */
    int64_t longest;  /* tokens that a fork held at most */
    int64_t *starts;  /* [ring] first token of line i at i % ring */
    int64_t ring;
    int32_t batch[BATCH_TOKENS];
    int64_t waiting; /* tokens in `batch` */
    bool ended_early;
} evaluation;

weir_streameval_options weir_streameval_options_default(void) {
    return (weir_streameval_options){.questions = 100};
}

static int64_t largest(const weir_streameval_options *options) {
    int64_t most = 1;
    for (int32_t i = 0; i < options->count; i++) {
        most = options->distances[i] > most ? options->distances[i] : most;
    }
    return most;
}

weir_streameval_text weir_streameval_get_text(const weir_streameval_options *options) {
    int64_t most = largest(options), keys = 26 * 26;
    weir_streameval_text text = {.seed = options->seed, .letters = 2, .period = 1};
    if (options->needle) {
        text.period = most;
        return text;
    }
    for (; keys <= most && text.letters < 4; keys *= 26) {
        text.letters++;
    }
    return text;
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static weir_status tokenize(const weir_model *model, const char *text, token_room *room,
                            weir_error *error) {
    weir_status status =
        weir_model_tokenize(model, text, strlen(text), false, keep_tokens, room, error);
    if (status == WEIR_LIMIT) {
        return weir_error_set(error, status, "a line of StreamEval has more than %d tokens",
                              LINE_TOKENS);
    }
    return status;
}

static weir_status feed_batch(evaluation *run, weir_error *error) {
    weir_status status = WEIR_OK;
    if (run->stream != NULL && run->waiting > 0) {
        status = weir_stream_feed_tokens(run->stream, run->batch, run->waiting, error);
    }
    run->waiting = 0;
    return status;
}

static weir_status read_line(evaluation *run, weir_error *error) {
    weir_streameval_line line;
    weir_status status = WEIR_OK;
    weir_streameval_get_line(&run->text, run->lines, &line);
    if (run->waiting + LINE_TOKENS > BATCH_TOKENS) {
        status = feed_batch(run, error);
    }
    token_room room = {run->batch + run->waiting, 0, LINE_TOKENS};
    if (status == WEIR_OK) {
        status = tokenize(run->model, line.text, &room, error);
    }
    if (status == WEIR_OK) {
        run->starts[run->lines % run->ring] = run->tokens;
        run->waiting += room.count;
        run->tokens += room.count;
        run->lines++;
        run->starts[run->lines % run->ring] = run->tokens;
    }
    return status;
}

/* ---- one question ---------------------------------------------------------------------------- */

typedef struct answer {
    char text[ANSWER_BYTES];
    size_t size;
} answer;

static bool keep_answer(void *context, int32_t token, const char *text, size_t size) {
    answer *given = context;
    (void)token;
    if (size >= sizeof given->text - given->size) { /* too long to be right */
        given->size = 0;
        given->text[0] = '\0';
        return false;
    }
    memcpy(given->text + given->size, text, size);
    given->size += size;
    given->text[given->size] = '\0';
    return true;
}

/* The answer without the spaces around it. */
static bool is_right(answer *given, const char *wanted) {
    char *text = given->text;
    size_t size = given->size;
    while (size > 0 && text[size - 1] == ' ') {
        size--;
    }
    text[size] = '\0';
    return strcmp(text + strspn(text, " "), wanted) == 0;
}

static weir_status generate_answer(weir_stream *fork, answer *out, weir_error *error) {
    static const char *const line_end[] = {"\n"};
    weir_sampling greedy = weir_sampling_default();
    greedy.temperature = 0;
    weir_generate generate = weir_generate_default();
    generate.tokens = ANSWER_TOKENS;
    generate.stop = line_end;
    generate.stop_count = 1;
    weir_status status = weir_stream_set_sampling(fork, &greedy, error);
    if (status == WEIR_OK) {
        status = weir_stream_generate(fork, &generate, keep_answer, out, NULL, error);
    }
    return status;
}

/* The tokens [first, end) against what the fork's last token sees. */
static weir_streameval_place place_of(const weir_stream *fork, int64_t first, int64_t end) {
    weir_stream_state state;
    weir_stream_get_state(fork, &state);
    if (first >= state.oldest) {
        return WEIR_STREAMEVAL_INSIDE;
    }
    return end > state.oldest ? WEIR_STREAMEVAL_BORDER : WEIR_STREAMEVAL_OUTSIDE;
}

static void count_answer(weir_streameval_score *score, bool right) {
    score->asked++;
    score->right += right;
}

static void count_question(evaluation *run, int32_t d, int64_t tokens, weir_streameval_place place,
                           bool right) {
    weir_streameval_distance *distance = &run->result->distances[d];
    count_answer(&distance->all, right);
    count_answer(&distance->at[place], right);
    count_answer(&run->result->all, right);
    count_answer(&run->result->at[place], right);
    double old = distance->all.asked > 1 ? distance->tokens : 0;
    distance->tokens = old + ((double)tokens - old) / (double)distance->all.asked;
}

/* On a fork, which is dropped afterwards: the stream does not notice. */
static weir_status ask(evaluation *run, int32_t d, weir_error *error) {
    int64_t line_index = run->lines - run->options->distances[d];
    int64_t first = run->starts[line_index % run->ring];
    int64_t end = run->starts[(line_index + 1) % run->ring];
    int32_t tokens[LINE_TOKENS];
    token_room room = {tokens, 0, LINE_TOKENS};
    weir_streameval_line line;
    weir_streameval_get_line(&run->text, line_index, &line);
    weir_status status = tokenize(run->model, line.question, &room, error);
    int64_t held = run->tokens + room.count + ANSWER_TOKENS;
    run->longest = held > run->longest ? held : run->longest;
    weir_streameval_place place = WEIR_STREAMEVAL_INSIDE;
    answer given = {.size = 0};
    if (status == WEIR_OK && run->stream != NULL) {
        weir_stream *fork = NULL;
        status = weir_stream_fork(run->stream, &fork, error);
        if (status == WEIR_OK) {
            status = weir_stream_feed_tokens(fork, tokens, room.count, error);
        }
        if (status == WEIR_OK) {
            place = place_of(fork, first, end);
            status = generate_answer(fork, &given, error);
        }
        weir_stream_destroy(fork);
    }
    if (status == WEIR_OK) {
        count_question(run, d, run->tokens + room.count - first, place,
                       is_right(&given, line.answer));
    }
    return status;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static bool is_due(const evaluation *run, int32_t d, int64_t sinks) {
    int64_t distance = run->options->distances[d];
    int64_t line = run->lines - distance;
    if (run->lines < run->ready || line < 0 ||
        run->result->distances[d].all.asked >= run->options->questions) {
        return false;
    }
    bool now = run->options->needle ? line % run->text.period == 0
                                    : run->lines % WEIR_STREAMEVAL_EVERY == 0;
    return now && run->starts[line % run->ring] >= sinks;
}

/* Tell the caller how far it came; false: it wants no more. */
static bool goes_on(const evaluation *run) {
    const weir_streameval_options *options = run->options;
    return run->stream == NULL || options->progress == NULL ||
           options->progress(options->progress_context, run->result->all.asked,
                             options->count * options->questions);
}

static weir_status ask_all(evaluation *run, int64_t sinks, weir_error *error) {
    weir_status status = WEIR_OK;
    for (int32_t d = 0; d < run->options->count && status == WEIR_OK && !run->ended_early; d++) {
        if (!is_due(run, d, sinks)) {
            continue;
        }
        status = feed_batch(run, error);
        if (status == WEIR_OK) {
            status = ask(run, d, error);
        }
        run->ended_early = status == WEIR_OK && !goes_on(run);
    }
    return status;
}

static weir_status walk(evaluation *run, weir_error *error) {
    const weir_model_info *info = weir_model_get_info(run->model);
    weir_stream_state state = {0};
    weir_status status = WEIR_OK;
    if (run->stream != NULL) {
        weir_stream_get_state(run->stream, &state);
    }
    if (info->adds_bos && info->bos >= 0) {
        run->batch[run->waiting++] = info->bos;
        run->tokens++;
    }
    int64_t total = run->options->count * run->options->questions;
    while (status == WEIR_OK && !run->ended_early && run->result->all.asked < total) {
        status = read_line(run, error);
        if (status == WEIR_OK) {
            status = ask_all(run, state.sinks, error);
        }
        if (status == WEIR_OK && run->lines % LINES_REPORTED == 0 && !run->ended_early) {
            run->ended_early = !goes_on(run);
        }
    }
    return status;
}

static weir_status check(const weir_model *model, const weir_streameval_options *options,
                         weir_error *error) {
    const weir_model_info *info = weir_model_get_info(model);
    if (!info->tokenizer_usable) {
        return weir_error_set(error, WEIR_UNSUPPORTED,
                              "%s: StreamEval is a text, and this model's tokenizer cannot be used",
                              info->path);
    }
    if (options->count < 1 || options->count > WEIR_STREAMEVAL_DISTANCES) {
        return weir_error_set(error, WEIR_USAGE, "StreamEval wants 1 to %d distances, not %d",
                              WEIR_STREAMEVAL_DISTANCES, options->count);
    }
    for (int32_t i = 0; i < options->count; i++) {
        int64_t distance = options->distances[i];
        if (distance < 1 || distance > WEIR_STREAMEVAL_FARTHEST) {
            return weir_error_set(error, WEIR_USAGE,
                                  "a distance of %lld lines is out of range (1 to %d)",
                                  (long long)distance, WEIR_STREAMEVAL_FARTHEST);
        }
    }
    if (options->questions < 1 || options->questions > WEIR_STREAMEVAL_QUESTIONS) {
        return weir_error_set(error, WEIR_USAGE,
                              "%lld questions for each distance are out of range (1 to %d)",
                              (long long)options->questions, WEIR_STREAMEVAL_QUESTIONS);
    }
    if (options->lines < 0) {
        return weir_error_set(error, WEIR_USAGE, "%lld lines are out of range: give 0 or more",
                              (long long)options->lines);
    }
    return WEIR_OK;
}

static void begin_result(const weir_streameval_options *options, weir_streameval_result *out) {
    bool countable = options->count >= 0 && options->count <= WEIR_STREAMEVAL_DISTANCES;
    *out = (weir_streameval_result){.count = countable ? options->count : 0};
    for (int32_t i = 0; i < out->count; i++) {
        out->distances[i].lines = options->distances[i];
        out->distances[i].tokens = (double)NAN;
    }
}

static weir_status evaluate(const weir_model *model, weir_stream *stream,
                            const weir_streameval_options *options, weir_streameval_result *out,
                            int64_t *longest, weir_error *error) {
    begin_result(options, out);
    weir_status status = check(model, options, error);
    if (status != WEIR_OK) {
        return status;
    }
    evaluation *run = calloc(1, sizeof *run);
    int64_t ring = largest(options) + 2;
    int64_t *starts = calloc((size_t)ring, sizeof *starts);
    if (run == NULL || starts == NULL) {
        status = weir_error_set(error, WEIR_MEMORY, "no memory for an evaluation of %lld lines",
                                (long long)ring);
    } else {
        *run = (evaluation){.model = model,
                            .stream = stream,
                            .options = options,
                            .text = weir_streameval_get_text(options),
                            .result = out,
                            .ready = options->lines > ring - 2 ? options->lines : ring - 2,
                            .starts = starts,
                            .ring = ring};
        status = walk(run, error);
        out->lines = run->lines;
        *longest = run->longest;
    }
    free(starts);
    free(run);
    return status;
}

static double seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

weir_status weir_streameval(weir_stream *stream, const weir_streameval_options *options,
                            weir_streameval_result *out, weir_error *error) {
    weir_stream_state state;
    int64_t longest;
    double begun = seconds();
    weir_stream_get_state(stream, &state);
    if (state.index != 0 || state.held != 0) {
        begin_result(options, out);
        return weir_error_set(error, WEIR_USAGE, "the stream to evaluate is not empty");
    }
    weir_status status =
        evaluate(weir_stream_get_model(stream), stream, options, out, &longest, error);
    weir_stream_get_state(stream, &state);
    out->tokens = state.index;
    out->seconds = seconds() - begun;
    return status;
}

weir_status weir_streameval_count(const weir_model *model, const weir_streameval_options *options,
                                  int64_t *tokens, weir_error *error) {
    weir_streameval_result unused;
    *tokens = 0;
    return evaluate(model, NULL, options, &unused, tokens, error);
}

/* ---- distances and intervals ----------------------------------------------------------------- */

/* Shares of the window: the middle, both sides of its border, and far outside. */
static const double shares[] = {0.1, 0.25, 0.5, 0.75, 0.9, 1.1, 1.5, 2, 4};

weir_status weir_streameval_spread(const weir_model *model, int64_t window,
                                   weir_streameval_options *options, weir_error *error) {
    weir_streameval_options one = *options;
    one.distances[0] = 1;
    one.count = 1;
    one.questions = 1;
    weir_status status = check(model, &one, error);
    /* filler is what stands between a needle and its question */
    weir_streameval_text text = {options->seed, 2, options->needle ? INT64_MAX : 1};
    int64_t tokens = 0;
    enum { SAMPLE = 32 };
    for (int64_t i = 1; i <= SAMPLE && status == WEIR_OK; i++) {
        weir_streameval_line line;
        int32_t items[LINE_TOKENS];
        token_room room = {items, 0, LINE_TOKENS};
        weir_streameval_get_line(&text, i, &line);
        status = tokenize(model, line.text, &room, error);
        tokens += room.count;
    }
    if (status != WEIR_OK) {
        return status;
    }
    options->count = 0;
    double per_line = tokens > 0 ? (double)tokens / SAMPLE : 1;
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        double lines = floor(shares[i] * (double)window / per_line);
        lines = lines < 1 ? 1 : lines > WEIR_STREAMEVAL_FARTHEST ? WEIR_STREAMEVAL_FARTHEST : lines;
        if (options->count == 0 || (int64_t)lines > options->distances[options->count - 1]) {
            options->distances[options->count++] = (int64_t)lines;
        }
    }
    return WEIR_OK;
}

void weir_streameval_interval(weir_streameval_score score, double *low, double *high) {
    *low = 0;
    *high = 1;
    if (score.asked <= 0) {
        return;
    }
    const double z = 1.959963984540054; /* 97.5% of the normal distribution */
    double n = (double)score.asked, p = (double)score.right / n;
    double scale = 1 + z * z / n;
    double middle = (p + z * z / (2 * n)) / scale;
    double half = z / scale * sqrt(p * (1 - p) / n + z * z / (4 * n * n));
    *low = score.right == 0 ? 0 : middle - half;
    *high = score.right == score.asked ? 1 : middle + half;
}
