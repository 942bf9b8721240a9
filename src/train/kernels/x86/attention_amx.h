/*
 * Attention in tiles of bfloat16: the members of wr_train_kernels that it replaces.
 */
#ifndef WR_TRAIN_ATTENTION_AMX_H
#define WR_TRAIN_ATTENTION_AMX_H

#include "train/kernels/train_kernels.h"

int64_t wr_amx_attention_scratch(int64_t context, int64_t head_dim);
void wr_amx_attention(void *job, int64_t begin, int64_t end, int worker);
void wr_amx_attention_back(void *job, int64_t begin, int64_t end, int worker);

#endif
