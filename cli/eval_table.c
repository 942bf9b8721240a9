/* The results of `weir eval`, for programs and for people. */
#include <math.h>
#include <stdio.h>

#include "common/words.h"
#include "eval_runs.h"

static double speed(const weir_eval_result *result) {
    return result->seconds > 0 ? (double)result->tokens / result->seconds : (double)NAN;
}

static json_t *run_json(const eval_run *run) {
    const weir_plan *plan = &run->plan;
    const weir_eval_result *result = &run->result;
    return json_pack("{s:s,s:I,s:I,s:I,s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:I,s:I,s:o}", "policy",
                     policy_name(plan->policy), "sinks", (json_int_t)plan->sinks, "window",
                     (json_int_t)plan->window, "tokens", (json_int_t)result->tokens, "scored",
                     (json_int_t)result->scored, "nll", json_number(result->nll), "nll_error",
                     json_number(result->error), "ppl", json_number(exp(result->nll)),
                     "ppl_after_window", json_number(exp(result->nll_after)), "seconds",
                     json_number(result->seconds), "tokens_per_second", json_number(speed(result)),
                     "kv_bytes", (json_int_t)plan->kv_bytes, "reserved_bytes",
                     (json_int_t)plan->reserved_bytes, "peak_memory_bytes",
                     result->peak_memory >= 0 ? json_integer(result->peak_memory) : json_null());
}

weir_status eval_print_json(const eval_session *session, const char *model, weir_error *error) {
    json_t *runs = json_array();
    for (int i = 0; i < session->done; i++) {
        json_array_append_new(runs, run_json(&session->runs[i]));
    }
    return output_json(json_pack("{s:o,s:o}", "model", json_word(model), "runs", runs), error);
}

static void print_perplexity(double nll) {
    if (isfinite(nll)) {
        printf("%12.*f", exp(nll) < 1000 ? 3 : 0, exp(nll));
    } else {
        printf("%12s", "-");
    }
}

static void print_run(const eval_run *run, bool after) {
    const weir_plan *plan = &run->plan;
    char a[WORD_MAX], b[WORD_MAX], c[WORD_MAX];
    printf("%-10s %6lld %8lld", policy_name(plan->policy), (long long)plan->sinks,
           (long long)plan->window);
    print_perplexity(run->result.nll);
    if (after) {
        print_perplexity(run->result.nll_after);
    }
    printf("%10s %11s %11s\n", word_speed(speed(&run->result), a), word_bytes(plan->kv_bytes, b),
           word_bytes(run->result.peak_memory, c));
}

weir_status eval_print_table(const eval_session *session, const char *text, weir_error *error) {
    char count[WORD_MAX], beyond[WORD_MAX * 2];
    bool after = session->after > 0 && session->after + 1 < session->tokens.count;
    printf("%s: %s tokens\n\n", text, word_count(session->tokens.count, count));
    printf("%-10s %6s %8s%12s", "policy", "sinks", "window", "perplexity");
    if (after) {
        snprintf(beyond, sizeof beyond, "beyond %lld", (long long)session->after);
        printf("%12s", beyond);
    }
    printf("%10s %11s %11s\n", "tokens/s", "cache", "memory");
    for (int i = 0; i < session->done; i++) {
        print_run(&session->runs[i], after);
    }
    return output_flush(error);
}
