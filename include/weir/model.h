/*
 * A model: a GGUF file, checked, bound and memory-mapped. Immutable once open, so any number of
 * streams on any threads share one; it must outlive them.
 *
 *     weir_model *model;
 *     if (weir_model_open("model.gguf", NULL, &model, &error) != WEIR_OK) ...
 *     printf("%s, trained for %lld tokens\n", weir_model_get_info(model)->family,
 *            (long long)weir_model_get_info(model)->trained_context);
 *     weir_model_close(model);
 */
#ifndef WEIR_MODEL_H
#define WEIR_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/memory.h"
#include "weir/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_model weir_model;

typedef struct weir_model_options {
    const weir_allocator *allocator; /* NULL: the system's; copied, its context borrowed */
    const char *cpu;    /* "scalar", "avx2", "avx512", ...; NULL: WEIR_CPU or the best there is */
    bool metadata_only; /* describe and tokenize only: weights are neither needed nor bound */
    /* How conversations are written: the name of a format of weir's, or of a template of the file
     * beside its main one; NULL: as the file's template does (weir/chat.h). */
    const char *chat_template;
    /* Weights are rearranged into memory of our own for speed. With no_repack they stay in the
     * mapped file: the model opens at once and computes more slowly, with the same bits. */
    bool no_repack;
    /* Told now and then while they are rearranged: bytes done, of all. May be NULL. */
    void (*progress)(void *context, int64_t done, int64_t total);
    void *progress_context;
} weir_model_options;

/* Open and check everything before any use. `options` may be NULL. On failure *out is NULL and the
 * message names the file, and the key or tensor that is wrong. */
WEIR_API weir_status weir_model_open(const char *path, const weir_model_options *options,
                                     weir_model **out, weir_error *error);
WEIR_API void weir_model_close(weir_model *model); /* NULL is allowed */

/* What is in the file. Strings live as long as the model; never NULL, possibly empty. Numbers that
 * a vocabulary-only file lacks are 0. */
typedef struct weir_model_info {
    const char *path;
    const char *family; /* general.architecture: "llama" */
    const char *name;   /* general.name */
    const char *cpu;    /* the kernel table in use */
    int64_t file_bytes;
    int64_t packed_bytes;  /* of rearranged weights in memory; 0: they are in the mapped file */
    double packed_seconds; /* that rearranging them took */
    int64_t parameters;    /* elements of all tensors */
    int64_t tensors;
    int64_t layers;
    int64_t width;            /* hidden size */
    int64_t heads;            /* query heads */
    int64_t kv_heads;         /* key-value heads */
    int64_t key_dim;          /* elements of one head's key */
    int64_t value_dim;        /* elements of one head's value */
    int64_t feed_forward;     /* hidden size of that part, or of an expert */
    int64_t experts;          /* of a block; 0: none */
    int64_t experts_used;     /* by each token */
    int64_t vocabulary;       /* logits per token */
    int64_t trained_context;  /* tokens */
    int64_t layer_window;     /* a trained window of the layers themselves; 0: none */
    bool sink_token;          /* BOS was trained as a sink (metadata weir.sink_token) */
    const char *sink_term;    /* beside the keys in the softmax: "none", "zero", "logit" */
    const char *positions;    /* "rope", "alibi", "learned" (such a model cannot stream) */
    const char *rope_scaling; /* "none", "linear", "dynamic", "yarn", "llama3", "longrope" */
    bool encoder;             /* it reads a text both ways: no stream, see weir/embed.h */
    const char *pooling;      /* how an encoder makes one vector: "none", "mean", "cls", "last" */
    const char *tokenizer;    /* "SentencePiece BPE", "byte-level BPE", ..., "none" */
    bool tokenizer_usable;    /* text can be fed */
    int64_t pieces;           /* tokens of the vocabulary in the file */
    int32_t bos;              /* -1: none; so for eos */
    int32_t eos;
    bool adds_bos;
    bool adds_eos;
    const char *chat_template; /* tokenizer.chat_template, not NUL-terminated; size 0: none */
    size_t chat_template_size;
    const char *chat_format; /* "chatml", ...: see weir/chat.h; "": the template is unknown */
} weir_model_info;

WEIR_API const weir_model_info *weir_model_get_info(const weir_model *model);

/* A number that tells models apart: of the metadata, the directory of tensors and samples of each.
 * What was saved with one model is refused with another by it. Never 0. */
WEIR_API uint64_t weir_model_fingerprint(const weir_model *model);

typedef struct weir_tensor_info {
    const char *name;   /* not NUL-terminated: */
    size_t name_size;   /* bytes */
    const char *format; /* "Q4_K"; NULL for one that weir does not know */
    uint32_t number;    /* the format as the file says */
    int32_t dims;
    int64_t dim[4]; /* fastest first, as GGUF has it */
    int64_t bytes;
} weir_tensor_info;

/* Tensor i in [0, tensors). */
WEIR_API void weir_model_get_tensor(const weir_model *model, int64_t i, weir_tensor_info *out);

/* Receives tokens in order; anything but WEIR_OK ends the call and is passed on. */
typedef weir_status (*weir_token_fn)(void *context, const int32_t *tokens, int64_t count);

/* The tokens of a whole text, byte for byte, exactly as a stream that is fed it would see them.
 * `bos`: begin with BOS and end with EOS where the model adds them. Nothing in the text is taken
 * as a control token. */
WEIR_API weir_status weir_model_tokenize(const weir_model *model, const char *text, size_t size,
                                         bool bos, weir_token_fn emit, void *context,
                                         weir_error *error);
/* The same, but control tokens written in the text ("<|im_end|>") become those tokens. Only for
 * text that a program wrote itself: in a stranger's text they would be orders. */
WEIR_API weir_status weir_model_tokenize_special(const weir_model *model, const char *text,
                                                 size_t size, bool bos, weir_token_fn emit,
                                                 void *context, weir_error *error);

/* The piece of one token as the file's vocabulary writes it ("▁once" with its space mark, "<0x0A>",
 * control tokens by their name), cut to `capacity` bytes; returns the bytes written. Not
 * NUL-terminated. */
WEIR_API size_t weir_model_token_piece(const weir_model *model, int32_t token, char *out,
                                       size_t capacity);

/* -ln softmax(logits)[token] in nats, of logits [vocabulary] and a token in it: how surprising the
 * token is. Right to about 3e-7. NaN when a logit is, or when all are -infinity. */
WEIR_API double weir_model_nll(const weir_model *model, const float *logits, int32_t token);

#ifdef __cplusplus
}
#endif
#endif
