/*
 * What a run is: every number that its bits depend on, as the checkpoint keeps them.
 *
 * One table names the fields, and writes, reads and compares by it. To add a field: a member of 8
 * bytes and a row, both at the end; in older checkpoints it is 0.
 */
#ifndef WR_RECIPE_H
#define WR_RECIPE_H

#include "base/bytes.h"
#include "weir/train.h"

typedef struct wr_recipe {
    int64_t layers, width, heads, kv_heads, feed_forward, context, vocabulary, tied;
    int64_t sink, positions;
    double rope_base, norm_epsilon;
    int64_t vocabulary_asked; /* pieces wanted of a vocabulary trained on the data; 0: a file's */
    uint64_t data;            /* fingerprint of texts, weights and vocabulary */
    uint64_t seed;
    int64_t batch, micro, steps, warm_up, schedule;
    double rate, rate_end, decay_share, decay, beta1, beta2, epsilon, clip;
    int64_t bfloat16; /* the precision of products */
} wr_recipe;

/* From options in which every choice is made; `vocabulary_asked`, `data` and `bfloat16` stay. */
void wr_recipe_take(wr_recipe *recipe, const weir_train_options *options);

void wr_recipe_write(const wr_recipe *recipe, wr_writer *writer);
void wr_recipe_read(wr_recipe *recipe, wr_reader *reader);

/* WEIR_USAGE names the first field in which `asked` contradicts what stands in `path`. The number
 * of steps may differ. */
weir_status wr_recipe_agree(const wr_recipe *asked, const wr_recipe *stands, const char *path,
                            weir_error *error);

/* The rate of AdamW for step 1 ... steps. */
double wr_recipe_rate(const wr_recipe *recipe, int64_t step);

#endif
