/* AVX-512. */
#define WR_LANES_BYTES 64
#define WR_TRAIN_TABLE wr_train_kernels_avx512
#define WR_TRAIN_LEVEL "avx512"
#include "train/kernels/lanes/train_table.h"
