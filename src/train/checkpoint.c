/* Checkpoints: see checkpoint.h. */
#include "train/checkpoint.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/new_file.h"

#define MAGIC "WEIRTRN1"
enum { VERSION = 1, HEADER = 1024, MAGIC_SIZE = 8 };

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "arrays are written as they lie in memory, which must be little-endian"
#endif

size_t wr_checkpoint_size(size_t numbers) {
    return HEADER + WR_CHECKPOINT_ARRAYS * numbers * sizeof(float) + sizeof(uint64_t);
}

static weir_status path_of(const char *folder, const char *name, char out[PATH_MAX],
                           weir_error *error) {
    int length = snprintf(out, PATH_MAX, "%s/%s", folder, name);
    return length > 0 && length < PATH_MAX
               ? WEIR_OK
               : weir_error_set(error, WEIR_IO, "%.300s...: the path is too long", folder);
}

/* ---- the header ------------------------------------------------------------------------------ */

enum { STATE_NUMBERS = 6 };

static void list_state(wr_training_state *state, double *out[STATE_NUMBERS]) {
    double *list[STATE_NUMBERS] = {&state->seconds,    &state->loss,
                                   &state->validation, &state->bits_per_character,
                                   &state->sink_rate,  &state->term_rate};
    memcpy(out, list, sizeof list);
}

static void write_double(wr_writer *writer, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    wr_write_u64(writer, bits);
}

static weir_status make_header(const wr_checkpoint *checkpoint, wr_writer *writer,
                               weir_error *error) {
    wr_training_state state = checkpoint->state;
    double *numbers[STATE_NUMBERS];
    list_state(&state, numbers);
    wr_write_bytes(writer, MAGIC, MAGIC_SIZE);
    wr_write_u32(writer, VERSION);
    wr_write_u32(writer, HEADER);
    wr_write_u64(writer, (uint64_t)state.step);
    for (int i = 0; i < STATE_NUMBERS; i++) {
        write_double(writer, *numbers[i]);
    }
    wr_write_u64(writer, checkpoint->numbers);
    wr_recipe_write(&checkpoint->recipe, writer);
    if (!writer->failed) {
        wr_write_zeros(writer, HEADER - writer->size);
    }
    return writer->failed ? weir_error_set(error, WEIR_MEMORY, "no memory to write a checkpoint")
                          : WEIR_OK;
}

static weir_status damaged(const char *path, const char *how, weir_error *error) {
    return weir_error_set(error, WEIR_DAMAGED, "%.300s: a damaged checkpoint: %s", path, how);
}

