/* weir logits: the raw output of the model for given tokens, for checks and debugging. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "common/command.h"
#include "common/input.h"
#include "common/interrupt.h"
#include "common/output.h"
#include "common/progress.h"
#include "common/stream_options.h"

typedef struct logits_arguments {
    cli_value tokens, tokens_file, out, json;
    retention_arguments retention;
    engine_arguments engine;
} logits_arguments;

#define AT(field) offsetof(logits_arguments, field)
static const cli_option options[] = {
    {"--tokens", OPTION_TEXT, "1,2,3", .at = AT(tokens), .help = "the tokens to feed"},
    {"--tokens-file", OPTION_TEXT, "FILE", .at = AT(tokens_file),
     .help = "the same from a file, joined by commas or as a JSON array"},
    {"--out", OPTION_TEXT, "FILE", .at = AT(out),
     .help = "one row of n_vocab little-endian floats per token"},
    {"--json", OPTION_FLAG, NULL, .at = AT(json), .help = "print what was written as JSON"},
    {0},
};

static const cli_group groups[] = {{"Options", options, 0},
                                   {"The stream", retention_options, AT(retention)},
                                   LOADED_ENGINE_GROUPS(AT(engine)),
                                   {0}};
#undef AT

typedef struct logits_run {
    output_file out;
    float *row; /* little-endian copy on big-endian machines, else NULL */
    cli_progress progress;
    int64_t total;
    weir_error error;
} logits_run;

static weir_status write_row(void *context, int64_t index, const float *logits, int32_t n_vocab) {
    logits_run *run = context;
    if (run->row != NULL) {
        for (int32_t i = 0; i < n_vocab; i++) {
            uint32_t bits;
            memcpy(&bits, &logits[i], sizeof bits);
            bits = htole32(bits);
            memcpy(&run->row[i], &bits, sizeof bits);
        }
        logits = run->row;
    }
    progress_show(&run->progress, index + 1, run->total, "tokens");
    return output_file_write(&run->out, logits, (size_t)n_vocab * sizeof *logits, &run->error);
}

static weir_status check(const logits_arguments *arguments, weir_error *error) {
    if (arguments->tokens.given + arguments->tokens_file.given != 1) {
        return weir_error_set(error, WEIR_USAGE,
                              "which tokens? Give either --tokens 1,2,3 or --tokens-file FILE");
    }
    if (!arguments->out.given) {
        return weir_error_set(error, WEIR_USAGE, "where to? Give --out FILE");
    }
    unsigned policy = 1u << arguments->retention.policy.count;
    return check_policies(groups, arguments, policy, error);
}

static weir_status read_tokens(const logits_arguments *arguments, token_list *tokens,
                               weir_error *error) {
    if (arguments->tokens.given) {
        const char *text = arguments->tokens.text;
        return input_token_numbers("--tokens", text, strlen(text), tokens, error);
    }
    byte_buffer text = {0};
    const char *path = arguments->tokens_file.text;
    weir_status status = input_read(path, &text, error);
    if (status == WEIR_OK) {
        status = input_token_numbers(path, text.data, text.size, tokens, error);
    }
    bytes_free(&text);
    return status;
}

static weir_status check_tokens(const weir_model *model, const token_list *tokens,
                                weir_error *error) {
    int64_t vocabulary = weir_model_get_info(model)->vocabulary;
    for (int64_t i = 0; i < tokens->count; i++) {
        if (tokens->items[i] >= vocabulary) {
            return weir_error_set(error, WEIR_USAGE,
                                  "token %d (the %lldth given): the model has only 0 to %lld",
                                  tokens->items[i], (long long)i + 1, (long long)vocabulary - 1);
        }
    }
    return WEIR_OK;
}

static weir_status make_stream(const logits_arguments *arguments, const weir_model *model,
                               int64_t tokens, weir_stream **out, weir_error *error) {
    weir_stream_options stream = weir_stream_options_default();
    weir_status status = retention_apply(&arguments->retention, &stream, error);
    if (status != WEIR_OK) {
        return status;
    }
    engine_apply(&arguments->engine, &stream);
    status = dense_length(&stream, model, tokens, error);
    return status != WEIR_OK ? status : weir_stream_create(model, &stream, out, error);
}

static weir_status write_all(cli_call *call, const logits_arguments *arguments, weir_stream *stream,
                             const token_list *tokens, weir_error *error) {
    logits_run run = {.total = tokens->count};
    int64_t vocabulary = weir_model_get_info(weir_stream_get_model(stream))->vocabulary;
    if (htole32(1) != 1) {
        run.row = calloc((size_t)vocabulary, sizeof *run.row);
    }
    weir_status status = output_file_open(&run.out, arguments->out.text, error);
    if (status == WEIR_OK) {
        call->working = true;
        progress_begin(&run.progress, "logits");
        interrupt_catch(false);
        interrupt_watch(stream);
        status =
            weir_stream_feed_scored(stream, tokens->items, tokens->count, write_row, &run, error);
        interrupt_watch(NULL);
        progress_clear(&run.progress);
        if (status != WEIR_OK && run.error.status != WEIR_OK) {
            *error = run.error;
        }
    }
    if (status == WEIR_OK) {
        status = output_file_commit(&run.out, error);
    }
    output_file_close(&run.out);
    free(run.row);
    if (status == WEIR_OK && call->json) {
        status =
            output_json(json_pack("{s:I,s:I,s:o}", "tokens", (json_int_t)tokens->count, "n_vocab",
                                  (json_int_t)vocabulary, "out", json_word(arguments->out.text)),
                        error);
    }
    return status;
}

static int run_logits(cli_call *call, void *given) {
    const logits_arguments *arguments = given;
    weir_error error = {0};
    weir_model *model = NULL;
    weir_stream *stream = NULL;
    token_list tokens = {0};
    weir_status status = check(arguments, &error);
    if (status == WEIR_OK) {
        status = read_tokens(arguments, &tokens, &error);
    }
    if (status == WEIR_OK) {
        status = open_model(call->model, &arguments->engine, false, &model, &error);
    }
    if (status == WEIR_OK) {
        status = check_tokens(model, &tokens, &error);
    }
    if (status == WEIR_OK) {
        status = make_stream(arguments, model, tokens.count, &stream, &error);
    }
    if (status == WEIR_OK) {
        status = write_all(call, arguments, stream, &tokens, &error);
    }
    weir_stream_destroy(stream);
    weir_model_close(model);
    tokens_free(&tokens);
    return status == WEIR_OK ? EXIT_DONE : report(call, &error);
}

const cli_command logits_command = {
    .name = "logits",
    .synopsis = "MODEL.gguf (--tokens 1,2,3 | --tokens-file FILE.json) --out FILE.f32 [options]",
    .summary = "the model's raw output for given tokens",
    .notes = "Writes one row of n_vocab little-endian floats per token; adds no BOS.",
    .groups = groups,
    .arguments_size = sizeof(logits_arguments),
    .run = run_logits,
    .takes_model = true,
    .hidden = true,
};
