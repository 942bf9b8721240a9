/* The vocabulary: see hf_vocab.h. */
#include "convert/hf/hf_vocab.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "file/name.h"

#define TOKENIZER_LIMIT ((size_t)512 << 20)
#define PIECE_LIMIT 65536
#define PATH_LIMIT 4096

/* ---- pieces ------------------------------------------------------------------------------------
 */

/* Unlike a name, a piece may hold control characters. */
static bool is_utf8(wr_string text) {
    const uint8_t *b = (const uint8_t *)text.data, *end = b + text.size;
    while (b < end) {
        const int more = *b < 0x80 ? 0 : *b < 0xc2 ? -1 : *b < 0xe0 ? 1 : *b < 0xf0 ? 2 : 3;
        if (more < 0 || *b > 0xf4 || end - b <= more) return false;
        for (int i = 1; i <= more; i++)
            if ((b[i] & 0xc0) != 0x80) return false;
        b += 1 + more;
    }
    return true;
}

weir_status wr_hf_vocab_set(wr_hf_vocab *vocab, int64_t id, wr_string text, float score,
                            int32_t type, weir_error *error) {
    if (id < 0 || id >= vocab->count)
        return weir_error_set(error, WEIR_DAMAGED,
                              "%.200s: the tokenizer has token %lld (%s), the embedding has %lld "
                              "rows",
                              vocab->folder, (long long)id, wr_name_quote(text).text,
                              (long long)vocab->count);
    if (text.size > PIECE_LIMIT || !is_utf8(text))
        return weir_error_set(error, WEIR_DAMAGED, "%.200s: the piece of token %lld is %s",
                              vocab->folder, (long long)id,
                              text.size > PIECE_LIMIT ? "too long" : "not UTF-8");
    vocab->pieces[id] =
        (wr_hf_piece){.offset = vocab->texts.size, .size = text.size, .score = score, .type = type};
    if (text.size > 0) wr_write_bytes(&vocab->texts, text.data, text.size);
    if (!vocab->texts.failed) return WEIR_OK;
    return weir_error_set(error, WEIR_MEMORY, "%.200s: no memory for its tokens", vocab->folder);
}

wr_string wr_hf_vocab_piece(const wr_hf_vocab *vocab, int64_t id) {
    const wr_hf_piece *piece = &vocab->pieces[id];
    return (wr_string){(const char *)vocab->texts.data + piece->offset, piece->size};
}

int64_t wr_hf_vocab_find(const wr_hf_vocab *vocab, wr_string text) {
    for (int64_t i = 0; i < vocab->count; i++) {
        const wr_string piece = wr_hf_vocab_piece(vocab, i);
        if (vocab->pieces[i].type != WR_PIECE_NONE && piece.size == text.size &&
            memcmp(piece.data, text.data, text.size) == 0)
            return i;
    }
    return -1;
}

