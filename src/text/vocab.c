/* Reading tokenizer.ggml.* (every count, id, type and number checked), and the questions that the
 * other folders ask of a vocabulary. */
#include "text/vocab.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/vocab_inside.h"

static weir_status no_memory(weir_error *error) {
    return weir_error_set(error, WEIR_MEMORY, "no memory for the vocabulary");
}

void wr_vocab_printable(char out[64], wr_string text) {
    size_t size = text.size < 48 ? text.size : 48;
    for (size_t i = 0; i < size; i++)
        out[i] = text.data[i] >= 0x20 && text.data[i] < 0x7F ? text.data[i] : '?';
    out[size] = '\0';
}

/* The array called `key` with as many items as there are tokens, or NULL when it is absent. */
static weir_status get_array(const wr_gguf *gguf, const wr_vocab *vocab, const char *key,
                             bool floats, const wr_gguf_value **out, weir_error *error) {
    const wr_gguf_value *value = wr_gguf_find(gguf, key);
    *out = value;
    if (!value) return WEIR_OK;
    wr_gguf_type item = value->item_type;
    bool is_float = item == WR_GGUF_F32 || item == WR_GGUF_F64;
    bool fits = floats ? is_float : !is_float && item != WR_GGUF_STRING && item != WR_GGUF_BOOL;
    if (value->type != WR_GGUF_ARRAY || item == WR_GGUF_ARRAY || !fits)
        return weir_error_set(error, WEIR_DAMAGED, "%s: key %s is not an array of %s",
                              wr_gguf_path(gguf), key,
                              floats ? "floating-point numbers" : "integers");
    if (value->count != (uint64_t)vocab->size)
        return weir_error_set(error, WEIR_DAMAGED, "%s: key %s has %llu items for %d tokens",
                              wr_gguf_path(gguf), key, (unsigned long long)value->count,
                              (int)vocab->size);
    return WEIR_OK;
}

static weir_status read_pieces(wr_vocab *vocab, const wr_gguf *gguf, weir_error *error) {
    const wr_gguf_value *value = wr_gguf_find(gguf, "tokenizer.ggml.tokens");
    if (!value)
        return weir_error_set(error, WEIR_DAMAGED,
                              "%s: there is a tokenizer (%s) without tokenizer.ggml.tokens",
                              wr_gguf_path(gguf), vocab->model);
    if (value->type != WR_GGUF_ARRAY || value->item_type != WR_GGUF_STRING)
        return weir_error_set(error, WEIR_DAMAGED,
                              "%s: key tokenizer.ggml.tokens is not an array of strings",
                              wr_gguf_path(gguf));
    if (value->count > INT32_MAX / 2 || value->size > UINT32_MAX)
        return weir_error_set(error, WEIR_LIMIT, "%s: key tokenizer.ggml.tokens is too long",
                              wr_gguf_path(gguf));
    vocab->size = (int32_t)value->count;
    vocab->bytes = value->bytes;
    if (vocab->size == 0) return WEIR_OK;
    vocab->pieces = wr_allocate_array(vocab->allocator, value->count, sizeof *vocab->pieces);
    vocab->types = wr_allocate_array(vocab->allocator, value->count, sizeof *vocab->types);
    vocab->scores = wr_allocate_array(vocab->allocator, value->count, sizeof *vocab->scores);
    if (!vocab->pieces || !vocab->types || !vocab->scores) return no_memory(error);
    wr_gguf_cursor cursor = {0};
    wr_string piece;
    for (int32_t i = 0; i < vocab->size && wr_gguf_next_string(value, &cursor, &piece); i++) {
        if (piece.size == 0) continue;
        vocab->pieces[i].offset = (uint32_t)((const uint8_t *)piece.data - value->bytes);
        vocab->pieces[i].size = (uint32_t)piece.size;
        if (piece.size > vocab->longest) vocab->longest = piece.size;
    }
    return WEIR_OK;
}

