/*
 * tokenizer.json: byte-level BPE, BPE with bytes to fall back on (which GGUF keeps as SentencePiece
 * does, with scores), Unigram and WordPiece.
 */
#include <stdio.h>
#include <string.h>

#include "convert/hf/hf_vocab.h"
#include "file/name.h"

#define SPACE_MARK "\xe2\x96\x81" /* U+2581 */

static weir_status damaged(const wr_hf_vocab *vocab, const char *what, weir_error *error) {
    return weir_error_set(error, WEIR_DAMAGED, "%.200s/tokenizer.json: %s", vocab->folder, what);
}

static bool flag(const wr_json *value, const char *name) {
    bool set = false;
    (void)wr_json_get_bool(wr_json_member(value, name), &set);
    return set;
}

static bool has_type(const wr_json *value, const char *type) {
    wr_string found;
    return wr_json_get_string(wr_json_member(value, "type"), &found) && wr_string_is(found, type);
}

/* The step of that type: the value itself or one of its sequence, or NULL. */
static const wr_json *find_step(const wr_json *value, const char *list, const char *type) {
    if (has_type(value, type)) return value;
    const wr_json *steps = wr_json_member(value, list);
    for (size_t i = 0; i < wr_json_count(steps); i++)
        if (has_type(wr_json_item(steps, i), type)) return wr_json_item(steps, i);
    return NULL;
}

static const wr_json *pre_step(const wr_json *tokenizer, const char *type) {
    return find_step(wr_json_member(tokenizer, "pre_tokenizer"), "pretokenizers", type);
}

static const wr_json *normalizer_step(const wr_json *tokenizer, const char *type) {
    return find_step(wr_json_member(tokenizer, "normalizer"), "normalizers", type);
}

static bool is_byte_piece(wr_string piece) {
    return piece.size == 6 && memcmp(piece.data, "<0x", 3) == 0 && piece.data[5] == '>';
}

bool wr_hf_tokenizer_is_byte_level(const wr_json *tokenizer) {
    return has_type(wr_json_member(tokenizer, "model"), "BPE") &&
           pre_step(tokenizer, "ByteLevel") != NULL;
}

/* ---- pieces of an object: text -> id -----------------------------------------------------------
 */

/* How a family writes a piece in GGUF; `own` is room for it. */
typedef wr_string (*spell_fn)(wr_string piece, char *own, size_t room);

static wr_string as_it_is(wr_string piece, char *own, size_t room) {
    (void)own;
    (void)room;
    return piece;
}

