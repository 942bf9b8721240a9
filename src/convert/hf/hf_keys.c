/* From config.json to keys: see hf_keys.h. */
#include "convert/hf/hf_keys.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file/name.h"

#define MOST (1 << 24) /* of any count */
#define POOLING_LIMIT ((size_t)1 << 20)

const char *wr_hf_key(const wr_hf_model *model, const char *suffix, char key[WR_HF_KEY]) {
    snprintf(key, WR_HF_KEY, "%s.%s", model->family->name, suffix);
    return key;
}

/* ---- looking up --------------------------------------------------------------------------------
 */

/* The next word of *words, into out; false behind the last. */
static bool next_word(const char **words, char out[96]) {
    const size_t size = strcspn(*words, " ");
    if (size == 0) return false;
    snprintf(out, 96, "%.*s", (int)(size < 95 ? size : 95), *words);
    *words += size + ((*words)[size] == ' ');
    return true;
}

const wr_json *wr_hf_first(const wr_json *config, const char *paths) {
    char path[96];
    while (next_word(&paths, path)) {
        const wr_json *value = wr_json_find(config, path);
        if (value != NULL) return value;
    }
    return NULL;
}

static weir_status no_count(const wr_hf_model *model, const char *path, bool absent,
                            weir_error *error) {
    return weir_error_set(error, WEIR_DAMAGED, "%.200s/config.json: %.*s %s", model->folder,
                          (int)strcspn(path, " "), path,
                          absent ? "is missing" : "is no count that a model can have");
}

/* A count from 1. `otherwise` < 0: it must be there. */
static weir_status get_count(const wr_hf_model *model, const char *paths, int64_t otherwise,
                             int64_t *out, weir_error *error) {
    const wr_json *value = wr_hf_first(model->config, paths);
    *out = otherwise;
    if (value == NULL) return otherwise >= 0 ? WEIR_OK : no_count(model, paths, true, error);
    if (!wr_json_get_int(value, out) || *out < 1 || *out > MOST)
        return no_count(model, paths, false, error);
    return WEIR_OK;
}

static bool get_bool(const wr_json *config, const char *path, bool otherwise) {
    bool value = otherwise;
    (void)wr_json_get_bool(wr_json_find(config, path), &value);
    return value;
}

/* A family's own rule, or NULL. */
static const wr_key_rule *find_rule(const wr_key_rule *rules, const char *key) {
    for (; rules != NULL && rules->key != NULL; rules++)
        if (strcmp(rules->key, key) == 0) return rules;
    return NULL;
}

/* What a family takes a count for where its files do not say. */
static int64_t own_default(const wr_hf_model *model, const char *key, int64_t otherwise) {
    const wr_key_rule *rule = find_rule(model->family->keys, key);
    return rule != NULL && rule->otherwise != NULL ? strtoll(rule->otherwise, NULL, 10) : otherwise;
}

/* ---- the shape ---------------------------------------------------------------------------------
 */

/* Falcon's first generation says how many only by whether there is one. */
static weir_status get_kv_heads(wr_hf_model *model, weir_error *error) {
    bool one;
    const bool grouped = get_bool(model->config, "new_decoder_architecture", false);
    if (!grouped && wr_json_get_bool(wr_json_find(model->config, "multi_query"), &one)) {
        model->kv_heads = one ? 1 : model->heads;
        return WEIR_OK;
    }
    return get_count(model, "num_key_value_heads num_kv_heads n_head_kv attn_config.kv_n_heads",
                     own_default(model, "attention.head_count_kv", model->heads), &model->kv_heads,
                     error);
}

static weir_status get_rotary(wr_hf_model *model, weir_error *error) {
    double share = model->family->rotary_share;
    const wr_json *value = wr_hf_first(
        model->config, "partial_rotary_factor rotary_pct rope_pct "
                       "rope_parameters.partial_rotary_factor rope_scaling.partial_rotary_factor");
    if (share > 0) (void)wr_json_get_number(value, &share);
    if (!(share >= 0 && share <= 1)) return no_count(model, "partial_rotary_factor", false, error);
    model->rotary = (int64_t)(share * (double)model->head_dim);
    if (model->rotary % 2 != 0 || model->rotary > 2 * WR_HF_ROPE_MAX)
        return weir_error_set(error, WEIR_UNSUPPORTED,
                              "%.200s/config.json: %lld elements of a head would turn, which is "
                              "%s",
                              model->folder, (long long)model->rotary,
                              model->rotary % 2 != 0 ? "no even number" : "too many");
    return WEIR_OK;
}