static weir_status read_scores(wr_vocab *vocab, const wr_gguf *gguf, weir_error *error) {
    const wr_gguf_value *value;
    weir_status status = get_array(gguf, vocab, "tokenizer.ggml.scores", true, &value, error);
    if (status != WEIR_OK || !value) return status;
    vocab->scored = true;
    for (int32_t i = 0; i < vocab->size; i++) {
        double score = wr_gguf_item_float(value, (uint64_t)i);
        if (isnan(score))
            return weir_error_set(error, WEIR_DAMAGED,
                                  "%s: key tokenizer.ggml.scores: the score of token %d is not a "
                                  "number",
                                  wr_gguf_path(gguf), (int)i);
        vocab->scores[i] = (float)score;
    }
    return WEIR_OK;
}

static weir_status read_types(wr_vocab *vocab, const wr_gguf *gguf, weir_error *error) {
    const wr_gguf_value *value;
    weir_status status = get_array(gguf, vocab, "tokenizer.ggml.token_type", false, &value, error);
    if (status != WEIR_OK) return status;
    vocab->typed = value != NULL;
    for (int32_t i = 0; i < vocab->size; i++) {
        int64_t type = value ? wr_gguf_item_int(value, (uint64_t)i) : WR_TOKEN_NORMAL;
        if (type == 0) type = WR_TOKEN_NORMAL; /* "undefined" in the format's own list */
        if (type < WR_TOKEN_NORMAL || type > WR_TOKEN_BYTE)
            return weir_error_set(error, WEIR_DAMAGED,
                                  "%s: key tokenizer.ggml.token_type: token %d has the unknown "
                                  "type %lld",
                                  wr_gguf_path(gguf), (int)i, (long long)type);
        vocab->types[i] = (uint8_t)type;
    }
    return WEIR_OK;
}

/* A token id, or -1 for none (some writers say so with 2^32 - 1). Where the key is absent, the
 * kind's usual id counts if that token is of the type that such a token has. */
static weir_status read_id(const wr_vocab *vocab, const wr_gguf *gguf, const char *key,
                           int32_t usual, wr_token_type type, int32_t *out, weir_error *error) {
    int64_t id = INT64_MIN;
    weir_status status = wr_gguf_get_int(gguf, key, -1, UINT32_MAX, &id, error);
    if (status != WEIR_OK) return status;
    *out = -1;
    if (id == INT64_MIN) {
        if (usual >= 0 && usual < vocab->size &&
            (!vocab->typed || vocab->types[usual] == (uint8_t)type))
            *out = usual;
        return WEIR_OK;
    }
    if (id == -1 || id == UINT32_MAX) return WEIR_OK;
    if (id >= vocab->size)
        return weir_error_set(error, WEIR_DAMAGED, "%s: key %s is %lld, there are %d tokens",
                              wr_gguf_path(gguf), key, (long long)id, (int)vocab->size);
    *out = (int32_t)id;
    return WEIR_OK;
}

/* Encoders name what stands before and after a text otherwise (the format itself misspells it). */
static const char *key_of(const wr_gguf *gguf, const char *key, const char *other) {
    return wr_gguf_find(gguf, key) || !wr_gguf_find(gguf, other) ? key : other;
}

static weir_status read_ids(wr_vocab *vocab, const wr_gguf *gguf, weir_error *error) {
    const wr_tokenizer_kind *kind = vocab->kind;
    const struct {
        const char *key;
        int32_t usual;
        wr_token_type type;
        int32_t *out;
    } ids[] = {
        {key_of(gguf, "tokenizer.ggml.bos_token_id", "tokenizer.ggml.cls_token_id"),
         kind ? kind->bos : -1, WR_TOKEN_CONTROL, &vocab->bos},
        {key_of(gguf, "tokenizer.ggml.eos_token_id", "tokenizer.ggml.seperator_token_id"),
         kind ? kind->eos : -1, WR_TOKEN_CONTROL, &vocab->eos},
        {"tokenizer.ggml.eot_token_id", -1, WR_TOKEN_CONTROL, &vocab->eot},
        {"tokenizer.ggml.eom_token_id", -1, WR_TOKEN_CONTROL, &vocab->eom},
        {"tokenizer.ggml.unknown_token_id", kind ? kind->unknown : -1, WR_TOKEN_UNKNOWN,
         &vocab->unknown},
    };
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        weir_status status =
            read_id(vocab, gguf, ids[i].key, ids[i].usual, ids[i].type, ids[i].out, error);
        if (status != WEIR_OK) return status;
    }
    if (vocab->typed) return WEIR_OK;
    /* Without types, what the ids tell is all there is to know. */
    if (vocab->bos >= 0) vocab->types[vocab->bos] = WR_TOKEN_CONTROL;
    if (vocab->eos >= 0) vocab->types[vocab->eos] = WR_TOKEN_CONTROL;
    if (vocab->unknown >= 0) vocab->types[vocab->unknown] = WR_TOKEN_UNKNOWN;
    return WEIR_OK;
}

