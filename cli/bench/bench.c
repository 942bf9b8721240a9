/* weir bench: the time of a token, and memory, by policy and cache size. */
#include <stdlib.h>
#include <string.h>

#include "bench/bench_session.h"
#include "common/command.h"
#include "common/interrupt.h"
#include "weir/plot.h"

#define AT(field) offsetof(bench_arguments, field)
static const cli_option options[] = {
    {"--prefill", OPTION_COUNT, "N", .at = AT(prefill), .range = "[1,1000000000]",
     .help = "tokens fed in chunks (default 512)"},
    {"--decode", OPTION_COUNT, "N", .at = AT(decode), .range = "[1,10000000]",
     .help = "tokens fed one by one, through a full window (default 128)"},
    {"--streams", OPTION_COUNTS, "N,N,...", .at = AT(streams), .range = "[1,1024]",
     .help = "also decode as many streams of each run as one batch"},
    {"--seed", OPTION_COUNT, "N", .at = AT(seed), .range = "[0,inf)",
     .help = "of the random tokens, the same for every run (default 0)"},
    {"--no-machine", OPTION_FLAG, NULL, .at = AT(no_machine),
     .help = "do not measure what the machine can do"},
    {"--csv", OPTION_TEXT, "FILE", .at = AT(csv),
     .help = "write every time measured: run,policy,sinks,window,phase,index,tokens,ms"},
    {"--plot", OPTION_TEXT, "FILE", .at = AT(plot),
     .help = "draw the time of a token by policy and cache: FILE.png or FILE.svg"},
    {"--json", OPTION_FLAG, NULL, .at = AT(json), .help = "print one JSON object"},
    {0},
};

static const cli_group groups[] = {{"Options", options, 0},
                                   {"The runs, every combination in turn", grid_options, AT(grid)},
                                   LOADED_ENGINE_GROUPS(AT(engine)),
                                   {0}};
#undef AT

static weir_status check(const bench_arguments *arguments, weir_error *error) {
    weir_status status = grid_check(&arguments->grid, groups, arguments, error);
    if (status == WEIR_OK && arguments->streams.given &&
        (grid_policies(&arguments->grid) & 1u << WEIR_RECOMPUTE)) {
        status = weir_error_set(error, WEIR_USAGE,
                                "--streams does not apply to --policy recompute, which computes a "
                                "whole window for each token: leave one out");
    }
    if (status == WEIR_OK && arguments->plot.given) {
        status = weir_plot_path_check(arguments->plot.text, error);
    }
    return status;
}

static void count_product(bench_work *work, const weir_tensor_info *tensor) {
    const char *format = tensor->format;
    if (tensor->dims != 2 || format == NULL) return;
    const double operations = 2.0 * (double)tensor->dim[0] * (double)tensor->dim[1];
    const bool floats =
        strcmp(format, "F32") == 0 || strcmp(format, "F16") == 0 || strcmp(format, "BF16") == 0;
    *(floats ? &work->float_operations : &work->int8_operations) += operations;
}

/* Matrices of the blocks are multiplied with every token; the output matrix (the embedding, where
 * they are one) with tokens whose logits are wanted; the embedding's rows are only looked up. */
static bench_work count_work(const weir_model *model) {
    static const char output[] = "output.weight", embedding[] = "token_embd.weight";
    bench_work work = {0};
    int64_t output_bytes = 0, embedding_bytes = 0;
    for (int64_t i = 0; i < weir_model_get_info(model)->tensors; i++) {
        weir_tensor_info tensor;
        weir_model_get_tensor(model, i, &tensor);
        if (tensor.name_size == strlen(output) &&
            memcmp(tensor.name, output, strlen(output)) == 0) {
            output_bytes = tensor.bytes;
        } else if (tensor.name_size == strlen(embedding) &&
                   memcmp(tensor.name, embedding, strlen(embedding)) == 0) {
            embedding_bytes = tensor.bytes;
        } else {
            work.weight_bytes += tensor.bytes;
            count_product(&work, &tensor);
        }
    }
    work.weight_bytes += output_bytes > 0 ? output_bytes : embedding_bytes;
    return work;
}