static weir_status read_header(const char *path, const wr_map *map, wr_checkpoint *out,
                               weir_error *error) {
    wr_reader reader = {.data = map->data, .size = map->size};
    const void *magic = wr_read_bytes(&reader, MAGIC_SIZE);
    if (magic == NULL || memcmp(magic, MAGIC, MAGIC_SIZE) != 0) {
        return damaged(path, "it does not begin as one", error);
    }
    uint32_t version = wr_read_u32(&reader), header = wr_read_u32(&reader);
    if (!reader.failed && (version != VERSION || header != HEADER)) {
        return weir_error_set(error, WEIR_UNSUPPORTED,
                              "%.300s: a checkpoint of version %u; this weir reads version %d",
                              path, version, VERSION);
    }
    double *numbers[STATE_NUMBERS];
    list_state(&out->state, numbers);
    out->state.step = (int64_t)wr_read_u64(&reader);
    for (int i = 0; i < STATE_NUMBERS; i++) {
        *numbers[i] = wr_read_f64(&reader);
    }
    out->numbers = wr_read_u64(&reader);
    wr_recipe_read(&out->recipe, &reader);
    return reader.failed || map->size < HEADER ? damaged(path, "it is cut off", error) : WEIR_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

static weir_status write_piece(wr_new_file *file, const void *data, size_t size, uint64_t *sum,
                               weir_error *error) {
    *sum = wr_checksum(*sum, data, size);
    return wr_new_file_write(file, data, size, error);
}

static weir_status write_all(wr_new_file *file, const wr_checkpoint *checkpoint,
                             const wr_writer *header, weir_error *error) {
    uint64_t sum = 0;
    weir_status status = write_piece(file, header->data, header->size, &sum, error);
    for (int i = 0; i < WR_CHECKPOINT_ARRAYS && status == WEIR_OK; i++) {
        status = write_piece(file, checkpoint->arrays[i], checkpoint->numbers * sizeof(float), &sum,
                             error);
    }
    uint8_t bytes[sizeof sum];
    for (size_t i = 0; i < sizeof sum; i++) {
        bytes[i] = (uint8_t)(sum >> (8 * i));
    }
    return status == WEIR_OK ? wr_new_file_write(file, bytes, sizeof bytes, error) : status;
}

/* The last checkpoint gets a second name, so that there is one under its own at every moment; on a
 * file system without links it is renamed, and for a moment only the previous one is there. */
static weir_status keep_last(const char *folder, weir_error *error) {
    char last[PATH_MAX], previous[PATH_MAX], link_name[PATH_MAX];
    weir_status status = path_of(folder, "checkpoint", last, error);
    if (status == WEIR_OK) {
        status = path_of(folder, "checkpoint.previous", previous, error);
    }
    if (status == WEIR_OK) {
        status = path_of(folder, "checkpoint.link", link_name, error);
    }
    if (status != WEIR_OK || access(last, F_OK) != 0) {
        return status;
    }
    unlink(link_name);
    bool kept =
        link(last, link_name) == 0 ? rename(link_name, previous) == 0 : rename(last, previous) == 0;
    /* where both names are already one file, rename() leaves the third: POSIX wants it so */
    unlink(link_name);
    return kept ? WEIR_OK
                : weir_error_set(error, WEIR_IO, "%.300s: cannot be written: %s", previous,
                                 strerror(errno));
}

weir_status wr_checkpoint_write(const char *folder, const wr_checkpoint *checkpoint,
                                const weir_allocator *allocator, weir_error *error) {
    char path[PATH_MAX];
    wr_new_file *file = NULL;
    wr_writer header = {.allocator = allocator};
    weir_status status = path_of(folder, "checkpoint", path, error);
    if (status == WEIR_OK) {
        status = make_header(checkpoint, &header, error);
    }
    if (status == WEIR_OK) {
        status = wr_new_file_open(path, allocator, &file, error);
    }
    if (status == WEIR_OK) {
        status = write_all(file, checkpoint, &header, error);
    }
    if (status == WEIR_OK) {
        status = keep_last(folder, error);
    }
    if (status == WEIR_OK) {
        status = wr_new_file_commit(file, error);
    }
    wr_new_file_close(file);
    wr_writer_release(&header);
    return status;
}

/* ---- reading --------------------------------------------------------------------------------- */

static weir_status check(const char *path, const wr_map *map, wr_checkpoint *out,
                         weir_error *error) {
    weir_status status = read_header(path, map, out, error);
    if (status != WEIR_OK) {
        return status;
    }
    if (out->numbers > map->size || map->size != wr_checkpoint_size(out->numbers)) {
        return damaged(path, "it is cut off, or too long", error);
    }
    const size_t summed = map->size - sizeof(uint64_t);
    wr_reader end = {.data = map->data + summed, .size = sizeof(uint64_t)};
    if (wr_checksum(0, map->data, summed) != wr_read_u64(&end)) {
        return damaged(path, "its checksum is wrong", error);
    }
    for (int i = 0; i < WR_CHECKPOINT_ARRAYS; i++) {
        const uint8_t *array = map->data + HEADER + (size_t)i * out->numbers * sizeof(float);
        out->arrays[i] = (const float *)(const void *)array;
    }
    return WEIR_OK;
}

static weir_status open_one(const char *path, wr_checkpoint_file *out, weir_error *error) {
    weir_status status = wr_map_open(path, &out->map, error);
    if (status == WEIR_OK) {
        status = check(path, &out->map, &out->checkpoint, error);
    }
    if (status != WEIR_OK) {
        wr_map_close(&out->map);
        out->map = (wr_map){0};
    }
    return status;
}

weir_status wr_checkpoint_open(const char *folder, wr_checkpoint_file *out, weir_error *error) {
    char last[PATH_MAX], previous[PATH_MAX];
    *out = (wr_checkpoint_file){0};
    weir_status status = path_of(folder, "checkpoint", last, error);
    if (status == WEIR_OK) {
        status = path_of(folder, "checkpoint.previous", previous, error);
    }
    if (status != WEIR_OK) {
        return status;
    }
    bool has_last = access(last, F_OK) == 0, has_previous = access(previous, F_OK) == 0;
    if (!has_last && !has_previous) {
        return WEIR_OK;
    }
    weir_error_set(&out->damaged, WEIR_DAMAGED, "%.300s: the last checkpoint is gone", last);
    status = has_last ? open_one(last, out, &out->damaged) : WEIR_DAMAGED;
    if (status == WEIR_UNSUPPORTED && error != NULL) {
        *error = out->damaged;
    }
    if (status == WEIR_OK || status == WEIR_UNSUPPORTED) {
        return status;
    }
    out->previous = has_previous;
    if (!has_previous || open_one(previous, out, NULL) != WEIR_OK) {
        return weir_error_set(error, WEIR_DAMAGED, "%.400s%s: --fresh begins anew",
                              out->damaged.message,
                              has_previous ? ", and so is the one before it" : "");
    }
    return WEIR_OK;
}

void wr_checkpoint_close(wr_checkpoint_file *file) {
    wr_map_close(&file->map);
    file->map = (wr_map){0};
}

weir_status wr_checkpoint_remove(const char *folder, weir_error *error) {
    static const char *const names[] = {"checkpoint.previous", "checkpoint"};
    for (int i = 0; i < 2; i++) {
        char path[PATH_MAX];
        weir_status status = path_of(folder, names[i], path, error);
        if (status != WEIR_OK) {
            return status;
        }
        if (unlink(path) != 0 && errno != ENOENT) {
            return weir_error_set(error, WEIR_IO, "%.300s: cannot be removed: %s", path,
                                  strerror(errno));
        }
    }
    return WEIR_OK;
}