static weir_status read_vocab(wr_hf_vocab *vocab, const wr_json *model, spell_fn spell,
                              weir_error *error) {
    const wr_json *pieces = wr_json_member(model, "vocab");
    wr_json_cursor cursor = {0};
    wr_string text;
    const wr_json *value;
    char own[1024];
    if (!wr_json_is_object(pieces)) return damaged(vocab, "model.vocab is no object", error);
    while (wr_json_next(pieces, &cursor, &text, &value)) {
        int64_t id;
        if (!wr_json_get_int(value, &id)) return damaged(vocab, "a token has no id", error);
        if (id >= 0 && id < vocab->count && vocab->pieces[id].type != WR_PIECE_NONE)
            return damaged(vocab, "two tokens have the same id", error);
        weir_status status =
            wr_hf_vocab_set(vocab, id, spell(text, own, sizeof own), 0, WR_PIECE_NORMAL, error);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

/* ---- BPE ---------------------------------------------------------------------------------------
 */

/* Both halves of a merge: "a b" in older files, ["a", "b"] in newer. */
static bool halves(const wr_json *merge, wr_string *a, wr_string *b) {
    wr_string both;
    if (wr_json_get_string(merge, &both)) {
        const char *space = both.size > 1 ? memchr(both.data + 1, ' ', both.size - 1) : NULL;
        if (space == NULL) return false;
        *a = (wr_string){both.data, (size_t)(space - both.data)};
        *b = (wr_string){space + 1, both.size - a->size - 1};
        return b->size > 0;
    }
    return wr_json_count(merge) == 2 && wr_json_get_string(wr_json_item(merge, 0), a) &&
           wr_json_get_string(wr_json_item(merge, 1), b) && a->size > 0 && b->size > 0;
}

static weir_status add_merge(wr_hf_vocab *vocab, wr_string a, wr_string b, weir_error *error) {
    const size_t place[2] = {vocab->texts.size, a.size + 1 + b.size};
    if (memchr(a.data, ' ', a.size) != NULL || memchr(b.data, ' ', b.size) != NULL)
        return damaged(vocab, "a merge of a byte-level vocabulary has a space in it", error);
    wr_write_bytes(&vocab->texts, a.data, a.size);
    wr_write_bytes(&vocab->texts, " ", 1);
    wr_write_bytes(&vocab->texts, b.data, b.size);
    wr_write_bytes(&vocab->merges, place, sizeof place);
    if (!vocab->texts.failed && !vocab->merges.failed) return WEIR_OK;
    return weir_error_set(error, WEIR_MEMORY, "%.200s: no memory for its merges", vocab->folder);
}

/* In a vocabulary with scores a merge is worth the more the earlier it comes. */
static weir_status score_merge(wr_hf_vocab *vocab, const wr_json *model, wr_string a, wr_string b,
                               size_t rank) {
    char merged[1024];
    int64_t id;
    if (a.size + b.size >= sizeof merged) return WEIR_OK;
    memcpy(merged, a.data, a.size);
    memcpy(merged + a.size, b.data, b.size);
    merged[a.size + b.size] = '\0';
    const wr_json *value = wr_json_member(wr_json_member(model, "vocab"), merged);
    if (wr_json_get_int(value, &id) && id >= 0 && id < vocab->count && vocab->pieces[id].score == 0)
        vocab->pieces[id].score = -(float)(rank + 1);
    return WEIR_OK;
}

static weir_status read_merges(wr_hf_vocab *vocab, const wr_json *model, weir_error *error) {
    const wr_json *merges = wr_json_member(model, "merges");
    weir_status status = WEIR_OK;
    if (!wr_json_is_array(merges)) return damaged(vocab, "model.merges is no list", error);
    for (size_t i = 0; i < wr_json_count(merges) && status == WEIR_OK; i++) {
        wr_string a, b;
        if (!halves(wr_json_item(merges, i), &a, &b))
            return damaged(vocab, "a merge is no pair of pieces", error);
        status = vocab->scored ? score_merge(vocab, model, a, b, i) : add_merge(vocab, a, b, error);
    }
    return status;
}

static weir_status read_byte_level(wr_hf_vocab *vocab, const wr_json *tokenizer, const char *pre,
                                   weir_error *error) {
    const wr_json *model = wr_json_member(tokenizer, "model");
    vocab->model = "gpt2";
    vocab->pre = pre != NULL ? pre : wr_pre_name(tokenizer);
    if (vocab->pre == NULL)
        return weir_error_set(error, WEIR_UNSUPPORTED,
                              "%.200s/tokenizer.json: its pre_tokenizer is none that weir knows by "
                              "its patterns; --pre NAME gives GGUF's name of it",
                              vocab->folder);
    if (flag(pre_step(tokenizer, "ByteLevel"), "add_prefix_space")) vocab->adds_space = WR_YES;
    weir_status status = read_vocab(vocab, model, as_it_is, error);
    return status == WEIR_OK ? read_merges(vocab, model, error) : status;
}

/* Where the mark of a word's beginning comes from: a normalizer that prepends it, or Metaspace. */
static wr_maybe adds_space(const wr_json *tokenizer) {
    const wr_json *marks = pre_step(tokenizer, "Metaspace");
    wr_string scheme;
    if (normalizer_step(tokenizer, "Prepend") != NULL) return WR_YES;
    if (marks == NULL) return WR_NO;
    if (wr_json_get_string(wr_json_member(marks, "prepend_scheme"), &scheme))
        return wr_string_is(scheme, "never") ? WR_NO : WR_YES;
    const wr_json *added = wr_json_member(marks, "add_prefix_space");
    return added == NULL || flag(marks, "add_prefix_space") ? WR_YES : WR_NO;
}

static void type_bytes(wr_hf_vocab *vocab) {
    for (int64_t i = 0; i < vocab->count; i++)
        if (vocab->pieces[i].type == WR_PIECE_NORMAL && is_byte_piece(wr_hf_vocab_piece(vocab, i)))
            vocab->pieces[i].type = WR_PIECE_BYTE;
}

static void type_unknown(wr_hf_vocab *vocab, int64_t id) {
    if (id < 0 || id >= vocab->count) return;
    vocab->pieces[id].type = WR_PIECE_UNKNOWN;
    vocab->special[WR_SPECIAL_UNK] = (int32_t)id;
}

static weir_status read_fallback(wr_hf_vocab *vocab, const wr_json *tokenizer, weir_error *error) {
    const wr_json *model = wr_json_member(tokenizer, "model");
    wr_string unknown;
    vocab->model = "llama";
    vocab->scored = true;
    vocab->adds_space = adds_space(tokenizer);
    weir_status status = read_vocab(vocab, model, as_it_is, error);
    if (status == WEIR_OK) status = read_merges(vocab, model, error);
    if (status != WEIR_OK) return status;
    type_bytes(vocab);
    if (wr_json_get_string(wr_json_member(model, "unk_token"), &unknown))
        type_unknown(vocab, wr_hf_vocab_find(vocab, unknown));
    return WEIR_OK;
}

/* ---- Unigram -----------------------------------------------------------------------------------
 */

static int base64_value(char c) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

static bool read_base64(wr_string text, wr_writer *out) {
    uint32_t bits = 0;
    int have = 0;
    for (size_t i = 0; i < text.size && text.data[i] != '='; i++) {
        const int value = base64_value(text.data[i]);
        if (value < 0) return false;
        bits = bits << 6 | (uint32_t)value;
        have += 6;
        if (have < 8) continue;
        have -= 8;
        wr_write_u8(out, (uint8_t)(bits >> have));
    }
    return !out->failed;
}

static weir_status read_unigram(wr_hf_vocab *vocab, const wr_json *tokenizer, weir_error *error) {
    const wr_json *model = wr_json_member(tokenizer, "model");
    const wr_json *pieces = wr_json_member(model, "vocab");
    const wr_json *rules = normalizer_step(tokenizer, "Precompiled");
    wr_string text;
    int64_t unknown = -1;
    vocab->model = "t5";
    vocab->scored = true;
    vocab->adds_space = adds_space(tokenizer);
    vocab->squeezes = normalizer_step(tokenizer, "Replace") != NULL ? WR_YES : WR_NO;
    if (!wr_json_is_array(pieces)) return damaged(vocab, "model.vocab is no list", error);
    for (size_t i = 0; i < wr_json_count(pieces); i++) {
        const wr_json *piece = wr_json_item(pieces, i);
        double score;
        if (!wr_json_get_string(wr_json_item(piece, 0), &text) ||
            !wr_json_get_number(wr_json_item(piece, 1), &score))
            return damaged(vocab, "a piece is no text with a score", error);
        weir_status status =
            wr_hf_vocab_set(vocab, (int64_t)i, text, (float)score, WR_PIECE_NORMAL, error);
        if (status != WEIR_OK) return status;
    }
    if (flag(model, "byte_fallback")) type_bytes(vocab);
    if (wr_json_get_int(wr_json_member(model, "unk_id"), &unknown)) type_unknown(vocab, unknown);
    if (wr_json_get_string(wr_json_member(rules, "precompiled_charsmap"), &text) &&
        !read_base64(text, &vocab->charsmap))
        return damaged(vocab, "precompiled_charsmap is no base64", error);
    return WEIR_OK;
}

/* ---- WordPiece ---------------------------------------------------------------------------------
 */

/* GGUF marks what begins a word, not what goes on. Tokens in brackets stay. */
static wr_string with_mark(wr_string piece, char *own, size_t room) {
    if (piece.size > 2 && piece.data[0] == '[' && piece.data[piece.size - 1] == ']') return piece;
    if (piece.size > 2 && memcmp(piece.data, "##", 2) == 0)
        return (wr_string){piece.data + 2, piece.size - 2};
    const int size = snprintf(own, room, SPACE_MARK "%.*s", (int)piece.size, piece.data);
    return (wr_string){own, (size_t)size < room ? (size_t)size : room - 1};
}

static weir_status read_wordpiece(wr_hf_vocab *vocab, const wr_json *tokenizer, weir_error *error) {
    const wr_json *model = wr_json_member(tokenizer, "model");
    const wr_json *bert = normalizer_step(tokenizer, "BertNormalizer");
    wr_string text = {"##", 2};
    vocab->model = "bert";
    (void)wr_json_get_string(wr_json_member(model, "continuing_subword_prefix"), &text);
    if (bert == NULL || !wr_string_is(text, "##"))
        return damaged(vocab, "a WordPiece vocabulary that is not BERT's is not supported", error);
    vocab->lowercase = flag(bert, "lowercase") ? WR_YES : WR_NO;
    weir_status status = read_vocab(vocab, model, with_mark, error);
    if (status == WEIR_OK && wr_json_get_string(wr_json_member(model, "unk_token"), &text))
        type_unknown(vocab, wr_hf_vocab_find(vocab, text));
    return status;
}

/* ---- all of them -------------------------------------------------------------------------------
 */

weir_status wr_hf_tokenizer_read(wr_hf_vocab *vocab, const wr_json *tokenizer, const char *pre,
                                 weir_error *error) {
    const wr_json *model = wr_json_member(tokenizer, "model");
    wr_string type = {"", 0};
    if (!wr_json_is_object(model)) return damaged(vocab, "there is no model", error);
    (void)wr_json_get_string(wr_json_member(model, "type"), &type);
    if (wr_hf_tokenizer_is_byte_level(tokenizer))
        return read_byte_level(vocab, tokenizer, pre, error);
    if (pre != NULL)
        return weir_error_set(error, WEIR_USAGE,
                              "--pre is for byte-level vocabularies, and that of %.200s is none",
                              vocab->folder);
    if (wr_string_is(type, "BPE")) return read_fallback(vocab, tokenizer, error);
    if (wr_string_is(type, "Unigram")) return read_unigram(vocab, tokenizer, error);
    if (wr_string_is(type, "WordPiece")) return read_wordpiece(vocab, tokenizer, error);
    return weir_error_set(error, WEIR_UNSUPPORTED,
                          "%.200s/tokenizer.json: a tokenizer of type %s is not supported (BPE, "
                          "Unigram and WordPiece are)",
                          vocab->folder, wr_name_quote(type).text);
}
