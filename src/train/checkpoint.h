/*
 * The state of a run in one file, which is whole or not there:
 *
 *   "WEIRTRN1" | u32 version | u32 bytes of the header
 *   i64 step | f64 seconds, loss ... | u64 numbers in an array
 *   recipe | zeros up to the header's size
 *   parameters, first moments, second moments: [numbers] f32 each
 *   u64 checksum of everything before
 *
 * Numbers are little-endian. The gradients are not kept: a checkpoint stands between steps.
 *
 * In a folder there are two: `checkpoint`, and `checkpoint.previous`, the one before it. At every
 * moment `checkpoint` is a whole one.
 */
#ifndef WR_CHECKPOINT_H
#define WR_CHECKPOINT_H

#include "base/file.h"
#include "train/recipe.h"

enum { WR_CHECKPOINT_ARRAYS = 3 };

/* What is known at a step. Doubles are NaN where nothing is. */
typedef struct wr_training_state {
    int64_t step;
    double seconds; /* trained in all */
    double loss;
    double validation, bits_per_character;
    double sink_rate, term_rate;
} wr_training_state;

typedef struct wr_checkpoint {
    wr_recipe recipe;
    wr_training_state state;
    size_t numbers;                            /* in each array */
    const float *arrays[WR_CHECKPOINT_ARRAYS]; /* [numbers]; of a file that is open: its mapping */
} wr_checkpoint;

/* Bytes of a file. */
size_t wr_checkpoint_size(size_t numbers);

/* Make `checkpoint` the one in the folder, and what stood there the previous one. On failure both
 * stay. */
weir_status wr_checkpoint_write(const char *folder, const wr_checkpoint *checkpoint,
                                const weir_allocator *allocator, weir_error *error);

typedef struct wr_checkpoint_file {
    wr_map map; /* data NULL: there is none */
    wr_checkpoint checkpoint;
    bool previous;      /* it is the previous one, because the last one is damaged: */
    weir_error damaged; /* how */
} wr_checkpoint_file;

/* Open the last checkpoint of the folder, checked to the last byte; the one before it when that is
 * damaged or gone. WEIR_OK and no map when neither is there; WEIR_DAMAGED when none is whole. */
weir_status wr_checkpoint_open(const char *folder, wr_checkpoint_file *out, weir_error *error);
void wr_checkpoint_close(wr_checkpoint_file *file);

/* Remove the checkpoints of the folder. */
weir_status wr_checkpoint_remove(const char *folder, weir_error *error);

#endif
