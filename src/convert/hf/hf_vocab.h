/*
 * The vocabulary of a Hugging Face folder, as GGUF keeps it: pieces, their types and scores,
 * merges, ids of special tokens, the chat template.
 *
 * A piece's text is copied, so the files can be closed.
 */
#ifndef WR_HF_VOCAB_H
#define WR_HF_VOCAB_H

#include "convert/hf/hf_keys.h"
#include "weir/convert.h"

/* GGUF's types of tokens. */
enum {
    WR_PIECE_NONE = 0, /* nobody has said anything of this id */
    WR_PIECE_NORMAL = 1,
    WR_PIECE_UNKNOWN = 2,
    WR_PIECE_CONTROL = 3,
    WR_PIECE_USER = 4,
    WR_PIECE_UNUSED = 5,
    WR_PIECE_BYTE = 6
};

typedef struct wr_hf_piece {
    size_t offset, size; /* in texts */
    float score;
    int32_t type;
} wr_hf_piece;

enum {
    WR_SPECIAL_BOS,
    WR_SPECIAL_EOS,
    WR_SPECIAL_EOT,
    WR_SPECIAL_EOM,
    WR_SPECIAL_UNK,
    WR_SPECIAL_SEP,
    WR_SPECIAL_PAD,
    WR_SPECIAL_CLS,
    WR_SPECIAL_MASK,
    WR_SPECIALS
};

/* Answers that may be missing. */
typedef enum wr_maybe { WR_UNSAID, WR_NO, WR_YES } wr_maybe;

typedef struct wr_hf_vocab {
    const weir_allocator *allocator;
    const char *folder;
    const char *model; /* tokenizer.ggml.model: "llama", "gpt2", "t5", "bert", "none" */
    const char *pre;   /* tokenizer.ggml.pre, or NULL */
    wr_writer texts;
    wr_hf_piece *pieces; /* [count] */
    int64_t count;       /* rows of the embedding */
    bool scored;
    wr_writer merges;             /* pairs of size_t: offset and size in texts */
    int32_t special[WR_SPECIALS]; /* -1: none */
    wr_maybe adds_bos, adds_eos, adds_sep, adds_space, squeezes, lowercase;
    wr_writer charsmap;  /* SentencePiece's own rules of normalisation */
    wr_writer template;  /* the chat template, NUL-terminated; empty: none */
    int64_t token_types; /* of an encoder */
} wr_hf_vocab;

weir_status wr_hf_vocab_read(const wr_hf_model *model, const weir_convert_options *options,
                             const weir_allocator *allocator, wr_hf_vocab **out, weir_error *error);
weir_status wr_hf_vocab_put(const wr_hf_vocab *vocab, wr_gguf_writer *writer, weir_error *error);
void wr_hf_vocab_release(wr_hf_vocab *vocab);

/* ---- for the files that read a part of it ------------------------------------------------------
 */

/* What piece `id` is. Ids beyond the embedding, and pieces that are no UTF-8, are refused. */
weir_status wr_hf_vocab_set(wr_hf_vocab *vocab, int64_t id, wr_string text, float score,
                            int32_t type, weir_error *error);
int64_t wr_hf_vocab_find(const wr_hf_vocab *vocab, wr_string text); /* -1: none */
wr_string wr_hf_vocab_piece(const wr_hf_vocab *vocab, int64_t id);

/* tokenizer.json (hf_tokenizer.c) */
weir_status wr_hf_tokenizer_read(wr_hf_vocab *vocab, const wr_json *tokenizer, const char *pre,
                                 weir_error *error);
/* Whether it is a byte-level vocabulary, or any other that tokenizer.model could not hold. */
bool wr_hf_tokenizer_is_byte_level(const wr_json *tokenizer);

/* tokenizer.model (sentencepiece_model.c): the bytes are a protocol buffer. */
weir_status wr_sentencepiece_read(wr_hf_vocab *vocab, const char *path, const void *data,
                                  size_t size, weir_error *error);

/* What stands beside the vocabulary (hf_special.c): added tokens, ids, flags, the template. */
weir_status wr_hf_special_read(wr_hf_vocab *vocab, const wr_hf_model *model,
                               const wr_json *tokenizer, weir_error *error);

/* GGUF's name of a pre-tokenizer by its steps (pre_names.c), or NULL. */
const char *wr_pre_name(const wr_json *tokenizer);

#endif
