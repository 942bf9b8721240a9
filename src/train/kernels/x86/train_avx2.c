/* AVX2 and FMA. */
#define WR_LANES_BYTES 32
#define WR_FEW_REGISTERS
#define WR_TRAIN_TABLE wr_train_kernels_avx2
#define WR_TRAIN_LEVEL "avx2"
#include "train/kernels/lanes/train_table.h"
