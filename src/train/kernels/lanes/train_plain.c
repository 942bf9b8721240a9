/* Vectors that every 64-bit processor has. */
#define WR_LANES_BYTES 16
#define WR_FEW_REGISTERS
#define WR_TRAIN_TABLE wr_train_kernels_plain
#define WR_TRAIN_LEVEL "plain"
#include "train/kernels/lanes/train_table.h"
