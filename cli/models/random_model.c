/* weir make-random: a valid model of any shape with random weights, for tests and benchmarks. */
#include <stdio.h>

#include "common/command.h"
#include "common/output.h"
#include "weir/make_random.h"

typedef struct make_random_arguments {
    cli_value out, family, format, seed, layers, width, heads, kv_heads, head_dim, feed_forward;
    cli_value rotary_dim, vocabulary, context, layer_window, tied, sink, positions, variant, json;
    cli_value experts, experts_used;
} make_random_arguments;

#define AT(field) offsetof(make_random_arguments, field)
#define SIZE .range = "[1,inf)"
static const cli_option options[] = {
    {"--out", OPTION_TEXT, "FILE", .at = AT(out), .help = "the GGUF file to write"},
    {"--family", OPTION_TEXT, "NAME", .at = AT(family),
     .help = "any that weir runs (default: llama, or weir where --sink or --positions want it)"},
    {"--format", OPTION_TEXT, "NAME", .at = AT(format),
     .help = "of the matrices: F32, F16, BF16, Q8_0, Q4_K, ... (default F32)"},
    {"--seed", OPTION_COUNT, "N", .at = AT(seed), .range = "[0,inf)",
     .help = "the same seed gives the same file (default 0)"},
    {"--layers", OPTION_COUNT, "N", .at = AT(layers), SIZE, .help = "blocks (default 2)"},
    {"--width", OPTION_COUNT, "N", .at = AT(width), SIZE, .help = "hidden size (default 64)"},
    {"--heads", OPTION_COUNT, "N", .at = AT(heads), SIZE, .help = "query heads (default 4)"},
    {"--kv-heads", OPTION_COUNT, "N", .at = AT(kv_heads), SIZE,
     .help = "key-value heads (default 2)"},
    {"--head-dim", OPTION_COUNT, "N", .at = AT(head_dim), SIZE,
     .help = "elements of a head (default: width / heads)"},
    {"--rotary-dim", OPTION_COUNT, "N", .at = AT(rotary_dim), SIZE,
     .help = "elements of a head that are rotated (default: all)"},
    {"--feed-forward", OPTION_COUNT, "N", .at = AT(feed_forward), SIZE,
     .help = "hidden size of the feed-forward part (default 128)"},
    {"--vocabulary", OPTION_COUNT, "N", .at = AT(vocabulary), .range = "[260,inf)",
     .help = "tokens (default 320)"},
    {"--context", OPTION_COUNT, "N", .at = AT(context), SIZE,
     .help = "the trained context it claims (default 256)"},
    {"--experts", OPTION_COUNT, "N", .at = AT(experts), .range = "[1,1024]",
     .help = "in each block (default: none, or 4 where the family always has some)"},
    {"--experts-used", OPTION_COUNT, "N", .at = AT(experts_used), .range = "[1,1024]",
     .help = "by each token (default: half of them)"},
    {"--layer-window", OPTION_COUNT, "N", .at = AT(layer_window), SIZE,
     .help = "a trained window of its layers (default: none)"},
    {"--tied", OPTION_FLAG, NULL, .at = AT(tied), .help = "the output matrix is the embedding"},
    {"--sink", OPTION_TEXT, "NAME", .at = AT(sink),
     .help = "none, zero, logit or token (default none)"},
    {"--positions", OPTION_TEXT, "NAME", .at = AT(positions),
     .help = "rope or alibi (default: the family's)"},
    {"--variant", OPTION_FLAG, NULL, .at = AT(variant),
     .help = "the family's other form, with all that its files may have"},
    {"--json", OPTION_FLAG, NULL, .at = AT(json), .help = "print what was written as JSON"},
    {0},
};
#undef SIZE
#undef AT

static const cli_group groups[] = {{"Options", options, 0}, {0}};

static void take(const cli_value *value, int64_t *out) {
    if (value->given) {
        *out = value->count;
    }
}

static int run(cli_call *call, void *given) {
    const make_random_arguments *arguments = given;
    weir_random_model model = weir_random_model_default();
    weir_error error = {0};
    if (!arguments->out.given) {
        weir_error_set(&error, WEIR_USAGE, "where to? Give --out FILE");
        return report(call, &error);
    }
    if (arguments->family.given) {
        model.family = arguments->family.text;
    }
    if (arguments->sink.given) {
        model.sink = arguments->sink.text;
    }
    if (arguments->positions.given) {
        model.positions = arguments->positions.text;
    }
    if (arguments->format.given) {
        model.format = arguments->format.text;
    }
    model.seed = (uint64_t)arguments->seed.count;
    take(&arguments->layers, &model.layers);
    take(&arguments->width, &model.width);
    take(&arguments->heads, &model.heads);
    take(&arguments->kv_heads, &model.kv_heads);
    take(&arguments->head_dim, &model.head_dim);
    take(&arguments->rotary_dim, &model.rotary_dim);
    take(&arguments->feed_forward, &model.feed_forward);
    take(&arguments->vocabulary, &model.vocabulary);
    take(&arguments->context, &model.context);
    take(&arguments->layer_window, &model.layer_window);
    take(&arguments->experts, &model.experts);
    take(&arguments->experts_used, &model.experts_used);
    model.variant = arguments->variant.given > 0;
    model.tied = arguments->tied.given > 0;
    weir_status status = weir_make_random(arguments->out.text, &model, &error);
    if (status == WEIR_OK && call->json) {
        status = output_json(json_pack("{s:o}", "out", json_word(arguments->out.text)), &error);
    }
    return status == WEIR_OK ? EXIT_DONE : report(call, &error);
}

const cli_command make_random_command = {
    .name = "make-random",
    .synopsis = "--out FILE.gguf [options]",
    .summary = "write a valid model with random weights",
    .notes = "For tests and benchmarks. The same options give the same bytes.",
    .groups = groups,
    .arguments_size = sizeof(make_random_arguments),
    .run = run,
    .hidden = true,
};
