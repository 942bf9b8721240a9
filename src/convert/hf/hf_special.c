/*
 * What stands beside a vocabulary: added tokens, which tokens are special, what is put before a
 * text, the chat template. Of several files that say it the first counts:
 *
 *     tokenizer_config.json, special_tokens_map.json, generation_config.json, config.json
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "convert/hf/hf_vocab.h"

#define FILE_LIMIT ((size_t)64 << 20)
#define PATH_LIMIT 4096

typedef struct files {
    wr_json *tokenizer_config, *special_map, *generation;
} files;

/* NULL where the folder has no such file. */
static weir_status open_one(const char *folder, const char *name, wr_json **out,
                            weir_error *error) {
    char path[PATH_LIMIT];
    *out = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0 ? wr_json_open(path, FILE_LIMIT, out, error) : WEIR_OK;
}

/* ---- added tokens ------------------------------------------------------------------------------
 */

static weir_status add_token(wr_hf_vocab *vocab, int64_t id, const wr_json *token,
                             weir_error *error) {
    wr_string text;
    bool special = false;
    if (!wr_json_get_string(wr_json_member(token, "content"), &text))
        return weir_error_set(error, WEIR_DAMAGED, "%.200s: an added token (%lld) has no content",
                              vocab->folder, (long long)id);
    if (text.size == 0) return WEIR_OK;
    (void)wr_json_get_bool(wr_json_member(token, "special"), &special);
    int32_t type = special ? WR_PIECE_CONTROL : WR_PIECE_USER;
    if (id >= 0 && id < vocab->count) {
        const wr_hf_piece *known = &vocab->pieces[id];
        if (known->type == WR_PIECE_UNKNOWN || known->type == WR_PIECE_BYTE) type = known->type;
    }
    return wr_hf_vocab_set(vocab, id, text, vocab->scored ? -1000 : 0, type, error);
}

/* In tokenizer.json a list, in tokenizer_config.json an object by id. Rows beyond the embedding are
 * no tokens of the model. */
static weir_status add_tokens(wr_hf_vocab *vocab, const wr_json *list, const wr_json *by_id,
                              weir_error *error) {
    wr_json_cursor cursor = {0};
    wr_string name;
    const wr_json *token;
    weir_status status = WEIR_OK;
    for (size_t i = 0; i < wr_json_count(list) && status == WEIR_OK; i++) {
        int64_t id = -1;
        token = wr_json_item(list, i);
        (void)wr_json_get_int(wr_json_member(token, "id"), &id);
        if (id < 0)
            status = weir_error_set(error, WEIR_DAMAGED, "%.200s: an added token has no id",
                                    vocab->folder);
        else if (id < vocab->count)
            status = add_token(vocab, id, token, error);
    }
    while (status == WEIR_OK && wr_json_next(by_id, &cursor, &name, &token)) {
        const int64_t id = strtoll(name.data, NULL, 10);
        if (id >= 0 && id < vocab->count && name.data[0] >= '0' && name.data[0] <= '9')
            status = add_token(vocab, id, token, error);
    }
    return status;
}

/* ---- special tokens ----------------------------------------------------------------------------
 */

static const struct {
    int special;
    const char *token, *id; /* in tokenizer_config.json; in (generation_)config.json */
} names[] = {
    {WR_SPECIAL_BOS, "bos_token", "bos_token_id"}, {WR_SPECIAL_EOS, "eos_token", "eos_token_id"},
    {WR_SPECIAL_UNK, "unk_token", NULL},           {WR_SPECIAL_SEP, "sep_token", "sep_token_id"},
    {WR_SPECIAL_PAD, "pad_token", "pad_token_id"}, {WR_SPECIAL_CLS, "cls_token", NULL},
    {WR_SPECIAL_MASK, "mask_token", NULL},
};

/* A token's text stands there, or an object with its content. */
static int64_t token_named(const wr_hf_vocab *vocab, const wr_json *config, const char *name) {
    const wr_json *value = wr_json_member(config, name);
    wr_string text;
    if (wr_json_is_object(value)) value = wr_json_member(value, "content");
    return wr_json_get_string(value, &text) ? wr_hf_vocab_find(vocab, text) : -1;
}

