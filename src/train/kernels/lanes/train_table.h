/*
 * The templates as one table. A level's file defines WR_LANES_BYTES, WR_TRAIN_TABLE and
 * WR_TRAIN_LEVEL, and includes this; its flags are in ../meson.build.
 */
#include "train/kernels/train_kernels.h"

#include "train/kernels/lanes/train_rows_lanes.h"

#include "train/kernels/lanes/train_attention_lanes.h"

extern const wr_train_kernels WR_TRAIN_TABLE;

const wr_train_kernels WR_TRAIN_TABLE = {
    .name = WR_TRAIN_LEVEL,
    .panel = TILE_VECTORS * LANES,
    .product = small_product,
    .attention = {attention_scratch, attention, attention_back},
    .norm = norm,
    .norm_back = norm_back,
    .swiglu = swiglu,
    .swiglu_back = swiglu_back,
    .loss = loss,
    .squares = squares,
    .update = update,
};
