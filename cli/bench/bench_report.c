/* The results of `weir bench`, for programs and for people, and the ratios between them. */
#include <math.h>
#include <stdio.h>

#include "bench/bench_session.h"
#include "common/words.h"

/* ---- ratios ---------------------------------------------------------------------------------- */

int bench_shown(const bench_session *session) { return session->done + session->partial; }

int64_t bench_size(const bench_session *session, const bench_run *run) {
    bool window = session->by_window && run->plan.policy != WEIR_DENSE;
    return window ? run->plan.window : run->plan.slots;
}

bench_ratios bench_compare(const bench_session *session, const bench_run *run) {
    for (int i = 0; i < bench_shown(session); i++) {
        const bench_run *other = &session->runs[i];
        if (other->plan.policy == WEIR_RECOMPUTE && run->plan.policy != WEIR_DENSE &&
            bench_size(session, other) == bench_size(session, run)) {
            return (bench_ratios){other->decode.times.mean / run->decode.times.mean,
                                  other->decode.times.p50 / run->decode.times.p50};
        }
    }
    return (bench_ratios){(double)NAN, (double)NAN};
}

double bench_reading_share(const bench_session *session, const bench_run *run) {
    if (!session->measured || run->plan.policy == WEIR_RECOMPUTE) {
        return (double)
            NAN; /* which reads the weights once for a chunk, and computes most of the time */
    }
    double seconds = run->decode.times.p50 * 1e-3;
    return (double)session->work.weight_bytes / seconds / session->machine.read_bytes;
}

/* Keys that the tokens 0 ... n-1 see in all, of at most `most` each. */
static double keys_seen(int64_t n, int64_t most) {
    double grown = (double)(n < most ? n : most);
    return grown * (grown + 1) / 2 + (n > most ? (double)(n - most) * (double)most : 0);
}

double bench_computing_share(const bench_session *session, const bench_run *run) {
    const weir_model_info *info = weir_model_get_info(session->model);
    const int64_t slots = run->plan.slots;
    int64_t tokens = run->prefill.tokens;
    if (!session->measured) {
        return (double)NAN;
    }
    if (run->plan.policy == WEIR_RECOMPUTE && tokens > slots) {
        tokens = slots; /* the others are never computed */
    }
    int64_t most =
        info->layer_window > 0 && info->layer_window < slots ? info->layer_window : slots;
    double key = 2.0 * (double)((info->key_dim + info->value_dim) * info->heads * info->layers);
    const weir_machine *machine = &session->machine;
    const bench_work *work = &session->work;
    double floats = work->float_operations * (double)tokens + key * keys_seen(tokens, most);
    double bytes = work->int8_operations * (double)tokens;
    double byte_peak =
        machine->int8_operations > 0 ? machine->int8_operations : machine->float_operations;
    double seconds = run->prefill.times.p50 * 1e-3 * (double)run->prefill.tokens;
    return (floats / machine->float_operations + bytes / byte_peak) / seconds;
}

static double speed(const bench_phase *phase) {
    return phase->seconds > 0 ? (double)phase->tokens / phase->seconds : (double)NAN;
}

double bench_batch_ratio(const bench_run *run, const bench_batch *batch) {
    for (int i = 0; i < run->batches_done; i++) {
        if (run->batches[i].streams == 1) {
            return run->batches[i].decode.times.mean / batch->decode.times.mean;
        }
    }
    return (double)NAN;
}