/* An id, or the first of a list. */
static int64_t token_numbered(const wr_json *config, const char *name) {
    const wr_json *value = name != NULL ? wr_json_member(config, name) : NULL;
    int64_t id = -1;
    if (wr_json_is_array(value)) value = wr_json_item(value, 0);
    return wr_json_get_int(value, &id) ? id : -1;
}

static void find_specials(wr_hf_vocab *vocab, const files *f, const wr_json *config) {
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int64_t id = token_named(vocab, f->tokenizer_config, names[i].token);
        if (id < 0) id = token_named(vocab, f->special_map, names[i].token);
        if (id < 0 && vocab->special[names[i].special] >= 0) continue; /* tokenizer.model's own */
        if (id < 0) id = token_numbered(f->generation, names[i].id);
        if (id < 0) id = token_numbered(config, names[i].id);
        if (id >= 0 && id < vocab->count) vocab->special[names[i].special] = (int32_t)id;
    }
}

/* Several ends: that of the text, and those of a turn and a message. */
static void find_ends(wr_hf_vocab *vocab, const files *f) {
    const wr_json *ends = wr_json_member(f->generation, "eos_token_id");
    for (size_t i = 0; wr_json_is_array(ends) && i < wr_json_count(ends); i++) {
        int64_t id;
        if (!wr_json_get_int(wr_json_item(ends, i), &id) || id < 0 || id >= vocab->count ||
            id == vocab->special[WR_SPECIAL_EOS])
            continue;
        const bool message = wr_string_is(wr_hf_vocab_piece(vocab, id), "<|eom_id|>");
        int32_t *to = &vocab->special[message ? WR_SPECIAL_EOM : WR_SPECIAL_EOT];
        if (*to < 0) *to = (int32_t)id;
    }
}

/* ---- what is put around a text -----------------------------------------------------------------
 */

static bool holds_special(const wr_json *template, size_t at, wr_string text) {
    wr_string id;
    const wr_json *item = wr_json_item(template, at);
    return wr_json_get_string(wr_json_find(item, "SpecialToken.id"), &id) && id.size == text.size &&
           memcmp(id.data, text.data, id.size) == 0;
}

/* What tokenizer.json's post-processor does, itself or one of its sequence. */
static void read_processor(wr_hf_vocab *vocab, const wr_json *processor, wr_maybe *bos,
                           wr_maybe *eos) {
    const wr_json *list = wr_json_member(processor, "processors");
    const wr_json *single = wr_json_member(processor, "single");
    for (size_t i = 0; i < wr_json_count(list); i++) {
        const wr_json *inner = wr_json_item(list, i);
        if (wr_json_member(inner, "processors") == NULL) read_processor(vocab, inner, bos, eos);
    }
    if (!wr_json_is_array(single) || wr_json_count(single) == 0) return;
    const int32_t first = vocab->special[WR_SPECIAL_BOS], last = vocab->special[WR_SPECIAL_EOS];
    if (first >= 0 && holds_special(single, 0, wr_hf_vocab_piece(vocab, first))) *bos = WR_YES;
    if (last >= 0 &&
        holds_special(single, wr_json_count(single) - 1, wr_hf_vocab_piece(vocab, last)))
        *eos = WR_YES;
}

static wr_maybe said(const wr_json *config, const char *name) {
    bool value;
    if (!wr_json_get_bool(wr_json_member(config, name), &value)) return WR_UNSAID;
    return value ? WR_YES : WR_NO;
}

