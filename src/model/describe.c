/* A family's numbers from the metadata, each with its bounds. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "file/name.h"
#include "model/network.h"

#define KEY_BYTES 128

static const char *family_key(const weir_model *model, const char *suffix, char key[KEY_BYTES]) {
    snprintf(key, KEY_BYTES, "%.60s.%s", model->info.family, suffix);
    return key;
}

/* --- Survey: what info can say of any file ---------------------------------------------------- */

static int64_t survey_int(const weir_model *model, const char *suffix, int64_t otherwise) {
    char key[KEY_BYTES];
    int64_t value = otherwise;
    wr_gguf_get_int(model->gguf, family_key(model, suffix, key), 0, INT64_MAX, &value, NULL);
    return value;
}

static int64_t vocabulary_size(const weir_model *model) {
    const wr_gguf_tensor *embedding = wr_gguf_find_tensor(model->gguf, "token_embd.weight");
    return embedding ? embedding->dim[1] : wr_vocab_size(model->vocab);
}

void wr_model_survey(weir_model *model) {
    weir_model_info *info = &model->info;
    info->layers = survey_int(model, "block_count", 0);
    info->width = survey_int(model, "embedding_length", 0);
    info->heads = survey_int(model, "attention.head_count", 0);
    info->kv_heads = survey_int(model, "attention.head_count_kv", info->heads);
    int64_t head_dim = info->heads > 0 ? info->width / info->heads : 0;
    info->key_dim = survey_int(model, "attention.key_length", head_dim);
    info->value_dim = survey_int(model, "attention.value_length", head_dim);
    info->feed_forward = survey_int(model, "feed_forward_length", 0);
    info->experts = survey_int(model, "expert_count", 0);
    info->experts_used = survey_int(model, "expert_used_count", 0);
    info->trained_context = survey_int(model, "context_length", 0);
    info->layer_window = survey_int(model, "attention.sliding_window", 0);
    info->vocabulary = vocabulary_size(model);
    info->sink_term = "none";
    info->positions = "rope";
    info->rope_scaling = "none";
    info->pooling = "none";
}

/* --- Describe: the numbers that the engine computes with -------------------------------------- */

static weir_status require_int(weir_model *model, const char *suffix, int64_t low, int64_t high,
                               int64_t otherwise, int64_t *out, weir_error *error) {
    char key[KEY_BYTES];
    *out = -1;
    family_key(model, suffix, key);
    weir_status status = wr_gguf_get_int(model->gguf, key, low, high, out, error);
    if (status == WEIR_OK && *out == -1) *out = otherwise;
    if (status == WEIR_OK && *out == -1)
        status =
            weir_error_set(error, WEIR_DAMAGED, "%s: the key %s is missing", model->info.path, key);
    return status;
}

static weir_status describe_shape(weir_model *model, weir_error *error) {
    weir_model_info *info = &model->info;
    weir_status status = require_int(model, "block_count", 1, 1024, -1, &info->layers, error);
    if (status == WEIR_OK)
        status = require_int(model, "embedding_length", 1, 1 << 18, -1, &info->width, error);
    if (status == WEIR_OK)
        status = require_int(model, "attention.head_count", 1, 4096, -1, &info->heads, error);
    if (status == WEIR_OK)
        status = require_int(model, "attention.head_count_kv", 1, 4096, info->heads,
                             &info->kv_heads, error);
    if (status == WEIR_OK)
        status = require_int(model, "feed_forward_length", 1, 1 << 22,
                             survey_int(model, "expert_feed_forward_length", -1),
                             &info->feed_forward, error);
    if (status == WEIR_OK)
        status = require_int(model, "context_length", 1, (int64_t)1 << 40, -1,
                             &info->trained_context, error);
    int64_t head_dim = status == WEIR_OK ? info->width / info->heads : 0;
    if (status == WEIR_OK)
        status =
            require_int(model, "attention.key_length", 1, 1024, head_dim, &info->key_dim, error);
    if (status == WEIR_OK)
        status = require_int(model, "attention.value_length", 1, 1024, head_dim, &info->value_dim,
                             error);
    if (status == WEIR_OK)
        status = require_int(model, "attention.sliding_window", 0, (int64_t)1 << 40,
                             model->family->window, &info->layer_window, error);
    return status;
}

