/*
 * Before any time is spent: the options checked, the checkpoint found, every choice made, memory
 * planned. Nothing is written here.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/new_file.h"
#include "text/vocab.h"
#include "train/available.h"
#include "train/data/documents.h"
#include "train/export.h"
#include "train/trainer.h"

enum {
    TOKENS_AT_ONCE = 4096,     /* computed together, where nothing says otherwise */
    TOKENS_PER_PARAMETER = 20, /* Hoffmann et al. 2022 */
    DEFAULT_WARM_UP = 200
};

/* ---- options --------------------------------------------------------------------------------- */

typedef struct number_bound {
    const char *name;
    size_t at;
    double low, high;
    bool whole;
} number_bound;

#define WHOLE(name, field, low, high)                                                              \
    { name, offsetof(weir_train_options, field), low, high, true }
#define REAL(name, field, low, high)                                                               \
    { name, offsetof(weir_train_options, field), low, high, false }
static const number_bound number_bounds[] = {
    WHOLE("the batch", batch, 1, 1e6),
    WHOLE("the micro-batch", micro, 0, 1e6),
    WHOLE("the number of steps", steps, 0, 1e12),
    WHOLE("the number of tokens", tokens, 0, 1e15),
    WHOLE("the warm-up", warm_up, -1, 1e12),
    WHOLE("the number of steps between checkpoints", save_steps, 0, 1e12),
    WHOLE("the number of steps between evaluations", evaluate, 0, 1e12),
    WHOLE("the number of validation samples", evaluate_most, 1, 1e9),
    WHOLE("the number of steps between probes", probe, 0, 1e12),
    REAL("the rate", rate, 0, 10),
    REAL("the last rate", rate_end, 0, 10),
    REAL("the share of the decay", decay_share, 1e-9, 1),
    REAL("the weight decay", decay, 0, 10),
    REAL("beta1", beta1, 0, 0.99999),
    REAL("beta2", beta2, 0, 0.9999999),
    REAL("epsilon", epsilon, 1e-30, 1),
    REAL("the clipping norm", clip, 0, 1e9),
    REAL("the number of minutes", minutes, 0, 1e9),
    REAL("the number of minutes between checkpoints", save_minutes, 0, 1e9),
};
#undef WHOLE
#undef REAL

static weir_status check_numbers(const weir_train_options *options, weir_error *error) {
    for (size_t i = 0; i < sizeof number_bounds / sizeof number_bounds[0]; i++) {
        const number_bound *bound = &number_bounds[i];
        const char *at = (const char *)options + bound->at;
        int64_t whole = 0;
        double value;
        memcpy(bound->whole ? (void *)&whole : (void *)&value, at, 8);
        value = bound->whole ? (double)whole : value;
        if (!(value >= bound->low && value <= bound->high)) {
            return weir_error_set(error, WEIR_USAGE, "%s must be from %.9g to %.9g, not %.9g",
                                  bound->name, bound->low, bound->high, value);
        }
    }
    if (options->threads < 0 || options->threads > 256) {
        return weir_error_set(error, WEIR_USAGE, "there can be 1 to 256 threads, not %d",
                              options->threads);
    }
    return WEIR_OK;
}

/* Texts that have a weight: all, or none. */
static bool weights_agree(const weir_train_options *options) {
    int32_t weighted = 0;
    for (int32_t i = 0; i < options->data_count; i++) {
        weighted += options->data[i].weight > 0;
    }
    return weighted == 0 || weighted == options->data_count;
}

static weir_status check_options(const weir_train_options *options, weir_error *error) {
    weir_status status = check_numbers(options, error);
    if (status != WEIR_OK) {
        return status;
    }
    const char *wrong =
        options->data_count < 1 || options->data == NULL ? "training needs a text, at least one"
        : options->out == NULL                           ? "training needs the model's path"
        : options->steps > 0 && options->tokens > 0
            ? "steps and tokens both say when training ends: give one"
        : options->micro > options->batch ? "a micro-batch cannot be larger than the batch"
        : !weights_agree(options)         ? "give a weight for each text, or for none"
        : options->rate <= 0              ? "the rate must be above 0"
                                          : NULL;
    return wrong == NULL ? WEIR_OK : weir_error_set(error, WEIR_USAGE, "%s", wrong);
}

/* ---- files ----------------------------------------------------------------------------------- */

