/* What `weir probe` found: for programs, for people, and every entry of every map. */
#include <math.h>
#include <stdio.h>

#include "common/words.h"
#include "probe/probe_session.h"

/* ---- CSV ------------------------------------------------------------------------------------- */

/* The sink term, where there is one, is key -1. */
static weir_status write_map(probe_session *session, int32_t layer, int32_t head,
                             weir_error *error) {
    for (int64_t row = 0; row < session->shape.rows; row++) {
        for (int64_t column = WEIR_PROBE_SINK_TERM; column < session->shape.columns; column++) {
            double mean = weir_probe_cell(session->probe, layer, head, row, column);
            char line[96];
            if (isnan(mean)) {
                continue; /* hidden from this query */
            }
            int size = snprintf(line, sizeof line, "%d,%d,%lld,%lld,%.9g\n", layer, head,
                                (long long)row, (long long)column, mean);
            weir_status status = output_file_write(&session->csv, line, (size_t)size, error);
            if (status != WEIR_OK) {
                return status;
            }
        }
    }
    return WEIR_OK;
}

weir_status probe_write_csv(probe_session *session, weir_error *error) {
    const probe_arguments *arguments = session->arguments;
    char head[96];
    int size = snprintf(head, sizeof head, "layer,head,query_index,key_%s,%s\n",
                        arguments->columns.count == WEIR_PROBE_POSITION ? "position" : "index",
                        arguments->scores.given ? "score" : "probability");
    weir_status status = output_file_write(&session->csv, head, (size_t)size, error);
    for (int32_t layer = 0; layer < session->shape.layers; layer++) {
        for (int32_t h = 0; h < session->shape.heads && status == WEIR_OK; h++) {
            status = write_map(session, layer, h, error);
        }
    }
    return status;
}

static bool is_encoder(const probe_session *session) {
    return weir_model_get_info(session->model)->encoder;
}