/* Rows of the embedding that no token names. */
static weir_status fill_gaps(wr_hf_vocab *vocab, weir_error *error) {
    for (int64_t i = 0; i < vocab->count; i++) {
        char name[32];
        if (vocab->pieces[i].type != WR_PIECE_NONE) continue;
        const int size = snprintf(name, sizeof name, "[PAD%lld]", (long long)i);
        weir_status status = wr_hf_vocab_set(vocab, i, (wr_string){name, (size_t)size}, -10000,
                                             WR_PIECE_UNUSED, error);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

/* ---- the files ---------------------------------------------------------------------------------
 */

static bool find_file(const wr_hf_vocab *vocab, const char *name, char path[PATH_LIMIT]) {
    snprintf(path, PATH_LIMIT, "%s/%s", vocab->folder, name);
    return access(path, F_OK) == 0;
}

static weir_status read_model_file(wr_hf_vocab *vocab, const char *path, weir_error *error) {
    wr_map map;
    weir_status status = wr_map_open(path, &map, error);
    if (status != WEIR_OK) return status;
    status = wr_sentencepiece_read(vocab, path, map.data, map.size, error);
    wr_map_close(&map);
    return status;
}

/* tokenizer.model knows the scores, so it comes first where it can hold the vocabulary. */
static weir_status read_files(wr_hf_vocab *vocab, const wr_hf_model *model, const char *pre,
                              weir_error *error) {
    char path[PATH_LIMIT], model_path[PATH_LIMIT];
    wr_json *tokenizer = NULL;
    weir_status status = WEIR_OK;
    const bool has_model = find_file(vocab, "tokenizer.model", model_path);
    if (find_file(vocab, "tokenizer.json", path))
        status = wr_json_open(path, TOKENIZER_LIMIT, &tokenizer, error);
    else if (!has_model)
        status = weir_error_set(error, WEIR_IO,
                                "%.200s: there is no tokenizer.json and no tokenizer.model in this "
                                "folder (--no-vocab converts the model without)",
                                vocab->folder);
    if (status == WEIR_OK && has_model && !wr_hf_tokenizer_is_byte_level(tokenizer))
        status = read_model_file(vocab, model_path, error);
    else if (status == WEIR_OK)
        status = wr_hf_tokenizer_read(vocab, tokenizer, pre, error);
    if (status == WEIR_OK) status = wr_hf_special_read(vocab, model, tokenizer, error);
    if (status == WEIR_OK) status = fill_gaps(vocab, error);
    wr_json_close(tokenizer);
    return status;
}

weir_status wr_hf_vocab_read(const wr_hf_model *model, const weir_convert_options *options,
                             const weir_allocator *allocator, wr_hf_vocab **out,
                             weir_error *error) {
    *out = NULL;
    wr_hf_vocab *vocab = wr_allocate_array(allocator, 1, sizeof *vocab);
    if (vocab == NULL)
        return weir_error_set(error, WEIR_MEMORY, "%.200s: no memory for its tokens",
                              model->folder);
    *vocab = (wr_hf_vocab){.allocator = allocator, .folder = model->folder, .model = "none"};
    vocab->texts.allocator = vocab->merges.allocator = allocator;
    vocab->charsmap.allocator = vocab->template.allocator = allocator;
    for (int i = 0; i < WR_SPECIALS; i++) vocab->special[i] = -1;
    *out = vocab;
    weir_status status = WEIR_OK;
    int64_t types;
    if (wr_json_get_int(wr_json_member(model->config, "type_vocab_size"), &types) && types > 0 &&
        types <= UINT32_MAX)
        vocab->token_types = types;
    if (options->no_vocab) return WEIR_OK;
    vocab->pieces = wr_allocate_array(allocator, (size_t)model->vocabulary, sizeof *vocab->pieces);
    if (vocab->pieces == NULL)
        status = weir_error_set(error, WEIR_MEMORY, "%.200s: no memory for %lld tokens",
                                model->folder, (long long)model->vocabulary);
    else
        vocab->count = model->vocabulary;
    if (status == WEIR_OK) status = read_files(vocab, model, options->pre, error);
    if (status == WEIR_OK) return WEIR_OK;
    wr_hf_vocab_release(vocab);
    *out = NULL;
    return status;
}

void wr_hf_vocab_release(wr_hf_vocab *vocab) {
    if (vocab == NULL) return;
    wr_release(vocab->allocator, vocab->pieces, (size_t)vocab->count * sizeof *vocab->pieces);
    wr_writer_release(&vocab->texts);
    wr_writer_release(&vocab->merges);
    wr_writer_release(&vocab->charsmap);
    wr_writer_release(&vocab->template);
    wr_release(vocab->allocator, vocab, sizeof *vocab);
}

/* ---- keys --------------------------------------------------------------------------------------
 */

static const char *const special_keys[WR_SPECIALS] = {
    [WR_SPECIAL_BOS] = "tokenizer.ggml.bos_token_id",
    [WR_SPECIAL_EOS] = "tokenizer.ggml.eos_token_id",
    [WR_SPECIAL_EOT] = "tokenizer.ggml.eot_token_id",
    [WR_SPECIAL_EOM] = "tokenizer.ggml.eom_token_id",
    [WR_SPECIAL_UNK] = "tokenizer.ggml.unknown_token_id",
    [WR_SPECIAL_SEP] = "tokenizer.ggml.seperator_token_id", /* the format's own spelling */
    [WR_SPECIAL_PAD] = "tokenizer.ggml.padding_token_id",
    [WR_SPECIAL_CLS] = "tokenizer.ggml.cls_token_id",
    [WR_SPECIAL_MASK] = "tokenizer.ggml.mask_token_id",
};

/* false: no memory */
static bool put_pieces(const wr_hf_vocab *vocab, wr_gguf_writer *writer) {
    const size_t count = (size_t)vocab->count;
    wr_string *texts = wr_allocate_array(vocab->allocator, count, sizeof *texts);
    float *scores = wr_allocate_array(vocab->allocator, count, sizeof *scores);
    int32_t *types = wr_allocate_array(vocab->allocator, count, sizeof *types);
    const bool room = texts != NULL && scores != NULL && types != NULL;
    for (size_t i = 0; i < count && room; i++) {
        texts[i] = wr_hf_vocab_piece(vocab, (int64_t)i);
        scores[i] = vocab->pieces[i].score;
        types[i] = vocab->pieces[i].type;
    }
    if (room) {
        wr_gguf_put_strings(writer, "tokenizer.ggml.tokens", texts, count);
        if (vocab->scored) wr_gguf_put_floats(writer, "tokenizer.ggml.scores", scores, count);
        wr_gguf_put_ints(writer, "tokenizer.ggml.token_type", types, count);
    }
    wr_release(vocab->allocator, texts, count * sizeof *texts);
    wr_release(vocab->allocator, scores, count * sizeof *scores);
    wr_release(vocab->allocator, types, count * sizeof *types);
    return room;
}

static bool put_merges(const wr_hf_vocab *vocab, wr_gguf_writer *writer) {
    const size_t count = vocab->merges.size / (2 * sizeof(size_t));
    if (count == 0) return true;
    wr_string *texts = wr_allocate_array(vocab->allocator, count, sizeof *texts);
    for (size_t i = 0; i < count && texts != NULL; i++) {
        size_t place[2];
        memcpy(place, vocab->merges.data + i * sizeof place, sizeof place);
        texts[i] = (wr_string){(const char *)vocab->texts.data + place[0], place[1]};
    }
    if (texts != NULL) wr_gguf_put_strings(writer, "tokenizer.ggml.merges", texts, count);
    wr_release(vocab->allocator, texts, count * sizeof *texts);
    return texts != NULL;
}

static void put_flags(const wr_hf_vocab *vocab, wr_gguf_writer *writer) {
    const struct {
        const char *key;
        wr_maybe value;
    } flags[] = {
        {"tokenizer.ggml.add_bos_token", vocab->adds_bos},
        {"tokenizer.ggml.add_eos_token", vocab->adds_eos},
        {"tokenizer.ggml.add_sep_token", vocab->adds_sep},
        {"tokenizer.ggml.add_space_prefix", vocab->adds_space},
        {"tokenizer.ggml.remove_extra_whitespaces", vocab->squeezes},
        {"tokenizer.ggml.normalizer.lowercase", vocab->lowercase},
    };
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (flags[i].value != WR_UNSAID)
            wr_gguf_put_bool(writer, flags[i].key, flags[i].value == WR_YES);
}

weir_status wr_hf_vocab_put(const wr_hf_vocab *vocab, wr_gguf_writer *writer, weir_error *error) {
    static const char charsmap[] = "tokenizer.ggml.precompiled_charsmap";
    wr_gguf_put_string(writer, "tokenizer.ggml.model", vocab->model);
    if (vocab->token_types > 0)
        wr_gguf_put_int(writer, "tokenizer.ggml.token_type_count", WR_GGUF_U32, vocab->token_types);
    if (vocab->count == 0) return WEIR_OK;
    if (vocab->pre != NULL) wr_gguf_put_string(writer, "tokenizer.ggml.pre", vocab->pre);
    if (!put_pieces(vocab, writer) || !put_merges(vocab, writer))
        return weir_error_set(error, WEIR_MEMORY, "%.200s: no memory to write its tokens",
                              vocab->folder);
    for (int i = 0; i < WR_SPECIALS; i++)
        if (vocab->special[i] >= 0)
            wr_gguf_put_int(writer, special_keys[i], WR_GGUF_U32, vocab->special[i]);
    put_flags(vocab, writer);
    if (vocab->charsmap.size > 0)
        wr_gguf_put_value(writer, &(wr_gguf_value){.key = {charsmap, sizeof charsmap - 1},
                                                   .type = WR_GGUF_ARRAY,
                                                   .item_type = WR_GGUF_U8,
                                                   .count = vocab->charsmap.size,
                                                   .bytes = vocab->charsmap.data,
                                                   .size = vocab->charsmap.size});
    if (vocab->template.size > 1)
        wr_gguf_put_string(writer, "tokenizer.chat_template", (const char *)vocab->template.data);
    return WEIR_OK;
}
