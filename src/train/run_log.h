/*
 * The log of a run: CSV, one line for each step, written as the step ends.
 *
 *   step,tokens,rate,loss,gradient_norm,validation_nll,validation_perplexity,bits_per_character,
 *   sink_rate,term_rate,tokens_per_second,seconds,token0_0,...,term_0,...
 *
 * token0_N is the mean attention of layer N on token 0, term_N on the extra term of its softmax;
 * what was not measured after a step is empty. When a run goes on from a checkpoint, lines after
 * its step are cut off: each step stands there once.
 */
#ifndef WR_RUN_LOG_H
#define WR_RUN_LOG_H

#include "base/allocate.h"

typedef struct wr_run_log wr_run_log;

typedef struct wr_run_line {
    int64_t step, tokens;
    double rate, loss, gradient_norm;
    double validation, bits_per_character; /* NaN: not measured */
    double sink_rate, term_rate;
    double tokens_per_second, seconds;
    const double *token0, *term; /* [layers], or NULL */
} wr_run_line;

/* Open for steps after `step`: lines up to it stay, 0 begins a new file. WEIR_USAGE when what is
 * there is the log of something else. */
weir_status wr_run_log_open(const char *path, int64_t layers, int64_t step,
                            const weir_allocator *allocator, wr_run_log **out, weir_error *error);
void wr_run_log_close(wr_run_log *log);

/* Add a line. On failure the file ends with the line before. */
weir_status wr_run_log_add(wr_run_log *log, const wr_run_line *line, weir_error *error);
/* All lines are on the disk. */
weir_status wr_run_log_sync(wr_run_log *log, weir_error *error);

#endif