static weir_status check_shape(const weir_model *model, weir_error *error) {
    const weir_model_info *info = &model->info;
    if (info->heads % info->kv_heads != 0)
        return weir_error_set(error, WEIR_DAMAGED,
                              "%s: %lld query heads cannot share %lld key-value heads evenly",
                              info->path, (long long)info->heads, (long long)info->kv_heads);
    if (info->key_dim < 1 || info->key_dim > 1024 || info->value_dim < 1 || info->value_dim > 1024)
        return weir_error_set(error, WEIR_UNSUPPORTED,
                              "%s: heads of %lld and %lld elements are not supported (1 to 1024 "
                              "are)",
                              info->path, (long long)info->key_dim, (long long)info->value_dim);
    if (info->vocabulary < 1 || info->vocabulary > 1 << 24)
        return weir_error_set(error, WEIR_DAMAGED, "%s: a vocabulary of %lld is out of range",
                              info->path, (long long)info->vocabulary);
    if (info->pieces > info->vocabulary)
        return weir_error_set(error, WEIR_DAMAGED,
                              "%s: the tokenizer has %lld tokens, the embedding only %lld",
                              info->path, (long long)info->pieces, (long long)info->vocabulary);
    return WEIR_OK;
}

/* What experts may be that this engine does not compute. */
static weir_status check_experts(const weir_model *model, weir_error *error) {
    static const struct {
        const char *key;
        int64_t low, high;
    } plain[] = {{"expert_shared_count", 0, 0},
                 {"expert_group_count", 0, 1},
                 {"leading_dense_block_count", 0, 0}};
    const char *path = model->info.path;
    char key[KEY_BYTES];
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (survey_int(model, plain[i].key, 0) > plain[i].high)
            return weir_error_set(error, WEIR_UNSUPPORTED, "%s: %s is %lld, which is not supported",
                                  path, family_key(model, plain[i].key, key),
                                  (long long)survey_int(model, plain[i].key, 0));
    const int64_t gating = survey_int(model, "expert_gating_func", 1);
    bool norm = true;
    double scale = 1;
    weir_status status =
        wr_gguf_get_bool(model->gguf, family_key(model, "expert_weights_norm", key), &norm, error);
    if (status == WEIR_OK)
        status = wr_gguf_get_float(model->gguf, family_key(model, "expert_weights_scale", key),
                                   &scale, error);
    if (status == WEIR_OK && (!norm || (scale != 1 && scale != 0) || (gating != 1 && gating != 3)))
        status = weir_error_set(error, WEIR_UNSUPPORTED,
                                "%s: experts are supported whose shares are a softmax and add up "
                                "to 1, and these are others",
                                path);
    return status;
}

static weir_status describe_experts(weir_model *model, weir_error *error) {
    weir_model_info *info = &model->info;
    const wr_experts has = model->family->experts;
    weir_status status = require_int(model, "expert_count", has == WR_EXPERTS_ALWAYS, 1024,
                                     has == WR_EXPERTS_ALWAYS ? -1 : 0, &info->experts, error);
    info->experts_used = 0;
    if (status != WEIR_OK || info->experts == 0) return status;
    if (has == WR_EXPERTS_NONE)
        return weir_error_set(error, WEIR_UNSUPPORTED,
                              "%s: experts are not supported in the family %s", info->path,
                              model->family->name);
    status =
        require_int(model, "expert_used_count", 1, info->experts, -1, &info->experts_used, error);
    if (status == WEIR_OK)
        status = require_int(model, "expert_feed_forward_length", 1, 1 << 22, info->feed_forward,
                             &info->feed_forward, error);
    return status == WEIR_OK ? check_experts(model, error) : status;
}

/* Which word of `known` the key says; the first without the key, or where the family has none. */
static weir_status describe_choice(const weir_model *model, const char *suffix,
                                   const char *const *known, const char *list, int *out,
                                   weir_error *error) {
    char key[KEY_BYTES];
    wr_string word = {known[0], strlen(known[0])};
    *out = 0;
    if (suffix == NULL) return WEIR_OK;
    weir_status status =
        wr_gguf_get_string(model->gguf, family_key(model, suffix, key), &word, error);
    if (status != WEIR_OK) return status;
    for (; known[*out] != NULL; ++*out)
        if (wr_string_is(word, known[*out])) return WEIR_OK;
    return weir_error_set(error, WEIR_UNSUPPORTED,
                          "%s: the key %s is %s, which is not supported (supported: %s)",
                          model->info.path, key, wr_name_quote(word).text, list);
}

/* A number in [low, high]; *out holds what stands for an absent key. */
static weir_status describe_float(const weir_model *model, const char *suffix, double low,
                                  double high, double *out, weir_error *error) {
    char key[KEY_BYTES];
    weir_status status = wr_gguf_get_float(model->gguf, family_key(model, suffix, key), out, error);
    if (status == WEIR_OK && !(*out >= low && *out <= high))
        status = weir_error_set(error, WEIR_DAMAGED, "%s: %s is %g, out of range", model->info.path,
                                key, *out);
    return status;
}

