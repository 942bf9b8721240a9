/* weir train: a small model from scratch, with and without a sink. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/interrupt.h"
#include "common/output.h"
#include "train/train_session.h"
#include "weir/plot.h"

#define AT(field) offsetof(train_arguments, field)
static const cli_option options[] = {
    {"--data", OPTION_TEXTS, "FILE[:WEIGHT],...", .at = AT(data),
     .help = "texts; weights share the samples out (default: by size). May be given again"},
    {"--validation", OPTION_TEXT, "FILE", .at = AT(validation),
     .help = "a text that is not learned from (default: none)"},
    {"--out", OPTION_TEXT, "MODEL.gguf", .at = AT(out), .help = "the model"},
    {"--format", OPTION_WORD, "TYPE", .at = AT(format), .words = TRAIN_FORMAT_WORDS,
     .help = "of its matrices: f32, f16, bf16 or q8_0 (default f16)"},
    {"--name", OPTION_TEXT, "NAME", .at = AT(name),
     .help = "general.name (default: that of the file)"},
    {"--vocab", OPTION_TEXT, "FILE.gguf", .at = AT(vocab),
     .help = "take the vocabulary of this file"},
    {"--vocabulary", OPTION_COUNT, "N", .at = AT(vocabulary), .range = "[260,1000000]",
     .help = "train one of N pieces on the texts (default: as --size has it)"},
    {"--seed", OPTION_COUNT, "N", .at = AT(seed), .range = "[0,inf)",
     .help = "of parameters and samples (default 0)"},
    {"--plan", OPTION_FLAG, NULL, .at = AT(plan), .help = "only say what it will take"},
    {"--json", OPTION_FLAG, NULL, .at = AT(json), .help = "print one JSON object"},
    {0},
};

static const cli_option shape_options[] = {
    {"--size", OPTION_TEXT, "NAME", .at = AT(size),
     .help = "1m, 3m, 10m, 30m, 60m or 160m parameters (default 3m); what follows differs from it"},
    {"--layers", OPTION_COUNT, "N", .at = AT(layers), .range = "[1,256]", .help = "blocks"},
    {"--width", OPTION_COUNT, "N", .at = AT(width), .range = "[2,16384]", .help = "of a state"},
    {"--heads", OPTION_COUNT, "N", .at = AT(heads), .range = "[1,512]", .help = "of queries"},
    {"--kv-heads", OPTION_COUNT, "N", .at = AT(kv_heads), .range = "[1,512]",
     .help = "of keys and values"},
    {"--feed-forward", OPTION_COUNT, "N", .at = AT(feed_forward), .range = "[1,65536]",
     .help = "width inside a feed-forward part"},
    {"--context", OPTION_COUNT, "N", .at = AT(context), .range = "[2,65536]",
     .help = "tokens of a sample; the batch shrinks as this grows"},
    {"--untied", OPTION_FLAG, NULL, .at = AT(untied),
     .help = "an output matrix of its own, not the embedding"},
    {"--sink", OPTION_WORD, "KIND", .at = AT(sink), .words = TRAIN_SINK_WORDS,
     .help = "none; zero: 1 in the softmax's sum; logit: a learned number; token: a learned token "
             "at the front (default none)"},
    {"--positions", OPTION_WORD, "KIND", .at = AT(positions), .words = TRAIN_POSITION_WORDS,
     .help = "rope or alibi (default rope)"},
    {"--rope-base", OPTION_REAL, "X", .at = AT(rope_base), .range = "(1,1e9]",
     .help = "of rotary positions (default 10000)"},
    {0},
};

static const cli_option work_options[] = {
    {"--steps", OPTION_COUNT, "N", .at = AT(steps), .range = "[1,inf)",
     .help = "updates (default: 20 tokens for each parameter)"},
    {"--tokens", OPTION_COUNT, "N", .at = AT(tokens), .range = "[1,inf)",
     .help = "as many steps as learn from N tokens"},
    {"--minutes", OPTION_REAL, "X", .at = AT(minutes), .range = "(0,1e6]",
     .help = "this call ends after X minutes; without --steps and --tokens, training has the steps "
             "that fit"},
    {"--batch", OPTION_COUNT, "N", .at = AT(batch), .range = "[1,1000000]",
     .help = "samples of an update (default: as --size has it)"},
    {"--micro-batch", OPTION_COUNT, "N", .at = AT(micro), .range = "[1,1000000]",
     .help = "samples computed together (default: chosen; memory grows with it)"},
    {"--precision", OPTION_WORD, "TYPE", .at = AT(precision), .words = TRAIN_PRECISION_WORDS,
     .help = "of products: float32, bfloat16, or the faster here (default auto)"},
    {"--threads", OPTION_COUNT, "N", .at = AT(threads), .range = "[1,256]",
     .help = "worker threads (default: one per CPU); the same bits for any number"},
    {"--rate", OPTION_REAL, "X", .at = AT(rate), .range = "(0,10]",
     .help = "learning rate (default: as --size has it)"},
    {"--rate-end", OPTION_REAL, "X", .at = AT(rate_end), .range = "[0,10]",
     .help = "at the last step (default: a tenth of --rate)"},
    {"--warm-up", OPTION_COUNT, "N", .at = AT(warm_up), .range = "[0,inf)",
     .help = "steps in which the rate grows (default 200, at most a tenth of all)"},
    {"--schedule", OPTION_WORD, "KIND", .at = AT(schedule), .words = TRAIN_SCHEDULE_WORDS,
     .help = "cosine, or wsd: constant, then a line down (default cosine)"},
    {"--decay-share", OPTION_REAL, "X", .at = AT(decay_share), .range = "(0,1]",
     .help = "wsd: share of the steps in which the rate falls (default 0.2)"},
    {"--weight-decay", OPTION_REAL, "X", .at = AT(decay), .range = "[0,10]",
     .help = "of matrices and embeddings (default 0.1)"},
    {"--beta1", OPTION_REAL, "X", .at = AT(beta1), .range = "[0,1)", .help = "AdamW (default 0.9)"},
    {"--beta2", OPTION_REAL, "X", .at = AT(beta2), .range = "[0,1)",
     .help = "AdamW (default 0.95)"},
    {"--epsilon", OPTION_REAL, "X", .at = AT(epsilon), .range = "(0,1]",
     .help = "AdamW (default 1e-8)"},
    {"--clip", OPTION_REAL, "X", .at = AT(clip), .range = "[0,inf)",
     .help = "largest norm of the gradients (default 1; 0: none)"},
    {0},
};

static const cli_option run_options[] = {
    {"--checkpoint", OPTION_TEXT, "DIR", .at = AT(checkpoint),
     .help = "folder of the run (default: beside the model, its name with .run)"},
    {"--fresh", OPTION_FLAG, NULL, .at = AT(fresh),
     .help = "begin anew where a checkpoint stands, which is lost"},
    {"--save-steps", OPTION_COUNT, "N", .at = AT(save_steps), .range = "[1,inf)",
     .help = "a checkpoint after every N steps (default: only by time)"},
    {"--save-minutes", OPTION_REAL, "X", .at = AT(save_minutes), .range = "[0,1e6]",
     .help = "a checkpoint after every X minutes (default 10; 0: not by time)"},
    {"--shards", OPTION_TEXT, "DIR", .at = AT(shards),
     .help = "folder for the texts as tokens, which runs may share (default: that of the run)"},
    {"--evaluate", OPTION_COUNT, "N", .at = AT(evaluate), .range = "[0,inf)",
     .help = "validation after every N steps (default 250; 0: never)"},
    {"--evaluate-samples", OPTION_COUNT, "N", .at = AT(evaluate_samples), .range = "[1,1000000]",
     .help = "samples of the validation text (default 64)"},
    {"--probe", OPTION_COUNT, "N", .at = AT(probe), .range = "[0,inf)",
     .help = "sink rate after every N steps (default 250; 0: never)"},
    {"--log", OPTION_TEXT, "FILE.csv", .at = AT(log),
     .help = "a line for each step (default: log.csv in the folder of the run)"},
    {"--plot", OPTION_TEXT, "FILE.png|svg", .at = AT(plot),
     .help = "the loss by step (default: loss.svg in the folder of the run)"},
    {0},
};

static const cli_group groups[] = {{"Options", options, 0},
                                   {"The model", shape_options, 0},
                                   {"The work", work_options, 0},
                                   {"The run", run_options, 0},
                                   {0}};
#undef AT

/* ---- options --------------------------------------------------------------------------------- */

