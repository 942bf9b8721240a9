/* Which tensors a GGUF has, and of what they are made: see made_tensors.h. */
#include "convert/made_tensors.h"

#include <stdio.h>
#include <string.h>

#include "file/name.h"

#define SOURCE_NAME 256

typedef struct lister {
    wr_made *made;
    wr_weights *weights;
    wr_hf_model *model;
    char prefix[64]; /* of names: "model." */
    bool tied;       /* the output matrix is the embedding, whatever the file holds */
    weir_error *error;
} lister;

/* ---- names -------------------------------------------------------------------------------------
 */

/* The pattern with its % and # as numbers, behind a prefix. */
static void name_of(const char *pattern, const char *prefix, int64_t layer, int64_t expert,
                    char out[SOURCE_NAME]) {
    int used = snprintf(out, SOURCE_NAME, "%s", prefix);
    for (; *pattern != '\0' && used < SOURCE_NAME - 24; pattern++) {
        if (*pattern == '%' || *pattern == '#')
            used += snprintf(out + used, SOURCE_NAME - (size_t)used, "%lld",
                             (long long)(*pattern == '%' ? layer : expert));
        else
            out[used++] = *pattern;
    }
    out[used] = '\0';
}

static const char *prefix_of(const lister *l, const wr_rename *rename) {
    return rename->flags & WR_RENAME_ROOT ? "" : l->prefix;
}

static wr_weight *find(lister *l, const wr_rename *rename, int64_t layer, int64_t expert) {
    char name[SOURCE_NAME];
    name_of(rename->from, prefix_of(l, rename), layer, expert, name);
    return wr_weights_find(l->weights, name);
}

/* The prefix under which the embedding stands. */
static weir_status find_prefix(lister *l, weir_error *error) {
    const char *words = l->model->family->prefixes;
    char name[SOURCE_NAME];
    for (;;) {
        const size_t size = strcspn(words, " ");
        snprintf(l->prefix, sizeof l->prefix, "%.*s", (int)size, words);
        name_of(l->model->family->renames[0].from, l->prefix, 0, 0, name);
        if (wr_weights_find(l->weights, name) != NULL) return WEIR_OK;
        if (size == 0) break;
        words += size + (words[size] == ' ');
    }
    return weir_error_set(
        error, WEIR_DAMAGED, "%.200s: the tensor %s is missing, as every %s model has it",
        l->model->folder, l->model->family->renames[0].from, l->model->family->name);
}

/* ---- room --------------------------------------------------------------------------------------
 */

static weir_status no_memory(const lister *l, weir_error *error) {
    return weir_error_set(error, WEIR_MEMORY, "%.200s: no memory for the list of its tensors",
                          l->model->folder);
}

static bool grow(const weir_allocator *allocator, void **items, size_t *room, size_t size) {
    const size_t more = *room == 0 ? 64 : 2 * *room;
    void *larger = wr_allocate_array(allocator, more, size);
    if (larger == NULL) return false;
    if (*items != NULL) memcpy(larger, *items, *room * size);
    wr_release(allocator, *items, *room * size);
    *items = larger;
    *room = more;
    return true;
}

static wr_made_tensor *add_tensor(lister *l) {
    wr_made *made = l->made;
    void *items = made->tensors;
    if (made->count == made->room &&
        !grow(made->allocator, &items, &made->room, sizeof *made->tensors)) {
        (void)no_memory(l, l->error);
        return NULL;
    }
    made->tensors = items;
    return &made->tensors[made->count++];
}

static weir_status add_source(lister *l, wr_weight *weight) {
    wr_made *made = l->made;
    void *items = (void *)made->sources;
    if (made->source_count == made->source_room &&
        !grow(made->allocator, &items, &made->source_room, sizeof *made->sources))
        return no_memory(l, l->error);
    made->sources = items;
    made->sources[made->source_count++] = weight;
    weight->used = true;
    return WEIR_OK;
}

/* ---- shapes ------------------------------------------------------------------------------------
 */

static weir_status misfit(const lister *l, const wr_weight *weight, const char *what) {
    return weir_error_set(l->error, WEIR_DAMAGED, "%.200s: tensor %s %s", weight->path,
                          wr_name_quote(weight->tensor->name).text, what);
}

