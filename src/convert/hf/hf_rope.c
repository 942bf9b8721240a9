/*
 * Rotary positions from config.json: the base, and how frequencies are scaled. They stand under
 * "rope_scaling", in newer files under "rope_parameters" (by kind of layer, where there are kinds).
 * Divisors of single frequencies are tensors in a GGUF.
 */
#include <math.h>
#include <string.h>

#include "convert/hf/hf_keys.h"
#include "file/name.h"

typedef enum scaling { NONE, LINEAR, DYNAMIC, YARN, LLAMA3, LONGROPE, UNKNOWN } scaling;

static const struct {
    const char *word;
    scaling scaling;
    const char *name; /* in GGUF; NULL: its tensors tell */
} scalings[] = {
    {"default", NONE, NULL},      {"linear", LINEAR, "linear"}, {"dynamic", DYNAMIC, "dynamic"},
    {"yarn", YARN, "yarn"},       {"llama3", LLAMA3, NULL},     {"longrope", LONGROPE, "longrope"},
    {"su", LONGROPE, "longrope"},
};
enum { SCALINGS = sizeof scalings / sizeof scalings[0] };

static const wr_json *parameters(const wr_hf_model *model) {
    return wr_hf_first(model->config, "rope_scaling rope_parameters.full_attention "
                                      "rope_parameters");
}

static weir_status find_scaling(const wr_hf_model *model, size_t *out, weir_error *error) {
    wr_string word = {"default", 7};
    (void)wr_json_get_string(wr_hf_first(parameters(model), "rope_type type"), &word);
    for (*out = 0; *out < SCALINGS; ++*out)
        if (wr_string_is(word, scalings[*out].word)) return WEIR_OK;
    *out = 0;
    return weir_error_set(error, WEIR_UNSUPPORTED,
                          "%.200s/config.json: RoPE scaling %s is not supported (linear, dynamic, "
                          "yarn, llama3 and longrope are)",
                          model->folder, wr_name_quote(word).text);
}

static bool number(const wr_hf_model *model, const char *name, double *out) {
    return wr_json_get_number(wr_json_find(parameters(model), name), out);
}

/* The context before scaling. */
static int64_t original(const wr_hf_model *model) {
    int64_t context = 0;
    const wr_json *value = wr_json_find(parameters(model), "original_max_position_embeddings");
    if (value == NULL) value = wr_json_find(model->config, "original_max_position_embeddings");
    return wr_json_get_int(value, &context) && context > 0 && context <= UINT32_MAX
               ? context
               : model->context;
}

/* ---- keys --------------------------------------------------------------------------------------
 */

static void put_number(const wr_hf_model *model, wr_gguf_writer *writer, const char *name,
                       const char *suffix) {
    char key[WR_HF_KEY];
    double value;
    if (number(model, name, &value))
        wr_gguf_put_float(writer, wr_hf_key(model, suffix, key), (float)value);
}

static void put_base(const wr_hf_model *model, wr_gguf_writer *writer) {
    char key[WR_HF_KEY];
    double base = model->family->rope_base;
    (void)wr_json_get_number(wr_hf_first(model->config,
                                         "rope_theta rotary_emb_base "
                                         "rope_parameters.full_attention.rope_theta "
                                         "rope_parameters.rope_theta attn_config.rope_theta"),
                             &base);
    wr_gguf_put_float(writer, wr_hf_key(model, "rope.freq_base", key), (float)base);
}

/* How much longer attention's scores are made under LongRoPE, unless the file says. */
static double longrope_attention(const wr_hf_model *model) {
    double said;
    const double before = (double)original(model);
    const double factor = (double)model->context / before;
    if (number(model, "attention_factor", &said)) return said;
    return factor > 1 && before > 1 ? sqrt(1 + log(factor) / log(before)) : 1;
}

static double yarn_magnitude(double factor, double scale) {
    return factor > 1 ? 0.1 * scale * log(factor) + 1 : 1;
}

/* YaRN's own is 0.1 ln factor + 1; GGUF's key is what that is multiplied by. */
static void put_yarn_attention(const wr_hf_model *model, wr_gguf_writer *writer) {
    char key[WR_HF_KEY];
    double factor = 1, whole, one, all;
    (void)number(model, "factor", &factor);
    if (!number(model, "attention_factor", &whole)) {
        if (!number(model, "mscale", &one) || !number(model, "mscale_all_dim", &all)) return;
        whole = yarn_magnitude(factor, one) / yarn_magnitude(factor, all);
    }
    wr_gguf_put_float(writer, wr_hf_key(model, "rope.scaling.attn_factor", key),
                      (float)(whole / yarn_magnitude(factor, 1)));
}