static weir_status idle(const char *option, const char *why, weir_error *error) {
    return weir_error_set(error, WEIR_USAGE, "%s %s, or leave it out", option, why);
}

static weir_status check(const train_arguments *given, weir_error *error) {
    if (!given->data.given) {
        return weir_error_set(error, WEIR_USAGE, "which text? Give --data FILE");
    }
    if (!given->out.given) {
        return weir_error_set(error, WEIR_USAGE, "which model? Give --out MODEL.gguf");
    }
    if (given->vocab.given && given->vocabulary.given) {
        return weir_error_set(error, WEIR_USAGE,
                              "--vocab takes a vocabulary and --vocabulary trains one: give one of "
                              "them");
    }
    if (given->steps.given && given->tokens.given) {
        return weir_error_set(error, WEIR_USAGE,
                              "--steps and --tokens both say when training ends: give one of them");
    }
    if (given->rope_base.given && given->positions.count == WEIR_TRAIN_ALIBI) {
        return idle("--rope-base", "is for rotary positions: choose --positions rope", error);
    }
    if (given->decay_share.given && given->schedule.count != WEIR_TRAIN_WSD) {
        return idle("--decay-share", "is for a constant rate: choose --schedule wsd", error);
    }
    if ((given->evaluate.given || given->evaluate_samples.given) && !given->validation.given) {
        return idle(given->evaluate.given ? "--evaluate" : "--evaluate-samples",
                    "needs a text: give --validation FILE", error);
    }
    return given->plot.given ? weir_plot_path_check(given->plot.text, error) : WEIR_OK;
}