static const char *policy_of(const probe_session *session) {
    return is_encoder(session) ? "encoder" : policy_name(session->plan.policy);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *json_numbers(const double *numbers, int64_t count) {
    json_t *array = json_array();
    for (int64_t i = 0; i < count; i++) {
        json_array_append_new(array, json_number(numbers[i]));
    }
    return array;
}

static json_t *first_json(const probe_session *session, weir_probe_kind kind, int32_t layer,
                          int32_t head) {
    double first[WEIR_PROBE_FIRST];
    weir_probe_first(session->probe, kind, layer, head, first);
    return json_numbers(first, WEIR_PROBE_FIRST);
}

/* What a layer, a head and the whole have alike; layer or head -1: all. */
static json_t *add_firsts(json_t *object, const probe_session *session, int32_t layer,
                          int32_t head) {
    json_object_set_new(object, "first_tokens",
                        first_json(session, WEIR_PROBE_PROBABILITY, layer, head));
    if (session->arguments->scores.given) {
        json_object_set_new(object, "first_scores",
                            first_json(session, WEIR_PROBE_SCORE, layer, head));
    }
    json_object_set_new(object, "sink_term",
                        json_number(weir_probe_sink_term(session->probe, layer, head)));
    json_object_set_new(object, "last_token",
                        json_number(weir_probe_last(session->probe, layer, head)));
    return object;
}

static json_t *rate_json(const probe_session *session, int32_t layer) {
    double rate[WEIR_PROBE_FIRST];
    weir_probe_sink_rate(session->probe, layer, session->epsilon, rate);
    return json_numbers(rate, WEIR_PROBE_FIRST);
}

static void add_term_rate(json_t *object, const probe_session *session, int32_t layer) {
    double rate = weir_probe_sink_term_rate(session->probe, layer, session->epsilon);
    json_object_set_new(object, "sink_term_rate", json_number(rate));
}

static void add_norms(json_t *object, const probe_session *session, int32_t layer) {
    json_t *value = json_array(), *hidden = json_array(), *largest = json_array();
    for (int64_t row = 0; row < session->shape.rows; row++) {
        weir_probe_norms norms;
        weir_probe_get_norms(session->probe, layer, row, &norms);
        json_array_append_new(value, json_number(norms.value));
        json_array_append_new(hidden, json_number(norms.hidden));
        json_array_append_new(largest, json_number(norms.largest));
    }
    json_object_set_new(object, "value_norm", value);
    json_object_set_new(object, "hidden_norm", hidden);
    json_object_set_new(object, "hidden_largest", largest);
}

static json_t *layer_json(const probe_session *session, int32_t layer) {
    json_t *object = json_pack("{s:i,s:o}", "layer", layer, "sink_rate", rate_json(session, layer));
    add_term_rate(object, session, layer);
    add_firsts(object, session, layer, -1);
    add_norms(object, session, layer);
    json_t *heads = json_array();
    for (int32_t head = 0; head < session->shape.heads; head++) {
        json_array_append_new(heads,
                              add_firsts(json_pack("{s:i}", "head", head), session, layer, head));
    }
    json_object_set_new(object, "heads", heads);
    return object;
}

weir_status probe_print_json(const probe_session *session, const char *model, weir_error *error) {
    const probe_arguments *arguments = session->arguments;
    double even[WEIR_PROBE_FIRST];
    weir_probe_even(session->probe, -1, even);
    json_t *object = json_pack(
        "{s:o,s:o,s:s,s:I,s:I,s:I,s:I,s:s,s:s,s:f,s:I,s:o,s:o}", "model", json_word(model), "text",
        json_word(arguments->text.text), "policy", policy_of(session), "sinks",
        (json_int_t)session->plan.sinks, "window", (json_int_t)session->plan.window, "samples",
        (json_int_t)session->shape.samples, "length", (json_int_t)session->length, "kind",
        arguments->scores.given ? "score" : "probability", "columns",
        arguments->columns.count == WEIR_PROBE_POSITION ? "position" : "index", "epsilon",
        session->epsilon, "from", (json_int_t)arguments->from.count, "sink_rate",
        rate_json(session, -1), "even", json_numbers(even, WEIR_PROBE_FIRST));
    json_t *layers = json_array();
    for (int32_t layer = 0; layer < session->shape.layers; layer++) {
        json_array_append_new(layers, layer_json(session, layer));
    }
    add_term_rate(object, session, -1);
    add_firsts(object, session, -1, -1);
    json_object_set_new(object, "layers", layers);
    return output_json(object, error);
}

/* ---- a table --------------------------------------------------------------------------------- */

static void print_firsts(const double first[WEIR_PROBE_FIRST]) {
    for (int i = 0; i < WEIR_PROBE_FIRST; i++) {
        if (isnan(first[i])) {
            printf("%7s", "-");
        } else {
            printf("%7.3f", first[i]);
        }
    }
}

/* The mean norms of the tokens after the first. */
static weir_probe_norms other_norms(const probe_session *session, int32_t layer) {
    weir_probe_norms mean = {0}, one;
    for (int64_t row = 1; row < session->shape.rows; row++) {
        weir_probe_get_norms(session->probe, layer, row, &one);
        mean.value += one.value / (double)(session->shape.rows - 1);
        mean.hidden += one.hidden / (double)(session->shape.rows - 1);
    }
    return mean;
}

static void print_norm(double norm, const char *space) {
    if (norm >= 100 && norm < 1e8) {
        printf("%s %8.0f", space, norm);
    } else {
        printf("%s %8.3g", space, norm);
    }
}

static void print_layer(const probe_session *session, int32_t layer) {
    double rate[WEIR_PROBE_FIRST], first[WEIR_PROBE_FIRST];
    weir_probe_sink_rate(session->probe, layer, session->epsilon, rate);
    weir_probe_first(session->probe, WEIR_PROBE_PROBABILITY, layer, -1, first);
    char name[16] = "all";
    if (layer >= 0) {
        snprintf(name, sizeof name, "%d", layer);
    }
    if (isnan(rate[0])) {
        printf("%5s%10s ", name, "-");
    } else {
        printf("%5s%10.2f ", name, rate[0]);
    }
    print_firsts(first);
    if (session->shape.sink_term) {
        printf("%7.3f", weir_probe_sink_term(session->probe, layer, -1));
    }
    if (is_encoder(session)) {
        printf("%7.3f", weir_probe_last(session->probe, layer, -1));
    }
    if (layer >= 0) {
        weir_probe_norms begin, others = other_norms(session, layer);
        weir_probe_get_norms(session->probe, layer, 0, &begin);
        print_norm(begin.value, "");
        print_norm(others.value, "");
        print_norm(begin.hidden, " ");
        print_norm(others.hidden, "");
    }
    putchar('\n');
}

static void print_heading(const probe_session *session) {
    const probe_arguments *arguments = session->arguments;
    char samples[WORD_MAX], length[WORD_MAX];
    printf("%s: %s sample%s of %s tokens; %s", arguments->text.text,
           word_count(session->shape.samples, samples), session->shape.samples == 1 ? "" : "s",
           word_count(session->length, length), policy_of(session));
    if (session->plan.policy == WEIR_SINK) {
        printf(", %lld sink%s and a window of %lld", (long long)session->plan.sinks,
               session->plan.sinks == 1 ? "" : "s", (long long)session->plan.window);
    } else if (session->plan.policy != WEIR_DENSE) {
        printf(", window %lld", (long long)session->plan.window);
    }
    const bool term = session->shape.sink_term, last = is_encoder(session);
    printf("\n\n%5s%10s  %-56s%s %-17s  %s\n", "", "heads on", "mean attention on token",
           term || last ? "       " : "", "norm of values", "of hidden states");
    printf("%5s  0 > %.2f ", "layer", session->epsilon);
    for (int i = 0; i < WEIR_PROBE_FIRST; i++) {
        printf("%7d", i);
    }
    printf("%s %8s %8s  %8s %8s\n",
           term   ? "   term"
           : last ? "   last"
                  : "",
           "0", "others", "0", "others");
}

weir_status probe_print_table(const probe_session *session, weir_error *error) {
    double even[WEIR_PROBE_FIRST];
    print_heading(session);
    for (int32_t layer = 0; layer < session->shape.layers; layer++) {
        print_layer(session, layer);
    }
    print_layer(session, -1);
    weir_probe_even(session->probe, -1, even);
    printf("%5s%10s ", "even", "");
    print_firsts(even);
    putchar('\n');
    return output_flush(error);
}
