/* The text of `weir eval`, as tokens that come again for each run. */
#ifndef WEIR_CLI_EVAL_TEXT_H
#define WEIR_CLI_EVAL_TEXT_H

#include "common/input.h"
#include "weir/eval.h"

typedef struct eval_text {
    const weir_model *model;
    const char *data; /* [size] */
    size_t size;
    void *mapped;     /* or NULL, and then it was read: */
    byte_buffer read; /* of 1 GiB at most */
    int64_t most;     /* no more tokens than these; 0: all */
    int64_t count;    /* tokens */
} eval_text;

weir_status eval_text_open(eval_text *text, const weir_model *model, const char *path, int64_t most,
                           weir_error *error);
void eval_text_close(eval_text *text);

/* What one run is fed: `replacement` stands at the first `replaced` indices. */
typedef struct eval_source {
    const eval_text *text;
    int64_t replaced;
    int32_t replacement;
    weir_error error; /* of the tokenizer */
} eval_source;
weir_status eval_text_emit(void *source, weir_token_fn emit, void *context);

#endif
