#include "requests/generate_request.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define ANY 3e38
#define AT(field) offsetof(generate_request, field)

const json_field sampling_fields[] = {
    {"temperature", FIELD_REAL, AT(temperature), 0, 100},
    {"top_p", FIELD_REAL, AT(top_p), 0, 1},
    {"top_k", FIELD_COUNT, AT(top_k), 0, INT32_MAX},
    {"min_p", FIELD_REAL, AT(min_p), 0, 1},
    {"typical", FIELD_REAL, AT(typical), 0, 1},
    {"repetition_penalty", FIELD_REAL, AT(repetition_penalty), 0, 100},
    {"presence_penalty", FIELD_REAL, AT(presence_penalty), -100, 100},
    {"frequency_penalty", FIELD_REAL, AT(frequency_penalty), -100, 100},
    {"penalty_window", FIELD_COUNT, AT(penalty_window), 0, WEIR_MAX_PENALTY_WINDOW},
    {"seed", FIELD_SEED, AT(seed), 0, 0},
    {"logit_bias", FIELD_ANY, AT(logit_bias), 0, 0},
    {0},
};

const json_field generate_fields[] = {
    {"max_tokens", FIELD_COUNT, AT(max_tokens), 0, 1e12},
    {"max_completion_tokens", FIELD_COUNT, AT(max_completion_tokens), 0, 1e12},
    {"n", FIELD_COUNT, AT(n), 1, REQUEST_CHOICES},
    {"stop", FIELD_ANY, AT(stop), 0, 0},
    {"stream", FIELD_BOOL, AT(stream), 0, 0},
    {"stream_options", FIELD_ANY, AT(stream_options), 0, 0},
    {"ignore_eos", FIELD_BOOL, AT(ignore_eos), 0, 0},
    {0},
};
#undef AT

static void take_rules(generate_request *request, const weir_sampling *rules) {
    request->temperature = rules->temperature;
    request->top_p = rules->top_p;
    request->min_p = rules->min_p;
    request->typical = rules->typical;
    request->repetition_penalty = rules->repetition_penalty;
    request->presence_penalty = rules->presence_penalty;
    request->frequency_penalty = rules->frequency_penalty;
    request->top_k = rules->top_k;
    request->penalty_window = rules->penalty_window;
}

/* The bias is set when it is read. */
static void set_sampling(generate_request *request) {
    request->sampling = (weir_sampling){
        .temperature = request->temperature,
        .top_k = (int32_t)request->top_k,
        .top_p = request->top_p,
        .min_p = request->min_p,
        .typical = request->typical,
        .repetition_penalty = request->repetition_penalty,
        .presence_penalty = request->presence_penalty,
        .frequency_penalty = request->frequency_penalty,
        .penalty_window = (int32_t)request->penalty_window,
        .seed = request->seed,
        .bias = request->sampling.bias,
        .bias_count = request->sampling.bias_count,
    };
}

void generate_request_init(generate_request *request, int64_t max_tokens) {
    const weir_sampling rules = weir_sampling_default();
    *request = (generate_request){.max_tokens = max_tokens, .max_completion_tokens = -1, .n = 1};
    take_rules(request, &rules);
    if (getrandom(&request->seed, sizeof request->seed, GRND_NONBLOCK) < 0) {
        request->seed = 0;
    }
    request->seed >>= 11; /* one that every JSON reader keeps to the last digit */
}

/* Rows that the body has; null says nothing, as in json_read_parts. */
static unsigned rows_of(json_t *body) {
    unsigned said = 0;
    for (unsigned i = 0; sampling_fields[i].name != NULL; i++) {
        json_t *value = json_object_get(body, sampling_fields[i].name);
        if (value != NULL && !json_is_null(value)) {
            said |= 1U << i;
        }
    }
    return said;
}

void generate_request_inherit(generate_request *request, const weir_sampling *rules, bool seeded) {
    const generate_request own = *request;
    take_rules(request, rules);
    if (seeded) {
        request->seed = rules->seed;
    }
    for (unsigned i = 0; sampling_fields[i].name != NULL; i++) {
        const size_t at = sampling_fields[i].at;
        if (own.said >> i & 1) {
            memcpy((char *)request + at, (const char *)&own + at,
                   sampling_fields[i].kind == FIELD_REAL ? sizeof(float) : sizeof(int64_t));
        }
    }
    set_sampling(request);
}