/* What can be known of a text before it is read. */
static weir_status check_text(const char *path, weir_error *error) {
    struct stat about;
    const char *wrong = NULL;
    if (stat(path, &about) != 0 || access(path, R_OK) != 0) {
        wrong = errno == ENOENT ? "no such file" : strerror(errno);
    } else if (!S_ISREG(about.st_mode)) {
        wrong = S_ISDIR(about.st_mode) ? "is a folder" : "is not a regular file";
    } else if (about.st_size == 0) {
        wrong = "an empty file";
    }
    return wrong == NULL
               ? WEIR_OK
               : weir_error_set(error, WEIR_IO, "%.300s: cannot train on it: %s", path, wrong);
}

/* All of it: no vocabulary is trained before a text that is none is found out. */
static weir_status check_validation(const char *path, weir_error *error) {
    wr_map map;
    weir_status status = check_text(path, error);
    if (status == WEIR_OK) {
        status = wr_text_open(path, &map, error);
    }
    if (status == WEIR_OK) {
        wr_map_close(&map);
    }
    return status;
}

static weir_status check_files(const wr_trainer *trainer, weir_error *error) {
    const weir_train_options *options = &trainer->options;
    weir_status status = WEIR_OK;
    for (int32_t i = 0; i < options->data_count && status == WEIR_OK; i++) {
        status = check_text(options->data[i].path, error);
    }
    if (status == WEIR_OK && options->validation != NULL) {
        status = check_validation(options->validation, error);
    }
    if (status == WEIR_OK) { /* a place that can be written to */
        wr_new_file *file = NULL;
        status = wr_new_file_open(options->out, trainer->allocator, &file, error);
        wr_new_file_close(file);
    }
    return status;
}

static weir_status put_path(char out[PATH_MAX], weir_error *error, const char *first,
                            const char *second) {
    int length = snprintf(out, PATH_MAX, "%s%s", first, second);
    return length < PATH_MAX
               ? WEIR_OK
               : weir_error_set(error, WEIR_USAGE, "%.300s...: the path is too long", first);
}

/* "models/small.gguf": the folder models/small.run, the name "small". */
static weir_status name_paths(wr_trainer *trainer, weir_error *error) {
    weir_train_options *options = &trainer->options;
    char stem[PATH_MAX];
    weir_status status = put_path(stem, error, options->out, "");
    size_t length = strlen(stem);
    if (length > 5 && strcmp(stem + length - 5, ".gguf") == 0) {
        stem[length - 5] = '\0';
    }
    const char *slash = strrchr(stem, '/');
    snprintf(trainer->name, sizeof trainer->name, "%.120s",
             options->name != NULL ? options->name
             : slash != NULL       ? slash + 1
                                   : stem);
    if (status == WEIR_OK) {
        status = options->checkpoint != NULL
                     ? put_path(trainer->folder, error, options->checkpoint, "")
                     : put_path(trainer->folder, error, stem, ".run");
    }
    if (status == WEIR_OK) {
        status = options->shards != NULL ? put_path(trainer->shards, error, options->shards, "")
                                         : put_path(trainer->shards, error, trainer->folder, "");
    }
    if (status == WEIR_OK) {
        status = options->log != NULL
                     ? put_path(trainer->log_path, error, options->log, "")
                     : put_path(trainer->log_path, error, trainer->folder, "/log.csv");
    }
    return status != WEIR_OK ? status
           : options->vocabulary != NULL
               ? put_path(trainer->vocabulary, error, options->vocabulary, "")
               : put_path(trainer->vocabulary, error, trainer->folder, "/vocabulary.gguf");
}

/* ---- choices --------------------------------------------------------------------------------- */

weir_status wr_trainer_count_pieces(wr_trainer *trainer, weir_error *error) {
    wr_gguf *gguf = NULL;
    wr_vocab *vocab = NULL;
    weir_status status = wr_gguf_open(trainer->vocabulary, trainer->allocator, &gguf, error);
    if (status == WEIR_OK) {
        status = wr_vocab_open(gguf, trainer->allocator, &vocab, error);
    }
    if (status == WEIR_OK) {
        status = wr_vocab_usable(vocab, error);
    }
    if (status == WEIR_OK) {
        trainer->options.shape.vocabulary = wr_vocab_size(vocab);
    }
    wr_vocab_close(vocab);
    wr_gguf_close(gguf);
    return status;
}

/* What was left open is as in the checkpoint. */
static void inherit(wr_trainer *trainer) {
    const wr_recipe *stands = &trainer->from.checkpoint.recipe;
    weir_train_options *options = &trainer->options;
    if (options->micro == 0) {
        options->micro = stands->micro;
    }
    if (options->warm_up < 0) {
        options->warm_up = stands->warm_up;
    }
    if (options->steps == 0 && options->tokens == 0) {
        options->steps = stands->steps;
    }
    if (strcmp(options->precision, "auto") == 0) {
        options->precision = stands->bfloat16 ? "bfloat16" : "float32";
    }
    if (options->vocabulary == NULL) {
        options->shape.vocabulary = stands->vocabulary;
    }
    trainer->recipe.data = stands->data;
}