/* How attention knows where its keys are. */
static weir_status describe_positions(weir_model *model, weir_error *error) {
    static const char *const known[] = {"rope", "alibi", NULL};
    const wr_family *family = model->family;
    model->positions = family->positions;
    model->alibi_bias = 8.0;
    weir_status status = WEIR_OK;
    if (family->positions_key) {
        int word;
        status = describe_choice(model, family->positions_key, known, "rope, alibi", &word, error);
        if (status == WEIR_OK) model->positions = (wr_positions)word;
    } else if (family->positions == WR_POSITIONS_ALIBI) {
        status =
            describe_float(model, "attention.max_alibi_bias", 0, 1000, &model->alibi_bias, error);
        if (status == WEIR_OK && model->alibi_bias == 0) model->positions = WR_POSITIONS_LEARNED;
    }
    model->info.positions = wr_positions_name(model->positions);
    return status;
}

/* What attention has beside its keys. */
static weir_status describe_sink(weir_model *model, weir_error *error) {
    static const char *const known[] = {"none", "zero", "logit", NULL};
    int sink;
    weir_status status =
        describe_choice(model, model->family->sink_key, known, "none, zero, logit", &sink, error);
    if (status != WEIR_OK) return status;
    if (!model->family->sink_key) sink = (int)model->family->sink;
    model->sink_term = (wr_sink_term)sink;
    model->info.sink_term = known[sink];
    return WEIR_OK;
}

static weir_status describe_floats(weir_model *model, weir_error *error) {
    const char *epsilon_key = model->family->norm == WR_NORM_RMS
                                  ? "attention.layer_norm_rms_epsilon"
                                  : "attention.layer_norm_epsilon";
    const weir_model_info *info = &model->info;
    double epsilon = 1e-5, scale = 0, limit = 0;
    double cap = (double)model->family->attention_cap, final_cap = (double)model->family->final_cap;
    weir_status status = describe_float(model, epsilon_key, 0, 1, &epsilon, error);
    if (status == WEIR_OK)
        status = describe_float(model, "attention.scale", -1e6, 1e6, &scale, error);
    if (status == WEIR_OK)
        status = describe_float(model, "attention.clamp_kqv", 0, 1e30, &limit, error);
    if (status == WEIR_OK)
        status = describe_float(model, "attn_logit_softcapping", 0, 1e6, &cap, error);
    if (status == WEIR_OK)
        status = describe_float(model, "final_logit_softcapping", 0, 1e6, &final_cap, error);
    if (status != WEIR_OK) return status;
    const bool wide = model->family->wide_layers > 0 && info->layers == model->family->wide_layers;
    const int64_t span = wide ? info->width / info->heads : info->key_dim;
    model->norm_epsilon = (float)epsilon;
    model->qkv_limit = (float)limit;
    model->attention_cap = (float)cap;
    model->final_cap = (float)final_cap;
    model->attention_scale = scale != 0.0 ? (float)scale : (float)(1.0 / sqrt((double)span));
    model->embedding_scale =
        model->family->scaled_embedding ? (float)sqrt((double)info->width) : 1.0f;
    return WEIR_OK;
}

static weir_status describe_residual(weir_model *model, weir_error *error) {
    const wr_residual residual = model->family->residual;
    char key[KEY_BYTES];
    model->parallel = residual == WR_RESIDUAL_BY_KEY || residual == WR_RESIDUAL_SHARED;
    if (residual == WR_RESIDUAL_BY_NORM)
        model->parallel = !wr_gguf_find_tensor(model->gguf, "blk.0.ffn_norm.weight");
    if (residual != WR_RESIDUAL_BY_KEY) return WEIR_OK;
    return wr_gguf_get_bool(model->gguf, family_key(model, "use_parallel_residual", key),
                            &model->parallel, error);
}

/* --- Windows of layers ------------------------------------------------------------------------ */

/* The pattern of windows: for each layer whether it has one, or the n of "every n-th has none". */
static weir_status find_pattern(const weir_model *model, const wr_gguf_value **flags,
                                int64_t *every, weir_error *error) {
    char key[KEY_BYTES];
    family_key(model, "attention.sliding_window_pattern", key);
    const wr_gguf_value *value = wr_gguf_find(model->gguf, key);
    *flags = NULL;
    *every = model->family->global;
    if (!value || value->type != WR_GGUF_ARRAY)
        return wr_gguf_get_int(model->gguf, key, 0, 1024, every, error);
    if (value->item_type != WR_GGUF_BOOL || value->count < (uint64_t)model->layers)
        return weir_error_set(error, WEIR_DAMAGED,
                              "%s: %s is not one truth value for each of %d layers",
                              model->info.path, key, (int)model->layers);
    *flags = value;
    return WEIR_OK;
}

