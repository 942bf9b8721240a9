/*
 * What a config.json says: the shape of a model, checked, and the keys of its GGUF.
 */
#ifndef WR_HF_KEYS_H
#define WR_HF_KEYS_H

#include "convert/hf/hf_family.h"
#include "file/gguf.h"

typedef struct wr_hf_model {
    const wr_hf_family *family;
    const wr_json *config; /* of the text model */
    const char *folder;
    int64_t layers, width, heads, kv_heads, head_dim, context;
    int64_t rotary;     /* elements of a head that turn */
    int64_t experts;    /* 0: none */
    int64_t vocabulary; /* rows of the embedding: filled by who has read it */
} wr_hf_model;

/* `config` is the whole file, borrowed as long as *out. Unknown families, impossible shapes, and
 * what the family's executor does not do are one sentence. */
weir_status wr_hf_model_read(const wr_json *config, const char *folder, wr_hf_model *out,
                             weir_error *error);

/* The first of some paths (separated by spaces) that is there, or NULL. */
const wr_json *wr_hf_first(const wr_json *config, const char *paths);

/* Everything after "FAMILY.". */
weir_status wr_hf_put_keys(const wr_hf_model *model, wr_gguf_writer *writer, weir_error *error);

/* ---- rotary positions (hf_rope.c) --------------------------------------------------------------
 */

weir_status wr_hf_put_rope(const wr_hf_model *model, wr_gguf_writer *writer, weir_error *error);

/* A list of divisors that the file of a model holds as a tensor [rotary / 2]. */
#define WR_HF_ROPE_LISTS 2
#define WR_HF_ROPE_MAX 512
typedef struct wr_hf_rope_list {
    const char *name; /* "rope_freqs.weight" */
    float divisors[WR_HF_ROPE_MAX];
} wr_hf_rope_list;

/* *count: 0, 1 (Llama 3) or 2 (LongRoPE). */
weir_status wr_hf_rope_lists(const wr_hf_model *model, wr_hf_rope_list out[WR_HF_ROPE_LISTS],
                             int *count, weir_error *error);

/* "FAMILY.SUFFIX" */
#define WR_HF_KEY 128
const char *wr_hf_key(const wr_hf_model *model, const char *suffix, char key[WR_HF_KEY]);

#endif
