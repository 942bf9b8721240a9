/* How the next token is drawn, as options. */
#ifndef WEIR_CLI_SAMPLING_OPTIONS_H
#define WEIR_CLI_SAMPLING_OPTIONS_H

#include "common/option.h"
#include "weir/model.h"
#include "weir/stream.h"

typedef struct sampling_arguments {
    cli_value temp, top_k, top_p, min_p, typical;
    cli_value repeat_penalty, presence_penalty, frequency_penalty, penalty_window;
    cli_value seed;
    cli_texts logit_bias, stop;
} sampling_arguments;
extern const cli_option sampling_options[];

/* What can be said before a model is open. */
weir_status sampling_check(const sampling_arguments *arguments, weir_error *error);

/* The rules for a vocabulary of n_vocab; `bias` has room for WEIR_MAX_LOGIT_BIAS and must live as
 * long as *out is used. */
weir_status sampling_apply(const sampling_arguments *arguments, int64_t n_vocab,
                           weir_logit_bias *bias, weir_sampling *out, weir_error *error);

#endif