/* "stories.txt:2": the text and its weight. What follows the last colon is a weight when it is a
 * number. */
static weir_status take_text(char *word, weir_train_text *out, weir_error *error) {
    char *colon = strrchr(word, ':'), *end = NULL;
    *out = (weir_train_text){.path = word};
    if (colon != NULL) {
        out->weight = strtod(colon + 1, &end);
        if (end == colon + 1 || *end != '\0') {
            out->weight = 0;
        } else if (!(out->weight > 0 && out->weight < 1e9)) {
            return weir_error_set(error, WEIR_USAGE,
                                  "--data %.200s: a weight must be above 0, as in FILE:2", word);
        } else {
            *colon = '\0';
        }
    }
    return word[0] != '\0' ? WEIR_OK
                           : weir_error_set(error, WEIR_USAGE, "--data has an empty name in it");
}

static weir_status take_texts(train_session *session, weir_error *error) {
    const cli_texts *data = &session->arguments->data;
    size_t size = 0, commas = 0;
    for (int i = 0; i < data->given; i++) {
        size += strlen(data->items[i]) + 1;
        for (const char *at = data->items[i]; (at = strchr(at, ',')) != NULL; at++) {
            commas++;
        }
    }
    session->words = malloc(size);
    session->texts = calloc((size_t)data->given + commas, sizeof *session->texts);
    if (session->words == NULL || session->texts == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for the names of the texts");
    }
    session->words[0] = '\0';
    char *to = session->words;
    for (int i = 0; i < data->given; i++) {
        char *next = to;
        to = stpcpy(to, data->items[i]) + 1;
        while (next != NULL) {
            weir_train_text *text = &session->texts[session->options.data_count++];
            weir_status status = take_text(strsep(&next, ","), text, error);
            if (status != WEIR_OK) {
                return status;
            }
        }
    }
    session->options.data = session->texts;
    return WEIR_OK;
}

