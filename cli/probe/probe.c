/* weir probe: attention maps, sink rates and norms. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/command.h"
#include "common/interrupt.h"
#include "common/progress.h"
#include "probe/probe_session.h"
#include "weir/plot.h"

#define AT(field) offsetof(probe_arguments, field)
static const cli_option options[] = {
    {"--text", OPTION_TEXT, "FILE", .at = AT(text), .help = "the text; - reads standard input"},
    {"--samples", OPTION_COUNT, "N", .at = AT(samples), .range = "[1,1000000]",
     .help = "samples to cut from its beginning (default 256)"},
    {"--length", OPTION_COUNT, "N", .at = AT(length), .range = "[2,1000000]",
     .help = "tokens of a sample, BOS included (default 16)"},
    {"--cut", OPTION_WORD, "WHERE", .at = AT(cut), .words = PROBE_CUT_WORDS,
     .help = "samples begin at a sentence, or at any token (default sentence)"},
    {"--from", OPTION_COUNT, "N", .at = AT(from), .range = "[0,inf)",
     .help = "leave queries before this index out of the means over queries (default 0)"},
    {"--epsilon", OPTION_REAL, "X", .at = AT(epsilon), .range = "[0,1]",
     .help = "a head whose mean attention exceeds this counts for the sink rate (default 0.3)"},
    {"--json", OPTION_FLAG, NULL, .at = AT(json), .help = "print one JSON object"},
    {0},
};

static const cli_option map_options[] = {
    {"--plot", OPTION_TEXT, "FILE", .at = AT(plot),
     .help = "draw a heat map for each layer and head: FILE.png or FILE.svg"},
    {"--csv", OPTION_TEXT, "FILE.csv", .at = AT(csv),
     .help = "write layer,head,query_index,key_index,probability of every entry"},
    {"--layer", OPTION_COUNTS, "N,N,...", .at = AT(layer), .range = "[0,inf)",
     .help = "the maps of these layers only"},
    {"--head", OPTION_COUNTS, "N,N,...", .at = AT(head), .range = "[0,inf)",
     .help = "the maps of these heads only"},
    {"--scores", OPTION_FLAG, NULL, .at = AT(scores),
     .help = "scores (logits) instead of probabilities"},
    {"--columns", OPTION_WORD, "WHAT", .at = AT(columns), .words = PROBE_COLUMN_WORDS,
     .help = "a key stands at its stream index, or at its position in the cache (default index)"},
    {"--colour", OPTION_WORD, "SCALE", .at = AT(colour), .words = PROBE_COLOUR_WORDS,
     .help = "of --plot, for probabilities: 0 to 1, or log from 0.0001 up (default linear)"},
    {0},
};

static const cli_group groups[] = {{"Options", options, 0},
                                   {"Maps", map_options, 0},
                                   {"The stream", retention_options, AT(retention)},
                                   LOADED_ENGINE_GROUPS(AT(engine)),
                                   {0}};
/* What there is only of a stream. */
static const cli_group stream_groups[] = {
    {"The stream", retention_options, AT(retention)}, ENGINE_GROUPS(AT(engine)), {0}};
#undef AT

/* ---- checked before any work ----------------------------------------------------------------- */

static weir_status check_maps(const probe_arguments *arguments, weir_error *error) {
    const char *idle = arguments->layer.given     ? "--layer"
                       : arguments->head.given    ? "--head"
                       : arguments->columns.given ? "--columns"
                                                  : NULL;
    if (arguments->colour.given && (!arguments->plot.given || arguments->scores.given)) {
        return weir_error_set(error, WEIR_USAGE,
                              "--colour is for the probabilities in a figure: give --plot and no "
                              "--scores, or leave it out");
    }
    if (idle == NULL || arguments->plot.given || arguments->csv.given) {
        return WEIR_OK;
    }
    return weir_error_set(
        error, WEIR_USAGE,
        "%s says which maps are written: give --plot or --csv too, or leave it out", idle);
}

static weir_status check(const probe_arguments *arguments, weir_error *error) {
    if (!arguments->text.given) {
        return weir_error_set(error, WEIR_USAGE,
                              "which text? Give --text FILE, or --text - for standard input");
    }
    weir_status status = check_maps(arguments, error);
    if (status == WEIR_OK && arguments->plot.given) {
        status = weir_plot_path_check(arguments->plot.text, error);
    }
    if (status != WEIR_OK) {
        return status;
    }
    return check_policies(groups, arguments, 1u << arguments->retention.policy.count, error);
}

