/* weir plan: the memory of a stream before it runs. */
#include <math.h>

#include "common/command.h"
#include "common/output.h"
#include "common/stream_options.h"
#include "common/words.h"
#include "models/plan_fit.h"
#include "weir/plot.h"

#define DEFAULT_TOKENS 10000

typedef struct plan_arguments {
    cli_value tokens, memory, streams, plot, json;
    retention_arguments retention;
    engine_arguments engine;
} plan_arguments;

#define AT(field) offsetof(plan_arguments, field)
static const cli_option options[] = {
    {"--tokens", OPTION_COUNT, "N", .at = AT(tokens), .range = "[1,inf)",
     .help = "length of the text to compare with a dense cache (default 10k)"},
    {"--memory", OPTION_BYTES, "BYTES", .at = AT(memory), .range = "[1,inf)",
     .help = "memory for streams, as in 64M: the largest window, and the streams, that fit it"},
    {"--streams", OPTION_COUNT, "N", .at = AT(streams), .range = "[1,1000000000]",
     .help = "streams that share that memory (default 1)"},
    {"--plot", OPTION_TEXT, "FILE", .at = AT(plot),
     .help = "draw memory by length of the text, beside a dense cache: FILE.png or FILE.svg"},
    {"--json", OPTION_FLAG, NULL, .at = AT(json), .help = "print one JSON object"},
    {0},
};

static const cli_group groups[] = {{"Options", options, 0},
                                   {"The stream", retention_options, AT(retention)},
                                   ENGINE_GROUPS(AT(engine)),
                                   {0}};
#undef AT

typedef struct comparison {
    weir_plan plan, dense; /* dense: a cache that keeps all `tokens` */
    int64_t tokens;
    double saved; /* share of the dense cache; NaN: does not apply */
    int64_t streams, total_bytes;
    int64_t memory;    /* -1: not given, and then neither is what follows */
    weir_plan largest; /* what `streams` streams can have in it */
    int64_t fitting;   /* streams of `plan` in it */
} comparison;

/* A dense cache that keeps all tokens, on the side of what was asked for. */
static weir_status compare(const weir_model *model, const weir_stream_options *asked,
                           comparison *out, weir_error *error) {
    weir_stream_options stream = *asked;
    stream.policy = WEIR_DENSE;
    stream.sinks = -1;
    stream.window = stream.cache = 0;
    stream.context = out->tokens;
    stream.beyond = true;
    weir_status status = weir_stream_plan(model, &stream, &out->dense, error);
    /* a dense cache saves nothing: it holds fewer tokens, or as many */
    out->saved = out->plan.policy == WEIR_DENSE
                     ? (double)NAN
                     : 1 - (double)out->plan.kv_bytes / (double)out->dense.kv_bytes;
    return status;
}

static weir_status multiply(comparison *out, weir_error *error) {
    if (__builtin_mul_overflow(out->plan.reserved_bytes, out->streams, &out->total_bytes)) {
        return weir_error_set(error, WEIR_USAGE, "--streams %lld: no machine has the memory",
                              (long long)out->streams);
    }
    return WEIR_OK;
}

static weir_status fit(const plan_arguments *arguments, const weir_model *model,
                       const weir_stream_options *stream, comparison *out, weir_error *error) {
    out->memory = -1;
    if (!arguments->memory.given) {
        return WEIR_OK;
    }
    out->memory = arguments->memory.count;
    out->fitting = out->memory / out->plan.reserved_bytes;
    return plan_largest(model, stream, out->memory, out->streams, &out->largest, error);
}

static weir_status work_out(const plan_arguments *arguments, const weir_model *model,
                            comparison *out, weir_error *error) {
    weir_stream_options stream = weir_stream_options_default();
    out->tokens = arguments->tokens.given ? arguments->tokens.count : DEFAULT_TOKENS;
    out->streams = arguments->streams.given ? arguments->streams.count : 1;
    weir_status status = retention_apply(&arguments->retention, &stream, error);
    if (status != WEIR_OK) {
        return status;
    }
    engine_apply(&arguments->engine, &stream);
    if (stream.beyond && stream.context == 0) {
        stream.context = out->tokens;
    }
    status = weir_stream_plan(model, &stream, &out->plan, error);
    if (status == WEIR_OK) {
        status = multiply(out, error);
    }
    if (status == WEIR_OK) {
        status = fit(arguments, model, &stream, out, error);
    }
    return status == WEIR_OK ? compare(model, &stream, out, error) : status;
}

static json_t *memory_json(const comparison *compared, int64_t value) {
    return compared->memory < 0 ? json_null() : json_integer(value);
}

