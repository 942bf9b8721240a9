/* Beside the plan: the largest window that fits a memory, and the figure. */
#ifndef WEIR_CLI_PLAN_FIT_H
#define WEIR_CLI_PLAN_FIT_H

#include "weir/stream.h"

/* The largest window (dense: capacity) with which `streams` streams of these options take at most
 * `memory` bytes, S as given; within what the model was trained for, or dense with `beyond`. */
weir_status plan_largest(const weir_model *model, const weir_stream_options *options,
                         int64_t memory, int64_t streams, weir_plan *out, weir_error *error);

/* Memory by length of the text, up to `tokens` or further, beside a dense cache. */
weir_status plan_draw(const weir_model *model, const weir_plan *plan, int64_t tokens,
                      const char *path, weir_error *error);

#endif
