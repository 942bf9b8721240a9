/*
 * A valid GGUF file of any family and shape with random weights, written a row at a time: a model
 * of many gigabytes needs the memory of one row.
 *
 * Weights have the deviation 1 / sqrt(columns), so that activations keep their size from layer to
 * layer; norms are about 1.
 */
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "model/random/random_inside.h"

weir_random_model weir_random_model_default(void) {
    return (weir_random_model){
        .format = "F32",
        .layers = 2,
        .width = 64,
        .heads = 4,
        .kv_heads = 2,
        .feed_forward = 128,
        .vocabulary = 320,
        .context = 256,
    };
}

/* ---- what may be asked for ------------------------------------------------------------------- */

typedef struct bound {
    const char *name;
    size_t at;
    int64_t low, high;
} bound;

#define AT(field) offsetof(weir_random_model, field)
static const bound bounds[] = {
    {"layers", AT(layers), 1, 1024},
    {"width", AT(width), 2, 65536},
    {"heads", AT(heads), 1, 1024},
    {"kv_heads", AT(kv_heads), 1, 1024},
    {"head_dim", AT(head_dim), 0, 1024},
    {"rotary_dim", AT(rotary_dim), 0, 1024},
    {"feed_forward", AT(feed_forward), 1, 1 << 20},
    {"vocabulary", AT(vocabulary), 260, 1 << 20},
    {"context", AT(context), 1, 1 << 30},
    {"layer_window", AT(layer_window), 0, 1 << 30},
    {"experts", AT(experts), 0, 1024},
    {"experts_used", AT(experts_used), 0, 1024},
};
#undef AT

static weir_status check_bounds(const weir_random_model *asked, weir_error *error) {
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        int64_t value;
        memcpy(&value, (const char *)asked + bounds[i].at, sizeof value);
        if (value < bounds[i].low || value > bounds[i].high) {
            return weir_error_set(error, WEIR_USAGE, "%s must be from %lld to %lld, not %lld",
                                  bounds[i].name, (long long)bounds[i].low,
                                  (long long)bounds[i].high, (long long)value);
        }
    }
    return WEIR_OK;
}

/* Every row must be whole blocks. */
static weir_status check_blocks(const wr_random_shape *shape, weir_error *error) {
    const struct {
        const char *name;
        int64_t columns;
    } rows[] = {{"width", shape->asked.width},
                {"heads * head_dim", shape->query_width},
                {"feed_forward", shape->asked.feed_forward}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].columns % shape->format->block != 0) {
            return weir_error_set(error, WEIR_USAGE,
                                  "%s must be a multiple of %d, the block of %s, not %lld",
                                  rows[i].name, shape->format->block, shape->format->name,
                                  (long long)rows[i].columns);
        }
    }
    return WEIR_OK;
}

/* The word asked for, the first of `known` for NULL, or NULL when it is none of them. */
static const char *choose(const char *asked, const char *const *known) {
    if (asked == NULL) {
        return known[0];
    }
    while (*known != NULL && strcmp(asked, *known) != 0) {
        known++;
    }
    return *known;
}

/* Families that a key gives a sink or other positions: one that is not asked for by name is weir.
 */
static weir_status choose_family(wr_random_shape *shape, bool own, weir_error *error) {
    const char *name = shape->asked.family;
    if (name == NULL) {
        name = own ? "weir" : "llama";
    }
    shape->family = wr_family_find((wr_string){name, strlen(name)});
    if (shape->family == NULL) {
        char names[WR_FAMILY_NAMES];
        return weir_error_set(error, WEIR_USAGE,
                              "random models of the family \"%.40s\" cannot be made; there are: %s",
                              name, wr_family_names(names));
    }
    if (shape->family->encoder && shape->asked.layer_window > 0) {
        return weir_error_set(error, WEIR_USAGE,
                              "layers of the encoder family %s have no windows: leave it out",
                              name);
    }
    if (own && shape->family->sink_key == NULL) {
        return weir_error_set(error, WEIR_USAGE,
                              "a model of the family %s has neither the sink zero or logit nor "
                              "other positions than %s: choose the family weir",
                              name, wr_positions_name(shape->family->positions));
    }
    return WEIR_OK;
}