static weir_status take_list(const char *name, const cli_list *list, int64_t have, int32_t *out,
                             weir_error *error) {
    for (int i = 0; i < list->size; i++) {
        if (list->items[i] >= have) {
            return weir_error_set(error, WEIR_USAGE,
                                  "--%s %lld: the model has %lld of them, 0 to %lld", name,
                                  (long long)list->items[i], (long long)have, (long long)have - 1);
        }
        out[i] = (int32_t)list->items[i];
    }
    return WEIR_OK;
}

static weir_status read_samples(probe_session *session, weir_error *error) {
    const probe_arguments *arguments = session->arguments;
    byte_buffer text = {0};
    weir_status status = input_read(arguments->text.text, &text, error);
    if (status == WEIR_OK) {
        status = probe_cut(session, &text, error);
    }
    bytes_free(&text);
    return status;
}

static weir_status shape_stream(const probe_session *session, weir_stream_options *stream,
                                weir_error *error) {
    const probe_arguments *arguments = session->arguments;
    *stream = weir_stream_options_default();
    engine_apply(&arguments->engine, stream);
    weir_status status = retention_apply(&arguments->retention, stream, error);
    if (status == WEIR_OK) {
        status = dense_length(stream, session->model, session->length, error);
    }
    if (status == WEIR_OK && stream->policy == WEIR_DENSE && stream->context == 0) {
        stream->context = session->length;
    }
    return status;
}

static weir_status choose_maps(probe_session *session, weir_probe_options *out, weir_error *error) {
    const probe_arguments *arguments = session->arguments;
    const weir_model_info *info = weir_model_get_info(session->model);
    *out = (weir_probe_options){
        .length = session->length,
        .from = arguments->from.count,
        .kind = arguments->scores.given ? WEIR_PROBE_SCORE : WEIR_PROBE_PROBABILITY,
        .columns = (weir_probe_columns)arguments->columns.count,
        .maps = arguments->plot.given || arguments->csv.given,
        .layers = arguments->layer.given ? session->layers : NULL,
        .heads = arguments->head.given ? session->heads : NULL,
        .layer_count = arguments->layer.size,
        .head_count = arguments->head.size,
    };
    weir_status status =
        take_list("layer", &arguments->layer, info->layers, session->layers, error);
    return status == WEIR_OK
               ? take_list("head", &arguments->head, info->heads, session->heads, error)
               : status;
}

/* An encoder reads both ways: what shapes a stream would be ignored. */
static weir_status check_encoder(const probe_session *session, weir_error *error) {
    const probe_arguments *arguments = session->arguments;
    cli_cursor cursor = {0};
    while (option_next(stream_groups, &cursor)) {
        if (option_given(&cursor, arguments) > 0 && strcmp(cursor.option->name, "--threads") != 0) {
            return weir_error_set(error, WEIR_USAGE,
                                  "%s does not apply to an encoder, which reads each sample whole: "
                                  "leave it out",
                                  cursor.option->name);
        }
    }
    if (arguments->columns.count == WEIR_PROBE_POSITION) {
        return weir_error_set(error, WEIR_USAGE,
                              "--columns position does not apply to an encoder, which has no "
                              "cache: leave it out");
    }
    return WEIR_OK;
}

static weir_status make_encoder_probe(probe_session *session, weir_error *error) {
    weir_stream_options stream = weir_stream_options_default();
    weir_probe_options wanted;
    stream.threads = (int32_t)session->arguments->engine.threads.count;
    weir_status status = check_encoder(session, error);
    if (status == WEIR_OK) {
        status = choose_maps(session, &wanted, error);
    }
    session->plan = (weir_plan){.policy = WEIR_DENSE, .window = session->length};
    return status == WEIR_OK
               ? weir_probe_create(session->model, &stream, &wanted, &session->probe, error)
               : status;
}

static weir_status make_probe(probe_session *session, weir_error *error) {
    weir_stream_options stream;
    weir_probe_options wanted;
    if (weir_model_get_info(session->model)->encoder) {
        return make_encoder_probe(session, error);
    }
    weir_status status = shape_stream(session, &stream, error);
    if (status == WEIR_OK) {
        status = choose_maps(session, &wanted, error);
    }
    if (status == WEIR_OK) {
        status = weir_stream_plan(session->model, &stream, &session->plan, error);
    }
    return status == WEIR_OK
               ? weir_probe_create(session->model, &stream, &wanted, &session->probe, error)
               : status;
}

static weir_status prepare(const cli_call *call, probe_session *session, weir_error *error) {
    const probe_arguments *arguments = session->arguments;
    session->wanted = arguments->samples.given ? arguments->samples.count : 256;
    session->length = arguments->length.given ? arguments->length.count : 16;
    session->epsilon = arguments->epsilon.given ? arguments->epsilon.real : 0.3;
    weir_status status = check(arguments, error);
    if (status == WEIR_OK) {
        status = open_model(call->model, &arguments->engine, false, &session->model, error);
    }
    if (status == WEIR_OK) {
        status = make_probe(session, error);
    }
    if (status == WEIR_OK) {
        status = read_samples(session, error);
    }
    if (status == WEIR_OK && arguments->csv.given) {
        status = output_file_open(&session->csv, arguments->csv.text, error);
    }
    return status;
}

