/* The safetensors of a folder: see weights.h. */
#include "convert/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "convert/json.h"
#include "file/name.h"

#define WHOLE "model.safetensors"
#define INDEX "model.safetensors.index.json"
#define INDEX_LIMIT ((size_t)256 << 20)
#define PATH_LIMIT 4096

typedef struct shard {
    char path[PATH_LIMIT];
    wr_safetensors *file;
} shard;

struct wr_weights {
    const weir_allocator *allocator;
    wr_writer shards;  /* of shard * */
    wr_weight *sorted; /* [count] */
    size_t count;
};

static size_t shard_count(const wr_weights *weights) {
    return weights->shards.size / sizeof(shard *);
}

static shard *shard_at(const wr_weights *weights, size_t i) {
    shard *found;
    memcpy(&found, weights->shards.data + i * sizeof found, sizeof found);
    return found;
}

static weir_status no_memory(const char *folder, weir_error *error) {
    return weir_error_set(error, WEIR_MEMORY, "%.200s: no memory for its tensors", folder);
}

static weir_status open_shard(wr_weights *weights, const char *folder, const char *name,
                              weir_error *error) {
    shard *opened = wr_allocate_array(weights->allocator, 1, sizeof *opened);
    if (opened == NULL) return no_memory(folder, error);
    wr_write_bytes(&weights->shards, &opened, sizeof opened);
    if (weights->shards.failed) {
        wr_release(weights->allocator, opened, sizeof *opened);
        return no_memory(folder, error);
    }
    snprintf(opened->path, sizeof opened->path, "%s/%s", folder, name);
    return wr_safetensors_open(opened->path, weights->allocator, &opened->file, error);
}

/* ---- the index ------------------------------------------------------------------------------- */

/* A shard stands beside its index: a name with a path in it leads elsewhere. */
static bool is_plain_name(wr_string name) {
    return wr_name_flaw(name, 255) == NULL && memchr(name.data, '/', name.size) == NULL &&
           name.data[0] != '.';
}

static bool is_open(const wr_weights *weights, const char *folder, wr_string name) {
    char path[PATH_LIMIT];
    snprintf(path, sizeof path, "%s/%.*s", folder, (int)name.size, name.data);
    for (size_t i = 0; i < shard_count(weights); i++)
        if (strcmp(shard_at(weights, i)->path, path) == 0) return true;
    return false;
}

static weir_status open_named(wr_weights *weights, const char *folder, const wr_json *map,
                              weir_error *error) {
    wr_json_cursor cursor = {0};
    wr_string tensor, file;
    const wr_json *value;
    weir_status status = WEIR_OK;
    while (status == WEIR_OK && wr_json_next(map, &cursor, &tensor, &value)) {
        char name[256];
        if (!wr_json_get_string(value, &file) || !is_plain_name(file))
            return weir_error_set(error, WEIR_DAMAGED,
                                  "%.200s/" INDEX ": the file of tensor %s is no file's name",
                                  folder, wr_name_quote(tensor).text);
        if (is_open(weights, folder, file)) continue;
        snprintf(name, sizeof name, "%.*s", (int)file.size, file.data);
        status = open_shard(weights, folder, name, error);
    }
    return status;
}

static weir_status check_named(wr_weights *weights, const char *folder, const wr_json *map,
                               weir_error *error) {
    wr_json_cursor cursor = {0};
    wr_string tensor;
    const wr_json *value;
    while (wr_json_next(map, &cursor, &tensor, &value))
        if (wr_weights_find(weights, tensor.data) == NULL)
            return weir_error_set(error, WEIR_DAMAGED,
                                  "%.200s/" INDEX ": tensor %s is in none of its files", folder,
                                  wr_name_quote(tensor).text);
    return WEIR_OK;
}

/* ---- all tensors by name --------------------------------------------------------------------- */

static int compare_names(wr_string a, wr_string b) {
    const int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
    return order != 0 ? order : a.size < b.size ? -1 : a.size > b.size;
}

static int by_name(const void *a, const void *b) {
    return compare_names(((const wr_weight *)a)->tensor->name,
                         ((const wr_weight *)b)->tensor->name);
}