/* Rows that an order needs; 0: any. */
static int64_t wanted_rows(const wr_hf_model *m, wr_row_order order) {
    switch (order) {
    case WR_ROWS_PAIRED_Q:
        return m->heads * m->head_dim;
    case WR_ROWS_PAIRED_K:
        return m->kv_heads * m->head_dim;
    case WR_ROWS_UNFUSED:
        return (m->heads + 2 * m->kv_heads) * m->head_dim;
    default:
        return 0;
    }
}

/* The number of rows (of a vector: elements) that come of `have` in the source. */
static weir_status ordered_rows(lister *l, const wr_made_tensor *tensor, const wr_weight *weight,
                                int64_t have, int64_t *out) {
    const wr_row_order order = tensor->rename->rows;
    const int64_t wanted = wanted_rows(l->model, order);
    *out = order < WR_ROWS_EVEN ? have : have / 2;
    if (wanted != 0 && have != wanted)
        return misfit(l, weight, "has other rows than the heads of config.json need");
    if (order >= WR_ROWS_EVEN && have % 2 != 0)
        return misfit(l, weight, "has an odd number of rows, but holds two matrices");
    if ((order == WR_ROWS_PAIRED_Q || order == WR_ROWS_PAIRED_K) && l->model->head_dim % 2 != 0)
        return misfit(l, weight, "has heads of an odd number of elements");
    return WEIR_OK;
}

/* From [rows, columns], or [matrices, rows, columns]. MXFP4: columns are [groups, 16]. */
static weir_status measure_matrix(lister *l, wr_made_tensor *tensor, const wr_weight *weight) {
    const wr_safe_tensor *s = weight->tensor;
    const bool blocks = (tensor->rename->flags & WR_RENAME_MXFP4) != 0;
    const bool turned = (tensor->rename->flags & WR_RENAME_TRANSPOSED) != 0;
    const int32_t dims = blocks ? s->dims - 1 : s->dims;
    if (dims != 2 && dims != 3) return misfit(l, weight, "is no matrix");
    if (blocks && s->dim[3] != 16) return misfit(l, weight, "is not in blocks of 16 bytes");
    tensor->matrices = dims == 3 ? s->dim[0] : 1;
    const int64_t slow = s->dim[dims - 2], fast = s->dim[dims - 1] * (blocks ? 32 : 1);
    tensor->columns = turned ? slow : fast;
    return ordered_rows(l, tensor, weight, turned ? fast : slow, &tensor->rows);
}

static weir_status measure_vector(lister *l, wr_made_tensor *tensor, const wr_weight *weight) {
    const wr_safe_tensor *s = weight->tensor;
    tensor->rows = 1;
    tensor->matrices = s->dims == 2 ? s->dim[0] : 1;
    return ordered_rows(l, tensor, weight, s->dim[s->dims - 1], &tensor->columns);
}

static void set_dims(wr_made_tensor *tensor, bool vectors) {
    const int64_t stacked = tensor->sources * tensor->matrices;
    const bool many = tensor->sources > 1 || tensor->matrices > 1 ||
                      strchr(tensor->rename->from, '#') != NULL ||
                      (tensor->rename->flags & (WR_RENAME_VECTORS | WR_RENAME_MXFP4)) != 0;
    int32_t dims = 0;
    tensor->dim[dims++] = tensor->columns;
    if (!vectors) tensor->dim[dims++] = tensor->rows;
    if (many) tensor->dim[dims++] = stacked;
    tensor->dims = dims;
    for (; dims < 4; dims++) tensor->dim[dims] = 1;
}

static weir_status check_type(lister *l, const wr_made_tensor *tensor, const wr_weight *weight) {
    const bool bytes = wr_made_is_mxfp4(tensor);
    if (bytes ? weight->tensor->type == WR_SAFE_BYTES : weight->tensor->type < WR_SAFE_BYTES)
        return WEIR_OK;
    return weir_error_set(l->error, WEIR_UNSUPPORTED,
                          "%.200s: tensor %s is %s, and only F32, F16, BF16 and F64 can be "
                          "converted (of gpt-oss also MXFP4)",
                          weight->path, wr_name_quote(weight->tensor->name).text,
                          weight->tensor->type_name);
}

