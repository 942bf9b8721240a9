/* weir convert: a model as Hugging Face keeps it becomes a GGUF file. */
#include "weir/convert.h"

#include <stdio.h>

#include "common/command.h"
#include "common/interrupt.h"
#include "common/output.h"
#include "common/progress.h"
#include "common/words.h"

typedef struct convert_arguments {
    cli_value out, type, name, pre, no_vocab, json;
} convert_arguments;

#define AT(field) offsetof(convert_arguments, field)
static const cli_option options[] = {
    {"--out", OPTION_TEXT, "MODEL.gguf", .at = AT(out), .help = "the file to write"},
    {"--type", OPTION_WORD, "TYPE", .at = AT(type), .words = "keep|f32|f16|bf16",
     .help = "of its matrices: f32, f16, bf16, or keep: as the folder has them (default keep)"},
    {"--name", OPTION_TEXT, "NAME", .at = AT(name),
     .help = "general.name (default: that of the folder)"},
    {"--pre", OPTION_TEXT, "NAME", .at = AT(pre),
     .help = "GGUF's name of the pre-tokenizer (default: known by its patterns)"},
    {"--no-vocab", OPTION_FLAG, NULL, .at = AT(no_vocab),
     .help = "leave the tokenizer out: the model takes token ids only"},
    {"--json", OPTION_FLAG, NULL, .at = AT(json), .help = "print one JSON object"},
    {0},
};
#undef AT
static const cli_group groups[] = {{"Options", options, 0}, {0}};

static weir_status show(const cli_call *call, const convert_arguments *arguments,
                        const weir_convert_result *result, weir_error *error) {
    char parameters[WORD_MAX], bytes[WORD_MAX];
    if (call->json)
        return output_json(
            json_pack("{s:o,s:o,s:s,s:I,s:I,s:I,s:I}", "model", json_word(call->model), "out",
                      json_word(arguments->out.text), "family", result->family, "tensors",
                      (json_int_t)result->tensors, "parameters", (json_int_t)result->parameters,
                      "bytes", (json_int_t)result->bytes, "vocabulary",
                      (json_int_t)result->vocabulary),
            error);
    printf("%s: %s, %lld tensors, %s parameters, %s\n", arguments->out.text, result->family,
           (long long)result->tensors, word_count(result->parameters, parameters),
           word_bytes(result->bytes, bytes));
    return output_flush(error);
}

static int run(cli_call *call, void *given) {
    const convert_arguments *arguments = given;
    weir_convert_options chosen = weir_convert_options_default();
    weir_convert_result result;
    weir_error error = {0};
    cli_progress progress;
    if (!arguments->out.given) {
        weir_error_set(&error, WEIR_USAGE, "where to? Give --out MODEL.gguf");
        return report(call, &error);
    }
    chosen.out = arguments->out.text;
    if (arguments->type.given) {
        chosen.type = arguments->type.text;
    }
    chosen.name = arguments->name.text;
    chosen.pre = arguments->pre.text;
    chosen.no_vocab = arguments->no_vocab.given > 0;
    chosen.progress = progress_bytes;
    chosen.progress_context = &progress;
    interrupt_catch(false);
    call->working = true;
    progress_begin(&progress, "converting");
    weir_status status = weir_convert(call->model, &chosen, &result, &error);
    progress_clear(&progress);
    if (status == WEIR_OK) {
        status = show(call, arguments, &result, &error);
    }
    return status == WEIR_OK ? EXIT_DONE : report(call, &error);
}

const cli_command convert_command = {
    .name = "convert",
    .synopsis = "FOLDER --out MODEL.gguf [options]",
    .summary = "a Hugging Face folder becomes a GGUF file",
    .notes =
        "The folder holds config.json, safetensors (one file, or shards and their index), and\n"
        "tokenizer.json or tokenizer.model. Other engines can load what is written.",
    .groups = groups,
    .arguments_size = sizeof(convert_arguments),
    .run = run,
    .takes_model = true,
};
