/* weir quantize: the weights of a GGUF file in fewer bits. */
#include "weir/quantize.h"

#include <stdio.h>

#include "common/command.h"
#include "common/interrupt.h"
#include "common/output.h"
#include "common/progress.h"
#include "common/words.h"

typedef struct quantize_arguments {
    cli_value type, pure, requantize, threads, json;
} quantize_arguments;

#define AT(field) offsetof(quantize_arguments, field)
static const cli_option options[] = {
    {"--type", OPTION_TEXT, "TYPE", .at = AT(type),
     .help =
         "F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q6_K, or a mix: Q2_K, Q3_K_S, Q3_K_M, Q3_K_L, "
         "Q4_K_S, Q4_K_M, Q5_K_S, Q5_K_M (default Q4_K_M)"},
    {"--pure", OPTION_FLAG, NULL, .at = AT(pure),
     .help = "every matrix in the type's own format, none with more bits"},
    {"--requantize", OPTION_FLAG, NULL, .at = AT(requantize),
     .help = "also weights that are in blocks already, which loses twice"},
    {"--threads", OPTION_COUNT, "N", .at = AT(threads), .range = "[1,256]",
     .help = "default: as many as there are processors; the bytes are the same"},
    {"--json", OPTION_FLAG, NULL, .at = AT(json), .help = "print one JSON object"},
    {0},
};
#undef AT
static const cli_group groups[] = {{"Options", options, 0}, {0}};

static weir_status show(const cli_call *call, const weir_quantize_options *chosen,
                        const weir_quantize_result *result, weir_error *error) {
    char before[WORD_MAX], after[WORD_MAX];
    if (call->json)
        return output_json(
            json_pack("{s:o,s:o,s:o,s:I,s:I,s:I,s:I,s:I,s:f}", "model", json_word(call->model),
                      "out", json_word(chosen->out), "type", json_word(chosen->type), "tensors",
                      (json_int_t)result->tensors, "changed", (json_int_t)result->changed,
                      "fallen_back", (json_int_t)result->fallen_back, "bytes_in",
                      (json_int_t)result->bytes_in, "bytes_out", (json_int_t)result->bytes_out,
                      "bits_per_weight", result->bits),
            error);
    printf("%s: %lld of %lld tensors changed, %s became %s, %.2f bits per weight\n", chosen->out,
           (long long)result->changed, (long long)result->tensors,
           word_bytes(result->bytes_in, before), word_bytes(result->bytes_out, after),
           result->bits);
    if (result->fallen_back > 0)
        printf("%lld with rows that are no multiple of 256, in other formats\n",
               (long long)result->fallen_back);
    return output_flush(error);
}

static int run(cli_call *call, void *given) {
    const quantize_arguments *arguments = given;
    weir_quantize_options chosen = weir_quantize_options_default();
    weir_quantize_result result;
    weir_error error = {0};
    cli_progress progress;
    if (call->out == NULL) {
        weir_error_set(&error, WEIR_USAGE, "where to? As in: weir quantize %s",
                       call->command->synopsis);
        return report(call, &error);
    }
    chosen.out = call->out;
    if (arguments->type.given) {
        chosen.type = arguments->type.text;
    }
    chosen.pure = arguments->pure.given > 0;
    chosen.requantize = arguments->requantize.given > 0;
    chosen.threads = (int)arguments->threads.count;
    chosen.progress = progress_bytes;
    chosen.progress_context = &progress;
    interrupt_catch(false);
    call->working = true;
    progress_begin(&progress, "quantizing");
    weir_status status = weir_quantize(call->model, &chosen, &result, &error);
    progress_clear(&progress);
    if (status == WEIR_OK) {
        status = show(call, &chosen, &result, &error);
    }
    return status == WEIR_OK ? EXIT_DONE : report(call, &error);
}

const cli_command quantize_command = {
    .name = "quantize",
    .synopsis = "MODEL.gguf OUT.gguf --type TYPE [options]",
    .summary = "the weights of a model in fewer bits",
    .notes =
        "Mixes give more bits to the tensors that matter most; they are named and composed as\n"
        "in other engines. Scales are those with the smallest squared error.",
    .groups = groups,
    .arguments_size = sizeof(quantize_arguments),
    .run = run,
    .takes_model = true,
    .takes_out = true,
};
