/*
 * Training: small models of Llama's kind from scratch, with and without a sink. (libweir-lab)
 *
 * Attention sinks exist because softmax must sum to one (Xiao et al., ICLR 2024, 3.3). So a model
 * may be trained with a place of its own for the excess:
 *
 *     none    ordinary softmax
 *     zero    softmax-off-by-one: one more score, 0, in the denominator ("zero sink")
 *     logit   one more score, a learned number for each head (gpt-oss)
 *     token   a learnable token at the front of every sample, stored as the model's BOS
 *
 *     weir_train_options options = weir_train_options_default();
 *     weir_train_text texts[] = {{"stories.txt", 0}, {"novels.txt", 0}};
 *     weir_train_preset("3m", &options, &error);
 *     options.shape.sink = WEIR_TRAIN_SINK_TOKEN;
 *     options.data = texts; options.data_count = 2;
 *     options.out = "small.gguf";
 *     weir_train_plan plan;
 *     weir_train_plan_make(&options, &plan, &error);      parameters, memory, work; refusals
 *     weir_train_run(&options, NULL, &error);             begins, or goes on from its checkpoint
 *
 * A checkpoint folder holds all of a run: killed at any moment, the same call goes on from the last
 * checkpoint and ends with the bits of a run that nothing interrupted.
 */
#ifndef WEIR_TRAIN_H
#define WEIR_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/memory.h"
#include "weir/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum weir_train_sink {
    WEIR_TRAIN_SINK_NONE,
    WEIR_TRAIN_SINK_ZERO,
    WEIR_TRAIN_SINK_LOGIT,
    WEIR_TRAIN_SINK_TOKEN
} weir_train_sink;

typedef enum weir_train_positions {
    WEIR_TRAIN_ROPE, /* rotary, pairs (2i, 2i + 1), every element of a head */
    WEIR_TRAIN_ALIBI /* - slope[head] * distance */
} weir_train_positions;

/* RMSNorm, grouped queries, SwiGLU, no biases; heads are width / heads wide. */
typedef struct weir_train_shape {
    int64_t layers;
    int64_t width;
    int64_t heads;    /* divides width; width / heads is even */
    int64_t kv_heads; /* divides heads */
    int64_t feed_forward;
    int64_t context; /* tokens that one sample feeds, the sink token included */
    int64_t vocabulary;
    bool tied; /* the output matrix is the embedding */
    weir_train_sink sink;
    weir_train_positions positions;
    double rope_base;
    double norm_epsilon;
} weir_train_shape;

/* ---- what to train --------------------------------------------------------------------------- */

typedef struct weir_train_text {
    const char *path; /* UTF-8; <|endoftext|> ends a document */
    double weight;    /* share of the samples, relative to the others; 0 for all: by their size */
} weir_train_text;

typedef enum weir_train_schedule {
    WEIR_TRAIN_COSINE, /* after the warm-up half a cosine from rate to rate_end */
    WEIR_TRAIN_WSD     /* constant, then a line to rate_end in the last decay_share of the steps */
} weir_train_schedule;

typedef struct weir_train_progress weir_train_progress;

/* Everything that is a pointer is borrowed for the call. */
typedef struct weir_train_options {
    weir_train_shape shape; /* vocabulary: pieces of one that is trained; else the file's */
    const weir_train_text *data;
    int32_t data_count;
    const char *validation; /* a text; NULL: none */
    const char *vocabulary; /* GGUF file whose tokenizer is used; NULL: one trained on the data */
    const char *out;        /* the model: a GGUF file */
    const char *format;     /* of its matrices: "F32", "F16", "BF16", "Q8_0" */
    const char *name;       /* general.name; NULL: the file's without its ending */

    /* The work. A step is one update. Of steps and tokens at most one is given (not 0); without
     * either, 20 tokens for each parameter, or as many steps as are expected to fit in `minutes`.
     */
    int64_t batch; /* samples of an update */
    int64_t micro; /* samples computed together; 0: chosen. No influence but rounding */
    int64_t steps;
    int64_t tokens;
    double minutes; /* a call ends after these, with a checkpoint to go on from; 0: no limit */
    uint64_t seed;
    const char *precision; /* of the products: "auto", "float32", "bfloat16" */
    int32_t threads;       /* 0: one per CPU that this process may use */

    /* AdamW: rate grows in a line to `rate` over the warm-up, then follows the schedule. */
    double rate, rate_end;
    int64_t warm_up; /* steps; -1: 200, or a tenth of all when that is less */
    weir_train_schedule schedule;
    double decay_share; /* of WSD, in (0, 1] */
    double decay;       /* of weights: those of matrices and embeddings */
    double beta1, beta2, epsilon;
    double clip; /* of the norm of all gradients; 0: none */

    /* The folder of the run: checkpoint, the one before it, log, vocabulary, tokens. NULL: beside
     * `out`, its name with ".run" for ".gguf". */
    const char *checkpoint;
    bool fresh;            /* begin anew even where a checkpoint stands */
    int64_t save_steps;    /* a checkpoint after every so many steps; 0: not by steps */
    double save_minutes;   /* and after so many minutes; 0: not by time */
    const char *shards;    /* folder for the texts as tokens; NULL: in the folder of the run */
    const char *log;       /* CSV, a line for each step; NULL: log.csv in the folder of the run */
    int64_t evaluate;      /* validation after every so many steps, and the last; 0: never */
    int64_t evaluate_most; /* samples of it */
    int64_t probe;         /* attention on the sink after every so many steps; 0: never */

    /* May be NULL: called after each step and now and then before; false ends the call after the
     * step that is being computed, with a checkpoint, and WEIR_CANCELLED. */
    bool (*progress)(void *context, const weir_train_progress *progress);
    void *progress_context;
    const weir_allocator *allocator; /* NULL: the system's */
} weir_train_options;

