#include "common/sampling_options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STOP_MAX 16 /* what the engine holds */
#define STOP_MAX_BYTES 255

#define AT(field) offsetof(sampling_arguments, field)
const cli_option sampling_options[] = {
    {"--temp", OPTION_REAL, "T", .at = AT(temp), .range = "[0,inf)",
     .help = "temperature; 0 always takes the most probable token (default 0.8)"},
    {"--top-k", OPTION_COUNT, "N", .at = AT(top_k), .range = "[0,2147483647]",
     .help = "keep the N most probable tokens; 0: all (default 40)"},
    {"--top-p", OPTION_REAL, "P", .at = AT(top_p), .range = "(0,1]",
     .help = "keep the smallest set with this probability; 1: all (default 0.95)"},
    {"--min-p", OPTION_REAL, "P", .at = AT(min_p), .range = "[0,1)",
     .help = "drop tokens under P times the most probable; 0: none (default 0.05)"},
    {"--typical", OPTION_REAL, "P", .at = AT(typical), .range = "(0,1]",
     .help = "locally typical sampling; 1: all (default 1)"},
    {"--repeat-penalty", OPTION_REAL, "X", .at = AT(repeat_penalty), .range = "(0,inf)",
     .help = "divide the logits of recent tokens; 1: none (default 1)"},
    {"--presence-penalty", OPTION_REAL, "X", .at = AT(presence_penalty),
     .help = "subtract from the logit of every recent token (default 0)"},
    {"--frequency-penalty", OPTION_REAL, "X", .at = AT(frequency_penalty),
     .help = "subtract for every time that it occurred (default 0)"},
    {"--penalty-window", OPTION_COUNT, "N", .at = AT(penalty_window), .range = "[0,65536]",
     .help = "how many tokens are recent (default 256)"},
    {"--logit-bias", OPTION_TEXTS, "ID=BIAS", .at = AT(logit_bias),
     .help = "add to a token's logit, -inf forbids it; may be given again"},
    {"--seed", OPTION_COUNT, "N", .at = AT(seed), .range = "[0,inf)",
     .help = "of the draws: the same seed gives the same text (default 0)"},
    {"--stop", OPTION_TEXTS, "TEXT", .at = AT(stop),
     .help = "end before this text; may be given again, 16 times at most"},
    {0},
};

static weir_status check_greedy(const sampling_arguments *arguments, weir_error *error) {
    static const size_t random[] = {AT(top_k), AT(top_p), AT(min_p), AT(typical)};
    for (const cli_option *option = sampling_options; option->name != NULL; option++) {
        for (size_t i = 0; i < sizeof random / sizeof random[0]; i++) {
            cli_value value;
            memcpy(&value, (const char *)arguments + random[i], sizeof value);
            if (option->at == random[i] && value.given) {
                return weir_error_set(error, WEIR_USAGE,
                                      "%s does not apply with --temp 0, which always takes the "
                                      "most probable token: leave one of them out",
                                      option->name);
            }
        }
    }
    return WEIR_OK;
}
#undef AT

weir_status sampling_check(const sampling_arguments *arguments, weir_error *error) {
    if (arguments->temp.given && arguments->temp.real <= 0) {
        weir_status status = check_greedy(arguments, error);
        if (status != WEIR_OK) {
            return status;
        }
    }
    if (arguments->penalty_window.given && !arguments->repeat_penalty.given &&
        !arguments->presence_penalty.given && !arguments->frequency_penalty.given) {
        return weir_error_set(error, WEIR_USAGE,
                              "--penalty-window does not apply without a penalty: give "
                              "--repeat-penalty too, or leave it out");
    }
    if (arguments->stop.given > STOP_MAX) {
        return weir_error_set(error, WEIR_USAGE, "--stop can be given %d times at most", STOP_MAX);
    }
    for (int i = 0; i < arguments->stop.given; i++) {
        size_t size = strlen(arguments->stop.items[i]);
        if (size == 0 || size > STOP_MAX_BYTES) {
            return weir_error_set(error, WEIR_USAGE, "--stop wants a text of 1 to %d bytes",
                                  STOP_MAX_BYTES);
        }
    }
    return WEIR_OK;
}

/* "17=-2.5" or "17=-inf" */
static weir_status parse_bias(const char *text, int64_t n_vocab, weir_logit_bias *out,
                              weir_error *error) {
    char *end;
    errno = 0;
    long long token = strtoll(text, &end, 10);
    bool good = end != text && *end == '=' && end[1] != '\0' && errno == 0;
    if (good) {
        const char *bias = end + 1;
        out->bias = strtof(bias, &end);
        good = *end == '\0' && !isnan(out->bias) && (isfinite(out->bias) || out->bias < 0);
    }
    if (!good) {
        return weir_error_set(error, WEIR_USAGE,
                              "--logit-bias wants a token and a number, as in 17=-2.5 or 17=-inf, "
                              "not \"%.40s\"",
                              text);
    }
    if (token < 0 || token >= n_vocab) {
        return weir_error_set(error, WEIR_USAGE,
                              "--logit-bias: there is no token %lld, only 0 to %lld", token,
                              (long long)n_vocab - 1);
    }
    out->token = (int32_t)token;
    return WEIR_OK;
}

static void take_real(const cli_value *value, float *out) {
    if (value->given) {
        *out = (float)value->real;
    }
}

static void take_count(const cli_value *value, int32_t *out) {
    if (value->given) {
        *out = (int32_t)value->count;
    }
}

weir_status sampling_apply(const sampling_arguments *arguments, int64_t n_vocab,
                           weir_logit_bias *bias, weir_sampling *out, weir_error *error) {
    *out = weir_sampling_default();
    take_real(&arguments->temp, &out->temperature);
    take_count(&arguments->top_k, &out->top_k);
    take_real(&arguments->top_p, &out->top_p);
    take_real(&arguments->min_p, &out->min_p);
    take_real(&arguments->typical, &out->typical);
    take_real(&arguments->repeat_penalty, &out->repetition_penalty);
    take_real(&arguments->presence_penalty, &out->presence_penalty);
    take_real(&arguments->frequency_penalty, &out->frequency_penalty);
    take_count(&arguments->penalty_window, &out->penalty_window);
    out->seed = (uint64_t)arguments->seed.count;
    for (int i = 0; i < arguments->logit_bias.given; i++) {
        weir_status status = parse_bias(arguments->logit_bias.items[i], n_vocab, &bias[i], error);
        if (status != WEIR_OK) {
            return status;
        }
    }
    out->bias = bias;
    out->bias_count = arguments->logit_bias.given;
    return weir_sampling_check(out, (int32_t)n_vocab, error);
}