/* Files of before tokenizer.ggml.eot_token_id: the end of a turn is known by its name only. */
static void guess_end_of_turn(wr_vocab *vocab) {
    static const char *const names[] = {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>",
                                        "<|endoftext|>"};
    for (size_t i = 0; i < sizeof names / sizeof names[0] && vocab->eot < 0; i++) {
        int32_t token = wr_vocab_find(vocab, names[i], strlen(names[i]));
        if (token >= 0 && (vocab->types[token] == WR_TOKEN_CONTROL ||
                           vocab->types[token] == WR_TOKEN_USER_DEFINED))
            vocab->eot = token;
    }
}

static weir_status read_flags(wr_vocab *vocab, const wr_gguf *gguf, weir_error *error) {
    const struct {
        const char *key;
        bool *out;
    } flags[] = {
        {"tokenizer.ggml.add_bos_token", &vocab->adds_bos},
        {"tokenizer.ggml.add_sep_token", &vocab->adds_eos},
        {"tokenizer.ggml.add_eos_token", &vocab->adds_eos},
        {"tokenizer.ggml.add_space_prefix", &vocab->adds_space},
    };
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        weir_status status = wr_gguf_get_bool(gguf, flags[i].key, flags[i].out, error);
        if (status != WEIR_OK) return status;
    }
    vocab->adds_bos = vocab->adds_bos && vocab->bos >= 0;
    vocab->adds_eos = vocab->adds_eos && vocab->eos >= 0;
    return WEIR_OK;
}

static void set_kind(wr_vocab *vocab, wr_string model) {
    wr_vocab_printable(vocab->model, model);
    vocab->kind = wr_tokenizer_kind_find(model);
    if (vocab->kind) {
        snprintf(vocab->name, sizeof vocab->name, "%s", vocab->kind->name);
        vocab->adds_bos = vocab->kind->adds_bos;
        vocab->adds_eos = vocab->kind->adds_eos;
        vocab->adds_space = vocab->kind->adds_space;
    } else {
        snprintf(vocab->name, sizeof vocab->name, "unknown (%.48s)", vocab->model);
    }
}

static weir_status read_vocab(wr_vocab *vocab, const wr_gguf *gguf, weir_error *error) {
    wr_string model = {0};
    weir_status status = wr_gguf_get_string(gguf, "tokenizer.ggml.model", &model, error);
    if (status != WEIR_OK) return status;
    if (model.size == 0 || wr_string_is(model, "none") || wr_string_is(model, "no_vocab"))
        return WEIR_OK;
    set_kind(vocab, model);
    if ((status = read_pieces(vocab, gguf, error)) != WEIR_OK) return status;
    if ((status = read_scores(vocab, gguf, error)) != WEIR_OK) return status;
    if ((status = read_types(vocab, gguf, error)) != WEIR_OK) return status;
    if ((status = read_ids(vocab, gguf, error)) != WEIR_OK) return status;
    if ((status = read_flags(vocab, gguf, error)) != WEIR_OK) return status;
    if ((status = wr_pieces_index(vocab, error)) != WEIR_OK) return status;
    if ((status = wr_literals_build(vocab, error)) != WEIR_OK) return status;
    guess_end_of_turn(vocab);
    return vocab->kind ? vocab->kind->prepare(vocab, gguf, error) : WEIR_OK;
}