static weir_status measure(lister *l, wr_made_tensor *tensor) {
    const wr_weight *weight = l->made->sources[tensor->first];
    const wr_safe_tensor *s = weight->tensor;
    const bool vectors = s->dims == 1 || (tensor->rename->flags & WR_RENAME_VECTORS) != 0;
    weir_status status = check_type(l, tensor, weight);
    if (status != WEIR_OK) return status;
    if (s->dims == 0 || s->bytes == 0) return misfit(l, weight, "is empty");
    status = vectors ? measure_vector(l, tensor, weight) : measure_matrix(l, tensor, weight);
    if (status != WEIR_OK) return status;
    for (int64_t i = 1; i < tensor->sources; i++) {
        const wr_weight *other = l->made->sources[tensor->first + (size_t)i];
        if (memcmp(other->tensor->dim, s->dim, sizeof s->dim) != 0 ||
            other->tensor->dims != s->dims)
            return misfit(l, other, "has another shape than its siblings");
        status = check_type(l, tensor, other);
        if (status != WEIR_OK) return status;
    }
    if (!vectors && tensor->rows == 1 && tensor->rename->flags & WR_RENAME_TRANSPOSED)
        return misfit(l, weight, "has a single column"); /* read as a vector it would be another */
    set_dims(tensor, vectors);
    return WEIR_OK;
}

/* ---- matching ----------------------------------------------------------------------------------
 */

static weir_status add_scales(lister *l, wr_made_tensor *tensor, const wr_weight *blocks) {
    char name[SOURCE_NAME];
    const wr_string from = blocks->tensor->name;
    const size_t stem = from.size - strlen("_blocks");
    snprintf(name, sizeof name, "%.*s_scales", (int)stem, from.data);
    wr_weight *scales = wr_weights_find(l->weights, name);
    if (scales == NULL) return misfit(l, blocks, "has no _scales beside it");
    if (scales->tensor->type != WR_SAFE_BYTES ||
        scales->tensor->bytes * 16 != blocks->tensor->bytes)
        return misfit(l, scales, "does not fit its _blocks");
    weir_status status = add_source(l, scales);
    return status == WEIR_OK ? measure(l, tensor) : status;
}

/* How many of '#' there are. */
static int64_t stacked(const lister *l, const wr_rename *rename) {
    if (strchr(rename->from, '#') == NULL) return 1;
    if (rename->flags & WR_RENAME_HEADS) return l->model->heads;
    if (rename->flags & WR_RENAME_KV_HEADS) return l->model->kv_heads;
    return l->model->experts;
}

static bool is_made(const wr_made *made, const char *name) {
    for (size_t i = made->count; i-- > 0;)
        if (strcmp(made->tensors[i].name, name) == 0) return true;
    return false;
}

/* The tensor that a rename makes of a layer, if the folder has its first source. */
static weir_status make(lister *l, const wr_rename *rename, int64_t layer, bool *made) {
    wr_weight *weight = find(l, rename, layer, 0);
    char name[SOURCE_NAME];
    *made = weight != NULL;
    if (weight == NULL) return WEIR_OK;
    if (rename->to == NULL || (l->tied && (rename->flags & WR_RENAME_HEAD))) {
        weight->used = true;
        return WEIR_OK;
    }
    name_of(rename->to, "", layer, 0, name);
    if (is_made(l->made, name)) return misfit(l, weight, "stands there twice, in two layouts");
    wr_made_tensor *tensor = add_tensor(l);
    if (tensor == NULL) return WEIR_MEMORY;
    *tensor = (wr_made_tensor){
        .rename = rename, .first = l->made->source_count, .sources = stacked(l, rename)};
    snprintf(tensor->name, sizeof tensor->name, "%.*s", WR_MADE_NAME - 1, name);
    for (int64_t i = 0; i < tensor->sources; i++) {
        wr_weight *source = find(l, rename, layer, i);
        if (source == NULL) return misfit(l, weight, "has fewer siblings than there are experts");
        weir_status status = add_source(l, source);
        if (status != WEIR_OK) return status;
    }
    if (tensor->sources == 0) return misfit(l, weight, "is of experts that config.json denies");
    if (rename->flags & WR_RENAME_MXFP4) return add_scales(l, tensor, weight);
    return measure(l, tensor);
}