static weir_status sort_all(wr_weights *weights, const char *folder, weir_error *error) {
    for (size_t i = 0; i < shard_count(weights); i++)
        weights->count += wr_safetensors_count(shard_at(weights, i)->file);
    if (weights->count == 0)
        return weir_error_set(error, WEIR_DAMAGED, "%.200s: its files hold no tensors", folder);
    weights->sorted =
        wr_allocate_array(weights->allocator, weights->count, sizeof *weights->sorted);
    if (weights->sorted == NULL) return no_memory(folder, error);
    size_t at = 0;
    for (size_t i = 0; i < shard_count(weights); i++) {
        const shard *from = shard_at(weights, i);
        for (size_t j = 0; j < wr_safetensors_count(from->file); j++)
            weights->sorted[at++] =
                (wr_weight){.tensor = wr_safetensors_at(from->file, j), .path = from->path};
    }
    qsort(weights->sorted, weights->count, sizeof *weights->sorted, by_name);
    for (size_t i = 1; i < weights->count; i++)
        if (by_name(&weights->sorted[i - 1], &weights->sorted[i]) == 0)
            return weir_error_set(error, WEIR_DAMAGED, "%.200s: tensor %s stands in two files",
                                  folder, wr_name_quote(weights->sorted[i].tensor->name).text);
    return WEIR_OK;
}

/* ---- the folder ------------------------------------------------------------------------------ */

static bool exists(const char *folder, const char *name) {
    char path[PATH_LIMIT];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

static weir_status open_sharded(wr_weights *weights, const char *folder, weir_error *error) {
    char path[PATH_LIMIT];
    wr_json *index = NULL;
    snprintf(path, sizeof path, "%s/" INDEX, folder);
    weir_status status = wr_json_open(path, INDEX_LIMIT, &index, error);
    const wr_json *map = status == WEIR_OK ? wr_json_member(index, "weight_map") : NULL;
    if (status == WEIR_OK && !wr_json_is_object(map))
        status = weir_error_set(error, WEIR_DAMAGED, "%.300s: there is no weight_map", path);
    if (status == WEIR_OK) status = open_named(weights, folder, map, error);
    if (status == WEIR_OK) status = sort_all(weights, folder, error);
    if (status == WEIR_OK) status = check_named(weights, folder, map, error);
    wr_json_close(index);
    return status;
}

static weir_status open_folder(wr_weights *weights, const char *folder, weir_error *error) {
    weir_status status;
    if (strlen(folder) > PATH_LIMIT - 300)
        return weir_error_set(error, WEIR_USAGE, "%.100s...: the path is too long", folder);
    if (exists(folder, WHOLE)) {
        status = open_shard(weights, folder, WHOLE, error);
        return status == WEIR_OK ? sort_all(weights, folder, error) : status;
    }
    if (exists(folder, INDEX)) return open_sharded(weights, folder, error);
    if (exists(folder, "pytorch_model.bin") || exists(folder, "pytorch_model.bin.index.json"))
        return weir_error_set(error, WEIR_UNSUPPORTED,
                              "%.200s: its weights are PyTorch pickles, which are programs; save "
                              "them as safetensors first",
                              folder);
    return weir_error_set(error, WEIR_IO,
                          "%.200s: there is no " WHOLE " and no " INDEX " in this folder", folder);
}

weir_status wr_weights_open(const char *folder, const weir_allocator *allocator, wr_weights **out,
                            weir_error *error) {
    *out = NULL;
    wr_weights *weights = wr_allocate_array(allocator, 1, sizeof *weights);
    if (weights == NULL) return no_memory(folder, error);
    weights->allocator = weights->shards.allocator = allocator;
    weir_status status = open_folder(weights, folder, error);
    if (status == WEIR_OK)
        *out = weights;
    else
        wr_weights_close(weights);
    return status;
}

void wr_weights_close(wr_weights *weights) {
    if (weights == NULL) return;
    for (size_t i = 0; i < shard_count(weights); i++) {
        shard *opened = shard_at(weights, i);
        wr_safetensors_close(opened->file);
        wr_release(weights->allocator, opened, sizeof *opened);
    }
    wr_writer_release(&weights->shards);
    wr_release(weights->allocator, weights->sorted, weights->count * sizeof *weights->sorted);
    wr_release(weights->allocator, weights, sizeof *weights);
}

size_t wr_weights_count(const wr_weights *weights) { return weights->count; }
wr_weight *wr_weights_at(wr_weights *weights, size_t i) { return &weights->sorted[i]; }

wr_weight *wr_weights_find(wr_weights *weights, const char *name) {
    const wr_string wanted = {name, strlen(name)};
    size_t low = 0, high = weights->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = compare_names(wanted, weights->sorted[middle].tensor->name);
        if (order == 0) return &weights->sorted[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