static weir_status find_checkpoint(wr_trainer *trainer, weir_error *error) {
    trainer->recipe.vocabulary_asked =
        trainer->options.vocabulary != NULL ? 0 : trainer->options.shape.vocabulary;
    if (trainer->options.fresh) {
        return WEIR_OK;
    }
    weir_status status = wr_checkpoint_open(trainer->folder, &trainer->from, error);
    if (status == WEIR_OK && trainer->from.map.data != NULL) {
        inherit(trainer);
    }
    return status;
}

void wr_trainer_set_steps(wr_trainer *trainer, int64_t steps) {
    weir_train_options *options = &trainer->options;
    weir_train_plan *plan = &trainer->plan;
    options->steps = steps;
    if (options->warm_up < 0 && steps > 0) {
        options->warm_up = steps / 10 < DEFAULT_WARM_UP ? steps / 10 : DEFAULT_WARM_UP;
    }
    plan->steps = steps;
    plan->tokens = steps * plan->step_tokens;
    wr_recipe_take(&trainer->recipe, options);
}

static void choose_steps(wr_trainer *trainer) {
    const weir_train_options *options = &trainer->options;
    const int64_t each = trainer->plan.step_tokens;
    int64_t steps = options->steps;
    if (steps == 0 && options->tokens > 0) {
        steps = (options->tokens + each - 1) / each;
    } else if (steps == 0 && options->minutes <= 0) {
        steps = (TOKENS_PER_PARAMETER * trainer->plan.parameters + each - 1) / each;
    }
    wr_trainer_set_steps(trainer, steps); /* 0: the minutes decide, when a step's are known */
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void measure_memory(wr_trainer *trainer) {
    const weir_train_options *options = &trainer->options;
    wr_core_options core = {.shape = options->shape,
                            .samples = options->micro,
                            .products = trainer->products,
                            .threads = trainer->threads};
    size_t tokens = (size_t)(options->micro * (options->shape.context + 1)) * sizeof(int32_t);
    size_t bytes = wr_core_plan(&core);
    trainer->plan.memory_bytes = bytes > INT64_MAX - tokens ? INT64_MAX : (int64_t)(bytes + tokens);
}

/* As many samples at once as keep products large, and memory has room for. */
static void choose_micro(wr_trainer *trainer) {
    weir_train_options *options = &trainer->options;
    int64_t mine = (options->batch + trainer->ranks - 1) / trainer->ranks;
    int64_t micro = TOKENS_AT_ONCE / options->shape.context;
    options->micro = micro < 1 ? 1 : micro > mine ? mine : micro;
    measure_memory(trainer);
    while (options->micro > 1 && trainer->plan.available_bytes >= 0 &&
           trainer->plan.memory_bytes > trainer->plan.available_bytes / 4 * 3) {
        options->micro /= 2;
        measure_memory(trainer);
    }
}

static weir_status check_memory(const wr_trainer *trainer, weir_error *error) {
    const double gibibyte = 1024.0 * 1024 * 1024;
    const weir_train_plan *plan = &trainer->plan;
    if (plan->available_bytes < 0 || plan->memory_bytes <= plan->available_bytes) {
        return WEIR_OK;
    }
    return weir_error_set(
        error, WEIR_MEMORY,
        "training this takes %.2f GiB of memory, and %.2f GiB are free: a smaller "
        "model, or a smaller micro-batch than %lld, takes less",
        (double)plan->memory_bytes / gibibyte, (double)plan->available_bytes / gibibyte,
        (long long)plan->micro);
}

weir_status wr_trainer_plan(wr_trainer *trainer, weir_error *error) {
    weir_train_options *options = &trainer->options;
    weir_train_plan *plan = &trainer->plan;
    const wr_export model = {
        .shape = options->shape, .vocabulary = options->vocabulary, .format = options->format};
    weir_status status = wr_export_check(&model, trainer->allocator, error);
    if (status != WEIR_OK) {
        return status;
    }
    plan->parameters = wr_parameters_learned(&options->shape);
    plan->step_tokens = options->batch * options->shape.context;
    plan->operations = wr_core_operations(&options->shape);
    plan->checkpoint_bytes = (int64_t)wr_checkpoint_size(wr_parameters_size(&options->shape));
    plan->available_bytes = wr_available_memory();
    if (options->micro == 0) {
        choose_micro(trainer);
    } else {
        measure_memory(trainer);
    }
    plan->micro = options->micro;
    choose_steps(trainer);
    return check_memory(trainer, error);
}

/* ---- together -------------------------------------------------------------------------------- */

static weir_status make_engine(wr_trainer *trainer, weir_error *error) {
    weir_train_options *options = &trainer->options;
    trainer->products = wr_products_find(options->precision, error);
    if (trainer->products == NULL) {
        return error != NULL ? error->status : WEIR_USAGE;
    }
    trainer->recipe.bfloat16 = strcmp(trainer->products->name, "bfloat16") == 0;
    int threads = options->threads > 0 ? options->threads : wr_cpu_count();
    trainer->plan.threads = threads;
    trainer->plan.precision = trainer->products->name;
    return wr_threads_create(threads, trainer->allocator, &trainer->threads, error);
}

/* Everything but what is known only when the texts are open. */
static weir_status agree_with_checkpoint(wr_trainer *trainer, weir_error *error) {
    const wr_checkpoint *stands = &trainer->from.checkpoint;
    if (trainer->from.map.data == NULL) {
        return WEIR_OK;
    }
    weir_status status = wr_recipe_agree(&trainer->recipe, &stands->recipe, trainer->folder, error);
    if (status == WEIR_OK && trainer->options.steps < stands->state.step) {
        return weir_error_set(
            error, WEIR_USAGE,
            "%.300s stands at step %lld, beyond the %lld that are asked for: give "
            "more steps, or another --checkpoint folder",
            trainer->folder, (long long)stands->state.step, (long long)trainer->options.steps);
    }
    trainer->plan.step_done = stands->state.step;
    return status;
}

static weir_status prepare(wr_trainer *trainer, weir_error *error) {
    weir_train_options *options = &trainer->options;
    weir_status status = name_paths(trainer, error);
    if (status == WEIR_OK) {
        status = check_files(trainer, error);
    }
    if (status == WEIR_OK && trainer->ranks > options->batch) {
        status = weir_error_set(error, WEIR_USAGE,
                                "%d processes cannot share a batch of %lld: start fewer, or give a "
                                "larger batch",
                                trainer->ranks, (long long)options->batch);
    }
    if (status == WEIR_OK) {
        status = find_checkpoint(trainer, error);
    }
    if (status == WEIR_OK && options->vocabulary != NULL) {
        status = wr_trainer_count_pieces(trainer, error);
    }
    if (status == WEIR_OK) {
        status = make_engine(trainer, error);
    }
    if (status == WEIR_OK) {
        status = wr_trainer_plan(trainer, error);
    }
    return status == WEIR_OK ? agree_with_checkpoint(trainer, error) : status;
}

weir_status wr_trainer_prepare(wr_trainer *trainer, const weir_train_options *options,
                               weir_error *error) {
    *trainer = (wr_trainer){
        .options = *options, .allocator = options->allocator, .lock = -1, .saved_step = -1};
    trainer->plan.seconds = (double)NAN;
    weir_status status = check_options(options, error);
    if (status == WEIR_OK) {
        status = wr_exchange_open(trainer->allocator, &trainer->exchange, error);
    }
    if (status != WEIR_OK) {
        return status;
    }
    trainer->rank = wr_exchange_rank(trainer->exchange);
    trainer->ranks = wr_exchange_ranks(trainer->exchange);
    trainer->plan.processes = trainer->ranks;
    return wr_exchange_agree(trainer->exchange, prepare(trainer, error), error);
}

void wr_trainer_close(wr_trainer *trainer) {
    const weir_allocator *allocator = trainer->allocator;
    const weir_train_shape *shape = &trainer->options.shape;
    const size_t layers = (size_t)shape->layers;
    wr_run_log_close(trainer->log);
    wr_core_destroy(trainer->core);
    wr_data_close(trainer->data);
    wr_data_close(trainer->validation);
    wr_release(allocator, trainer->tokens,
               (size_t)(trainer->options.micro * (shape->context + 1)) * sizeof(int32_t));
    wr_release(allocator, trainer->attention, layers * (size_t)shape->heads * 2 * sizeof(double));
    wr_release(allocator, trainer->layers, 2 * layers * sizeof(double));
    wr_checkpoint_close(&trainer->from);
    wr_threads_release(trainer->threads);
    wr_exchange_close(trainer->exchange);
    if (trainer->lock >= 0) {
        close(trainer->lock);
    }
}
