/*
 * Many streams in one call: every combination of the policies, sinks and sizes that were listed.
 * Shared by the commands that compare settings.
 */
#ifndef WEIR_CLI_GRID_H
#define WEIR_CLI_GRID_H

#include "common/stream_options.h"

typedef struct grid_arguments {
    cli_list policy, sinks, window, cache;
    cli_value context, beyond;
} grid_arguments;
extern const cli_option grid_options[];

/* The policies listed, as bits 1 << weir_policy; the sink policy where none is. */
unsigned grid_policies(const grid_arguments *grid);
/* Window and cache size together, and options that apply to no policy listed, are errors. */
weir_status grid_check(const grid_arguments *grid, const cli_group *groups, const void *arguments,
                       weir_error *error);

/* Call `add` for one combination after the other, in the order of policies, then sinks, then sizes,
 * until it fails. */
typedef weir_status (*grid_add)(void *context, const weir_stream_options *options,
                                weir_error *error);
weir_status grid_walk(const grid_arguments *grid, const engine_arguments *engine, grid_add add,
                      void *context, weir_error *error);

/* Fit a run to the `tokens` that it is fed (a dense one has room for all of them) and plan it. */
weir_status grid_plan(weir_stream_options *options, const weir_model *model, int64_t tokens,
                      weir_plan *plan, weir_error *error);

#endif
