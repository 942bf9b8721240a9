/*
 * Looking back: the speed of generating with drafts over that without, where the text repeats
 * itself (greedy decoding, which loops in a small model) and where it does not (sampling).
 *
 *     bench_lookup MODEL.gguf [TOKENS [DRAFT [THREADS]]]
 *
 * Two streams make the same text in turns of 64 tokens, so that what else the machine does falls on
 * both; their texts are compared. Times are the process's, not the wall's. The last figures are the
 * median of the ratios of turns, and how many of the tokens were drafted and drawn.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BENCH "bench_lookup"
#include "measure.h"
#include "weir/weir.h"

enum { TURN = 64 };

typedef struct writer {
    weir_stream *stream;
    int lookup;
    double seconds;
    int64_t drafted, accepted;
    uint64_t text; /* a sum of its tokens */
} writer;

static bool add_token(void *context, int32_t token, const char *text, size_t size) {
    writer *w = context;
    (void)text, (void)size;
    w->text = w->text * 1099511628211u + (uint64_t)(token + 2);
    return true;
}

static double take_turn(writer *w) {
    weir_error error;
    weir_generated made;
    weir_generate options = {.tokens = TURN, .lookup = w->lookup};
    double begun = seconds_used();
    must(weir_stream_generate(w->stream, &options, add_token, w, &made, &error), &error);
    double seconds = seconds_used() - begun;
    w->seconds += seconds;
    w->drafted += made.drafted;
    w->accepted += made.accepted;
    return seconds;
}

static writer begin(const weir_model *model, int32_t threads, float temperature, int lookup) {
    static const char prompt[] = "Once upon a time there was a little girl";
    weir_error error;
    writer w = {.lookup = lookup};
    weir_stream_options options = weir_stream_options_default();
    weir_sampling sampling = weir_sampling_default();
    options.threads = threads;
    sampling.temperature = temperature;
    must(weir_stream_create(model, &options, &w.stream, &error), &error);
    must(weir_stream_set_sampling(w.stream, &sampling, &error), &error);
    must(weir_stream_feed_text(w.stream, prompt, strlen(prompt), &error), &error);
    return w;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const weir_model *model, const char *name, float temperature, int64_t tokens,
                    int draft, int32_t threads) {
    int64_t turns = tokens / TURN > 0 ? tokens / TURN : 1;
    double *ratios = calloc((size_t)turns, sizeof *ratios);
    writer plain = begin(model, threads, temperature, 0);
    writer looking = begin(model, threads, temperature, draft);
    if (!ratios) exit(1);
    for (int64_t i = 0; i < turns; i++) {
        double without = take_turn(&plain);
        ratios[i] = without / take_turn(&looking);
    }
    qsort(ratios, (size_t)turns, sizeof *ratios, compare);
    if (plain.text != looking.text) {
        fprintf(stderr, "bench_lookup: the texts differ\n");
        exit(1);
    }
    double made = (double)(turns * TURN);
    printf(
        "%-10s %9.0f tokens/s  %9.0f with drafts  %5.2fx  (median %5.2fx)  %6lld of %lld right\n",
        name, made / plain.seconds, made / looking.seconds, plain.seconds / looking.seconds,
        ratios[turns / 2], (long long)looking.accepted, (long long)looking.drafted);
    weir_stream_destroy(plain.stream);
    weir_stream_destroy(looking.stream);
    free(ratios);
}

int main(int argc, char **argv) {
    weir_error error;
    weir_model *model;
    if (argc < 2) {
        fprintf(stderr, "usage: bench_lookup MODEL.gguf [TOKENS [DRAFT [THREADS]]]\n");
        return 2;
    }
    int64_t tokens = argc > 2 ? strtoll(argv[2], NULL, 10) : 2048;
    int draft = argc > 3 ? atoi(argv[3]) : 15;
    int32_t threads = argc > 4 ? atoi(argv[4]) : 1;
    must(weir_model_open(argv[1], NULL, &model, &error), &error);
    printf("%s, drafts of %d tokens at most, %d threads\n", argv[1], draft, (int)threads);
    measure(model, "repeats", 0, tokens, draft, threads);
    measure(model, "prose", 0.8f, tokens, draft, threads);
    weir_model_close(model);
    return 0;
}
