/* What `weir streameval` measured, and the ways to say it. */
#ifndef WEIR_CLI_STREAMEVAL_SESSION_H
#define WEIR_CLI_STREAMEVAL_SESSION_H

#include <jansson.h>

#include "common/output.h"
#include "common/progress.h"
#include "common/stream_options.h"
#include "weir/streameval.h"

typedef struct streameval_arguments {
    cli_value queries, lines, needle, seed, csv, plot, json;
    cli_list distances;
    retention_arguments retention;
    engine_arguments engine;
} streameval_arguments;

typedef struct streameval_session {
    weir_model *model;
    weir_stream_options stream;
    weir_plan plan;
    weir_streameval_options options;
    weir_streameval_result result;
    cli_progress progress;
} streameval_session;

/* What the figures mean, in a few sentences; a static text. */
const char *streameval_meaning(const weir_streameval_result *result);

weir_status streameval_print_table(const streameval_session *session, weir_error *error);
/* `failed`: why not all is there, or NULL. */
weir_status streameval_print_json(const streameval_session *session, const char *model,
                                  const weir_error *failed, weir_error *error);
weir_status streameval_write_csv(const streameval_session *session, const char *path,
                                 weir_error *error);
weir_status streameval_draw(const streameval_session *session, const char *path, weir_error *error);

#endif