/* One entry per layer, only where layers have windows at all. */
static weir_status describe_layer_windows(weir_model *model, weir_error *error) {
    const wr_gguf_value *flags;
    int64_t every;
    if (model->info.layer_window == 0) return WEIR_OK;
    weir_status status = find_pattern(model, &flags, &every, error);
    if (status != WEIR_OK) return status;
    model->layer_windows = wr_allocate_array(wr_model_allocator(model), (size_t)model->layers,
                                             sizeof *model->layer_windows);
    if (!model->layer_windows)
        return weir_error_set(error, WEIR_MEMORY, "%s: no memory for its tables", model->info.path);
    for (int32_t layer = 0; layer < model->layers; layer++) {
        bool has = flags ? flags->bytes[layer] != 0 : every == 0 || layer % every < every - 1;
        model->layer_windows[layer] = has ? model->info.layer_window : 0;
    }
    return WEIR_OK;
}

/* What an encoder's file says of itself. */
static weir_status describe_encoder(weir_model *model, weir_error *error) {
    static const char *const poolings[] = {"none", "mean", "cls", "last"};
    const int64_t known = sizeof poolings / sizeof poolings[0];
    char key[KEY_BYTES];
    bool causal = false;
    int64_t pooling = 0;
    model->info.pooling = poolings[0];
    if (!model->family->encoder) return WEIR_OK;
    model->info.encoder = true;
    weir_status status =
        wr_gguf_get_bool(model->gguf, family_key(model, "attention.causal", key), &causal, error);
    if (status == WEIR_OK && causal)
        status = weir_error_set(error, WEIR_UNSUPPORTED,
                                "%s: the key %s is true, and the family %s is only known to read a "
                                "text both ways",
                                model->info.path, key, model->info.family);
    if (status == WEIR_OK && model->info.layer_window > 0)
        status = weir_error_set(error, WEIR_UNSUPPORTED,
                                "%s: layers with windows of their own are not supported in the "
                                "encoder family %s",
                                model->info.path, model->info.family);
    if (status == WEIR_OK) status = require_int(model, "pooling_type", 0, 64, 0, &pooling, error);
    if (status == WEIR_OK && pooling >= known)
        status = weir_error_set(error, WEIR_UNSUPPORTED,
                                "%s: the pooling type %lld is not supported (0 to %lld are: none, "
                                "mean, cls, last)",
                                model->info.path, (long long)pooling, (long long)known - 1);
    if (status == WEIR_OK) model->info.pooling = poolings[pooling];
    return status;
}

weir_status wr_model_describe(weir_model *model, weir_error *error) {
    const weir_model_info *info = &model->info;
    wr_string name = {info->family, strlen(info->family)};
    model->described = false;
    if (name.size == 0)
        return weir_error_set(error, WEIR_DAMAGED,
                              "%s: the key general.architecture is missing: the model's family is "
                              "unknown",
                              info->path);
    model->family = wr_family_find(name);
    if (!model->family) {
        char names[WR_FAMILY_NAMES];
        return weir_error_set(error, WEIR_UNSUPPORTED,
                              "%s: the family %s is not supported (supported: %s)", info->path,
                              wr_name_quote(name).text, wr_family_names(names));
    }
    weir_status status = describe_shape(model, error);
    if (status == WEIR_OK) status = check_shape(model, error);
    if (status == WEIR_OK) status = describe_experts(model, error);
    if (status == WEIR_OK) status = describe_floats(model, error);
    if (status == WEIR_OK) status = describe_positions(model, error);
    if (status == WEIR_OK) status = describe_sink(model, error);
    if (status == WEIR_OK) status = describe_residual(model, error);
    if (status == WEIR_OK) status = describe_encoder(model, error);
    if (status == WEIR_OK) status = wr_model_describe_rope(model, error);
    if (status != WEIR_OK) return status;
    model->layers = (int32_t)info->layers;
    model->width = (int32_t)info->width;
    model->heads = (int32_t)info->heads;
    model->kv_heads = (int32_t)info->kv_heads;
    model->key_dim = (int32_t)info->key_dim;
    model->value_dim = (int32_t)info->value_dim;
    model->feed_forward = (int32_t)info->feed_forward;
    model->experts = (int32_t)info->experts;
    model->experts_used = (int32_t)info->experts_used;
    model->vocabulary = (int32_t)info->vocabulary;
    status = describe_layer_windows(model, error);
    model->described = status == WEIR_OK;
    return status;
}
