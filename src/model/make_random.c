/*
 * A valid GGUF file of any shape with random weights, written a row at a time: a model of many
 * gigabytes needs the memory of one row.
 *
 * The file is a table of keys and a table of tensors. Weights have the deviation 1 / sqrt(columns),
 * so that activations keep their size from layer to layer; norms are about 1. The vocabulary is one
 * that SentencePiece could have made: three control tokens, 256 bytes, single characters, and then
 * merges of a known piece and a character, the more frequent first, so that any text tokenises.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "file/gguf.h"
#include "weir/make_random.h"

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

/* The shape with its defaults in place. */
typedef struct random_shape {
    weir_random_model asked;
    const wr_format_info *format;
    int64_t head_dim;
    int64_t query_width, key_width; /* heads * head_dim, kv_heads * head_dim */
    const char *family, *sink, *positions;
} random_shape;

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
    {"feed_forward", AT(feed_forward), 1, 1 << 20},
    {"vocabulary", AT(vocabulary), 260, 1 << 20},
    {"context", AT(context), 1, 1 << 30},
    {"layer_window", AT(layer_window), 0, 1 << 30},
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
static weir_status check_blocks(const random_shape *shape, weir_error *error) {
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

static weir_status check_kind(random_shape *shape, weir_error *error) {
    static const char *const families[] = {"llama", "weir", NULL};
    static const char *const sinks[] = {"none", "zero", "logit", "token", NULL};
    static const char *const positions[] = {"rope", "alibi", NULL};
    const weir_random_model *asked = &shape->asked;
    shape->sink = choose(asked->sink, sinks);
    shape->positions = choose(asked->positions, positions);
    shape->family = choose(asked->family, families);
    if (shape->sink == NULL || shape->positions == NULL) {
        return weir_error_set(error, WEIR_USAGE,
                              "a random model has the sink none, zero, logit or token, not "
                              "\"%.40s\", and the positions rope or alibi, not \"%.40s\"",
                              asked->sink != NULL ? asked->sink : "none",
                              asked->positions != NULL ? asked->positions : "rope");
    }
    if (shape->family == NULL) {
        return weir_error_set(error, WEIR_USAGE,
                              "random models of the family \"%.40s\" cannot be "
                              "made; there are: llama, weir",
                              asked->family);
    }
    const bool own = shape->sink == sinks[1] || shape->sink == sinks[2] ||
                     shape->positions == positions[1]; /* no llama */
    if (asked->family == NULL && own) {
        shape->family = families[1];
    }
    if (own && shape->family == families[0]) {
        return weir_error_set(error, WEIR_USAGE,
                              "a model of the family llama has neither the sink zero or logit nor "
                              "the positions alibi: choose the family weir");
    }
    return WEIR_OK;
}

static weir_status check_shape(const weir_random_model *asked, random_shape *out,
                               weir_error *error) {
    const char *format = asked->format != NULL ? asked->format : "";
    *out = (random_shape){.asked = *asked, .format = wr_format_named(format)};
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
    if (out->head_dim % 2 != 0) {
        return weir_error_set(error, WEIR_USAGE,
                              "a head must have an even number of elements, not %lld",
                              (long long)out->head_dim);
    }
    out->query_width = asked->heads * out->head_dim;
    out->key_width = asked->kv_heads * out->head_dim;
    return check_blocks(out, error);
}

/* ---- the vocabulary -------------------------------------------------------------------------- */

enum { UNKNOWN, BOS, EOS, FIRST_BYTE, FIRST_PIECE = FIRST_BYTE + 256 };
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_BYTE = 6 };

#define SPACE "\xe2\x96\x81" /* U+2581, which stands for a space */
#define PIECE_MAX 24         /* bytes of the longest piece: 3 for the space, then a few letters */

/* Single characters, the most frequent of English first; merges end in one of the letters. */
static const char characters[] = "etaoinshrdlucmwfgypbvkxjqz.,\"'-;:!?ETAOINSHRDLUCMWFGYPBVKXJQZ"
                                 "0123456789()/*_&+=%$#@<>[]{}|\\~^`";
enum { LETTERS = 26 };

typedef struct word_list {
    char (*texts)[PIECE_MAX]; /* [count] NUL-terminated */
    wr_string *pieces;        /* [count] of texts */
    float *scores;
    int32_t *types;
    int64_t count;
} word_list;

