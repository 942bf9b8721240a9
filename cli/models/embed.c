/* weir embed: vectors of texts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/command.h"
#include "common/input.h"
#include "common/output.h"
#include "common/stream_options.h"
#include "weir/embed.h"

#define VECTOR_BYTES_MAX ((int64_t)4 << 30)
#define POOLING_WORDS "model|mean|cls|last" /* the places are the values of weir_pooling */

typedef struct embed_arguments {
    cli_texts text;
    cli_value file, pooling, normalise, truncate, tokens, threads, json;
    engine_arguments engine;
} embed_arguments;

#define AT(field) offsetof(embed_arguments, field)
static const cli_option options[] = {
    {"--text", OPTION_TEXTS, "TEXT", .at = AT(text), .help = "a text; may be given again"},
    {"--file", OPTION_TEXT, "FILE", .at = AT(file),
     .help = "a text in every line; - reads standard input, which is the default"},
    {"--pooling", OPTION_WORD, "HOW", .at = AT(pooling), .words = POOLING_WORDS,
     .help = "of a text's tokens: mean, cls (the first), last, or model: as the file says (default "
             "model; where it says nothing, mean)"},
    {"--normalise", OPTION_WORD, "HOW", .at = AT(normalise), .words = "l2|none",
     .help = "vectors of length 1 (l2), or as they are (default l2)"},
    {"--tokens", OPTION_COUNT, "N", .at = AT(tokens), .range = "[1,inf)",
     .help = "the longest text (default: what the model was trained for, at most 2048)"},
    {"--truncate", OPTION_FLAG, NULL, .at = AT(truncate),
     .help = "of a longer text take the beginning; otherwise it is refused"},
    {"--threads", OPTION_COUNT, "N", .at = AT(threads), .range = "[1,256]",
     .help = "worker threads; never changes a bit (default: one per CPU)"},
    {"--json", OPTION_FLAG, NULL, .at = AT(json), .help = "print one JSON object"},
    {0},
};

static const cli_group groups[] = {
    {"Options", options, 0}, {"Loading", loading_options, AT(engine)}, {0}};
#undef AT

typedef struct work {
    const embed_arguments *arguments;
    weir_model *model;
    weir_embedder *embedder;
    byte_buffer file;
    weir_embed_text *texts;
    int64_t count, width;
    float *vectors; /* [count, width] */
} work;

/* ---- texts ----------------------------------------------------------------------------------- */

static int64_t count_lines(const byte_buffer *file) {
    int64_t lines = file->size > 0 && file->data[file->size - 1] != '\n';
    for (size_t i = 0; i < file->size; i++) {
        lines += file->data[i] == '\n';
    }
    return lines;
}

static void split_lines(work *w) {
    const char *at = w->file.data, *end = at + w->file.size;
    for (int64_t i = 0; i < w->count; i++) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        size_t size = (size_t)((line_end != NULL ? line_end : end) - at);
        w->texts[i] = (weir_embed_text){at, size};
        at += size + (line_end != NULL);
    }
}

static weir_status read_texts(work *w, weir_error *error) {
    const embed_arguments *arguments = w->arguments;
    const cli_texts *given = &arguments->text;
    weir_status status = WEIR_OK;
    w->count = given->given;
    if (w->count == 0) {
        status = input_read(arguments->file.given ? arguments->file.text : "-", &w->file, error);
        w->count = count_lines(&w->file);
    }
    if (status != WEIR_OK) {
        return status;
    }
    w->texts = calloc((size_t)w->count + 1, sizeof *w->texts);
    if (w->texts == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for %lld texts", (long long)w->count);
    }
    for (int i = 0; i < given->given; i++) {
        w->texts[i] = (weir_embed_text){given->items[i], strlen(given->items[i])};
    }
    if (given->given == 0) {
        split_lines(w);
    }
    return WEIR_OK;
}

/* ---- vectors --------------------------------------------------------------------------------- */