static void set_count(const cli_value *from, int64_t *to) {
    if (from->given) {
        *to = from->count;
    }
}

static void set_real(const cli_value *from, double *to) {
    if (from->given) {
        *to = from->real;
    }
}

static weir_status take_shape(const train_arguments *given, weir_train_options *to,
                              weir_error *error) {
    weir_train_shape *shape = &to->shape;
    if (given->size.given) {
        weir_status status = weir_train_preset(given->size.text, to, error);
        if (status != WEIR_OK) {
            return status;
        }
    }
    if (given->context.given) { /* an update keeps its tokens */
        int64_t batch = to->batch * shape->context / given->context.count;
        to->batch = batch < 1 ? 1 : batch;
    }
    set_count(&given->layers, &shape->layers);
    set_count(&given->width, &shape->width);
    set_count(&given->heads, &shape->heads);
    set_count(&given->kv_heads, &shape->kv_heads);
    set_count(&given->feed_forward, &shape->feed_forward);
    set_count(&given->context, &shape->context);
    set_count(&given->vocabulary, &shape->vocabulary);
    set_real(&given->rope_base, &shape->rope_base);
    shape->tied = !given->untied.given;
    shape->sink = (weir_train_sink)given->sink.count;
    shape->positions = (weir_train_positions)given->positions.count;
    return WEIR_OK;
}

static void take_work(const train_arguments *given, weir_train_options *to) {
    int64_t threads = 0;
    set_count(&given->steps, &to->steps);
    set_count(&given->tokens, &to->tokens);
    set_count(&given->batch, &to->batch);
    set_count(&given->micro, &to->micro);
    set_count(&given->warm_up, &to->warm_up);
    set_count(&given->threads, &threads);
    set_real(&given->minutes, &to->minutes);
    if (given->rate.given) {
        to->rate = given->rate.real;
        to->rate_end = to->rate / 10;
    }
    set_real(&given->rate_end, &to->rate_end);
    set_real(&given->decay_share, &to->decay_share);
    set_real(&given->decay, &to->decay);
    set_real(&given->beta1, &to->beta1);
    set_real(&given->beta2, &to->beta2);
    set_real(&given->epsilon, &to->epsilon);
    set_real(&given->clip, &to->clip);
    to->threads = (int32_t)threads;
    to->seed = (uint64_t)given->seed.count;
    to->schedule = (weir_train_schedule)given->schedule.count;
    to->precision = given->precision.given ? given->precision.text : "auto";
}

static void take_run(const train_arguments *given, weir_train_options *to) {
    static const char *const formats[] = {"F32", "F16", "BF16", "Q8_0"};
    to->validation = given->validation.text;
    to->vocabulary = given->vocab.text;
    to->out = given->out.text;
    to->format = formats[given->format.given ? given->format.count : 1];
    to->name = given->name.text;
    to->checkpoint = given->checkpoint.text;
    to->fresh = given->fresh.given > 0;
    to->shards = given->shards.text;
    to->log = given->log.text;
    set_count(&given->save_steps, &to->save_steps);
    set_real(&given->save_minutes, &to->save_minutes);
    set_count(&given->evaluate, &to->evaluate);
    set_count(&given->evaluate_samples, &to->evaluate_most);
    set_count(&given->probe, &to->probe);
}