weir_status generate_request_stop(generate_request *request, const char *text, size_t size,
                                  weir_error *error) {
    if (request->stop_count == REQUEST_STOPS) {
        return weir_error_set(error, WEIR_USAGE, "stop has more than %d strings", REQUEST_STOPS);
    }
    if (size == 0 || size > REQUEST_STOP_BYTES || memchr(text, '\0', size) != NULL) {
        return weir_error_set(error, WEIR_USAGE, "a stop string must have 1 to %d bytes, none NUL",
                              REQUEST_STOP_BYTES);
    }
    char *copy = strndup(text, size);
    if (copy == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for a stop string");
    }
    request->stops[request->stop_count++] = copy;
    return WEIR_OK;
}

static weir_status read_stops(generate_request *request, weir_error *error) {
    json_t *stop = request->stop;
    weir_status status = WEIR_OK;
    if (json_is_string(stop)) {
        return generate_request_stop(request, json_string_value(stop), json_string_length(stop),
                                     error);
    }
    if (stop != NULL && !json_is_array(stop)) {
        return weir_error_set(error, WEIR_USAGE, "stop must be a string or a list of strings");
    }
    for (size_t i = 0; i < json_array_size(stop) && status == WEIR_OK; i++) {
        json_t *one = json_array_get(stop, i);
        if (!json_is_string(one)) {
            return weir_error_set(error, WEIR_USAGE, "stop must be a string or a list of strings");
        }
        status =
            generate_request_stop(request, json_string_value(one), json_string_length(one), error);
    }
    return status;
}

/* {"1234": -100}: -100 and less forbid a token, as OpenAI has it. */
static weir_status read_bias(generate_request *request, int32_t vocabulary, weir_error *error) {
    json_t *bias = request->logit_bias;
    const char *name;
    json_t *value;
    int32_t count = 0;
    if (bias == NULL) {
        return WEIR_OK;
    }
    if (!json_is_object(bias) || json_object_size(bias) > WEIR_MAX_LOGIT_BIAS) {
        return weir_error_set(error, WEIR_USAGE,
                              "logit_bias must be an object of at most %d tokens and their biases",
                              WEIR_MAX_LOGIT_BIAS);
    }
    request->bias = calloc(json_object_size(bias) + 1, sizeof *request->bias);
    if (request->bias == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for logit_bias");
    }
    json_object_foreach(bias, name, value) {
        char *end;
        long token = strtol(name, &end, 10);
        double amount = json_number_value(value);
        if (name[0] < '0' || name[0] > '9' || *end != '\0' || token >= vocabulary) {
            return weir_error_set(error, WEIR_USAGE,
                                  "logit_bias: \"%.20s\" is no token; the vocabulary has 0 to %d",
                                  name, (int)vocabulary - 1);
        }
        if (!json_is_number(value) || !(fabs(amount) <= 1e6)) {
            return weir_error_set(error, WEIR_USAGE,
                                  "logit_bias of token %ld must be a number from -1e6 to 1e6",
                                  token);
        }
        request->bias[count++] =
            (weir_logit_bias){(int32_t)token, amount <= -100 ? -INFINITY : (float)amount};
    }
    request->sampling.bias = request->bias;
    request->sampling.bias_count = count;
    return WEIR_OK;
}

static weir_status read_stream_options(generate_request *request, weir_error *error) {
    static const json_field fields[] = {
        {"include_usage", FIELD_BOOL, offsetof(generate_request, usage), 0, 0}, {0}};
    if (request->stream_options == NULL) {
        return WEIR_OK;
    }
    if (!json_is_object(request->stream_options) || !request->stream) {
        return weir_error_set(error, WEIR_USAGE,
                              "stream_options must be an object, and needs \"stream\": true");
    }
    return json_read_fields(request->stream_options, fields, request, error);
}

weir_status generate_request_finish(generate_request *request, json_t *body, int32_t vocabulary,
                                    int64_t most, weir_error *error) {
    request->said = rows_of(body);
    set_sampling(request);
    if (request->max_completion_tokens >= 0) {
        request->max_tokens = request->max_completion_tokens;
    }
    if (request->max_tokens > most) {
        return weir_error_set(error, WEIR_USAGE,
                              "max_tokens is %lld; this server makes at most %lld for a request",
                              (long long)request->max_tokens, (long long)most);
    }
    weir_status status = read_stops(request, error);
    if (status == WEIR_OK) {
        status = read_bias(request, vocabulary, error);
    }
    if (status == WEIR_OK) {
        status = read_stream_options(request, error);
    }
    return status == WEIR_OK ? weir_sampling_check(&request->sampling, vocabulary, error) : status;
}

void generate_request_free(generate_request *request) {
    for (int i = 0; i < request->stop_count; i++) {
        free(request->stops[i]);
    }
    request->stop_count = 0;
    free(request->bias);
    request->bias = NULL;
}