weir_status wr_vocab_open(const wr_gguf *gguf, const weir_allocator *allocator, wr_vocab **out,
                          weir_error *error) {
    *out = NULL;
    wr_vocab *vocab = wr_allocate_array(allocator, 1, sizeof *vocab);
    if (!vocab) return no_memory(error);
    vocab->allocator = allocator;
    vocab->longest = 4;
    vocab->bos = vocab->eos = vocab->eot = vocab->eom = vocab->unknown = -1;
    memset(vocab->byte_tokens, 0xFF, sizeof vocab->byte_tokens); /* all -1 */
    snprintf(vocab->name, sizeof vocab->name, "none");
    weir_status status = read_vocab(vocab, gguf, error);
    if (status != WEIR_OK) {
        wr_vocab_close(vocab);
        return status;
    }
    *out = vocab;
    return WEIR_OK;
}

void wr_vocab_close(wr_vocab *vocab) {
    if (!vocab) return;
    const weir_allocator *allocator = vocab->allocator;
    size_t size = (size_t)vocab->size;
    if (vocab->own) vocab->kind->release(vocab);
    wr_release(allocator, vocab->pieces, size * sizeof *vocab->pieces);
    wr_release(allocator, vocab->types, size * sizeof *vocab->types);
    wr_release(allocator, vocab->scores, size * sizeof *vocab->scores);
    wr_release(allocator, vocab->slots, (size_t)vocab->slot_count * sizeof *vocab->slots);
    wr_release(allocator, vocab->user_defined.ids,
               (size_t)vocab->user_defined.count * sizeof(int32_t));
    wr_release(allocator, vocab->special.ids, (size_t)vocab->special.count * sizeof(int32_t));
    wr_release(allocator, vocab, sizeof *vocab);
}

weir_status wr_vocab_usable(const wr_vocab *vocab, weir_error *error) {
    if (vocab->model[0] == '\0')
        return weir_error_set(error, WEIR_UNSUPPORTED,
                              "the file has no tokenizer, so text cannot be used; info, plan and "
                              "logits (with token ids) still work");
    if (!vocab->kind)
        return weir_error_set(error, WEIR_UNSUPPORTED,
                              "the tokenizer \"%s\" is none that weir knows, so text cannot be "
                              "used; info, plan and logits (with token ids) still work",
                              vocab->model);
    return vocab->kind->usable(vocab, error);
}

const char *wr_vocab_kind(const wr_vocab *vocab) { return vocab->name; }
int32_t wr_vocab_size(const wr_vocab *vocab) { return vocab->size; }
int32_t wr_vocab_bos(const wr_vocab *vocab) { return vocab->bos; }
int32_t wr_vocab_eos(const wr_vocab *vocab) { return vocab->eos; }
int32_t wr_vocab_unknown(const wr_vocab *vocab) { return vocab->unknown; }
bool wr_vocab_adds_bos(const wr_vocab *vocab) { return vocab->adds_bos; }
bool wr_vocab_adds_eos(const wr_vocab *vocab) { return vocab->adds_eos; }
bool wr_vocab_adds_space(const wr_vocab *vocab) { return vocab->adds_space; }
bool wr_vocab_has_bytes(const wr_vocab *vocab) { return vocab->has_bytes; }
size_t wr_vocab_longest(const wr_vocab *vocab) { return vocab->longest; }

bool wr_vocab_ends_text(const wr_vocab *vocab, int32_t token) {
    return token >= 0 && (token == vocab->eos || token == vocab->eot || token == vocab->eom);
}

wr_string wr_vocab_piece(const wr_vocab *vocab, int32_t token) {
    if (token < 0 || token >= vocab->size) return (wr_string){"", 0};
    return wr_piece_of(vocab, token);
}

wr_token_type wr_vocab_type(const wr_vocab *vocab, int32_t token) {
    if (token < 0 || token >= vocab->size) return WR_TOKEN_UNUSED;
    return (wr_token_type)vocab->types[token];
}
