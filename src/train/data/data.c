/* Training data: see data.h. */
#include "train/data/data.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file/gguf.h"
#include "train/data/documents.h"
#include "train/data/encode.h"
#include "train/data/sample_order.h"
#include "train/data/shard.h"
#include "train/data/token_sizes.h"

typedef struct source {
    wr_map text; /* only while it is tokenised */
    wr_shard_key key;
    wr_shard shard;
    char path[PATH_MAX]; /* of the shard */
    int64_t turns;       /* of the pattern */
    int64_t windows;
} source;

struct wr_data {
    const weir_allocator *allocator;
    int32_t count;
    source *sources;  /* [count] */
    wr_turn *pattern; /* [WR_TURNS] */
    wr_token_sizes sizes;
    uint64_t seed, fingerprint;
    int64_t context;
    bool sink_token;
    int32_t bos, eos;
};

/* What is needed while the data are opened. */
typedef struct opening {
    wr_data *data;
    const wr_data_options *options;
    weir_error *error;
    wr_gguf *gguf;
    wr_vocab *vocab;
    wr_encoder *encoder;
    wr_shard_writer *writer;
    int64_t bytes, done; /* to tokenise, in all; before this text */
} opening;

static weir_status no_memory(weir_error *error) {
    return weir_error_set(error, WEIR_MEMORY, "no memory for the training data");
}

/* ---- options --------------------------------------------------------------------------------- */

static weir_status check_weights(const wr_data_options *o, weir_error *error) {
    int32_t given = 0;
    for (int32_t i = 0; i < o->count; i++) {
        double weight = o->texts[i].weight;
        if (!(weight >= 0) || !isfinite(weight))
            return weir_error_set(error, WEIR_USAGE, "%.300s: its weight cannot be %g",
                                  o->texts[i].path, weight);
        given += weight > 0;
    }
    if (given == 0 || given == o->count) return WEIR_OK;
    return weir_error_set(error, WEIR_USAGE, "give a weight for every text, or for none of them");
}

static weir_status check_options(const wr_data_options *o, weir_error *error) {
    if (o->count < 1 || o->count > WR_DATA_TEXTS)
        return weir_error_set(error, WEIR_USAGE, "training takes 1 to %d texts, not %d",
                              WR_DATA_TEXTS, (int)o->count);
    if (o->context < 1 || o->context >= INT32_MAX)
        return weir_error_set(error, WEIR_USAGE, "a sample cannot have a context of %lld tokens",
                              (long long)o->context);
    return check_weights(o, error);
}

/* ---- the vocabulary -------------------------------------------------------------------------- */

/* All that decides which tokens a text has. */
static uint64_t vocabulary_fingerprint(const wr_gguf *gguf) {
    static const char *const keys[] = {
        "tokenizer.ggml.model",
        "tokenizer.ggml.pre",
        "tokenizer.ggml.tokens",
        "tokenizer.ggml.scores",
        "tokenizer.ggml.token_type",
        "tokenizer.ggml.merges",
        "tokenizer.ggml.eos_token_id",
        "tokenizer.ggml.unknown_token_id",
        "tokenizer.ggml.add_space_prefix",
    };
    uint64_t sum = 1;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const wr_gguf_value *value = wr_gguf_find(gguf, keys[i]);
        sum = wr_checksum(sum, &i, sizeof i);
        if (value) sum = wr_checksum(sum, value->bytes, value->size);
    }
    return sum;
}

static weir_status open_vocabulary(opening *o) {
    wr_data *data = o->data;
    const char *path = o->options->vocabulary;
    weir_error why;
    weir_status status = wr_gguf_open(path, data->allocator, &o->gguf, o->error);
    if (status != WEIR_OK) return status;
    status = wr_vocab_open(o->gguf, data->allocator, &o->vocab, o->error);
    if (status != WEIR_OK) return status;
    status = wr_vocab_usable(o->vocab, &why);
    if (status != WEIR_OK)
        return weir_error_set(o->error, status, "%.200s: %.250s", path, why.message);
    data->bos = wr_vocab_bos(o->vocab);
    data->eos = wr_vocab_eos(o->vocab);
    if (data->eos < 0)
        return weir_error_set(o->error, WEIR_UNSUPPORTED,
                              "%.300s: the vocabulary has no token that ends a text", path);
    if (data->sink_token && data->bos < 0)
        return weir_error_set(o->error, WEIR_UNSUPPORTED,
                              "%.300s: the vocabulary has no token that begins a text, which a "
                              "sink token needs",
                              path);
    return wr_token_sizes_init(&data->sizes, o->vocab, data->allocator) ? WEIR_OK
                                                                        : no_memory(o->error);
}

