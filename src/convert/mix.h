/*
 * Mixes: which tensor of a model gets which format. Names and composition are those of llama.cpp,
 * so that a Q4_K_M here is as large, and its parts as precise, as one from there.
 */
#ifndef WR_MIX_H
#define WR_MIX_H

#include "file/gguf.h"

/* What a choice depends on beside the tensor's name and shape. */
typedef struct wr_mix_model {
    int64_t layers, heads, kv_heads, experts;
    bool falcon;
    bool tied; /* no output matrix of its own */
} wr_mix_model;

typedef struct wr_mix wr_mix;

const wr_mix *wr_mix_find(const char *name); /* any case; NULL when there is none */
const char *wr_mix_names(void);
int64_t wr_mix_file_type(const wr_mix *mix); /* general.file_type */

/* The format for a tensor, and whether the mix's own did not fit its rows. What a mix does not
 * change keeps its own. `pure`: the base format for every matrix. */
wr_format wr_mix_choose(const wr_mix *mix, const wr_mix_model *model, const wr_gguf_tensor *tensor,
                        bool pure, bool *fell_back);

#endif
