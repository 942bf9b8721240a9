/* The results of `weir streameval`: table, JSON, CSV, figure, and what they mean in words. */
#include <math.h>
#include <stdio.h>

#include "common/words.h"
#include "eval/streameval_session.h"
#include "weir/plot.h"

#define KNOWN 0.9 /* right answers of a model that knows the task */

static double share(weir_streameval_score score) {
    return score.asked > 0 ? (double)score.right / (double)score.asked : (double)NAN;
}

/* More right answers than chance explains: by over 3.3 standard deviations, once in 2,000 by
 * chance. */
static bool beats_chance(weir_streameval_score score) {
    const double chance = WEIR_STREAMEVAL_CHANCE;
    double n = (double)score.asked;
    return (double)score.right - n * chance > 3.3 * sqrt(n * chance * (1 - chance));
}

const char *streameval_meaning(const weir_streameval_result *result) {
    weir_streameval_score in = result->at[WEIR_STREAMEVAL_INSIDE];
    weir_streameval_score out = result->at[WEIR_STREAMEVAL_OUTSIDE];
    if (in.asked > 0 && !beats_chance(in)) {
        return "The model is no better than chance at lines that it sees: it does not know the "
               "task, "
               "and nothing follows about its window. models/weir-recall.gguf knows it.";
    }
    if (out.asked == 0) {
        return "No line that was asked about had left the window.";
    }
    if (beats_chance(out)) {
        return "Lines that left the window are answered better than chance: later tokens that saw "
               "them still carry something of them.";
    }
    if (in.asked == 0) {
        return "What left the window is gone: about that the model is right by chance alone. A "
               "stream "
               "whose memory does not grow forgets, and recall (searching the text that went by) "
               "is "
               "for that.";
    }
    return share(in) >= KNOWN
               ? "What is in the window is known. What left it is gone: about that the model is "
                 "right "
                 "by chance alone. A stream whose memory does not grow forgets, and recall "
                 "(searching "
                 "the text that went by) is for that."
               : "Of what is in the window the model knows a part: it does not know the task well, "
                 "or it "
                 "misses first tokens that the policy drops. What left the window is gone: about "
                 "that "
                 "it is right by chance alone. A stream whose memory does not grow forgets, and "
                 "recall "
                 "(searching the text that went by) is for that.";
}

/* ---- for people ------------------------------------------------------------------------------ */

static void print_score(weir_streameval_score score) {
    double low, high;
    if (score.asked == 0) {
        printf("%8s  %15s", "-", "-");
        return;
    }
    weir_streameval_interval(score, &low, &high);
    printf("%7.1f%%  %5.1f ... %4.1f%%", 100 * share(score), 100 * low, 100 * high);
}

static void print_distance(const weir_streameval_distance *distance) {
    char tokens[WORD_MAX];
    snprintf(tokens, sizeof tokens, "%.0f", distance->tokens);
    printf("%10lld %10s %10lld %8lld %8lld %8lld  ", (long long)distance->lines,
           distance->all.asked > 0 ? tokens : "-", (long long)distance->all.asked,
           (long long)distance->at[WEIR_STREAMEVAL_INSIDE].asked,
           (long long)distance->at[WEIR_STREAMEVAL_BORDER].asked,
           (long long)distance->at[WEIR_STREAMEVAL_OUTSIDE].asked);
    print_score(distance->all);
    putchar('\n');
}

static void print_place(const char *name, weir_streameval_score score) {
    char asked[WORD_MAX];
    printf("%-28s %9s asked  ", name, word_count(score.asked, asked));
    print_score(score);
    putchar('\n');
}

weir_status streameval_print_table(const streameval_session *session, weir_error *error) {
    const weir_streameval_result *result = &session->result;
    char lines[WORD_MAX], tokens[WORD_MAX];
    printf("%s, %s %lld+%lld: %s lines, %s tokens; questions asked on forks of the stream\n\n",
           session->options.needle ? "needle" : "StreamEval", policy_name(session->plan.policy),
           (long long)session->plan.sinks, (long long)session->plan.window,
           word_count(result->lines, lines), word_count(result->tokens, tokens));
    printf("%10s %10s %10s %8s %8s %8s  %8s  %15s\n", "lines back", "tokens", "asked", "inside",
           "border", "outside", "right", "95% interval");
    for (int i = 0; i < result->count; i++) {
        print_distance(&result->distances[i]);
    }
    putchar('\n');
    print_place("in the window", result->at[WEIR_STREAMEVAL_INSIDE]);
    print_place("on its border", result->at[WEIR_STREAMEVAL_BORDER]);
    print_place("left the window", result->at[WEIR_STREAMEVAL_OUTSIDE]);
    printf("%-46s%7.1f%%\n\n%s\n", "chance", 100 * WEIR_STREAMEVAL_CHANCE,
           streameval_meaning(result));
    return output_flush(error);
}

/* ---- for programs ---------------------------------------------------------------------------- */

/* {"questions", "correct", "accuracy", "low", "high"}; null where nothing was asked */
static json_t *score_json(weir_streameval_score score) {
    double low, high;
    weir_streameval_interval(score, &low, &high);
    bool none = score.asked == 0;
    return json_pack("{s:I,s:I,s:o,s:o,s:o}", "questions", (json_int_t)score.asked, "correct",
                     (json_int_t)score.right, "accuracy", json_number(share(score)), "low",
                     json_number(none ? (double)NAN : low), "high",
                     json_number(none ? (double)NAN : high));
}