static weir_status check_shape(const wr_hf_model *model, weir_error *error) {
    const char *what = NULL;
    if (model->layers > 4096 || model->heads > 65536 || model->head_dim > 65536 ||
        model->experts > 65536)
        what = "has layers, heads or experts beyond any model";
    else if (model->heads % model->kv_heads != 0)
        what = "has heads that are no multiple of the key-value heads";
    if (what == NULL) return WEIR_OK;
    return weir_error_set(error, WEIR_DAMAGED, "%.200s/config.json: the model %s", model->folder,
                          what);
}

static weir_status read_shape(wr_hf_model *m, weir_error *error) {
    int64_t own = 0;
    const struct {
        const char *paths;
        int64_t otherwise;
        int64_t *out;
        const char *key; /* of the family's own rule, which may know better */
    } counts[] = {
        {"num_hidden_layers n_layer n_layers", -1, &m->layers, "block_count"},
        {"hidden_size n_embd d_model", -1, &m->width, "embedding_length"},
        {"num_attention_heads n_head n_heads", -1, &m->heads, "attention.head_count"},
        {"head_dim", 0, &own, "attention.key_length"},
        {"num_local_experts num_experts", 0, &m->experts, "expert_count"},
        {"max_trained_positions max_position_embeddings n_positions max_seq_len n_ctx", -1,
         &m->context, "context_length"},
    };
    weir_status status = WEIR_OK;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0] && status == WEIR_OK; i++) {
        const int64_t otherwise = own_default(m, counts[i].key, counts[i].otherwise);
        status = get_count(m, counts[i].paths, otherwise, counts[i].out, error);
    }
    if (status == WEIR_OK) status = get_kv_heads(m, error);
    if (status != WEIR_OK) return status;
    if (own == 0 && m->width % m->heads != 0)
        return weir_error_set(error, WEIR_DAMAGED,
                              "%.200s/config.json: hidden_size %lld is no multiple of %lld heads",
                              m->folder, (long long)m->width, (long long)m->heads);
    m->head_dim = own > 0 ? own : m->width / m->heads;
    status = check_shape(m, error);
    return status == WEIR_OK ? get_rotary(m, error) : status;
}

/* ---- demands -----------------------------------------------------------------------------------
 */

/* A value in the words of a table: true, 1, gelu. */
static void in_words(const wr_json *value, char out[96]) {
    wr_string text;
    bool truth;
    double number;
    if (wr_json_get_string(value, &text))
        snprintf(out, 96, "%.*s", (int)(text.size < 90 ? text.size : 90), text.data);
    else if (wr_json_get_bool(value, &truth))
        snprintf(out, 96, "%s", truth ? "true" : "false");
    else if (wr_json_get_number(value, &number))
        snprintf(out, 96, "%g", number);
    else
        snprintf(out, 96, "?");
}

static bool among(const char *words, const char *wanted) {
    char word[96];
    while (next_word(&words, word))
        if (strcmp(word, wanted) == 0) return true;
    return false;
}

static weir_status check_demands(const wr_hf_model *model, weir_error *error) {
    char said[96];
    for (const wr_demand *d = model->family->demands; d != NULL && d->path != NULL; d++) {
        const wr_json *value = wr_json_find(model->config, d->path);
        in_words(value, said);
        if (value == NULL || among(d->allowed, said)) continue;
        return weir_error_set(error, WEIR_UNSUPPORTED, "%.200s/config.json: %s is %s: %s",
                              model->folder, d->path,
                              wr_name_quote((wr_string){said, strlen(said)}).text, d->why);
    }
    const wr_json *activation =
        wr_hf_first(model->config, "hidden_activation hidden_act activation_function activation");
    in_words(activation, said);
    if (activation == NULL || among(model->family->activation, said)) return WEIR_OK;
    return weir_error_set(error, WEIR_UNSUPPORTED,
                          "%.200s/config.json: the activation %s is not supported in %s (it is: "
                          "%s)",
                          model->folder, wr_name_quote((wr_string){said, strlen(said)}).text,
                          model->family->name, model->family->activation);
}

weir_status wr_hf_model_read(const wr_json *config, const char *folder, wr_hf_model *out,
                             weir_error *error) {
    *out = (wr_hf_model){.config = config, .folder = folder};
    weir_status status = wr_hf_family_find(config, folder, &out->family, error);
    if (status != WEIR_OK) return status;
    const wr_json *text =
        out->family->text_config ? wr_json_member(config, out->family->text_config) : NULL;
    if (text != NULL) out->config = text;
    status = read_shape(out, error);
    return status == WEIR_OK ? check_demands(out, error) : status;
}

/* ---- keys --------------------------------------------------------------------------------------
 */

