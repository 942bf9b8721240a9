/*
 * What a run works with: its folder, which no other process may use meanwhile; the vocabulary; the
 * texts as tokens; the core; the log.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "train/trainer.h"
#include "train/vocabulary/vocabulary.h"

/* ---- the folder ------------------------------------------------------------------------------ */

static weir_status folder_failed(const wr_trainer *trainer, weir_error *error) {
    return weir_error_set(error, WEIR_IO, "%.300s: cannot be the folder of a run: %s",
                          trainer->folder, strerror(errno));
}

static bool is_part(const char *name) {
    size_t length = strlen(name);
    return (strncmp(name, "checkpoint.", 11) == 0 || strncmp(name, "vocabulary.", 11) == 0) &&
           strcmp(name + length - 5, ".part") == 0;
}

/* What a process that was killed while writing has left. */
static void remove_parts(const wr_trainer *trainer) {
    DIR *folder = opendir(trainer->folder);
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        if (is_part(entry->d_name)) {
            unlinkat(dirfd(folder), entry->d_name, 0);
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
}

static weir_status open_folder(wr_trainer *trainer, weir_error *error) {
    char path[PATH_MAX + 8];
    if (mkdir(trainer->folder, 0777) != 0 && errno != EEXIST) {
        return folder_failed(trainer, error);
    }
    snprintf(path, sizeof path, "%s/lock", trainer->folder);
    trainer->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (trainer->lock < 0) {
        return folder_failed(trainer, error);
    }
    if (flock(trainer->lock, LOCK_EX | LOCK_NB) != 0) {
        return weir_error_set(error, WEIR_IO, "%.300s: another process is training there",
                              trainer->folder);
    }
    remove_parts(trainer);
    return WEIR_OK;
}

/* ---- the vocabulary -------------------------------------------------------------------------- */

static bool vocabulary_progress(void *context, int64_t done, int64_t of) {
    return wr_trainer_tell(context, WEIR_TRAIN_VOCABULARY, done, of, NULL);
}

static weir_status train_vocabulary(wr_trainer *trainer, weir_error *error) {
    const weir_train_options *options = &trainer->options;
    const size_t count = (size_t)options->data_count;
    const char **paths = wr_allocate_array(trainer->allocator, count, sizeof *paths);
    if (paths == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory to train a vocabulary");
    }
    for (size_t i = 0; i < count; i++) {
        paths[i] = options->data[i].path;
    }
    wr_vocabulary_options wanted = {.paths = paths,
                                    .count = options->data_count,
                                    .size = options->shape.vocabulary,
                                    .coverage = 0.9995,
                                    .progress = vocabulary_progress,
                                    .progress_context = trainer};
    weir_status status =
        wr_vocabulary_train(trainer->vocabulary, &wanted, trainer->allocator, error);
    wr_release(trainer->allocator, paths, count * sizeof *paths);
    return status;
}

/* Of a text that is short a vocabulary may have fewer pieces than were asked for. */
static weir_status count_trained(wr_trainer *trainer, weir_error *error) {
    weir_status status = wr_trainer_count_pieces(trainer, error);
    return status == WEIR_OK ? wr_trainer_plan(trainer, error) : status;
}

/* One that was trained stands beside the checkpoint that was made with it. */
static weir_status have_vocabulary(wr_trainer *trainer, weir_error *error) {
    weir_status status = WEIR_OK;
    if (trainer->options.vocabulary != NULL || trainer->from.map.data != NULL) {
        return WEIR_OK;
    }
    if (trainer->rank == 0) {
        status = train_vocabulary(trainer, error);
    }
    status = wr_exchange_agree(trainer->exchange, status, error);
    if (status == WEIR_OK) {
        status = count_trained(trainer, error);
    }
    return status;
}

/* ---- the texts ------------------------------------------------------------------------------- */

static bool token_progress(void *context, int64_t done, int64_t of) {
    return wr_trainer_tell(context, WEIR_TRAIN_TOKENS, done, of, NULL);
}

static weir_status open_texts(wr_trainer *trainer, const wr_data_text *texts, int32_t count,
                              wr_data **out, weir_error *error) {
    const weir_train_options *options = &trainer->options;
    wr_data_options wanted = {.texts = texts,
                              .count = count,
                              .vocabulary = trainer->vocabulary,
                              .shards = trainer->shards,
                              .seed = options->seed,
                              .context = options->shape.context,
                              .sink_token = options->shape.sink == WEIR_TRAIN_SINK_TOKEN,
                              .threads = trainer->threads,
                              .progress = token_progress,
                              .progress_context = trainer};
    return wr_data_open(&wanted, trainer->allocator, out, error);
}

static weir_status open_data(wr_trainer *trainer, weir_error *error) {
    const weir_train_options *options = &trainer->options;
    const size_t count = (size_t)options->data_count;
    if (options->validation != NULL) { /* first: it is short, and may be too short */
        wr_data_text text = {.path = options->validation};
        weir_status status = open_texts(trainer, &text, 1, &trainer->validation, error);
        if (status != WEIR_OK) {
            return status;
        }
    }
    wr_data_text *texts = wr_allocate_array(trainer->allocator, count, sizeof *texts);
    if (texts == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory to list the texts");
    }
    for (size_t i = 0; i < count; i++) {
        texts[i] = (wr_data_text){.path = options->data[i].path, .weight = options->data[i].weight};
    }
    weir_status status = open_texts(trainer, texts, options->data_count, &trainer->data, error);
    wr_release(trainer->allocator, texts, count * sizeof *texts);
    return status;
}

/* The first process writes the tokens, the others find them. */
static weir_status have_texts(wr_trainer *trainer, weir_error *error) {
    weir_status status = trainer->rank == 0 ? open_data(trainer, error) : WEIR_OK;
    status = wr_exchange_agree(trainer->exchange, status, error);
    if (status == WEIR_OK && trainer->rank > 0) {
        status = open_data(trainer, error);
    }
    if (status == WEIR_OK) {
        trainer->recipe.data = wr_data_fingerprint(trainer->data);
    }
    if (status == WEIR_OK && trainer->from.map.data != NULL) {
        status = wr_recipe_agree(&trainer->recipe, &trainer->from.checkpoint.recipe,
                                 trainer->folder, error);
    }
    return wr_exchange_agree(trainer->exchange, status, error);
}

/* ---- the core -------------------------------------------------------------------------------- */

static weir_status create_core(wr_trainer *trainer, weir_error *error) {
    const weir_train_shape *shape = &trainer->options.shape;
    const size_t layers = (size_t)shape->layers;
    const wr_core_options wanted = {.shape = *shape,
                                    .samples = trainer->options.micro,
                                    .products = trainer->products,
                                    .threads = trainer->threads,
                                    .allocator = trainer->allocator};
    trainer->tokens =
        wr_allocate_array(trainer->allocator,
                          (size_t)(trainer->options.micro * (shape->context + 1)), sizeof(int32_t));
    trainer->attention =
        wr_allocate_array(trainer->allocator, layers * (size_t)shape->heads * 2, sizeof(double));
    trainer->layers = wr_allocate_array(trainer->allocator, 2 * layers, sizeof(double));
    if (trainer->tokens == NULL || trainer->attention == NULL || trainer->layers == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for samples");
    }
    return wr_core_create(&wanted, &trainer->core, error);
}

weir_status wr_trainer_create_core(wr_trainer *trainer, weir_error *error) {
    return wr_exchange_agree(trainer->exchange, create_core(trainer, error), error);
}

weir_status wr_trainer_open(wr_trainer *trainer, weir_error *error) {
    weir_status status = trainer->rank == 0 ? open_folder(trainer, error) : WEIR_OK;
    status = wr_exchange_agree(trainer->exchange, status, error);
    if (status == WEIR_OK) {
        status = have_vocabulary(trainer, error);
    }
    if (status == WEIR_OK) {
        status = have_texts(trainer, error);
    }
    return status == WEIR_OK ? wr_trainer_create_core(trainer, error) : status;
}