static void find_flags(wr_hf_vocab *vocab, const files *f, const wr_json *tokenizer) {
    const bool pieces = strcmp(vocab->model, "llama") == 0;
    wr_maybe bos = WR_UNSAID, eos = WR_UNSAID;
    if (strcmp(vocab->model, "bert") == 0) return; /* always has both */
    if (tokenizer != NULL) {
        bos = eos = WR_NO;
        read_processor(vocab, wr_json_member(tokenizer, "post_processor"), &bos, &eos);
    }
    vocab->adds_bos = said(f->tokenizer_config, "add_bos_token");
    vocab->adds_eos = said(f->tokenizer_config, "add_eos_token");
    if (vocab->adds_bos == WR_UNSAID) vocab->adds_bos = bos;
    if (vocab->adds_eos == WR_UNSAID) vocab->adds_eos = eos;
    if (vocab->adds_bos == WR_UNSAID) vocab->adds_bos = pieces ? WR_YES : WR_NO;
    if (vocab->adds_eos == WR_UNSAID) vocab->adds_eos = WR_NO;
    if (vocab->special[WR_SPECIAL_BOS] < 0) vocab->adds_bos = WR_NO;
    if (vocab->special[WR_SPECIAL_EOS] < 0) vocab->adds_eos = WR_NO;
}

/* ---- the chat template -------------------------------------------------------------------------
 */

static void keep_template(wr_hf_vocab *vocab, const char *text, size_t size) {
    if (size == 0 || memchr(text, '\0', size) != NULL) return;
    wr_write_bytes(&vocab->template, text, size);
    wr_write_u8(&vocab->template, 0);
}

/* A string, or a list of named ones of which "default" counts. */
static bool template_of(wr_hf_vocab *vocab, const wr_json *value) {
    wr_string text;
    if (wr_json_get_string(value, &text)) {
        keep_template(vocab, text.data, text.size);
        return true;
    }
    for (size_t i = 0; wr_json_is_array(value) && i < wr_json_count(value); i++) {
        const wr_json *one = wr_json_item(value, i);
        if (wr_json_get_string(wr_json_member(one, "name"), &text) && wr_string_is(text, "default"))
            return template_of(vocab, wr_json_member(one, "template"));
    }
    return false;
}

static weir_status find_template(wr_hf_vocab *vocab, const files *f, weir_error *error) {
    char path[PATH_LIMIT];
    wr_json *own = NULL;
    wr_map map;
    snprintf(path, sizeof path, "%s/chat_template.jinja", vocab->folder);
    if (access(path, F_OK) == 0) {
        weir_status status = wr_map_open(path, &map, error);
        if (status != WEIR_OK) return status;
        if (map.size <= FILE_LIMIT) keep_template(vocab, (const char *)map.data, map.size);
        wr_map_close(&map);
    } else if (!template_of(vocab, wr_json_member(f->tokenizer_config, "chat_template"))) {
        weir_status status = open_one(vocab->folder, "chat_template.json", &own, error);
        if (status != WEIR_OK) return status;
        (void)template_of(vocab, wr_json_member(own, "chat_template"));
        wr_json_close(own);
    }
    if (!vocab->template.failed) return WEIR_OK;
    return weir_error_set(error, WEIR_MEMORY, "%.200s: no memory for its chat template",
                          vocab->folder);
}

/* ---- all of it ---------------------------------------------------------------------------------
 */

weir_status wr_hf_special_read(wr_hf_vocab *vocab, const wr_hf_model *model,
                               const wr_json *tokenizer, weir_error *error) {
    files f = {0};
    weir_status status =
        open_one(vocab->folder, "tokenizer_config.json", &f.tokenizer_config, error);
    if (status == WEIR_OK)
        status = open_one(vocab->folder, "special_tokens_map.json", &f.special_map, error);
    if (status == WEIR_OK)
        status = open_one(vocab->folder, "generation_config.json", &f.generation, error);
    if (status == WEIR_OK)
        status = add_tokens(vocab, wr_json_member(tokenizer, "added_tokens"),
                            wr_json_member(f.tokenizer_config, "added_tokens_decoder"), error);
    if (status == WEIR_OK) {
        find_specials(vocab, &f, model->config);
        find_ends(vocab, &f);
        find_flags(vocab, &f, tokenizer);
        status = find_template(vocab, &f, error);
    }
    wr_json_close(f.tokenizer_config);
    wr_json_close(f.special_map);
    wr_json_close(f.generation);
    return status;
}