static weir_status check_kind(wr_random_shape *shape, weir_error *error) {
    static const char *const sinks[] = {"none", "zero", "logit", "token", NULL};
    static const char *const positions[] = {"rope", "alibi", NULL};
    const weir_random_model *asked = &shape->asked;
    const char *where = choose(asked->positions, positions);
    shape->sink = choose(asked->sink, sinks);
    if (shape->sink == NULL || where == NULL) {
        return weir_error_set(error, WEIR_USAGE,
                              "a random model has the sink none, zero, logit or token, not "
                              "\"%.40s\", and the positions rope or alibi, not \"%.40s\"",
                              asked->sink != NULL ? asked->sink : "none",
                              asked->positions != NULL ? asked->positions : "rope");
    }
    const bool own = shape->sink == sinks[1] || shape->sink == sinks[2] || where == positions[1];
    weir_status status = choose_family(shape, own, error);
    if (status != WEIR_OK) {
        return status;
    }
    if (shape->family->sink_key == NULL && shape->family->sink == WR_SINK_TERM_LOGIT) {
        shape->sink = sinks[2];
    }
    shape->positions = shape->family->positions;
    if (where == positions[1]) {
        shape->positions = WR_POSITIONS_ALIBI;
    }
    return WEIR_OK;
}

static weir_status check_head(const wr_random_shape *shape, weir_error *error) {
    if (shape->head_dim % 2 != 0) {
        return weir_error_set(error, WEIR_USAGE,
                              "a head must have an even number of elements, not %lld",
                              (long long)shape->head_dim);
    }
    if (shape->asked.rotary_dim % 2 != 0 || shape->asked.rotary_dim > shape->head_dim) {
        return weir_error_set(error, WEIR_USAGE,
                              "rotary_dim must be an even number up to the head's %lld, not %lld",
                              (long long)shape->head_dim, (long long)shape->asked.rotary_dim);
    }
    return WEIR_OK;
}

/* Numbers of experts, with their defaults in place. */
static weir_status check_experts(wr_random_shape *shape, weir_error *error) {
    weir_random_model *asked = &shape->asked;
    const wr_experts has = shape->family->experts;
    if (has == WR_EXPERTS_ALWAYS && asked->experts == 0) {
        asked->experts = 4;
    }
    if (has == WR_EXPERTS_NONE && asked->experts > 0) {
        return weir_error_set(error, WEIR_USAGE, "a model of the family %s has no experts",
                              shape->family->name);
    }
    if (asked->experts_used == 0) {
        asked->experts_used = (asked->experts + 1) / 2;
    }
    if (asked->experts_used > asked->experts) {
        return weir_error_set(error, WEIR_USAGE, "of %lld experts %lld cannot be used",
                              (long long)asked->experts, (long long)asked->experts_used);
    }
    return WEIR_OK;
}

static weir_status check_shape(const weir_random_model *asked, wr_random_shape *out,
                               weir_error *error) {
    const char *format = asked->format != NULL ? asked->format : "";
    *out = (wr_random_shape){.asked = *asked, .format = wr_format_named(format)};
    weir_status status = check_kind(out, error);
    if (status != WEIR_OK) {
        return status;
    }
    if (out->format == NULL) {
        return weir_error_set(error, WEIR_USAGE,
                              "there is no format \"%.40s\"; for example F32, F16, Q8_0 or Q4_K",
                              format);
    }
    status = check_bounds(asked, error);
    if (status != WEIR_OK) {
        return status;
    }
    if (asked->heads % asked->kv_heads != 0) {
        return weir_error_set(error, WEIR_USAGE,
                              "heads (%lld) must be a multiple of kv_heads (%lld)",
                              (long long)asked->heads, (long long)asked->kv_heads);
    }
    if (asked->head_dim == 0 && asked->width % asked->heads != 0) {
        return weir_error_set(error, WEIR_USAGE,
                              "width (%lld) must be a multiple of heads (%lld), or head_dim given",
                              (long long)asked->width, (long long)asked->heads);
    }
    out->head_dim = asked->head_dim > 0 ? asked->head_dim : asked->width / asked->heads;
    status = check_head(out, error);
    if (status == WEIR_OK) {
        status = check_experts(out, error);
    }
    if (status != WEIR_OK) {
        return status;
    }
    out->query_width = asked->heads * out->head_dim;
    out->key_width = asked->kv_heads * out->head_dim;
    return check_blocks(out, error);
}