/* ---- texts and their shards ------------------------------------------------------------------ */

/* FOLDER/NAME-0123456789abcdef.tokens: the name of the text, and a number for where it lies and for
 * the vocabulary, so that neither texts nor vocabularies get into each other's way. */
static weir_status name_shard(const opening *o, source *s, const char *path) {
    char real[PATH_MAX];
    if (!realpath(path, real)) snprintf(real, sizeof real, "%s", path);
    const char *slash = strrchr(real, '/');
    uint64_t number = wr_checksum(s->key.vocabulary, real, strlen(real));
    int length = snprintf(s->path, sizeof s->path, "%s/%.100s-%016llx.tokens", o->options->shards,
                          slash ? slash + 1 : real, (unsigned long long)number);
    if (length > 0 && (size_t)length < sizeof s->path) return WEIR_OK;
    return weir_error_set(o->error, WEIR_IO, "%.300s...: the path is too long", o->options->shards);
}

/* The text, and its shard where there is one already. */
static weir_status find_text(opening *o, int32_t i, uint64_t vocabulary) {
    source *s = &o->data->sources[i];
    const char *path = o->options->texts[i].path;
    struct stat about = {0};
    weir_status status = wr_map_open(path, &s->text, o->error);
    if (status != WEIR_OK) return status;
    if (stat(path, &about) != 0) return weir_error_set(o->error, WEIR_IO, "%.300s: gone", path);
    s->key = (wr_shard_key){.vocabulary = vocabulary,
                            .vocabulary_size = (uint64_t)wr_vocab_size(o->vocab),
                            .text_size = s->text.size,
                            .text_seconds = about.st_mtim.tv_sec,
                            .text_nanoseconds = about.st_mtim.tv_nsec};
    status = name_shard(o, s, path);
    if (status != WEIR_OK) return status;
    bool found = wr_shard_open(s->path, &s->key, &s->shard);
    wr_map_close(&s->text);
    if (found) return WEIR_OK;
    o->bytes += (int64_t)s->key.text_size;
    return wr_text_open(path, &s->text, o->error);
}

static weir_status find_texts(opening *o) {
    uint64_t vocabulary = vocabulary_fingerprint(o->gguf);
    weir_status status = WEIR_OK;
    for (int32_t i = 0; status == WEIR_OK && i < o->options->count; i++)
        status = find_text(o, i, vocabulary);
    return status;
}

static weir_status check_folder(const opening *o) {
    const char *path = o->options->shards;
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && access(path, W_OK | X_OK) == 0)) {
        struct stat about;
        if (stat(path, &about) == 0 && S_ISDIR(about.st_mode)) return WEIR_OK;
        errno = ENOTDIR;
    }
    char text[128];
    return weir_error_set(o->error, WEIR_IO, "%.300s: token files cannot be written here: %s", path,
                          strerror_r(errno, text, sizeof text));
}

/* ---- tokenising ------------------------------------------------------------------------------ */

static weir_status write_tokens(void *context, const int32_t *tokens, int64_t count,
                                weir_error *error) {
    return wr_shard_write(((opening *)context)->writer, tokens, count, error);
}

static weir_status report(void *context, int64_t bytes, weir_error *error) {
    opening *o = context;
    if (!o->options->progress ||
        o->options->progress(o->options->progress_context, o->done + bytes, o->bytes))
        return WEIR_OK;
    return weir_error_set(error, WEIR_CANCELLED, "tokenising was cancelled");
}