/* What families have in common: a key is written where the configuration has its value. */
static const wr_key_rule common[] = {
    {"attention.layer_norm_rms_epsilon", "rms_norm_eps", NULL, WR_KEY_FLOAT, 0},
    {"attention.layer_norm_epsilon", "layer_norm_eps layer_norm_epsilon norm_epsilon", NULL,
     WR_KEY_FLOAT, 0},
    {"expert_used_count", "num_experts_per_tok experts_per_token", NULL, WR_KEY_INT, 0},
    {"expert_feed_forward_length", "moe_intermediate_size", NULL, WR_KEY_INT, 0},
    {"attn_logit_softcapping", "attn_logit_softcapping", NULL, WR_KEY_FLOAT, 0},
    {"final_logit_softcapping", "final_logit_softcapping", NULL, WR_KEY_FLOAT, 0},
};

static weir_status put_rule(const wr_hf_model *model, const wr_key_rule *rule,
                            wr_gguf_writer *writer, weir_error *error) {
    const wr_json *value = wr_hf_first(model->config, rule->from);
    char key[WR_HF_KEY];
    const char *said = rule->otherwise;
    int64_t count = said != NULL ? strtoll(said, NULL, 10) : 0;
    double number = said != NULL ? strtod(said, NULL) : 0;
    bool truth = said != NULL && strcmp(said, "true") == 0;
    if (value == NULL && said == NULL) return WEIR_OK;
    bool good = value == NULL;
    if (!good && rule->kind == WR_KEY_INT)
        good = wr_json_get_int(value, &count) && count >= 0 && count <= UINT32_MAX;
    else if (!good && rule->kind == WR_KEY_FLOAT)
        good = wr_json_get_number(value, &number);
    else if (!good)
        good = wr_json_get_bool(value, &truth);
    if (!good)
        return weir_error_set(error, WEIR_DAMAGED, "%.200s/config.json: %.*s is no %s",
                              model->folder, (int)strcspn(rule->from, " "), rule->from,
                              rule->kind == WR_KEY_INT     ? "count"
                              : rule->kind == WR_KEY_FLOAT ? "number"
                                                           : "true or false");
    (void)wr_hf_key(model, rule->key, key);
    if (rule->kind == WR_KEY_INT)
        wr_gguf_put_int(writer, key, WR_GGUF_U32, count);
    else if (rule->kind == WR_KEY_FLOAT)
        wr_gguf_put_float(writer, key, (float)number);
    else
        wr_gguf_put_bool(writer, key, truth);
    return WEIR_OK;
}

static weir_status put_rules(const wr_hf_model *model, wr_gguf_writer *writer, weir_error *error) {
    const wr_key_rule *own = model->family->keys;
    weir_status status = WEIR_OK;
    for (const wr_key_rule *r = own; r != NULL && r->key != NULL && status == WEIR_OK; r++)
        status = put_rule(model, r, writer, error);
    for (size_t i = 0; i < sizeof common / sizeof common[0] && status == WEIR_OK; i++)
        if (find_rule(own, common[i].key) == NULL)
            status = put_rule(model, &common[i], writer, error);
    return status;
}

static weir_status feed_forward(const wr_hf_model *model, int64_t *out, weir_error *error) {
    int64_t ratio = 4;
    weir_status status = get_count(model, "expansion_ratio", 4, &ratio, error);
    if (status != WEIR_OK) return status;
    return get_count(model, "intermediate_size n_inner ffn_hidden_size", ratio * model->width, out,
                     error);
}

static weir_status put_shape(const wr_hf_model *m, wr_gguf_writer *writer, weir_error *error) {
    int64_t hidden;
    char key[WR_HF_KEY];
    weir_status status = feed_forward(m, &hidden, error);
    if (status != WEIR_OK) return status;
    const bool own = m->head_dim * m->heads != m->width;
    const struct {
        const char *suffix;
        int64_t value; /* 0: left out */
    } counts[] = {
        {"vocab_size", m->vocabulary},
        {"context_length", m->context},
        {"embedding_length", m->width},
        {"block_count", m->layers},
        {"feed_forward_length", hidden},
        {"attention.head_count", m->heads},
        {"attention.head_count_kv", m->kv_heads},
        {"attention.key_length", own ? m->head_dim : 0},
        {"attention.value_length", own ? m->head_dim : 0},
        {"rope.dimension_count", m->rotary},
        {"expert_count", m->experts},
    };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        if (counts[i].value > 0 && find_rule(m->family->keys, counts[i].suffix) == NULL)
            wr_gguf_put_int(writer, wr_hf_key(m, counts[i].suffix, key), WR_GGUF_U32,
                            counts[i].value);
    return WEIR_OK;
}