static void set_piece(word_list *words, int64_t id, int32_t type, const char *text) {
    size_t size = strlen(text);
    memmove(words->texts[id], text, size + 1);
    words->pieces[id] = (wr_string){words->texts[id], size};
    words->types[id] = type;
    /* SentencePiece's own: the later a merge was found, the less it is worth */
    words->scores[id] = type == TYPE_NORMAL ? -(float)(id - FIRST_PIECE) : 0;
}

static void set_bytes(word_list *words) {
    static const char digits[] = "0123456789ABCDEF";
    for (int i = 0; i < 256; i++) {
        char text[] = {'<', '0', 'x', digits[i >> 4], digits[i & 15], '>', '\0'};
        set_piece(words, FIRST_BYTE + i, TYPE_BYTE, text);
    }
}

static void fill_vocabulary(word_list *words) {
    set_piece(words, UNKNOWN, TYPE_UNKNOWN, "<unk>");
    set_piece(words, BOS, TYPE_CONTROL, "<s>");
    set_piece(words, EOS, TYPE_CONTROL, "</s>");
    set_bytes(words);
    int64_t id = FIRST_PIECE;
    set_piece(words, id++, TYPE_NORMAL, SPACE);
    for (size_t i = 0; i < sizeof characters - 1 && id < words->count; i++) {
        set_piece(words, id++, TYPE_NORMAL, (char[]){characters[i], '\0'});
    }
    /* each known piece that can begin a longer one, with each letter: no text comes twice */
    int64_t last_begin = FIRST_PIECE + LETTERS; /* of single characters: the space and letters */
    for (int64_t begin = FIRST_PIECE; id < words->count; begin++) {
        if (begin > last_begin && words->pieces[begin].size == 1) {
            continue;
        }
        for (int i = 0; i < LETTERS && id < words->count; i++) {
            char text[PIECE_MAX + 1];
            size_t size = words->pieces[begin].size;
            memcpy(text, words->texts[begin], size);
            text[size] = characters[i];
            text[size + 1] = '\0';
            set_piece(words, id++, TYPE_NORMAL, text);
        }
    }
}

static void free_vocabulary(word_list *words) {
    size_t count = (size_t)words->count;
    wr_release(NULL, words->texts, count * sizeof *words->texts);
    wr_release(NULL, words->pieces, count * sizeof *words->pieces);
    wr_release(NULL, words->scores, count * sizeof *words->scores);
    wr_release(NULL, words->types, count * sizeof *words->types);
}

static weir_status put_vocabulary(wr_gguf_writer *writer, int64_t size, weir_error *error) {
    size_t count = (size_t)size;
    word_list words = {
        .texts = wr_allocate_array(NULL, count, sizeof *words.texts),
        .pieces = wr_allocate_array(NULL, count, sizeof *words.pieces),
        .scores = wr_allocate_array(NULL, count, sizeof *words.scores),
        .types = wr_allocate_array(NULL, count, sizeof *words.types),
        .count = size,
    };
    weir_status status = WEIR_OK;
    if (words.texts == NULL || words.pieces == NULL || words.scores == NULL ||
        words.types == NULL) {
        status = weir_error_set(error, WEIR_MEMORY, "no memory for a vocabulary of %lld tokens",
                                (long long)size);
    } else {
        fill_vocabulary(&words);
        wr_gguf_put_string(writer, "tokenizer.ggml.model", "llama");
        wr_gguf_put_strings(writer, "tokenizer.ggml.tokens", words.pieces, count);
        wr_gguf_put_floats(writer, "tokenizer.ggml.scores", words.scores, count);
        wr_gguf_put_ints(writer, "tokenizer.ggml.token_type", words.types, count);
        wr_gguf_put_int(writer, "tokenizer.ggml.unknown_token_id", WR_GGUF_U32, UNKNOWN);
        wr_gguf_put_int(writer, "tokenizer.ggml.bos_token_id", WR_GGUF_U32, BOS);
        wr_gguf_put_int(writer, "tokenizer.ggml.eos_token_id", WR_GGUF_U32, EOS);
        wr_gguf_put_bool(writer, "tokenizer.ggml.add_bos_token", true);
        wr_gguf_put_bool(writer, "tokenizer.ggml.add_eos_token", false);
        wr_gguf_put_bool(writer, "tokenizer.ggml.add_space_prefix", true);
    }
    free_vocabulary(&words);
    return status;
}