static weir_status make_shard(opening *o, source *s) {
    const wr_encoder_sink sink = {write_tokens, report, o};
    wr_string text = {(const char *)s->text.data, s->text.size};
    weir_status status =
        wr_shard_writer_open(s->path, &s->key, o->data->allocator, &o->writer, o->error);
    if (status == WEIR_OK) status = wr_encoder_run(o->encoder, text, &sink, o->error);
    if (status == WEIR_OK) status = wr_shard_writer_commit(o->writer, o->error);
    wr_shard_writer_close(o->writer);
    o->writer = NULL;
    o->done += (int64_t)s->text.size;
    wr_map_close(&s->text);
    if (status != WEIR_OK) return status;
    if (wr_shard_open(s->path, &s->key, &s->shard)) return WEIR_OK;
    return weir_error_set(o->error, WEIR_DAMAGED, "%.300s: it was just written, and is damaged",
                          s->path);
}

static weir_status check_length(const opening *o, int32_t i) {
    const source *s = &o->data->sources[i];
    if (s->shard.count > o->options->context) return WEIR_OK;
    return weir_error_set(o->error, WEIR_DAMAGED,
                          "%.300s: the text has only %lld tokens, and a sample of context %lld "
                          "takes one more than that",
                          o->options->texts[i].path, (long long)s->shard.count,
                          (long long)o->options->context);
}

/* The shortest of the texts that are still to be tokenised, or -1. */
static int32_t shortest(const wr_data *data) {
    int32_t found = -1;
    for (int32_t i = 0; i < data->count; i++) {
        if (!data->sources[i].text.data) continue;
        if (found < 0 || data->sources[i].text.size < data->sources[found].text.size) found = i;
    }
    return found;
}

static weir_status tokenise(opening *o) {
    wr_data *data = o->data;
    weir_status status = WEIR_OK;
    for (int32_t i = 0; i < data->count && status == WEIR_OK; i++)
        if (data->sources[i].shard.count > 0) status = check_length(o, i);
    if (status != WEIR_OK || shortest(data) < 0) return status;
    status = check_folder(o);
    if (status == WEIR_OK)
        status = wr_encoder_create(o->vocab, o->options->threads, data->allocator, &o->encoder,
                                   o->error);
    for (int32_t i; status == WEIR_OK && (i = shortest(data)) >= 0;) {
        status = make_shard(o, &data->sources[i]);
        if (status == WEIR_OK) status = check_length(o, i);
    }
    return status;
}

/* ---- shares ---------------------------------------------------------------------------------- */

static weir_status share_turns(opening *o) {
    wr_data *data = o->data;
    size_t count = (size_t)data->count;
    double *weights = wr_allocate_array(data->allocator, count, sizeof *weights);
    int64_t *turns = wr_allocate_array(data->allocator, count, sizeof *turns);
    int64_t *owed = wr_allocate_array(data->allocator, count, sizeof *owed);
    data->pattern = wr_allocate_array(data->allocator, WR_TURNS, sizeof *data->pattern);
    bool enough = weights && turns && owed && data->pattern;
    data->fingerprint = wr_checksum(0, &data->sources[0].key.vocabulary, sizeof(uint64_t));
    for (size_t i = 0; enough && i < count; i++) {
        source *s = &data->sources[i];
        double given = o->options->texts[i].weight;
        weights[i] = given > 0 ? given : (double)s->shard.count;
        s->windows = s->shard.count / data->context;
        data->fingerprint = wr_checksum(data->fingerprint, &s->shard.checksum, sizeof(uint64_t));
        data->fingerprint = wr_checksum(data->fingerprint, &s->shard.count, sizeof(int64_t));
        data->fingerprint = wr_checksum(data->fingerprint, &weights[i], sizeof(double));
    }
    if (enough) wr_turns_share(weights, data->count, turns, data->pattern, owed);
    for (size_t i = 0; enough && i < count; i++) data->sources[i].turns = turns[i];
    wr_release(data->allocator, owed, count * sizeof *owed);
    wr_release(data->allocator, turns, count * sizeof *turns);
    wr_release(data->allocator, weights, count * sizeof *weights);
    return enough ? WEIR_OK : no_memory(o->error);
}

/* ---- open and close -------------------------------------------------------------------------- */

static weir_status open_all(opening *o) {
    wr_data *data = o->data;
    data->sources = wr_allocate_array(data->allocator, (size_t)data->count, sizeof(source));
    if (!data->sources) return no_memory(o->error);
    weir_status status = open_vocabulary(o);
    if (status == WEIR_OK) status = find_texts(o);
    if (status == WEIR_OK) status = tokenise(o);
    if (status == WEIR_OK) status = share_turns(o);
    wr_encoder_destroy(o->encoder);
    wr_vocab_close(o->vocab);
    wr_gguf_close(o->gguf);
    return status;
}

