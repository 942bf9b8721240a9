/* The results of `weir eval`, for programs and for people. */
#include <math.h>
#include <stdio.h>

#include "common/words.h"
#include "eval/eval_runs.h"

static double speed(const weir_eval_result *result) {
    return result->seconds > 0 ? (double)result->tokens / result->seconds : (double)NAN;
}

/* Runs that have a result: the finished ones, and one that stopped on its way. */
static int shown(const eval_session *session) { return session->done + session->partial; }

static json_t *run_json(const eval_session *session, int i) {
    const weir_plan *plan = &session->runs[i].plan;
    const weir_eval_result *result = &session->runs[i].result;
    double before = session->after > 0 ? result->nll_before : (double)NAN;
    return json_pack("{s:s,s:I,s:I,s:I,s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:I,s:I,s:o,s:b}", "policy",
                     policy_name(plan->policy), "sinks", (json_int_t)plan->sinks, "window",
                     (json_int_t)plan->window, "tokens", (json_int_t)result->tokens, "scored",
                     (json_int_t)result->scored, "nll", json_number(result->nll), "nll_error",
                     json_number(result->error), "ppl", json_number(exp(result->nll)),
                     "ppl_before_window", json_number(exp(before)), "ppl_after_window",
                     json_number(exp(result->nll_after)), "seconds", json_number(result->seconds),
                     "tokens_per_second", json_number(speed(result)), "kv_bytes",
                     (json_int_t)plan->kv_bytes, "reserved_bytes", (json_int_t)plan->reserved_bytes,
                     "peak_memory_bytes",
                     result->peak_memory >= 0 ? json_integer(result->peak_memory) : json_null(),
                     "partial", (int)(i == session->done));
}

weir_status eval_print_json(const eval_session *session, const char *model,
                            const weir_error *failed, weir_error *error) {
    json_t *runs = json_array();
    for (int i = 0; i < shown(session); i++) {
        json_array_append_new(runs, run_json(session, i));
    }
    json_t *object = json_pack("{s:o,s:o}", "model", json_word(model), "runs", runs);
    if (session->replacement >= 0) {
        json_object_set_new(object, "replaced_with", json_integer(session->replacement));
    }
    return output_json_beside(object, failed, error);
}

static void print_perplexity(double nll) {
    if (isfinite(nll)) {
        printf("%12.*f", exp(nll) < 1000 ? 3 : 0, exp(nll));
    } else {
        printf("%12s", "-");
    }
}

static void print_run(const eval_session *session, int i, bool parts) {
    const weir_plan *plan = &session->runs[i].plan;
    const weir_eval_result *result = &session->runs[i].result;
    char a[WORD_MAX], b[WORD_MAX], c[WORD_MAX];
    printf("%-10s %6lld %8lld %8.4f", policy_name(plan->policy), (long long)plan->sinks,
           (long long)plan->window, result->nll);
    if (isfinite(result->error)) {
        printf(" %7.4f", result->error);
    } else {
        printf(" %7s", "-");
    }
    print_perplexity(result->nll);
    if (parts) {
        print_perplexity(result->nll_before);
        print_perplexity(result->nll_after);
    }
    printf("%10s %11s %11s", word_speed(speed(result), a), word_bytes(plan->kv_bytes, b),
           word_bytes(result->peak_memory, c));
    if (i == session->done) {
        printf("  stopped after %s tokens", word_count(result->tokens, a));
    }
    putchar('\n');
}

weir_status eval_print_table(const eval_session *session, const char *text, weir_error *error) {
    char count[WORD_MAX], first[WORD_MAX * 2], beyond[WORD_MAX * 2];
    bool parts = session->after > 0 && session->after + 1 < session->text.count;
    printf("%s: %s tokens\n", text, word_count(session->text.count, count));
    if (session->replacement >= 0) {
        printf("token %d stands in the place of the sinks\n", session->replacement);
    }
    printf("\n%-10s %6s %8s %8s %7s%12s", "policy", "sinks", "window", "nats", "+-", "perplexity");
    if (parts) {
        snprintf(first, sizeof first, "first %lld", (long long)session->after);
        snprintf(beyond, sizeof beyond, "beyond %lld", (long long)session->after);
        printf("%12s%12s", first, beyond);
    }
    printf("%10s %11s %11s\n", "tokens/s", "cache", "memory");
    for (int i = 0; i < shown(session); i++) {
        print_run(session, i, parts);
    }
    return output_flush(error);
}