/* ---- keys and tensors ------------------------------------------------------------------------ */

static const char *key_of(const random_shape *shape, const char *suffix, char key[64]) {
    snprintf(key, 64, "%s.%s", shape->family, suffix);
    return key;
}

/* What is not said is not there. */
static void put_sink(wr_gguf_writer *writer, const random_shape *shape) {
    if (strcmp(shape->sink, "token") == 0) {
        wr_gguf_put_bool(writer, "weir.sink_token", true);
    } else if (strcmp(shape->sink, "none") != 0) {
        wr_gguf_put_string(writer, "weir.attention.sink", shape->sink);
    }
    if (strcmp(shape->positions, "rope") != 0) {
        wr_gguf_put_string(writer, "weir.attention.positions", shape->positions);
    }
}

static void put_keys(wr_gguf_writer *writer, const random_shape *shape) {
    const weir_random_model *asked = &shape->asked;
    const bool rotary = strcmp(shape->positions, "rope") == 0;
    char key[64];
    wr_gguf_put_string(writer, "general.architecture", shape->family);
    wr_gguf_put_string(writer, "general.name", "random");
    const struct {
        const char *suffix;
        int64_t value; /* 0: left out */
    } counts[] = {
        {"block_count", asked->layers},
        {"context_length", asked->context},
        {"embedding_length", asked->width},
        {"feed_forward_length", asked->feed_forward},
        {"attention.head_count", asked->heads},
        {"attention.head_count_kv", asked->kv_heads},
        {"attention.key_length", asked->head_dim},
        {"attention.value_length", asked->head_dim},
        {"attention.sliding_window", asked->layer_window},
        {"rope.dimension_count", rotary ? shape->head_dim : 0},
        {"vocab_size", asked->vocabulary},
    };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        if (counts[i].value > 0) {
            wr_gguf_put_int(writer, key_of(shape, counts[i].suffix, key), WR_GGUF_U32,
                            counts[i].value);
        }
    }
    wr_gguf_put_float(writer, key_of(shape, "attention.layer_norm_rms_epsilon", key), 1e-5f);
    if (rotary) {
        wr_gguf_put_float(writer, key_of(shape, "rope.freq_base", key), 10000.0f);
    }
    put_sink(writer, shape);
}

/* A vector has one row, is F32 and has numbers near its mean; a matrix has the format that was
 * asked for. */
typedef enum tensor_kind { MATRIX, NORM, SINKS } tensor_kind;

typedef struct random_tensor {
    const char *name; /* of a layer's: what follows "blk.N." */
    int64_t rows, columns;
    tensor_kind kind;
} random_tensor;

#define LAYER_TENSORS 10
#define MODEL_TENSORS 3

/* Returns how many there are: sinks may not be. */
static int list_layer(const random_shape *shape, random_tensor out[LAYER_TENSORS]) {
    int64_t width = shape->asked.width, hidden = shape->asked.feed_forward;
    int64_t query = shape->query_width, key = shape->key_width;
    const random_tensor list[LAYER_TENSORS] = {
        {"attn_norm.weight", 1, width, NORM},
        {"attn_q.weight", query, width, MATRIX},
        {"attn_k.weight", key, width, MATRIX},
        {"attn_v.weight", key, width, MATRIX},
        {"attn_output.weight", width, query, MATRIX},
        {"ffn_norm.weight", 1, width, NORM},
        {"ffn_gate.weight", hidden, width, MATRIX},
        {"ffn_up.weight", hidden, width, MATRIX},
        {"ffn_down.weight", width, hidden, MATRIX},
        {"attn_sinks.weight", 1, shape->asked.heads, SINKS},
    };
    memcpy(out, list, sizeof list);
    return strcmp(shape->sink, "logit") == 0 ? LAYER_TENSORS : LAYER_TENSORS - 1;
}

/* Returns how many there are: the output matrix may be the embedding. */
static int list_model(const random_shape *shape, random_tensor out[MODEL_TENSORS]) {
    int64_t width = shape->asked.width, vocabulary = shape->asked.vocabulary;
    out[0] = (random_tensor){"token_embd.weight", vocabulary, width, MATRIX};
    out[1] = (random_tensor){"output_norm.weight", 1, width, NORM};
    out[2] = (random_tensor){"output.weight", vocabulary, width, MATRIX};
    return shape->asked.tied ? 2 : 3;
}