static weir_status make_all(lister *l, const wr_rename *rename) {
    const int64_t layers = strchr(rename->from, '%') != NULL ? l->model->layers : 1;
    char name[SOURCE_NAME];
    for (int64_t layer = 0; layer < layers; layer++) {
        bool made;
        weir_status status = make(l, rename, layer, &made);
        if (status != WEIR_OK) return status;
        if (made || (rename->flags & WR_RENAME_OPTIONAL)) continue;
        name_of(rename->from, prefix_of(l, rename), layer, 0, name);
        return weir_error_set(l->error, WEIR_DAMAGED,
                              "%.200s: the tensor %s is missing (a %s model of %lld layers has it)",
                              l->model->folder, name, l->model->family->name,
                              (long long)l->model->layers);
    }
    return WEIR_OK;
}

/* A tensor that no row of the table knows would silently be lost. A tower of images beside a text
 * model is none of ours. */
static weir_status check_all_used(lister *l) {
    static const char *const others[] = {"vision_tower.", "multi_modal_projector.",
                                         "model.vision_tower.", "model.multi_modal_projector."};
    for (size_t i = 0; i < wr_weights_count(l->weights); i++) {
        const wr_weight *weight = wr_weights_at(l->weights, i);
        bool known = weight->used;
        for (size_t j = 0; j < sizeof others / sizeof others[0] && !known; j++)
            known = l->model->family->text_config != NULL &&
                    strncmp(weight->tensor->name.data, others[j], strlen(others[j])) == 0;
        if (!known)
            return weir_error_set(l->error, WEIR_UNSUPPORTED,
                                  "%.200s: tensor %s is none that weir knows of a %s model with "
                                  "%lld layers",
                                  weight->path, wr_name_quote(weight->tensor->name).text,
                                  l->model->family->name, (long long)l->model->layers);
    }
    return WEIR_OK;
}

static weir_status add_lists(lister *l) {
    int count;
    weir_status status = wr_hf_rope_lists(l->model, l->made->lists, &count, l->error);
    for (int i = 0; i < count && status == WEIR_OK; i++) {
        wr_made_tensor *tensor = add_tensor(l);
        if (tensor == NULL) return WEIR_MEMORY;
        *tensor = (wr_made_tensor){.list = &l->made->lists[i],
                                   .sources = 1,
                                   .matrices = 1,
                                   .rows = 1,
                                   .columns = l->model->rotary / 2,
                                   .dims = 1,
                                   .dim = {l->model->rotary / 2, 1, 1, 1}};
        snprintf(tensor->name, sizeof tensor->name, "%s", l->made->lists[i].name);
    }
    return status;
}

weir_status wr_made_list(wr_hf_model *model, wr_weights *weights, const weir_allocator *allocator,
                         wr_made *out, weir_error *error) {
    lister l = {.made = out, .weights = weights, .model = model, .error = error};
    *out = (wr_made){.allocator = allocator, .model = model};
    (void)wr_json_get_bool(wr_json_find(model->config, "tie_word_embeddings"), &l.tied);
    weir_status status = find_prefix(&l, error);
    for (const wr_rename *r = model->family->renames; r->from != NULL && status == WEIR_OK; r++)
        status = make_all(&l, r);
    if (status == WEIR_OK) status = check_all_used(&l);
    if (status == WEIR_OK) status = add_lists(&l);
    if (status == WEIR_OK) model->vocabulary = out->tensors[0].rows;
    if (status != WEIR_OK) wr_made_release(out);
    return status;
}

void wr_made_release(wr_made *made) {
    wr_release(made->allocator, made->tensors, made->room * sizeof *made->tensors);
    wr_release(made->allocator, (void *)made->sources, made->source_room * sizeof *made->sources);
    made->tensors = NULL;
    made->sources = NULL;
    made->count = made->room = made->source_count = made->source_room = 0;
}
