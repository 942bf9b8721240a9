/*
 * The families that weir converts, as rows of data: which classes of Hugging Face they are, how
 * tensors are called here and there and what is done to them, and what their configuration means.
 *
 * In names % stands for the layer and # for an expert (or a head); GGUF's names and keys are GGUF's
 * own. To add a family: its renames in hf_tensors.c, its row in hf_family.c; a golden model in
 * tools/reference/families.py.
 */
#ifndef WR_HF_FAMILY_H
#define WR_HF_FAMILY_H

#include "convert/json.h"

/* Which row of its source a row becomes. Of vectors (biases): which element. */
typedef enum wr_row_order {
    WR_ROWS_SAME,
    /* Heads whose rotary pairs are (i, i + dim / 2) become ones with pairs (2i, 2i + 1). */
    WR_ROWS_PAIRED_Q,
    WR_ROWS_PAIRED_K,
    /* Groups of some query heads, a key head and a value head become all queries, keys, values. */
    WR_ROWS_UNFUSED,
    WR_ROWS_EVEN, /* the first of every two */
    WR_ROWS_ODD,
    WR_ROWS_FIRST_HALF,
    WR_ROWS_SECOND_HALF
} wr_row_order;

enum {
    WR_RENAME_OPTIONAL = 1,   /* a model may lack it */
    WR_RENAME_ROOT = 2,       /* its name does not begin with the family's prefix */
    WR_RENAME_TRANSPOSED = 4, /* the source is [columns, rows] */
    WR_RENAME_PLUS_ONE = 8,   /* the source is what a norm's weight has beyond 1 */
    WR_RENAME_VECTORS = 16,   /* a row of the source is a vector of its own: biases of experts */
    WR_RENAME_FLOAT = 32,     /* stays F32: small, and read as floats */
    WR_RENAME_MXFP4 = 64,     /* blocks of MXFP4, whose scales stand in NAME_scales */
    WR_RENAME_HEAD = 128,     /* the output matrix: left out where it is the embedding */
    WR_RENAME_HEADS = 256,    /* its # counts heads of queries, not experts */
    WR_RENAME_KV_HEADS = 512  /* heads of keys */
};

typedef struct wr_rename {
    const char *from, *to; /* to NULL: nothing comes of it */
    wr_row_order rows;
    unsigned flags;
} wr_rename;

typedef enum wr_key_kind { WR_KEY_INT, WR_KEY_FLOAT, WR_KEY_BOOL } wr_key_kind;

/* A key of the GGUF and where its value stands. */
typedef struct wr_key_rule {
    const char *key;       /* after "FAMILY." */
    const char *from;      /* paths in config.json, separated by spaces: the first that is there */
    const char *otherwise; /* in config.json's own words; NULL: the key is left out */
    wr_key_kind kind;
    double factor; /* of an integer or a float; 0 is 1 */
} wr_key_rule;

/* What a model of the family has to say of itself. */
typedef struct wr_demand {
    const char *path;    /* in config.json */
    const char *allowed; /* words, numbers, true, false, separated by spaces */
    const char *why;     /* what weir lacks: ends the sentence */
} wr_demand;

typedef struct wr_hf_family {
    const char *name;         /* general.architecture */
    const char *classes;      /* of config.json's architectures, separated by spaces */
    const char *text_config;  /* the member that holds the text model's configuration, or NULL */
    const char *prefixes;     /* of names, separated by spaces; none of them may stand there too */
    const wr_rename *renames; /* ends with a NULL from; the first is the embedding */
    const wr_key_rule *keys;  /* before those of all families; ends with a NULL key */
    const wr_demand *demands; /* ends with a NULL path; may be NULL */
    const char *activation;   /* words of activations that the family's executor means */
    double rotary_share;      /* of a head, where the configuration does not say; 0: no RoPE */
    double rope_base;         /* where the configuration does not say */
    bool encoder;
} wr_hf_family;

/* The family of a configuration; an unknown one is one sentence that lists the known. `folder` for
 * messages. */
weir_status wr_hf_family_find(const wr_json *config, const char *folder, const wr_hf_family **out,
                              weir_error *error);

extern const wr_rename wr_renames_llama[], wr_renames_neox[], wr_renames_falcon[], wr_renames_mpt[],
    wr_renames_gpt2[], wr_renames_stablelm[], wr_renames_phi2[], wr_renames_phi3[],
    wr_renames_qwen[], wr_renames_gemma[], wr_renames_gemma2[], wr_renames_starcoder2[],
    wr_renames_olmo2[], wr_renames_gpt_oss[], wr_renames_bert[], wr_renames_nomic[];

#endif