static weir_status prepare(train_session *session, weir_error *error) {
    const train_arguments *given = session->arguments;
    session->options = weir_train_options_default();
    session->watched = isatty(STDERR_FILENO) == 1;
    weir_status status = check(given, error);
    if (status == WEIR_OK) {
        status = take_shape(given, &session->options, error);
    }
    if (status == WEIR_OK) {
        status = take_texts(session, error);
    }
    if (status == WEIR_OK) {
        take_work(given, &session->options);
        take_run(given, &session->options);
        session->options.progress = train_progress;
        session->options.progress_context = session;
        snprintf(session->plot, sizeof session->plot, "%s",
                 given->plot.given ? given->plot.text : "");
    }
    return status;
}

/* ---- work ------------------------------------------------------------------------------------ */

static int plan(train_session *session, weir_error *error) {
    weir_train_plan made;
    weir_status status = weir_train_plan_measure(&session->options, &made, error);
    if (status == WEIR_OK && weir_train_process() == 0) {
        status = train_print_plan(session, &made, error);
    }
    return status == WEIR_OK ? EXIT_DONE : EXIT_FAILED;
}

/* Whatever happened, what came out so far is told; the figure too. */
static int train(cli_call *call, train_session *session, weir_error *error) {
    weir_train_result result;
    weir_error unshown = {0};
    interrupt_catch(false);
    weir_status status = weir_train_run(&session->options, &result, error);
    train_clear_line(session);
    if (weir_train_process() > 0) { /* the first process speaks for all */
        return status == WEIR_OK ? EXIT_DONE : EXIT_FAILED;
    }
    if (session->folder[0] == '\0') {
        return report(call, error); /* before it began */
    }
    weir_status shown = session->figure ? train_draw(session, &unshown) : WEIR_OK;
    if (status == WEIR_OK || call->json) {
        weir_error unsaid;
        if (train_print_result(session, &result, status == WEIR_OK ? NULL : error, &unsaid) !=
                WEIR_OK &&
            shown == WEIR_OK) {
            shown = unsaid.status;
            unshown = unsaid;
        }
    }
    return report_beside(call, status == WEIR_OK ? NULL : error,
                         shown == WEIR_OK ? NULL : &unshown);
}

static int run(cli_call *call, void *given) {
    weir_error error = {0};
    train_session session = {.call = call, .arguments = given};
    int status;
    if (prepare(&session, &error) != WEIR_OK) {
        status = report(call, &error);
    } else if (session.arguments->plan.given) {
        status = plan(&session, &error);
        status = status == EXIT_DONE ? status : report(call, &error);
    } else {
        status = train(call, &session, &error);
    }
    free(session.texts);
    free(session.words);
    return status;
}

const cli_command train_command = {
    .name = "train",
    .synopsis = "--data FILE[,FILE...] --out MODEL.gguf [--size 3m] [--sink token] [options]",
    .summary = "train a small model: without a sink, with a zero sink, a logit or a sink token",
    .notes =
        "Before it starts it says parameters, memory, tokens, steps and the time they will take. "
        "The\n"
        "folder of the run holds all of it: the same command goes on from the last checkpoint, "
        "whatever\n"
        "ended it, with the bits of a run that nothing interrupted; more --steps extend it. "
        "Options "
        "that\n"
        "contradict the checkpoint are refused. Ctrl-C finishes the step and saves.\n"
        "\n"
        "The log has a line for each step: step, tokens, rate, loss, gradient_norm, and where they "
        "were\n"
        "measured validation_nll, validation_perplexity, bits_per_character, sink_rate and "
        "term_rate\n"
        "(the share of heads with more than 0.3 on token 0, and on the softmax's extra term), "
        "then\n"
        "tokens_per_second, seconds, and the mean attention of each layer on both: token0_N, "
        "term_N.\n"
        "\n"
        "mpirun -n N weir train ... shares the samples of each step out to N processes.\n"
        "\n"
        "--json: model, parameters, step, steps, begun_at, tokens, loss, validation_nll,\n"
        "validation_perplexity, bits_per_character, sink_rate, term_rate, seconds,\n"
        "tokens_per_second, finished, checkpoint, log.",
    .groups = groups,
    .arguments_size = sizeof(train_arguments),
    .run = run,
};
