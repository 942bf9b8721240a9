/*
 * tokenizer.model: SentencePiece's protocol buffer, read by a cursor of our own.
 *
 *     ModelProto      1 pieces (repeated) | 2 trainer_spec | 3 normalizer_spec
 *     SentencePiece   1 piece | 2 score (float) | 3 type
 *     TrainerSpec     3 model_type (1 unigram, 2 BPE) | 40 unk_id | 41 bos_id | 42 eos_id | 43
 * pad_id NormalizerSpec  2 precompiled_charsmap | 3 add_dummy_prefix | 4 remove_extra_whitespaces
 */
#include <string.h>

#include "convert/hf/hf_vocab.h"
#include "file/name.h"

typedef struct field {
    uint32_t number;
    uint64_t value;  /* of a varint, or the bits of a fixed number */
    wr_string bytes; /* of a length-delimited one */
} field;

static uint64_t read_varint(wr_reader *reader) {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        const uint8_t byte = wr_read_u8(reader);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return value;
    }
    reader->failed = true;
    return 0;
}

/* The next field; false at the end, or with reader->failed where the bytes are none. */
static bool next_field(wr_reader *reader, field *out) {
    if (reader->failed || wr_reader_left(reader) == 0) return false;
    const uint64_t tag = read_varint(reader);
    *out = (field){.number = tag >> 3 > UINT32_MAX ? 0 : (uint32_t)(tag >> 3)};
    switch (tag & 7) {
    case 0:
        out->value = read_varint(reader);
        break;
    case 1:
        out->value = wr_read_u64(reader);
        break;
    case 2: {
        const uint64_t size = read_varint(reader);
        if (reader->failed || size > wr_reader_left(reader)) {
            reader->failed = true;
            return false;
        }
        out->bytes = (wr_string){wr_read_bytes(reader, (size_t)size), (size_t)size};
        break;
    }
    case 5:
        out->value = wr_read_u32(reader);
        break;
    default:
        reader->failed = true;
    }
    return !reader->failed && out->number != 0;
}

static wr_reader inside(wr_string bytes) {
    return (wr_reader){.data = (const uint8_t *)bytes.data, .size = bytes.size};
}

static weir_status damaged(const char *path, weir_error *error) {
    return weir_error_set(error, WEIR_DAMAGED, "%.200s: no SentencePiece model, or a damaged one",
                          path);
}

typedef struct source {
    wr_hf_vocab *vocab;
    const char *path;
    int64_t pieces; /* so far */
    uint64_t kind;  /* 1 unigram, 2 BPE */
    weir_error *error;
} source;

static weir_status read_piece(source *s, wr_string bytes) {
    wr_reader reader = inside(bytes);
    field f;
    wr_string text = {"", 0};
    float score = 0;
    uint64_t type = WR_PIECE_NORMAL;
    while (next_field(&reader, &f)) {
        if (f.number == 1) text = f.bytes.data != NULL ? f.bytes : text;
        if (f.number == 2) {
            const uint32_t bits = (uint32_t)f.value;
            memcpy(&score, &bits, sizeof score);
        }
        if (f.number == 3) type = f.value;
    }
    if (reader.failed || type < WR_PIECE_NORMAL || type > WR_PIECE_BYTE || score != score)
        return damaged(s->path, s->error);
    return wr_hf_vocab_set(s->vocab, s->pieces++, text, score, (int32_t)type, s->error);
}

static weir_status read_trainer(source *s, wr_string bytes) {
    wr_reader reader = inside(bytes);
    field f;
    wr_hf_vocab *v = s->vocab;
    while (next_field(&reader, &f)) {
        if (f.number == 3) s->kind = f.value;
        const int32_t id = f.value <= INT32_MAX ? (int32_t)f.value : -1;
        if (f.number == 40) v->special[WR_SPECIAL_UNK] = id;
        if (f.number == 41) v->special[WR_SPECIAL_BOS] = id;
        if (f.number == 42) v->special[WR_SPECIAL_EOS] = id;
        if (f.number == 43) v->special[WR_SPECIAL_PAD] = id;
    }
    return reader.failed ? damaged(s->path, s->error) : WEIR_OK;
}

static weir_status read_normalizer(source *s, wr_string bytes) {
    wr_reader reader = inside(bytes);
    field f;
    wr_hf_vocab *v = s->vocab;
    while (next_field(&reader, &f)) {
        if (f.number == 2 && f.bytes.size > 0)
            wr_write_bytes(&v->charsmap, f.bytes.data, f.bytes.size);
        if (f.number == 3) v->adds_space = f.value != 0 ? WR_YES : WR_NO;
        if (f.number == 4) v->squeezes = f.value != 0 ? WR_YES : WR_NO;
    }
    if (v->charsmap.failed)
        return weir_error_set(s->error, WEIR_MEMORY, "%.200s: no memory for its rules", s->path);
    return reader.failed ? damaged(s->path, s->error) : WEIR_OK;
}

weir_status wr_sentencepiece_read(wr_hf_vocab *vocab, const char *path, const void *data,
                                  size_t size, weir_error *error) {
    source s = {.vocab = vocab, .path = path, .kind = 1, .error = error};
    wr_reader reader = {.data = data, .size = size};
    field f;
    weir_status status = WEIR_OK;
    vocab->special[WR_SPECIAL_UNK] = 0; /* as the format's own defaults have it */
    vocab->special[WR_SPECIAL_BOS] = 1;
    vocab->special[WR_SPECIAL_EOS] = 2;
    vocab->adds_space = vocab->squeezes = WR_YES;
    vocab->scored = true;
    while (status == WEIR_OK && next_field(&reader, &f)) {
        if (f.number == 1) status = read_piece(&s, f.bytes);
        if (f.number == 2) status = read_trainer(&s, f.bytes);
        if (f.number == 3) status = read_normalizer(&s, f.bytes);
    }
    if (status != WEIR_OK) return status;
    if (reader.failed || wr_reader_left(&reader) > 0 || s.pieces == 0) return damaged(path, error);
    if (s.kind != 1 && s.kind != 2)
        return weir_error_set(error, WEIR_UNSUPPORTED,
                              "%.200s: a SentencePiece model of words or characters is not "
                              "supported",
                              path);
    vocab->model = s.kind == 1 ? "t5" : "llama";
    if (s.kind == 2) { /* merging knows neither */
        vocab->squeezes = WR_UNSAID;
        wr_writer_release(&vocab->charsmap);
    }
    for (int i = 0; i < WR_SPECIALS; i++)
        if (vocab->special[i] >= s.pieces) vocab->special[i] = -1;
    return WEIR_OK;
}