weir_status wr_data_open(const wr_data_options *options, const weir_allocator *allocator,
                         wr_data **out, weir_error *error) {
    *out = NULL;
    weir_status status = check_options(options, error);
    if (status != WEIR_OK) return status;
    wr_data *data = wr_allocate_array(allocator, 1, sizeof *data);
    if (!data) return no_memory(error);
    data->allocator = allocator;
    data->count = options->count;
    data->seed = options->seed;
    data->context = options->context;
    data->sink_token = options->sink_token;
    opening o = {.data = data, .options = options, .error = error};
    status = open_all(&o);
    if (status == WEIR_OK)
        *out = data;
    else
        wr_data_close(data);
    return status;
}

void wr_data_close(wr_data *data) {
    if (!data) return;
    for (int32_t i = 0; data->sources && i < data->count; i++) {
        wr_map_close(&data->sources[i].text);
        wr_shard_close(&data->sources[i].shard);
    }
    wr_token_sizes_deinit(&data->sizes, data->allocator);
    wr_release(data->allocator, data->pattern, WR_TURNS * sizeof *data->pattern);
    wr_release(data->allocator, data->sources, (size_t)data->count * sizeof(source));
    wr_release(data->allocator, data, sizeof *data);
}

int64_t wr_data_tokens(const wr_data *data) {
    int64_t sum = 0;
    for (int32_t i = 0; i < data->count; i++) sum += data->sources[i].shard.count;
    return sum;
}

int64_t wr_data_windows(const wr_data *data) {
    int64_t sum = 0;
    for (int32_t i = 0; i < data->count; i++) sum += data->sources[i].windows;
    return sum;
}

uint64_t wr_data_fingerprint(const wr_data *data) { return data->fingerprint; }
int32_t wr_data_bos(const wr_data *data) { return data->bos; }
int32_t wr_data_eos(const wr_data *data) { return data->eos; }

/* ---- samples --------------------------------------------------------------------------------- */

/* The sample whose context is fed from token `first` of the ring on; a sink takes the place of the
 * token before the first that is scored. */
static void read_window(const wr_data *data, const source *s, int64_t first, int32_t *out) {
    int64_t want = data->context + 1, size = s->shard.count;
    first %= size;
    int64_t some = size - first < want ? size - first : want;
    wr_shard_read(&s->shard, first, some, out);
    if (some < want) wr_shard_read(&s->shard, 0, want - some, out + some);
    if (data->sink_token) out[0] = data->bos;
}

void wr_data_sample(const wr_data *data, int64_t n, int32_t *out) {
    const wr_turn *turn = &data->pattern[n % WR_TURNS];
    const source *s = &data->sources[turn->text];
    uint64_t number = (uint64_t)(n / WR_TURNS * s->turns + turn->earlier);
    uint64_t windows = (uint64_t)s->windows;
    wr_epoch epoch = wr_epoch_of(data->seed, turn->text, number / windows);
    uint64_t place = wr_epoch_place(epoch.key, number % windows, windows);
    uint64_t offset = epoch.offset % (uint64_t)s->shard.count;
    read_window(data, s, (int64_t)(offset + place * (uint64_t)data->context), out);
}

void wr_data_spread(const wr_data *data, int64_t i, int64_t count, int32_t *out) {
    int64_t windows = wr_data_windows(data);
    /* i * windows / count without overflow */
    int64_t window = i * (windows / count) + i * (windows % count) / count;
    int32_t text = 0;
    while (window >= data->sources[text].windows) window -= data->sources[text++].windows;
    read_window(data, &data->sources[text], window * data->context, out);
}

void wr_data_measure(const wr_data *data, const int32_t *sample, int64_t *bytes,
                     int64_t *characters) {
    for (int64_t i = 1; i <= data->context; i++) {
        const wr_token_size *size = &data->sizes.list[sample[i]];
        bool first = sample[i - 1] == data->eos && size->begins_with_space;
        *bytes += size->bytes - first;
        *characters += size->characters - first;
    }
}