static weir_status create(work *w, weir_error *error) {
    const embed_arguments *arguments = w->arguments;
    weir_embed_options embed = weir_embed_options_default();
    embed.pooling = (weir_pooling)arguments->pooling.count;
    embed.raw = arguments->normalise.count == 1;
    embed.truncate = arguments->truncate.given > 0;
    embed.tokens = arguments->tokens.count;
    embed.threads = (int32_t)arguments->threads.count;
    w->width = weir_model_get_info(w->model)->width;
    if (w->count * w->width > VECTOR_BYTES_MAX / (int64_t)sizeof(float)) {
        return weir_error_set(error, WEIR_LIMIT,
                              "the vectors of %lld texts take over 4 GiB: give fewer at a time",
                              (long long)w->count);
    }
    w->vectors = calloc((size_t)(w->count * w->width) + 1, sizeof *w->vectors);
    if (w->vectors == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for %lld vectors",
                              (long long)w->count);
    }
    return weir_embedder_create(w->model, &embed, &w->embedder, error);
}

static weir_status print_text(const work *w, weir_error *error) {
    for (int64_t i = 0; i < w->count; i++) {
        const float *vector = w->vectors + i * w->width;
        for (int64_t j = 0; j < w->width; j++) {
            printf("%s%.9g", j > 0 ? " " : "", (double)vector[j]);
        }
        putchar('\n');
    }
    return output_flush(error);
}

static weir_status print_json(const work *w, weir_error *error) {
    static const char *const poolings[] = {"model", "mean", "cls", "last"};
    json_t *vectors = json_array();
    for (int64_t i = 0; i < w->count; i++) {
        json_t *vector = json_array();
        for (int64_t j = 0; j < w->width; j++) {
            json_array_append_new(vector, json_number((double)w->vectors[i * w->width + j]));
        }
        json_array_append_new(vectors, vector);
    }
    return output_json(
        json_pack("{s:o,s:I,s:s,s:b,s:I,s:o}", "model",
                  json_word(weir_model_get_info(w->model)->path), "width", (json_int_t)w->width,
                  "pooling", poolings[weir_embedder_get_pooling(w->embedder)], "normalised",
                  w->arguments->normalise.count == 0, "longest",
                  (json_int_t)weir_embedder_get_tokens(w->embedder), "vectors", vectors),
        error);
}

static weir_status embed(cli_call *call, work *w, weir_error *error) {
    const embed_arguments *arguments = w->arguments;
    weir_status status = WEIR_OK;
    if (arguments->text.given > 0 && arguments->file.given) {
        status = weir_error_set(error, WEIR_USAGE, "--text and --file both give texts: keep one");
    }
    if (status == WEIR_OK) {
        status = open_model(call->model, &arguments->engine, false, &w->model, error);
    }
    if (status == WEIR_OK) {
        status = read_texts(w, error);
    }
    if (status == WEIR_OK) {
        status = create(w, error);
    }
    if (status == WEIR_OK) {
        status = weir_embed_texts(w->embedder, w->texts, w->count, w->vectors, error);
    }
    if (status == WEIR_OK) {
        status = call->json ? print_json(w, error) : print_text(w, error);
    }
    return status;
}

static int run(cli_call *call, void *arguments) {
    weir_error error = {0};
    work w = {.arguments = arguments};
    weir_status status = embed(call, &w, &error);
    weir_embedder_destroy(w.embedder);
    weir_model_close(w.model);
    bytes_free(&w.file);
    free(w.texts);
    free(w.vectors);
    return status == WEIR_OK ? EXIT_DONE : report(call, &error);
}

const cli_command embed_command = {
    .name = "embed",
    .synopsis = "MODEL.gguf [--text TEXT | --file FILE] [options]",
    .summary = "vectors of texts: an encoder's, or the mean of a decoder's states",
    .notes =
        "A line of numbers for each text. Texts are read whole; without --text and --file each\n"
        "line of standard input is one.",
    .groups = groups,
    .arguments_size = sizeof(embed_arguments),
    .run = run,
    .takes_model = true,
};
