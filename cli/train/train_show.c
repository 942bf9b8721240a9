/* What `weir train` says: what it will take, how far it has come, what came out. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/interrupt.h"
#include "common/output.h"
#include "common/words.h"
#include "train/train_session.h"

enum { LINE_MAX_SIZE = 256 };

/* ---- words ----------------------------------------------------------------------------------- */

/* "1:02:03", "2:05", "?" */
static const char *word_time(double seconds, char out[WORD_MAX]) {
    if (!(seconds >= 0 && seconds < 1e9)) {
        return strcpy(out, "?");
    }
    long long whole = (long long)(seconds + 0.5);
    if (whole >= 3600) {
        snprintf(out, WORD_MAX, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
    } else {
        snprintf(out, WORD_MAX, "%lld:%02lld", whole / 60, whole % 60);
    }
    return out;
}

/* ---- while it works -------------------------------------------------------------------------- */

void train_clear_line(train_session *session) {
    if (session->on_screen) {
        fputs("\r\033[K", stderr);
        session->on_screen = false;
    }
}

/* A line that the next one replaces (on a terminal), or one that stays. */
static void show(train_session *session, const char *line, bool stays) {
    train_clear_line(session);
    fputs(line, stderr);
    session->on_screen = !stays;
    if (stays) {
        fputc('\n', stderr);
    }
    fflush(stderr);
}

static void show_bytes(train_session *session, const weir_train_progress *progress) {
    if (session->watched && now_seconds() >= session->shown_at + 0.2) {
        char line[LINE_MAX_SIZE], done[WORD_MAX], total[WORD_MAX];
        snprintf(line, sizeof line, "%s: %s of %s",
                 progress->stage == WEIR_TRAIN_VOCABULARY ? "training a vocabulary"
                                                          : "texts become tokens",
                 word_bytes(progress->done, done), word_bytes(progress->total, total));
        show(session, line, false);
        session->shown_at = now_seconds();
    }
}

static void say_plan(train_session *session, const weir_train_progress *progress) {
    const weir_train_plan *plan = progress->plan;
    char line[2 * LINE_MAX_SIZE], a[WORD_MAX], b[WORD_MAX], c[WORD_MAX], d[WORD_MAX], e[WORD_MAX];
    double epochs = progress->text_tokens > 0 ? (double)plan->tokens / (double)progress->text_tokens
                                              : (double)NAN;
    snprintf(line, sizeof line,
             "weir: %s parameters; %s of memory; %s steps of %s tokens, %s in all, %.3g times the "
             "texts",
             word_count(plan->parameters, a), word_bytes(plan->memory_bytes, b),
             word_count(plan->steps, c), word_count(plan->step_tokens, d),
             word_short(plan->tokens, e), epochs);
    show(session, line, true);
    int used = snprintf(line, sizeof line, "weir: %s, %d thread%s", plan->precision, plan->threads,
                        plan->threads == 1 ? "" : "s");
    if (plan->processes > 1) {
        used += snprintf(line + used, sizeof line - (size_t)used, " in each of %d processes",
                         plan->processes);
    }
    if (progress->step > 0) {
        used += snprintf(line + used, sizeof line - (size_t)used, "; step %s stands in %.200s",
                         word_count(progress->step, b), progress->folder);
    }
    if (plan->steps > progress->step) {
        snprintf(line + used, sizeof line - (size_t)used, "; this will take about %s",
                 word_time(plan->seconds, a));
    } else {
        snprintf(line + used, sizeof line - (size_t)used, ": nothing is left to train");
    }
    show(session, line, true);
}

static void say_step(const weir_train_progress *progress, char line[LINE_MAX_SIZE]) {
    char a[WORD_MAX], b[WORD_MAX], c[WORD_MAX], d[WORD_MAX];
    int used =
        snprintf(line, LINE_MAX_SIZE, "step %s of %s: loss %.4f", word_count(progress->step, a),
                 word_count(progress->plan->steps, b), progress->loss);
    if (isfinite(progress->validation)) {
        used += snprintf(line + used, LINE_MAX_SIZE - (size_t)used, ", validation perplexity %.4g",
                         exp(progress->validation));
    }
    if (isfinite(progress->sink_rate)) {
        used += snprintf(line + used, LINE_MAX_SIZE - (size_t)used, ", sink rate %.2f",
                         progress->sink_rate);
    }
    snprintf(line + used, LINE_MAX_SIZE - (size_t)used, ", %s tokens/s, %s left",
             word_speed(progress->tokens_per_second, c), word_time(progress->seconds_left, d));
}

/* One line stays for every evaluation, or for every checkpoint without them; between them, on a
 * terminal, one is written over. */
static void show_step(train_session *session, const weir_train_progress *progress, bool saved) {
    char line[LINE_MAX_SIZE];
    bool evaluated = isfinite(progress->validation) && progress->validation != session->validation;
    bool stays = evaluated || (saved && !isfinite(progress->validation) && progress->step > 0);
    if (!stays && (!session->watched || now_seconds() < session->shown_at + 0.5)) {
        return;
    }
    session->shown_at = now_seconds();
    if (stays) {
        session->validation = progress->validation;
    }
    say_step(progress, line);
    show(session, line, stays);
}

static void know_paths(train_session *session, const weir_train_progress *progress) {
    snprintf(session->log, sizeof session->log, "%s", progress->log);
    snprintf(session->folder, sizeof session->folder, "%s", progress->folder);
    if (!session->arguments->plot.given &&
        snprintf(session->plot, sizeof session->plot, "%s/loss.svg", progress->folder) >=
            (int)sizeof session->plot) {
        session->plot[0] = '\0';
    }
}

bool train_progress(void *context, const weir_train_progress *progress) {
    train_session *session = context;
    switch (progress->stage) {
    case WEIR_TRAIN_VOCABULARY:
    case WEIR_TRAIN_TOKENS:
        show_bytes(session, progress);
        break;
    case WEIR_TRAIN_NOTE:
        train_clear_line(session);
        fprintf(stderr, "weir: %s; going on from the one before it\n", progress->note);
        break;
    case WEIR_TRAIN_BEGIN:
        know_paths(session, progress);
        session->validation = progress->validation;
        say_plan(session, progress);
        break;
    case WEIR_TRAIN_STEP:
        session->figure = true;
        show_step(session, progress, false);
        break;
    case WEIR_TRAIN_SAVED:
        show_step(session, progress, true);
        if (session->figure && train_draw(session, NULL) == WEIR_OK) {
            session->figure = false; /* what failed is tried again, and told, at the end */
        }
        break;
    }
    return !interrupted();
}

/* ---- at the end ------------------------------------------------------------------------------ */

weir_status train_print_plan(const train_session *session, const weir_train_plan *plan,
                             weir_error *error) {
    char a[WORD_MAX], b[WORD_MAX], c[WORD_MAX];
    if (session->call->json) {
        return output_json(
            json_pack("{s:I,s:I,s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:s,s:i,s:i,s:o}", "parameters",
                      (json_int_t)plan->parameters, "memory_bytes", (json_int_t)plan->memory_bytes,
                      "available_bytes",
                      plan->available_bytes < 0 ? json_null() : json_integer(plan->available_bytes),
                      "checkpoint_bytes", (json_int_t)plan->checkpoint_bytes, "micro_batch",
                      (json_int_t)plan->micro, "steps", (json_int_t)plan->steps, "step_done",
                      (json_int_t)plan->step_done, "step_tokens", (json_int_t)plan->step_tokens,
                      "tokens", (json_int_t)plan->tokens, "operations_per_token", plan->operations,
                      "precision", plan->precision, "threads", (int)plan->threads, "processes",
                      (int)plan->processes, "seconds", json_number(plan->seconds)),
            error);
    }
    printf("parameters   %s\n", word_count(plan->parameters, a));
    printf("memory       %s, of %s that are free; a checkpoint %s\n",
           word_bytes(plan->memory_bytes, a), word_bytes(plan->available_bytes, b),
           word_bytes(plan->checkpoint_bytes, c));
    printf("work         %s steps of %s tokens, %s in all; %.4g operations for each\n",
           word_count(plan->steps, a), word_count(plan->step_tokens, b),
           word_short(plan->tokens, c), plan->operations);
    if (plan->step_done > 0) {
        printf("done         %s steps\n", word_count(plan->step_done, a));
    }
    printf("time         about %s, %s, %d thread%s\n", word_time(plan->seconds, a), plan->precision,
           plan->threads, plan->threads == 1 ? "" : "s");
    return output_flush(error);
}

static weir_status print_json(const train_session *session, const weir_train_result *result,
                              const weir_error *failed, weir_error *error) {
    json_t *object =
        json_pack("{s:o,s:I,s:I,s:I,s:I,s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:f,s:o,s:b,s:o,s:o}", "model",
                  json_word(session->options.out), "parameters", (json_int_t)result->parameters,
                  "step", (json_int_t)result->step, "steps", (json_int_t)result->steps, "begun_at",
                  (json_int_t)result->begun_at, "tokens", (json_int_t)result->tokens, "loss",
                  json_number(result->loss), "validation_nll", json_number(result->validation),
                  "validation_perplexity", json_number(exp(result->validation)),
                  "bits_per_character", json_number(result->bits_per_character), "sink_rate",
                  json_number(result->sink_rate), "term_rate", json_number(result->term_rate),
                  "seconds", result->seconds, "tokens_per_second",
                  json_number(result->tokens_per_second), "finished", (int)result->finished,
                  "checkpoint", json_word(session->folder), "log", json_word(session->log));
    return output_json_beside(object, failed, error);
}

weir_status train_print_result(const train_session *session, const weir_train_result *result,
                               const weir_error *failed, weir_error *error) {
    char a[WORD_MAX], b[WORD_MAX], c[WORD_MAX];
    if (session->call->json) {
        return print_json(session, result, failed, error);
    }
    printf("%s: %s parameters, step %s", session->options.out, word_count(result->parameters, a),
           word_count(result->step, b));
    if (!result->finished) {
        printf(" of %s; the same command goes on", word_count(result->steps, c));
    }
    printf("\n%s tokens in %s, loss %.4f", word_short(result->tokens, a),
           word_time(result->seconds, b), result->loss);
    if (isfinite(result->validation)) {
        printf(", validation perplexity %.4g, %.4g bits per character", exp(result->validation),
               result->bits_per_character);
    }
    if (isfinite(result->sink_rate)) {
        printf(", sink rate %.2f", result->sink_rate);
    }
    putchar('\n');
    return output_flush(error);
}