/* Layers with a window of their own: every period-th has none. *period 0: all have one; -1: none
 * has. */
static weir_status window_period(const wr_hf_model *model, int64_t *period, weir_error *error) {
    const wr_json *types = wr_json_find(model->config, "layer_types");
    const wr_json *said =
        wr_hf_first(model->config, "sliding_window_pattern _sliding_window_pattern");
    *period = 0;
    if (wr_json_get_int(said, period) && *period > 1 && types == NULL) return WEIR_OK;
    *period = 0;
    if (wr_json_count(types) == 0) return WEIR_OK;
    size_t first = 0;
    wr_string type = {0};
    for (; first < wr_json_count(types); first++)
        if (wr_json_get_string(wr_json_item(types, first), &type) &&
            wr_string_is(type, "full_attention"))
            break;
    *period = first == 0 ? -1 : (int64_t)first + 1;
    for (size_t i = 0; i < wr_json_count(types); i++) {
        const bool whole = first == 0 || i % (first + 1) == first;
        if (!wr_json_get_string(wr_json_item(types, i), &type) ||
            !wr_string_is(type, whole ? "full_attention" : "sliding_attention"))
            return weir_error_set(error, WEIR_UNSUPPORTED,
                                  "%.200s/config.json: its layer_types are no full attention in "
                                  "every n-th layer and windows in the others",
                                  model->folder);
    }
    return WEIR_OK;
}

static weir_status put_windows(const wr_hf_model *model, wr_gguf_writer *writer,
                               weir_error *error) {
    int64_t window = 0, period;
    char key[WR_HF_KEY];
    if (!get_bool(model->config, "use_sliding_window", true)) return WEIR_OK;
    weir_status status = get_count(model, "sliding_window", 0, &window, error);
    if (status != WEIR_OK || window == 0) return status;
    status = window_period(model, &period, error);
    if (status != WEIR_OK || period < 0) return status;
    wr_gguf_put_int(writer, wr_hf_key(model, "attention.sliding_window", key), WR_GGUF_U32, window);
    if (period > 0)
        wr_gguf_put_int(writer, wr_hf_key(model, "attention.sliding_window_pattern", key),
                        WR_GGUF_U32, period);
    return WEIR_OK;
}

/* What is computed from the configuration rather than taken from it. */
static void put_derived(const wr_hf_model *model, wr_gguf_writer *writer) {
    double number = 8;
    char key[WR_HF_KEY];
    if (wr_json_find(model->config, "attn_config.alibi") != NULL) {
        (void)wr_json_get_number(wr_json_find(model->config, "attn_config.alibi_bias_max"),
                                 &number);
        wr_gguf_put_float(writer, wr_hf_key(model, "attention.max_alibi_bias", key), (float)number);
    }
    if (wr_json_get_number(wr_json_find(model->config, "query_pre_attn_scalar"), &number) &&
        number > 0)
        wr_gguf_put_float(writer, wr_hf_key(model, "attention.scale", key),
                          (float)(1 / sqrt(number)));
}

/* How an encoder's states become one vector, as sentence-transformers notes it beside the model. */
static weir_status put_pooling(const wr_hf_model *model, wr_gguf_writer *writer,
                               weir_error *error) {
    char path[4096], key[WR_HF_KEY];
    wr_json *pooling;
    snprintf(path, sizeof path, "%s/1_Pooling/config.json", model->folder);
    if (!model->family->encoder || access(path, F_OK) != 0) return WEIR_OK;
    weir_status status = wr_json_open(path, POOLING_LIMIT, &pooling, error);
    if (status != WEIR_OK) return status;
    const int64_t kind = get_bool(pooling, "pooling_mode_mean_tokens", false) ? 1
                         : get_bool(pooling, "pooling_mode_cls_token", false) ? 2
                                                                              : 0;
    wr_gguf_put_int(writer, wr_hf_key(model, "pooling_type", key), WR_GGUF_U32, kind);
    wr_json_close(pooling);
    return WEIR_OK;
}

weir_status wr_hf_put_keys(const wr_hf_model *model, wr_gguf_writer *writer, weir_error *error) {
    weir_status status = put_shape(model, writer, error);
    if (status == WEIR_OK) status = put_rules(model, writer, error);
    if (status == WEIR_OK) status = put_windows(model, writer, error);
    if (status == WEIR_OK && model->rotary > 0) status = wr_hf_put_rope(model, writer, error);
    if (status == WEIR_OK) put_derived(model, writer);
    if (status == WEIR_OK) status = put_pooling(model, writer, error);
    return status;
}
