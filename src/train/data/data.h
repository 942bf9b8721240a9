/*
 * Training data: texts cut into documents at <|endoftext|> (documents.h), tokenised once into
 * shards on disk (shard.h), mapped, and drawn from in a seeded order.
 *
 * The tokens of a text form a ring, EOS after each document. A window is `context` tokens that are
 * scored. Each epoch of a text begins its windows at another place of the ring and visits them in
 * another order, each once. Texts take turns in a fixed pattern that gives each its share. So
 * sample number n is a pure function of (seed, n): nothing has to be saved to resume.
 */
#ifndef WR_DATA_H
#define WR_DATA_H

#include "base/allocate.h"
#include "base/threads.h"
#include "weir/train.h"

typedef struct wr_data wr_data;

typedef struct wr_data_text {
    const char *path;
    double weight; /* share of samples, relative to the others; 0 for all texts: by their tokens */
} wr_data_text;

typedef struct wr_data_options {
    const wr_data_text *texts;
    int32_t count;          /* 1 ... WR_DATA_TEXTS */
    const char *vocabulary; /* a GGUF file that holds one: any whose text weir can encode */
    const char *shards;     /* folder for the token files; made when absent */
    uint64_t seed;
    int64_t context;
    bool sink_token;     /* samples begin with BOS, which is not in the shards */
    wr_threads *threads; /* to tokenise with, borrowed for wr_data_open; may be NULL */
    /* May be NULL: called now and then while texts are tokenised; false cancels. */
    bool (*progress)(void *context, int64_t bytes, int64_t of);
    void *progress_context;
} wr_data_options;

#define WR_DATA_TEXTS 1024

/* What is wrong with options, files or folders is one sentence before anything is tokenised: a text
 * that is empty, holds NUL or is not UTF-8, a vocabulary that is none. Only whether a text has
 * context + 1 tokens is known later; the shortest are therefore tokenised first. */
weir_status wr_data_open(const wr_data_options *options, const weir_allocator *allocator,
                         wr_data **out, weir_error *error);
void wr_data_close(wr_data *data);

int64_t wr_data_tokens(const wr_data *data);  /* of all texts, once */
int64_t wr_data_windows(const wr_data *data); /* of all texts, once: tokens / context of each */
uint64_t wr_data_fingerprint(const wr_data *data); /* of texts, weights and vocabulary */
int32_t wr_data_bos(const wr_data *data);          /* -1 when it has none */
int32_t wr_data_eos(const wr_data *data);

/* Sample n >= 0: context + 1 tokens. */
void wr_data_sample(const wr_data *data, int64_t n, int32_t *out);
/* Of validation data: sample i of `count` spread evenly over all windows of the texts; no token is
 * scored twice while count <= wr_data_windows. */
void wr_data_spread(const wr_data *data, int64_t i, int64_t count, int32_t *out);

/* What of the text a sample's scored tokens stand for, those after the first: to its bytes and
 * characters they are added. EOS stands for none, nor does the space before a document. */
void wr_data_measure(const wr_data *data, const int32_t *sample, int64_t *bytes,
                     int64_t *characters);

#endif