static weir_status print_json(const cli_call *call, const comparison *compared, weir_error *error) {
    const weir_plan *plan = &compared->plan;
    json_t *object = json_pack(
        "{s:o,s:s,s:I,s:I,s:I,s:I,s:I,s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o,s:o}", "model",
        json_word(call->model), "policy", policy_name(plan->policy), "sinks",
        (json_int_t)plan->sinks, "window", (json_int_t)plan->window, "slots",
        (json_int_t)plan->slots, "kv_bytes", (json_int_t)plan->kv_bytes, "dense_kv_bytes",
        (json_int_t)compared->dense.kv_bytes, "saved", json_number(compared->saved), "page_bytes",
        (json_int_t)plan->page_bytes, "scratch_bytes", (json_int_t)plan->scratch_bytes,
        "reserved_bytes", (json_int_t)plan->reserved_bytes, "bytes_per_token",
        (json_int_t)plan->bytes_per_token, "tokens", (json_int_t)compared->tokens, "streams",
        (json_int_t)compared->streams, "total_bytes", (json_int_t)compared->total_bytes, "memory",
        memory_json(compared, compared->memory), "largest_window",
        memory_json(compared, compared->largest.window), "streams_that_fit",
        memory_json(compared, compared->fitting));
    return output_json(object, error);
}

/* "4 sinks + 2,044 recent tokens" */
static void print_retention(const weir_plan *plan) {
    char word[WORD_MAX];
    if (plan->sinks > 0) {
        printf("%s sink%s + ", word_count(plan->sinks, word), plan->sinks > 1 ? "s" : "");
    }
    printf("%s %s", word_count(plan->window, word),
           plan->policy == WEIR_DENSE ? "tokens, all kept" : "recent tokens");
}

static void print_fitting(const comparison *compared) {
    char a[WORD_MAX], b[WORD_MAX];
    word_bytes(compared->memory, a);
    printf("  in %s %s such stream%s fit%s\n", a, word_count(compared->fitting, b),
           compared->fitting == 1 ? "" : "s", compared->fitting == 1 ? "s" : "");
    printf("  largest window    ");
    print_retention(&compared->largest);
    printf(", %s", word_bytes(compared->largest.reserved_bytes, a));
    if (compared->streams > 1) {
        printf(" for each of %s streams", word_count(compared->streams, b));
    }
    putchar('\n');
}

static weir_status print_text(const comparison *compared, weir_error *error) {
    const weir_plan *plan = &compared->plan;
    char a[WORD_MAX], b[WORD_MAX], c[WORD_MAX];
    printf("%s: ", policy_name(plan->policy));
    print_retention(plan);
    printf("\n  keys and values   %s (%s a token)\n", word_bytes(plan->kv_bytes, a),
           word_bytes(plan->bytes_per_token, b));
    printf("  reserved          %s: pages %s, everything else %s\n",
           word_bytes(plan->reserved_bytes, a), word_bytes(plan->page_bytes, b),
           word_bytes(plan->scratch_bytes, c));
    if (compared->streams > 1) {
        printf("  %s streams: %s\n", word_count(compared->streams, a),
               word_bytes(compared->total_bytes, b));
    }
    if (compared->memory >= 0) {
        print_fitting(compared);
    }
    printf("  a dense cache     %s for %s tokens", word_bytes(compared->dense.kv_bytes, a),
           word_count(compared->tokens, b));
    if (compared->saved > 0) {
        printf(": %.1f%% less, and it stays so however long the text", 100 * compared->saved);
    }
    putchar('\n');
    return output_flush(error);
}

static int run(cli_call *call, void *given) {
    const plan_arguments *arguments = given;
    weir_error error = {0};
    weir_model *model = NULL;
    comparison compared = {0};
    unsigned policy = 1u << arguments->retention.policy.count;
    weir_status status = check_policies(groups, arguments, policy, &error);
    if (status == WEIR_OK && arguments->plot.given) {
        status = weir_plot_path_check(arguments->plot.text, &error);
    }
    if (status == WEIR_OK) {
        status = open_model(call->model, &arguments->engine, true, &model, &error);
    }
    if (status == WEIR_OK) {
        status = work_out(arguments, model, &compared, &error);
    }
    if (status == WEIR_OK && arguments->plot.given) {
        status = plan_draw(model, &compared.plan, compared.tokens, arguments->plot.text, &error);
    }
    if (status == WEIR_OK) {
        status = call->json ? print_json(call, &compared, &error) : print_text(&compared, &error);
    }
    weir_model_close(model);
    return status == WEIR_OK ? EXIT_DONE : report(call, &error);
}

const cli_command plan_command = {
    .name = "plan",
    .synopsis = "MODEL.gguf [--sinks N] [--window N] [--tokens N] [options]",
    .summary = "the memory of a stream, to the byte, before it runs",
    .notes = "Needs only the metadata of the file: its weights are not read. They are mapped, "
             "shared by all\n"
             "streams, and not counted here.",
    .groups = groups,
    .arguments_size = sizeof(plan_arguments),
    .run = run,
    .takes_model = true,
};