double bench_batch_share(const bench_run *run, const bench_batch *batch) {
    return speed(&batch->decode) / speed(&run->prefill);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *phase_json(const bench_phase *phase, const char *share_name, double share) {
    const weir_times *times = &phase->times;
    return json_pack("{s:I,s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "tokens",
                     (json_int_t)phase->tokens, "timed", (json_int_t)phase->pieces, "mean_ms",
                     json_number(times->mean), "p50_ms", json_number(times->p50), "p90_ms",
                     json_number(times->p90), "p99_ms", json_number(times->p99), "slowest_ms",
                     json_number(times->slowest), "seconds", json_number(phase->seconds),
                     "tokens_per_second", json_number(speed(phase)), share_name,
                     json_number(share));
}

static json_t *batches_json(const bench_run *run) {
    json_t *batches = json_array();
    for (int i = 0; i < run->batches_done; i++) {
        const bench_batch *batch = &run->batches[i];
        json_t *object = phase_json(&batch->decode, "prefill_share", bench_batch_share(run, batch));
        json_object_set_new(object, "streams", json_integer(batch->streams));
        json_object_set_new(object, "ratio_to_one", json_number(bench_batch_ratio(run, batch)));
        json_object_set_new(object, "reserved_bytes", json_integer(batch->reserved_bytes));
        json_array_append_new(batches, object);
    }
    return batches;
}

static json_t *run_json(const bench_session *session, int i) {
    const bench_run *run = &session->runs[i];
    const weir_plan *plan = &run->plan;
    const bench_ratios ratios = bench_compare(session, run);
    return json_pack(
        "{s:s,s:I,s:I,s:I,s:o,s:o,s:o,s:o,s:I,s:I,s:o,s:o,s:b}", "policy",
        policy_name(plan->policy), "sinks", (json_int_t)plan->sinks, "window",
        (json_int_t)plan->window, "slots", (json_int_t)plan->slots, "prefill",
        phase_json(&run->prefill, "compute_share", bench_computing_share(session, run)), "decode",
        phase_json(&run->decode, "read_share", bench_reading_share(session, run)),
        "ratio_to_recompute", json_number(ratios.mean), "median_ratio_to_recompute",
        json_number(ratios.median), "kv_bytes", (json_int_t)plan->kv_bytes, "reserved_bytes",
        (json_int_t)plan->reserved_bytes, "resident_bytes",
        run->resident >= 0 ? json_integer(run->resident) : json_null(), "batches",
        batches_json(run), "partial", (int)(i == session->done));
}

static json_t *machine_json(const bench_session *session) {
    const weir_machine *machine = &session->machine;
    if (!session->measured) {
        return json_null();
    }
    double bytes = machine->int8_operations > 0 ? machine->int8_operations * 1e-9 : (double)NAN;
    double tiles = machine->tile_operations > 0 ? machine->tile_operations * 1e-9 : (double)NAN;
    return json_pack("{s:s,s:i,s:o,s:o,s:o,s:o}", "cpu", machine->cpu, "threads",
                     (int)machine->threads, "read_gb_per_second",
                     json_number(machine->read_bytes * 1e-9), "float_gflop_per_second",
                     json_number(machine->float_operations * 1e-9), "int8_gop_per_second",
                     json_number(bytes), "tile_gop_per_second", json_number(tiles));
}

/* How the weights came to lie as the kernels want them; null with --no-repack. */
static json_t *packed_json(const bench_session *session) {
    const weir_model_info *info = weir_model_get_info(session->model);
    if (info->packed_bytes == 0) {
        return json_null();
    }
    return json_pack("{s:I,s:f}", "bytes", (json_int_t)info->packed_bytes, "seconds",
                     info->packed_seconds);
}

weir_status bench_print_json(const bench_session *session, const char *model,
                             const weir_error *failed, weir_error *error) {
    json_t *runs = json_array();
    for (int i = 0; i < bench_shown(session); i++) {
        json_array_append_new(runs, run_json(session, i));
    }
    json_t *object =
        json_pack("{s:o,s:I,s:I,s:{s:f,s:f},s:o,s:o,s:o}", "model", json_word(model), "seed",
                  (json_int_t)session->seed, "weight_bytes_per_token",
                  (json_int_t)session->work.weight_bytes, "operations_per_token", "float",
                  session->work.float_operations, "int8", session->work.int8_operations, "packed",
                  packed_json(session), "machine", machine_json(session), "runs", runs);
    return output_json_beside(object, failed, error);
}

/* ---- the table ------------------------------------------------------------------------------- */

static void print_machine(const bench_session *session) {
    const weir_machine *machine = &session->machine;
    char bytes[WORD_MAX];
    const weir_model_info *info = weir_model_get_info(session->model);
    printf("a token reads %s of weights", word_bytes(session->work.weight_bytes, bytes));
    if (info->packed_bytes > 0) {
        printf(", rearranged in %.2f s", info->packed_seconds);
    }
    if (session->measured) {
        printf("; this machine, %s, %d thread%s: reads %.1f GB/s, %.0f GFLOP/s", machine->cpu,
               (int)machine->threads, machine->threads == 1 ? "" : "s", machine->read_bytes * 1e-9,
               machine->float_operations * 1e-9);
        if (machine->int8_operations > 0) {
            printf(", %.0f GOP/s of int8", machine->int8_operations * 1e-9);
        }
        if (machine->tile_operations > 0) {
            printf(", %.0f in tiles", machine->tile_operations * 1e-9);
        }
    }
    printf("\n\n");
}

static void print_share(double share) {
    if (isfinite(share)) {
        printf(" %6.1f%%", 100 * share);
    } else {
        printf(" %7s", "-");
    }
}

static void print_phase(const bench_phase *phase, double share) {
    const weir_times *times = &phase->times;
    const double shown[] = {times->p50, times->p90, times->p99, times->slowest};
    char word[WORD_MAX];
    for (int i = 0; i < 4; i++) {
        if (isfinite(shown[i])) {
            printf(" %8.*f", shown[i] < 1 ? 4 : shown[i] < 100 ? 3 : 1, shown[i]);
        } else {
            printf(" %8s", "-");
        }
    }
    printf(" %9s", word_speed(speed(phase), word));
    print_share(share);
}

static void print_row(const bench_session *session, int i) {
    const bench_run *run = &session->runs[i];
    const weir_plan *plan = &run->plan;
    const double ratio = bench_compare(session, run).mean;
    char kv[WORD_MAX], reserved[WORD_MAX], resident[WORD_MAX];
    printf("%-10s %5lld %7lld  decode ", policy_name(plan->policy), (long long)plan->sinks,
           (long long)plan->window);
    print_phase(&run->decode, bench_reading_share(session, run));
    if (isfinite(ratio)) {
        printf(" %9.1fx", ratio);
    } else {
        printf(" %10s", "-");
    }
    printf(" %10s %10s %10s\n", word_bytes(plan->kv_bytes, kv),
           word_bytes(plan->reserved_bytes, reserved), word_bytes(run->resident, resident));
    printf("%-10s %5s %7s  prefill", "", "", "");
    print_phase(&run->prefill, bench_computing_share(session, run));
    if (i == session->done) {
        printf("  stopped after %lld tokens", (long long)run->prefill.tokens + run->decode.tokens);
    }
    putchar('\n');
}

static void print_batches(const bench_session *session) {
    printf("\n%-10s %5s %7s  %-7s %8s %8s %8s %8s %9s %7s %10s %10s\n", "policy", "sinks", "window",
           "streams", "p50", "p90", "p99", "slowest", "tokens/s", "prefill", "of one", "reserved");
    for (int i = 0; i < bench_shown(session); i++) {
        const bench_run *run = &session->runs[i];
        for (int k = 0; k < run->batches_done; k++) {
            const bench_batch *batch = &run->batches[k];
            const double ratio = bench_batch_ratio(run, batch);
            char reserved[WORD_MAX];
            printf("%-10s %5lld %7lld  %7d", policy_name(run->plan.policy),
                   (long long)run->plan.sinks, (long long)run->plan.window, (int)batch->streams);
            print_phase(&batch->decode, bench_batch_share(run, batch));
            if (isfinite(ratio)) {
                printf(" %9.2fx", ratio);
            } else {
                printf(" %10s", "-");
            }
            printf(" %10s\n", word_bytes(batch->reserved_bytes, reserved));
        }
    }
    printf("\nms: of a step, over its streams. prefill: tokens per second as a share of the run's "
           "prefill;\nof one: over those of a single stream; both of means.\n");
}

weir_status bench_print_table(const bench_session *session, weir_error *error) {
    print_machine(session);
    printf("%-10s %5s %7s  %-7s %8s %8s %8s %8s %9s %7s %10s %10s %10s %10s\n", "policy", "sinks",
           "window", "ms", "p50", "p90", "p99", "slowest", "tokens/s", "of peak", "recompute",
           "cache", "reserved", "memory");
    for (int i = 0; i < bench_shown(session); i++) {
        print_row(session, i);
    }
    printf("\nms: per token. of peak, at the median: decode of reading (the weights alone), "
           "prefill of "
           "computing (quantised weights of int8, the rest of float operations).\nrecompute: its "
           "mean time of a decoded token over this one's, at an "
           "equal %s.\n",
           session->by_window ? "window" : "cache");
    if (session->streams.size > 0) {
        print_batches(session);
    }
    return output_flush(error);
}