typedef weir_status (*tensor_fn)(void *context, const char *name, const random_tensor *tensor);

/* Every tensor in the order of the file. */
static weir_status each_tensor(const random_shape *shape, tensor_fn fn, void *context) {
    random_tensor model[MODEL_TENSORS], layer[LAYER_TENSORS];
    int count = list_model(shape, model);
    weir_status status = WEIR_OK;
    for (int i = 0; i < count && status == WEIR_OK; i++) {
        status = fn(context, model[i].name, &model[i]);
    }
    count = list_layer(shape, layer);
    for (int64_t n = 0; n < shape->asked.layers; n++) {
        for (int i = 0; i < count && status == WEIR_OK; i++) {
            char name[64];
            snprintf(name, sizeof name, "blk.%lld.%s", (long long)n, layer[i].name);
            status = fn(context, name, &layer[i]);
        }
    }
    return status;
}

typedef struct writing {
    wr_gguf_writer *writer;
    const random_shape *shape;
    void *row;        /* room for the longest one */
    uint64_t tensors; /* written so far: with the seed, the source of a tensor's numbers */
    weir_error *error;
} writing;

static weir_status declare(void *context, const char *name, const random_tensor *tensor) {
    writing *to = context;
    int64_t dims[2] = {tensor->columns, tensor->rows};
    wr_gguf_put_tensor(to->writer, name,
                       tensor->kind != MATRIX ? WR_F32 : to->shape->format->format,
                       tensor->kind != MATRIX ? 1 : 2, dims);
    return WEIR_OK;
}

/* Norms are about 1, sinks as far apart as scores are. */
static weir_status write_vector(writing *to, uint64_t seed, int64_t columns, float deviation) {
    float *row = to->row;
    for (int64_t i = 0; i < columns; i++) {
        row[i] = 1.0f + deviation * (float)wr_random_normal(seed, 0, (uint64_t)i);
    }
    return wr_gguf_write_data(to->writer, row, (size_t)columns * sizeof *row, to->error);
}

static weir_status write_tensor(void *context, const char *name, const random_tensor *tensor) {
    (void)name;
    writing *to = context;
    uint32_t mixed[4];
    wr_random_block(to->shape->asked.seed, 0, to->tensors++, mixed);
    uint64_t seed = (uint64_t)mixed[0] << 32 | mixed[1];
    if (tensor->kind != MATRIX) {
        return write_vector(to, seed, tensor->columns, tensor->kind == NORM ? 0.1f : 1.0f);
    }
    wr_format format = to->shape->format->format;
    size_t bytes = wr_format_row_bytes(format, tensor->columns);
    float deviation = 1.0f / sqrtf((float)tensor->columns);
    weir_status status = WEIR_OK;
    for (int64_t i = 0; i < tensor->rows && status == WEIR_OK; i++) {
        wr_format_random_row(format, seed, (uint64_t)i, deviation, tensor->columns, to->row);
        status = wr_gguf_write_data(to->writer, to->row, bytes, to->error);
    }
    return status;
}

static size_t longest_row(const random_shape *shape) {
    int64_t columns = shape->asked.width;
    columns = shape->query_width > columns ? shape->query_width : columns;
    columns = shape->asked.feed_forward > columns ? shape->asked.feed_forward : columns;
    columns = shape->asked.heads > columns ? shape->asked.heads : columns;
    return (size_t)columns * sizeof(float); /* no format takes more */
}

static weir_status write_file(const char *path, const random_shape *shape, void *row,
                              weir_error *error) {
    writing to = {.shape = shape, .row = row, .error = error};
    weir_status status = wr_gguf_writer_open(path, NULL, &to.writer, error);
    if (status != WEIR_OK) {
        return status;
    }
    put_keys(to.writer, shape);
    status = put_vocabulary(to.writer, shape->asked.vocabulary, error);
    if (status == WEIR_OK) {
        status = each_tensor(shape, declare, &to);
    }
    if (status == WEIR_OK) {
        status = each_tensor(shape, write_tensor, &to);
    }
    if (status == WEIR_OK) {
        status = wr_gguf_writer_commit(to.writer, error);
    }
    wr_gguf_writer_close(to.writer);
    return status;
}

weir_status weir_make_random(const char *path, const weir_random_model *options,
                             weir_error *error) {
    random_shape shape;
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