/* ---- work ------------------------------------------------------------------------------------ */

/* What was asked for and is not there is said, once. */
static void tell_few(const probe_session *session) {
    if (session->samples < session->wanted) {
        fprintf(
            stderr, "weir: %s: only %lld of the %lld samples asked for: it is too short%s\n",
            session->arguments->text.text, (long long)session->samples, (long long)session->wanted,
            session->arguments->cut.count == 0 ? ", or has few sentences (see --cut token)" : "");
    }
}

static weir_status add_samples(probe_session *session, weir_error *error) {
    cli_progress progress;
    progress_begin(&progress, "probing");
    interrupt_catch(false);
    interrupt_watch(weir_probe_get_stream(session->probe));
    weir_status status = WEIR_OK;
    for (int64_t i = 0; i < session->samples && status == WEIR_OK && !interrupted(); i++) {
        progress_show(&progress, i, session->samples, "samples");
        status = weir_probe_add(session->probe, session->tokens.items + i * session->length,
                                session->length, error);
    }
    interrupt_watch(NULL);
    progress_clear(&progress);
    weir_probe_get_shape(session->probe, &session->shape);
    if (interrupted()) {
        return weir_error_set(error, WEIR_CANCELLED, "interrupted after %lld of %lld samples",
                              (long long)session->shape.samples, (long long)session->samples);
    }
    return status;
}

static weir_status write_all(const cli_call *call, probe_session *session, weir_error *error) {
    weir_status status = WEIR_OK;
    if (session->arguments->csv.given) {
        status = probe_write_csv(session, error);
    }
    if (status == WEIR_OK && session->arguments->plot.given) {
        status = probe_save_figure(session, error);
    }
    if (status == WEIR_OK && session->arguments->csv.given) {
        status = output_file_commit(&session->csv, error);
    }
    if (status != WEIR_OK) {
        return status;
    }
    return call->json ? probe_print_json(session, call->model, error)
                      : probe_print_table(session, error);
}

static int run(cli_call *call, void *given) {
    weir_error error = {0};
    probe_session session = {.arguments = given};
    weir_status status = prepare(call, &session, &error);
    if (status == WEIR_OK) {
        call->working = true;
        tell_few(&session);
        status = add_samples(&session, &error);
    }
    if (status == WEIR_OK) {
        status = write_all(call, &session, &error);
    } else if (status == WEIR_CANCELLED && !call->json && session.shape.samples > 0) {
        weir_error unprinted;
        probe_print_table(&session, &unprinted);
    }
    output_file_close(&session.csv);
    weir_probe_destroy(session.probe);
    tokens_free(&session.tokens);
    weir_model_close(session.model);
    return status == WEIR_OK ? EXIT_DONE : report(call, &error);
}

const cli_command probe_command = {
    .name = "probe",
    .synopsis = "MODEL.gguf --text FILE [--samples N] [--plot FILE.png] [options]",
    .summary = "attention maps, sink rate per layer and head, norms of values and hidden states",
    .notes =
        "Every sample is fed to an empty stream, with BOS where the model adds one. Attention on\n"
        "token k is the mean probability over the queries from k on that may attend it, and over\n"
        "the samples; \"even\" is what it would be if a query attended all its keys alike. The "
        "sink\n"
        "rate is the share of heads that exceed epsilon. What the policy hides from a query is no\n"
        "zero but left out. --samples 1 probes the beginning of one text; with --length beyond "
        "the\n"
        "cache its maps are those of a streaming cache.\n"
        "\n"
        "--json: model, text, policy, sinks, window, samples, length, kind (probability or score, "
        "of\n"
        "the maps), columns, epsilon, from, sink_rate, first_tokens, even, and layers: for each\n"
        "layer, sink_rate, first_tokens, value_norm, hidden_norm, hidden_largest and heads: head,\n"
        "first_tokens. sink_rate, first_tokens and even are for tokens 0 to 7 and always\n"
        "probabilities; --scores adds first_scores. The norms are for each token of a sample. "
        "What\n"
        "there is no query for is null. Where the softmax has a sink of its own (zero, or a logit\n"
        "for each head), sink_term is the attention that it takes and sink_term_rate the share of\n"
        "heads where that exceeds epsilon, and in the CSV it is key -1; elsewhere they are null.\n"
        "Of an encoder last_token is the attention on the last token of a sample.",
    .groups = groups,
    .arguments_size = sizeof(probe_arguments),
    .run = run,
    .takes_model = true,
};