/* The shape and the recipe of "3m"; no data, no output. */
WEIR_API weir_train_options weir_train_options_default(void);

/* Set shape (but for sink and positions), batch and rate: "1m", "3m", "10m", "30m", "60m", "160m".
 * WEIR_USAGE lists the names. */
WEIR_API weir_status weir_train_preset(const char *name, weir_train_options *options,
                                       weir_error *error);

/* The i-th name, NULL after the last. */
WEIR_API const char *weir_train_preset_name(int32_t i);

/* ---- what it will take ----------------------------------------------------------------------- */

typedef struct weir_train_plan {
    int64_t parameters;
    int64_t memory_bytes;     /* that training takes */
    int64_t available_bytes;  /* that the system has for it; -1: it does not tell */
    int64_t checkpoint_bytes; /* of one; two are kept */
    int64_t micro, steps, step_tokens, tokens;
    int64_t step_done; /* where a checkpoint stands; 0: the beginning */
    double operations; /* floating-point, for each token learned from */
    int32_t threads, processes;
    const char *precision; /* lives for ever */
    double seconds;        /* that the rest will take; NaN: not measured */
} weir_train_plan;

/* Check the options, texts and paths, and plan. WEIR_USAGE for impossible options, WEIR_MEMORY when
 * the machine has less than it takes, WEIR_IO with the path. */
WEIR_API weir_status weir_train_plan_make(const weir_train_options *options, weir_train_plan *out,
                                          weir_error *error);

/* The same, and the seconds: from real steps on random tokens, some seconds of work. */
WEIR_API weir_status weir_train_plan_measure(const weir_train_options *options,
                                             weir_train_plan *out, weir_error *error);

/* ---- the run --------------------------------------------------------------------------------- */

typedef enum weir_train_stage {
    WEIR_TRAIN_VOCABULARY, /* done of total bytes */
    WEIR_TRAIN_TOKENS,     /* texts become tokens: done of total bytes */
    WEIR_TRAIN_NOTE,       /* a sentence for a person */
    WEIR_TRAIN_BEGIN,      /* the plan is made and measured */
    WEIR_TRAIN_STEP,       /* a step is done */
    WEIR_TRAIN_SAVED       /* a checkpoint stands */
} weir_train_stage;

/* Means are nats per token unless said otherwise. NaN: not known (yet). */
struct weir_train_progress {
    weir_train_stage stage;
    int64_t done, total;
    const char *note;
    const weir_train_plan *plan; /* from BEGIN on */
    const char *folder;          /* of the run */
    const char *log;             /* the CSV file */
    int64_t step, tokens;        /* done in all */
    int64_t text_tokens;         /* of the texts, once */
    double rate, loss, gradient_norm;
    double validation;         /* of the last evaluation */
    double bits_per_character; /* of the same */
    double sink_rate;         /* share of heads that gave token 0 more than 0.3 at the last probe */
    double term_rate;         /* the same of the softmax's extra term */
    double seconds;           /* trained in all, calls before included */
    double tokens_per_second; /* of this call */
    double seconds_left;
};

typedef struct weir_train_result {
    int64_t step, steps, tokens, parameters;
    int64_t begun_at; /* the step that this call began after */
    double loss;      /* of the last step */
    double validation, bits_per_character, sink_rate, term_rate;
    double seconds, tokens_per_second;
    bool finished; /* false: the time was up, or the call failed or was cancelled */
} weir_train_result;

/* Train, from the checkpoint in the folder of the run when one stands there, and write the model.
 * Checkpoints are replaced atomically, so whatever ends the process, the last one stays; a damaged
 * one gives way to the one before it, with a note. The log has each step once, whatever happened.
 *
 * `out` (may be NULL) is filled also on failure. WEIR_USAGE for options that cannot be, or that
 * contradict the checkpoint; steps, minutes, out and how often something is done may change.
 * WEIR_NAN names the step and where; WEIR_IO when a checkpoint or the log cannot be written (a full
 * disk): training stops and the last checkpoint stays. */
WEIR_API weir_status weir_train_run(const weir_train_options *options, weir_train_result *out,
                                    weir_error *error);

/* Which of the processes that mpirun started this one is; 0 alone. Samples of a step are divided
 * among them; the first one reports and writes. */
WEIR_API int32_t weir_train_process(void);

#ifdef __cplusplus
}
#endif
#endif
