/* What the parts of `weir probe` share. */
#ifndef WEIR_CLI_PROBE_SESSION_H
#define WEIR_CLI_PROBE_SESSION_H

#include "common/input.h"
#include "common/output.h"
#include "common/stream_options.h"
#include "weir/probe.h"

typedef struct probe_arguments {
    cli_value text, samples, length, cut, scores, columns, colour, epsilon, from, plot, csv, json;
    cli_list layer, head;
    retention_arguments retention;
    engine_arguments engine;
} probe_arguments;

#define PROBE_CUT_WORDS "sentence|token"
#define PROBE_COLOUR_WORDS "linear|log"
#define PROBE_COLUMN_WORDS "index|position" /* the places are those of weir_probe_columns */

typedef struct probe_session {
    weir_model *model;
    const probe_arguments *arguments;
    int64_t wanted, length; /* samples asked for, and tokens of each */
    double epsilon;
    token_list tokens; /* [samples, length] */
    int64_t samples;   /* that the text had */
    weir_plan plan;
    weir_probe *probe;
    weir_probe_shape shape;                                  /* after the last sample */
    int32_t layers[OPTION_LIST_MAX], heads[OPTION_LIST_MAX]; /* whose maps are wanted */
    output_file csv;
} probe_session;

/* Cut the text into samples: each begins with BOS where the model adds one. */
weir_status probe_cut(probe_session *session, const byte_buffer *text, weir_error *error);

weir_status probe_write_csv(probe_session *session, weir_error *error);
weir_status probe_save_figure(const probe_session *session, weir_error *error);
weir_status probe_print_json(const probe_session *session, const char *model, weir_error *error);
weir_status probe_print_table(const probe_session *session, weir_error *error);

#endif