/* ---- the file -------------------------------------------------------------------------------- */

typedef struct writing {
    wr_gguf_writer *writer;
    const wr_random_shape *shape;
    void *row;        /* room for the longest one */
    uint64_t tensors; /* written so far: with the seed, the source of a tensor's numbers */
    weir_error *error;
} writing;

static weir_status declare(void *context, const wr_random_tensor *tensor) {
    writing *to = context;
    const int64_t dims[3] = {tensor->columns, tensor->rows, tensor->depth};
    wr_gguf_put_tensor(to->writer, tensor->name,
                       tensor->matrix ? to->shape->format->format : WR_F32,
                       tensor->depth > 0  ? 3
                       : tensor->rows > 0 ? 2
                                          : 1,
                       dims);
    return WEIR_OK;
}

static weir_status write_vector(writing *to, uint64_t seed, uint64_t at,
                                const wr_random_tensor *tensor) {
    float *row = to->row;
    for (int64_t i = 0; i < tensor->columns; i++) {
        row[i] = tensor->mean + tensor->deviation * (float)wr_random_normal(seed, at, (uint64_t)i);
    }
    return wr_gguf_write_data(to->writer, row, (size_t)tensor->columns * sizeof *row, to->error);
}

static weir_status write_row(writing *to, uint64_t seed, uint64_t at,
                             const wr_random_tensor *tensor) {
    const wr_format format = to->shape->format->format;
    wr_format_random_row(format, seed, at, 1.0f / sqrtf((float)tensor->columns), tensor->columns,
                         to->row);
    return wr_gguf_write_data(to->writer, to->row, wr_format_row_bytes(format, tensor->columns),
                              to->error);
}

static weir_status write_tensor(void *context, const wr_random_tensor *tensor) {
    writing *to = context;
    uint32_t mixed[4];
    wr_random_block(to->shape->asked.seed, 0, to->tensors++, mixed);
    const uint64_t seed = (uint64_t)mixed[0] << 32 | mixed[1];
    weir_status status = WEIR_OK;
    const int64_t rows = tensor->rows * (tensor->depth > 0 ? tensor->depth : 1);
    for (int64_t i = 0; i == 0 || (i < rows && status == WEIR_OK); i++) {
        status = tensor->matrix ? write_row(to, seed, (uint64_t)i, tensor)
                                : write_vector(to, seed, (uint64_t)i, tensor);
    }
    return status;
}

/* Rows of matrices, and biases as long as the rows of a matrix are many. */
static size_t longest_row(const wr_random_shape *shape) {
    const int64_t lengths[] = {shape->asked.width, shape->query_width + 2 * shape->key_width,
                               2 * shape->asked.feed_forward, shape->asked.vocabulary};
    int64_t longest = 0;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        longest = lengths[i] > longest ? lengths[i] : longest;
    }
    return (size_t)longest * sizeof(float); /* no format takes more */
}

static weir_status write_file(const char *path, const wr_random_shape *shape, void *row,
                              weir_error *error) {
    writing to = {.shape = shape, .row = row, .error = error};
    weir_status status = wr_gguf_writer_open(path, NULL, &to.writer, error);
    if (status != WEIR_OK) {
        return status;
    }
    wr_random_keys(to.writer, shape);
    status = wr_random_vocabulary(to.writer, shape->asked.vocabulary, error);
    if (status == WEIR_OK) {
        status = wr_random_tensors(shape, declare, &to);
    }
    if (status == WEIR_OK) {
        status = wr_random_tensors(shape, write_tensor, &to);
    }
    if (status == WEIR_OK) {
        status = wr_gguf_writer_commit(to.writer, error);
    }
    wr_gguf_writer_close(to.writer);
    return status;
}

weir_status weir_make_random(const char *path, const weir_random_model *options,
                             weir_error *error) {
    wr_random_shape shape;
    weir_status status = check_shape(options, &shape, error);
    if (status != WEIR_OK) {
        return status;
    }
    size_t size = longest_row(&shape);
    void *row = wr_allocate(NULL, size);
    if (row == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for a row of weights");
    }
    status = write_file(path, &shape, row, error);
    wr_release(NULL, row, size);
    return status;
}
