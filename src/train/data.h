/*
 * Training data: texts cut into documents, tokenised once into shards on disk, mapped, and drawn
 * from in a seeded order.
 *
 * Sample number n is a pure function of (seed, n): nothing has to be saved to resume. Each text has
 * a weight; within a text every epoch shifts the windows by another offset and visits them in
 * another order, each once.
 */
#ifndef WR_DATA_H
#define WR_DATA_H

#include "base/allocate.h"
#include "weir/train.h"

typedef struct wr_data wr_data;

/* A tokenizer as the data need it: the vocabulary of a GGUF, or one just trained (vocabulary.h). */
typedef struct wr_data_text {
    const char *path;
    double weight; /* share of samples, relative to the others; 0: by its tokens */
} wr_data_text;

typedef struct wr_data_options {
    const wr_data_text *texts;
    int32_t count;
    const char *vocabulary; /* a GGUF file that holds one */
    const char *shards;     /* folder for the token files; made when absent */
    uint64_t seed;
    int64_t context;
    bool sink_token; /* samples begin with BOS, which is not in the shards */
    /* May be NULL: called now and then while texts are tokenised; false cancels. */
    bool (*progress)(void *context, int64_t bytes, int64_t of);
    void *progress_context;
} wr_data_options;

weir_status wr_data_open(const wr_data_options *options, const weir_allocator *allocator,
                         wr_data **out, weir_error *error);
void wr_data_close(wr_data *data);

int64_t wr_data_tokens(const wr_data *data);       /* of all texts, once */
uint64_t wr_data_fingerprint(const wr_data *data); /* of texts, weights and vocabulary */

/* Sample n: context + 1 tokens. */
void wr_data_sample(const wr_data *data, int64_t n, int32_t *out);
/* Of validation data: sample i of `count` spread evenly over the text. */
void wr_data_spread(const wr_data *data, int64_t i, int64_t count, int32_t *out);

#endif
