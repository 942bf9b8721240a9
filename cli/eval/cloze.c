/* weir cloze: which word ends this sentence? */
#include "weir/cloze.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/command.h"
#include "common/input.h"
#include "common/interrupt.h"
#include "common/output.h"
#include "common/progress.h"
#include "common/stream_options.h"
#include "common/words.h"

typedef struct cloze_arguments {
    cli_value text, questions, choices, context, seed, no_bos, json;
    engine_arguments engine;
} cloze_arguments;

#define AT(field) offsetof(cloze_arguments, field)
static const cli_option options[] = {
    {"--text", OPTION_TEXT, "FILE", .at = AT(text), .help = "sentences to ask about"},
    {"--questions", OPTION_COUNT, "N", .at = AT(questions), .range = "[1,1000000]",
     .help = "at most so many, spread over the text (default 1000)"},
    {"--choices", OPTION_COUNT, "N", .at = AT(choices), .range = "[2,32]",
     .help = "words to choose from, the right one counted (default 10)"},
    {"--context", OPTION_COUNT, "N", .at = AT(context), .range = "[8,inf)",
     .help = "tokens of a passage at most (default: the trained context)"},
    {"--seed", OPTION_COUNT, "N", .at = AT(seed), .range = "[0,inf)",
     .help = "of the wrong words (default 0)"},
    {"--no-bos", OPTION_FLAG, NULL, .at = AT(no_bos),
     .help = "begin passages without the BOS that the model adds"},
    {"--json", OPTION_FLAG, NULL, .at = AT(json), .help = "print one JSON object"},
    {0},
};
static const cli_group groups[] = {{"Options", options, 0}, LOADED_ENGINE_GROUPS(AT(engine)), {0}};
#undef AT

typedef struct cloze_session {
    weir_model *model;
    byte_buffer text;
    weir_cloze_options options;
    weir_cloze_result result;
    cli_progress progress;
} cloze_session;

static weir_status prepare(const cli_call *call, const cloze_arguments *arguments,
                           cloze_session *session, weir_error *error) {
    weir_cloze_options *out = &session->options;
    *out = weir_cloze_options_default();
    out->questions = arguments->questions.given ? arguments->questions.count : out->questions;
    out->choices = arguments->choices.given ? (int32_t)arguments->choices.count : out->choices;
    out->context = arguments->context.count;
    out->seed = (uint64_t)arguments->seed.count;
    out->without_bos = arguments->no_bos.given > 0;
    out->progress = progress_questions;
    out->progress_context = &session->progress;
    if (!arguments->text.given) {
        return weir_error_set(error, WEIR_USAGE, "--text FILE is missing: sentences to ask about");
    }
    weir_status status = input_read(arguments->text.text, &session->text, error);
    if (status == WEIR_OK) {
        status = open_model(call->model, &arguments->engine, false, &session->model, error);
    }
    if (status == WEIR_OK && out->without_bos && !weir_model_get_info(session->model)->adds_bos) {
        status = weir_error_set(
            error, WEIR_USAGE, "--no-bos does not apply: %s adds no BOS to its texts", call->model);
    }
    return status;
}

static weir_status evaluate(const cloze_arguments *arguments, cloze_session *session,
                            weir_error *error) {
    weir_stream *stream = NULL;
    weir_stream_options dense = weir_stream_options_default();
    dense.policy = WEIR_DENSE;
    engine_apply(&arguments->engine, &dense);
    weir_status status = weir_stream_create(session->model, &dense, &stream, error);
    if (status == WEIR_OK) {
        progress_begin(&session->progress, "asking");
        interrupt_watch(stream);
        status = weir_cloze(stream, session->text.data, session->text.size, &session->options,
                            &session->result, error);
        interrupt_watch(NULL);
        progress_clear(&session->progress);
    }
    weir_stream_destroy(stream);
    if (interrupted()) {
        return weir_error_set(error, WEIR_CANCELLED, "interrupted after %lld questions",
                              (long long)session->result.asked);
    }
    return status;
}

static weir_status print_words(const cloze_session *session, weir_error *error) {
    const weir_cloze_result *result = &session->result;
    char asked[WORD_MAX], endings[WORD_MAX];
    printf("%s of %s sentences asked about, %d words to choose from, passages of %.0f tokens\n\n",
           word_count(result->asked, asked), word_count(result->endings, endings),
           session->options.choices, result->tokens);
    printf("right   %6.1f%%  (95%%: %.1f ... %.1f)\nchance  %6.1f%%\n"
           "surprise of the right word %.3f nats, of a token of the passages %.4f\n",
           100.0 * (double)result->right / (double)result->asked, 100 * result->low,
           100 * result->high, 100.0 / session->options.choices, result->nll, result->passage_nll);
    return output_flush(error);
}

static weir_status print_json(const cloze_session *session, const char *model,
                              const weir_error *failed, weir_error *error) {
    const weir_cloze_result *result = &session->result;
    json_t *object = json_pack(
        "{s:o,s:i,s:b,s:I,s:I,s:I,s:o,s:o,s:o,s:f,s:o,s:o,s:o,s:f}", "model", json_word(model),
        "choices", session->options.choices, "bos", !session->options.without_bos, "sentences",
        (json_int_t)result->endings, "questions", (json_int_t)result->asked, "correct",
        (json_int_t)result->right, "accuracy",
        json_number((double)result->right / (double)result->asked), "low", json_number(result->low),
        "high", json_number(result->high), "chance", 1.0 / session->options.choices, "nll",
        json_number(result->nll), "passage_nll", json_number(result->passage_nll), "passage_tokens",
        json_number(result->tokens), "seconds", result->seconds);
    return output_json_beside(object, failed, error);
}

static int show(const cli_call *call, const cloze_session *session, const weir_error *failed) {
    weir_error unshown = {0};
    weir_status status = call->json ? print_json(session, call->model, failed, &unshown)
                                    : print_words(session, &unshown);
    return report_beside(call, failed, status == WEIR_OK ? NULL : &unshown);
}

static int run(cli_call *call, void *given) {
    const cloze_arguments *arguments = given;
    weir_error error = {0};
    cloze_session session = {.model = NULL};
    weir_status status = prepare(call, arguments, &session, &error);
    if (status == WEIR_OK) {
        call->working = true;
        interrupt_catch(false);
        status = evaluate(arguments, &session, &error);
    }
    int exit_status = status == WEIR_OK || session.result.asked > 0
                          ? show(call, &session, status == WEIR_OK ? NULL : &error)
                          : report(call, &error);
    bytes_free(&session.text);
    weir_model_close(session.model);
    return exit_status;
}

const cli_command cloze_command = {
    .name = "cloze",
    .synopsis = "MODEL.gguf --text FILE [--questions N] [--choices N] [options]",
    .summary = "which word ends this sentence? right answers out of ten choices",
    .notes =
        "The model reads what stands before the last word of a sentence, as far as its trained "
        "context\n"
        "reaches, and chooses among that word and words that end other sentences of the text, "
        "drawn\n"
        "from --seed: the one whose tokens, the point included, it holds most likely. The "
        "interval\n"
        "is Wilson's, 95%.",
    .groups = groups,
    .arguments_size = sizeof(cloze_arguments),
    .run = run,
    .takes_model = true,
};