static json_t *distance_json(const weir_streameval_distance *distance) {
    json_t *object = score_json(distance->all);
    json_object_set_new(object, "lines", json_integer(distance->lines));
    json_object_set_new(object, "tokens", json_number(distance->tokens));
    json_object_set_new(object, "inside", json_integer(distance->at[WEIR_STREAMEVAL_INSIDE].asked));
    json_object_set_new(object, "border", json_integer(distance->at[WEIR_STREAMEVAL_BORDER].asked));
    json_object_set_new(object, "outside",
                        json_integer(distance->at[WEIR_STREAMEVAL_OUTSIDE].asked));
    return object;
}

weir_status streameval_print_json(const streameval_session *session, const char *model,
                                  const weir_error *failed, weir_error *error) {
    const weir_streameval_result *result = &session->result;
    const weir_plan *plan = &session->plan;
    json_t *distances = json_array();
    for (int i = 0; i < result->count; i++) {
        json_array_append_new(distances, distance_json(&result->distances[i]));
    }
    json_t *object =
        json_pack("{s:o,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:f,s:o,s:o,s:o,s:o,s:s,s:f}", "model",
                  json_word(model), "task", session->options.needle ? "needle" : "streameval",
                  "policy", policy_name(plan->policy), "sinks", (json_int_t)plan->sinks, "window",
                  (json_int_t)plan->window, "seed", (json_int_t)session->options.seed, "lines",
                  (json_int_t)result->lines, "tokens", (json_int_t)result->tokens, "chance",
                  WEIR_STREAMEVAL_CHANCE, "distances", distances, "inside",
                  score_json(result->at[WEIR_STREAMEVAL_INSIDE]), "border",
                  score_json(result->at[WEIR_STREAMEVAL_BORDER]), "outside",
                  score_json(result->at[WEIR_STREAMEVAL_OUTSIDE]), "meaning",
                  streameval_meaning(result), "seconds", result->seconds);
    return output_json_beside(object, failed, error);
}

static weir_status write_row(output_file *file, const weir_streameval_distance *distance,
                             weir_error *error) {
    char row[256];
    double low, high;
    weir_streameval_interval(distance->all, &low, &high);
    int size =
        snprintf(row, sizeof row, "%lld,%.2f,%lld,%lld,%.6f,%.6f,%.6f,%.6f,%lld,%lld,%lld\n",
                 (long long)distance->lines, distance->tokens, (long long)distance->all.asked,
                 (long long)distance->all.right, share(distance->all), low, high,
                 WEIR_STREAMEVAL_CHANCE, (long long)distance->at[WEIR_STREAMEVAL_INSIDE].asked,
                 (long long)distance->at[WEIR_STREAMEVAL_BORDER].asked,
                 (long long)distance->at[WEIR_STREAMEVAL_OUTSIDE].asked);
    return output_file_write(file, row, (size_t)size, error);
}

weir_status streameval_write_csv(const streameval_session *session, const char *path,
                                 weir_error *error) {
    static const char head[] =
        "lines,tokens,questions,correct,accuracy,low,high,chance,inside,border,outside\n";
    output_file file = {0};
    weir_status status = output_file_open(&file, path, error);
    if (status == WEIR_OK) {
        status = output_file_write(&file, head, sizeof head - 1, error);
    }
    for (int i = 0; i < session->result.count && status == WEIR_OK; i++) {
        status = write_row(&file, &session->result.distances[i], error);
    }
    if (status == WEIR_OK) {
        status = output_file_commit(&file, error);
    }
    output_file_close(&file);
    return status;
}

/* ---- the figure ------------------------------------------------------------------------------ */

/* Accuracy by distance in percent, nearest first: points are joined in their order. */
typedef struct curve {
    double x[WEIR_STREAMEVAL_DISTANCES], y[WEIR_STREAMEVAL_DISTANCES];
    double above[WEIR_STREAMEVAL_DISTANCES], below[WEIR_STREAMEVAL_DISTANCES]; /* of the interval */
    size_t count;
} curve;

static void add_point(curve *to, const weir_streameval_distance *distance) {
    double low, high;
    weir_streameval_interval(distance->all, &low, &high);
    size_t at = to->count++;
    for (; at > 0 && to->x[at - 1] > distance->tokens; at--) {
        to->x[at] = to->x[at - 1];
        to->y[at] = to->y[at - 1];
        to->above[at] = to->above[at - 1];
        to->below[at] = to->below[at - 1];
    }
    to->x[at] = distance->tokens;
    to->y[at] = 100 * share(distance->all);
    to->above[at] = fmax(0, 100 * high - to->y[at]);
    to->below[at] = fmax(0, to->y[at] - 100 * low);
}

weir_status streameval_draw(const streameval_session *session, const char *path,
                            weir_error *error) {
    char title[128], label[64];
    curve points = {.count = 0};
    for (int i = 0; i < session->result.count; i++) {
        add_point(&points, &session->result.distances[i]);
    }
    snprintf(title, sizeof title, "%s by distance, %s %lld+%lld",
             session->options.needle ? "Needle" : "StreamEval", policy_name(session->plan.policy),
             (long long)session->plan.sinks, (long long)session->plan.window);
    snprintf(label, sizeof label, "window %lld", (long long)session->plan.window);
    const weir_plot_series series = {.x = points.x,
                                     .y = points.y,
                                     .error = points.above,
                                     .error_below = points.below,
                                     .count = points.count};
    const weir_plot_marker markers[] = {
        {.label = label, .at = (double)session->plan.window},
        {.label = "chance", .at = 100 * WEIR_STREAMEVAL_CHANCE, .on_y = true},
    };
    const weir_plot_lines figure = {
        .title = title,
        .x = {.label = "distance (tokens)", .scale = WEIR_PLOT_LOG2},
        .y = {.label = "right answers (%), with 95% intervals", .from = -4, .to = 104},
        .series = &series,
        .series_count = 1,
        .markers = markers,
        .marker_count = 2,
    };
    return weir_plot_lines_save(&figure, path, error);
}