static weir_status prepare(const cli_call *call, const bench_arguments *arguments,
                           bench_session *session, weir_error *error) {
    weir_status status = check(arguments, error);
    if (status == WEIR_OK) {
        status = open_model(call->model, &arguments->engine, false, &session->model, error);
    }
    if (status != WEIR_OK) {
        return status;
    }
    session->prefill = arguments->prefill.given ? arguments->prefill.count : 512;
    session->decode = arguments->decode.given ? arguments->decode.count : 128;
    session->streams = arguments->streams;
    session->seed = (uint64_t)arguments->seed.count;
    session->by_window = arguments->grid.window.given > 0;
    session->work = count_work(session->model);
    return bench_plan(arguments, session, error);
}

static weir_status open_csv(bench_session *session, const char *path, weir_error *error) {
    static const char head[] = "run,policy,sinks,window,phase,index,tokens,ms\n";
    weir_status status = output_file_open(&session->csv, path, error);
    return status == WEIR_OK ? output_file_write(&session->csv, head, sizeof head - 1, error)
                             : status;
}

static weir_status measure_machine(const bench_arguments *arguments, bench_session *session,
                                   weir_error *error) {
    weir_status status = weir_machine_measure(weir_model_get_info(session->model)->cpu,
                                              (int32_t)arguments->engine.threads.count, 0.5,
                                              &session->machine, error);
    session->measured = status == WEIR_OK;
    /* a machine too small for its own measurement can run the model all the same */
    return status == WEIR_MEMORY ? WEIR_OK : status;
}

static weir_status run_all(cli_call *call, const bench_arguments *arguments, bench_session *session,
                           weir_error *error) {
    weir_status status = WEIR_OK;
    if (arguments->csv.given) {
        status = open_csv(session, arguments->csv.text, error);
    }
    call->working = true;
    interrupt_catch(false);
    if (status == WEIR_OK && !arguments->no_machine.given) {
        status = measure_machine(arguments, session, error);
    }
    while (status == WEIR_OK && session->done < session->count) {
        status = bench_run_next(session, error);
    }
    if (status == WEIR_OK && arguments->csv.given) {
        status = output_file_commit(&session->csv, error);
    }
    if (status == WEIR_OK && arguments->plot.given) {
        status = bench_figure_save(session, arguments->plot.text, error);
    }
    return status;
}

/* What has been measured is shown, also when the work was stopped or a file could not be written.
 * With --json an error then stands beside the runs, in the same object. */
static int show(const cli_call *call, const bench_session *session, const weir_error *failed) {
    weir_error unshown = {0};
    weir_status status = call->json ? bench_print_json(session, call->model, failed, &unshown)
                                    : bench_print_table(session, &unshown);
    return report_beside(call, failed, status == WEIR_OK ? NULL : &unshown);
}

static int run(cli_call *call, void *given) {
    const bench_arguments *arguments = given;
    weir_error error = {0};
    bench_session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        weir_error_set(&error, WEIR_MEMORY, "no memory for a benchmark");
        return report(call, &error);
    }
    weir_status status = prepare(call, arguments, session, &error);
    if (status == WEIR_OK) {
        status = run_all(call, arguments, session, &error);
    }
    int exit_status = status == WEIR_OK || bench_shown(session) > 0
                          ? show(call, session, status == WEIR_OK ? NULL : &error)
                          : report(call, &error);
    bench_session_free(session);
    free(session);
    return exit_status;
}

const cli_command bench_command = {
    .name = "bench",
    .synopsis = "MODEL.gguf [--prefill N] [--decode N] [--policy P,...] [--cache N,...] [options]",
    .summary = "time of a token, and memory, by policy and cache size",
    .notes =
        "Every combination of policy, sinks and window is one run over the same random tokens:\n"
        "--prefill of them in chunks, then, when the window is full, --decode one by one. With\n"
        "recompute among the policies, the others say how many times faster they are at as large\n"
        "a cache. The machine's limits are measured in the same run. Ctrl-C ends the work and\n"
        "shows what there is, but writes no file.",
    .groups = groups,
    .arguments_size = sizeof(bench_arguments),
    .run = run,
    .takes_model = true,
};