weir_status wr_hf_put_rope(const wr_hf_model *model, wr_gguf_writer *writer, weir_error *error) {
    char key[WR_HF_KEY];
    size_t row;
    bool truncates = true;
    put_base(model, writer);
    weir_status status = find_scaling(model, &row, error);
    if (status != WEIR_OK || scalings[row].scaling == NONE) return status;
    if (scalings[row].name != NULL)
        wr_gguf_put_string(writer, wr_hf_key(model, "rope.scaling.type", key), scalings[row].name);
    if (scalings[row].scaling != LINEAR)
        wr_gguf_put_int(writer, wr_hf_key(model, "rope.scaling.original_context_length", key),
                        WR_GGUF_U32, original(model));
    if (scalings[row].scaling == LONGROPE)
        wr_gguf_put_float(writer, wr_hf_key(model, "rope.scaling.attn_factor", key),
                          (float)longrope_attention(model));
    else if (scalings[row].scaling != LLAMA3)
        put_number(model, writer, "factor", "rope.scaling.factor");
    if (scalings[row].scaling != YARN) return WEIR_OK;
    put_number(model, writer, "beta_fast", "rope.scaling.yarn_beta_fast");
    put_number(model, writer, "beta_slow", "rope.scaling.yarn_beta_slow");
    put_yarn_attention(model, writer);
    if (wr_json_get_bool(wr_json_find(parameters(model), "truncate"), &truncates))
        wr_gguf_put_bool(writer, wr_hf_key(model, "rope.scaling.yarn_truncate", key), truncates);
    return WEIR_OK;
}

/* ---- divisors ----------------------------------------------------------------------------------
 */

/* Llama 3.1: short waves stay, long ones are stretched by `factor`, between them both. */
static void llama3_divisors(const wr_hf_model *model, float *out) {
    double factor = 8, low = 1, high = 4, base = model->family->rope_base;
    const double context = (double)original(model);
    (void)number(model, "factor", &factor);
    (void)number(model, "low_freq_factor", &low);
    (void)number(model, "high_freq_factor", &high);
    (void)wr_json_get_number(wr_hf_first(model->config, "rope_theta rope_parameters.rope_theta"),
                             &base);
    for (int64_t i = 0; i < model->rotary / 2; i++) {
        const double wave =
            2 * 3.14159265358979323846 * pow(base, (double)(2 * i) / (double)model->rotary);
        const double smooth = (context / wave - low) / (high - low);
        if (wave < context / high)
            out[i] = 1;
        else if (wave > context / low)
            out[i] = (float)factor;
        else
            out[i] = (float)(1 / ((1 - smooth) / factor + smooth));
    }
}

static weir_status read_divisors(const wr_hf_model *model, const char *name, float *out,
                                 weir_error *error) {
    const wr_json *list = wr_json_find(parameters(model), name);
    const size_t wanted = (size_t)model->rotary / 2;
    double value;
    if (wr_json_count(list) != wanted || !wr_json_is_array(list))
        return weir_error_set(error, WEIR_DAMAGED,
                              "%.200s/config.json: %s has %zu numbers, %zu are wanted",
                              model->folder, name, wr_json_count(list), wanted);
    for (size_t i = 0; i < wanted; i++) {
        if (!wr_json_get_number(wr_json_item(list, i), &value) || !(value > 0))
            return weir_error_set(error, WEIR_DAMAGED,
                                  "%.200s/config.json: %s has what is no positive number",
                                  model->folder, name);
        out[i] = (float)value;
    }
    return WEIR_OK;
}

weir_status wr_hf_rope_lists(const wr_hf_model *model, wr_hf_rope_list out[WR_HF_ROPE_LISTS],
                             int *count, weir_error *error) {
    size_t row;
    *count = 0;
    if (model->rotary == 0) return WEIR_OK;
    weir_status status = find_scaling(model, &row, error);
    if (status != WEIR_OK) return status;
    if (scalings[row].scaling == LLAMA3) {
        out[0].name = "rope_freqs.weight";
        llama3_divisors(model, out[0].divisors);
        *count = 1;
    } else if (scalings[row].scaling == LONGROPE) {
        out[0].name = "rope_factors_long.weight";
        out[1].name = "rope_factors_short.weight";
        status = read_divisors(model, "long_factor", out[0].divisors, error);
        if (status == WEIR_OK)
            status = read_divisors(model, "short_factor", out[1].divisors, error);
        *count = 2;
    }
    return status;
}
