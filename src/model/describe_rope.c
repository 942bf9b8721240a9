/*
 * Rotary positions from the metadata, and as a stream's options change them. What the numbers mean
 * is in position/rope_scaling.h; here stand their keys, defaults and bounds.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "file/name.h"
#include "model/network.h"

#define KEY_BYTES 128

static const char *rope_key(const weir_model *model, const char *suffix, char key[KEY_BYTES]) {
    snprintf(key, KEY_BYTES, "%.60s.rope.%s", model->info.family, suffix);
    return key;
}

/* --- From the file ---------------------------------------------------------------------------- */

/* Words of rope.scaling.type and what they mean. */
static const struct {
    const char *word;
    weir_rope_scaling scaling;
} scalings[] = {
    {"none", WEIR_ROPE_NONE},         {"linear", WEIR_ROPE_LINEAR}, {"dynamic", WEIR_ROPE_DYNAMIC},
    {"yarn", WEIR_ROPE_YARN},         {"llama3", WEIR_ROPE_LLAMA3}, {"su", WEIR_ROPE_LONGROPE},
    {"longrope", WEIR_ROPE_LONGROPE},
};

static weir_status describe_type(const weir_model *model, wr_rope_recipe *recipe,
                                 weir_error *error) {
    char key[KEY_BYTES];
    wr_string word = {NULL, 0};
    /* A factor without a word is that of linear scaling, lists of divisors are LongRoPE's. */
    recipe->scaling = model->has_rope_lists ? WEIR_ROPE_LONGROPE : WEIR_ROPE_LINEAR;
    weir_status status =
        wr_gguf_get_string(model->gguf, rope_key(model, "scaling.type", key), &word, error);
    if (status != WEIR_OK || word.data == NULL) return status;
    for (size_t i = 0; i < sizeof scalings / sizeof scalings[0]; i++) {
        if (!wr_string_is(word, scalings[i].word)) continue;
        recipe->scaling = scalings[i].scaling;
        return WEIR_OK;
    }
    return weir_error_set(error, WEIR_UNSUPPORTED,
                          "%s: RoPE scaling %s is not supported (supported: none, linear, dynamic, "
                          "yarn, llama3, longrope)",
                          model->info.path, wr_name_quote(word).text);
}

static weir_status describe_numbers(const weir_model *model, wr_rope_recipe *recipe,
                                    weir_error *error) {
    double linear = 0.0, extrapolation = -1.0, multiplier = 0.0, more = 0.0;
    bool whole = !model->family->broken_ramp;
    const struct {
        const char *suffix;
        double *out;
    } numbers[] = {{"freq_base", &recipe->base},
                   {"scale_linear", &linear},
                   {"scaling.factor", &linear}, /* the newer name comes last: it counts */
                   {"scaling.attn_factor", &more},
                   {"scaling.yarn_ext_factor", &extrapolation},
                   {"scaling.yarn_attn_factor", &recipe->attention},
                   {"scaling.yarn_log_multiplier", &multiplier},
                   {"scaling.yarn_beta_fast", &recipe->fast},
                   {"scaling.yarn_beta_slow", &recipe->slow},
                   {"scaling.low_freq_factor", &recipe->low},
                   {"scaling.high_freq_factor", &recipe->high}};
    char key[KEY_BYTES];
    weir_status status = WEIR_OK;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0] && status == WEIR_OK; i++)
        status = wr_gguf_get_float(model->gguf, rope_key(model, numbers[i].suffix, key),
                                   numbers[i].out, error);
    if (status == WEIR_OK)
        status = wr_gguf_get_bool(model->gguf, rope_key(model, "scaling.yarn_truncate", key),
                                  &whole, error);
    if (status != WEIR_OK) return status;
    if (extrapolation >= 0.0 && extrapolation != 1.0)
        return weir_error_set(
            error, WEIR_UNSUPPORTED, "%s: the key %s is %g, which is not supported (1 is)",
            model->info.path, rope_key(model, "scaling.yarn_ext_factor", key), extrapolation);
    recipe->broken = !whole;
    recipe->factor = linear > 0.0 ? linear : 0.0;
    recipe->more = more;
    if (recipe->scaling == WEIR_ROPE_YARN && multiplier > 0.0 && recipe->factor > 1.0)
        recipe->more = (more != 0.0 ? more : 1.0) / (0.1 * multiplier * log(recipe->factor) + 1.0);
    return WEIR_OK;
}

/* The context before scaling, and what the scaled one reaches. */
static weir_status describe_contexts(weir_model *model, wr_rope_recipe *recipe, weir_error *error) {
    char key[KEY_BYTES];
    int64_t original = 0;
    const int64_t trained = model->info.trained_context;
    const bool scaled = recipe->scaling != WEIR_ROPE_NONE ||
                        wr_gguf_find_tensor(model->gguf, "rope_freqs.weight") != NULL;
    weir_status status =
        wr_gguf_get_int(model->gguf, rope_key(model, "scaling.original_context_length", key), 1,
                        (int64_t)1 << 40, &original, error);
    if (status != WEIR_OK) return status;
    model->knows_original = original > 0 || !scaled || recipe->scaling == WEIR_ROPE_DYNAMIC;
    recipe->original = original > 0 ? original : trained;
    model->scaled_context = trained;
    if (recipe->scaling == WEIR_ROPE_LONGROPE ||
        (recipe->scaling != WEIR_ROPE_NONE && recipe->factor == 0.0))
        recipe->factor = fmax(1.0, (double)trained / (double)recipe->original);
    if (recipe->scaling == WEIR_ROPE_LONGROPE) {
        /* The file's attention factor is all of it; otherwise it follows from the contexts. */
        recipe->attention = recipe->more;
        recipe->more = 0.0;
    }
    if (recipe->scaling == WEIR_ROPE_DYNAMIC && recipe->factor >= 1.0 && recipe->factor <= 1e6)
        model->scaled_context = (int64_t)(recipe->factor * (double)recipe->original);
    return WEIR_OK;
}

static bool has_tensor(const weir_model *model, const char *name) {
    return wr_gguf_find_tensor(model->gguf, name) != NULL;
}

/* Layers with a window may have frequencies of their own, which nothing scales. */
static weir_status describe_local(weir_model *model, weir_error *error) {
    wr_rope_recipe *local = &model->rope_recipes[1];
    char key[KEY_BYTES];
    weir_error inner;
    *local = (wr_rope_recipe){
        .dim = model->rotary_dim, .scaling = WEIR_ROPE_NONE, .base = model->family->local_base};
    if (local->base == WR_LOCAL_BASE_SAME) local->base = model->rope_recipes[0].base;
    weir_status status =
        wr_gguf_get_float(model->gguf, rope_key(model, "freq_base_swa", key), &local->base, error);
    if (status != WEIR_OK || local->base == 0.0 || model->info.layer_window == 0) return status;
    model->rope_count = 2;
    status = wr_rope_check(local, &inner);
    if (status != WEIR_OK) weir_error_set(error, status, "%s: %s", model->info.path, inner.message);
    return status;
}

weir_status wr_model_describe_rope(weir_model *model, weir_error *error) {
    wr_rope_recipe *recipe = &model->rope_recipes[0];
    char key[KEY_BYTES];
    int64_t dim = model->info.key_dim;
    *recipe = (wr_rope_recipe){.base = 10000.0, .scaling = WEIR_ROPE_NONE};
    model->rotary_dim = 0;
    model->rope_count = 0;
    model->scaled_context = model->info.trained_context;
    if (model->positions != WR_POSITIONS_ROPE) return WEIR_OK; /* nothing turns */
    model->has_rope_lists = has_tensor(model, "rope_factors_short.weight") ||
                            has_tensor(model, "rope_factors_long.weight");
    weir_status status = wr_gguf_get_int(model->gguf, rope_key(model, "dimension_count", key), 0,
                                         model->info.key_dim, &dim, error);
    if (status == WEIR_OK) status = describe_type(model, recipe, error);
    if (status == WEIR_OK) status = describe_numbers(model, recipe, error);
    if (recipe->scaling == WEIR_ROPE_LINEAR && recipe->factor == 0.0)
        recipe->scaling = WEIR_ROPE_NONE; /* no word, no factor */
    if (status == WEIR_OK) status = describe_contexts(model, recipe, error);
    if (status != WEIR_OK) return status;
    recipe->dim = model->rotary_dim = (int32_t)dim;
    model->rope_count = dim > 0 ? 1 : 0;
    if (dim > 0) status = describe_local(model, error);
    if (status != WEIR_OK) return status;
    model->info.rope_scaling =
        has_tensor(model, "rope_freqs.weight") && recipe->scaling == WEIR_ROPE_NONE
            ? wr_rope_scaling_name(WEIR_ROPE_LLAMA3)
            : wr_rope_scaling_name(recipe->scaling);
    weir_error inner;
    status = wr_rope_check(recipe, &inner);
    if (status != WEIR_OK) weir_error_set(error, status, "%s: %s", model->info.path, inner.message);
    return status;
}

/* --- As options say --------------------------------------------------------------------------- */

static weir_status check_ranges(const weir_model *model, const weir_rope_options *o,
                                weir_error *error) {
    if (!wr_rope_scaling_name(o->scaling))
        return weir_error_set(error, WEIR_USAGE, "an unknown RoPE scaling");
    if (model->positions != WR_POSITIONS_ROPE || model->rotary_dim == 0)
        return weir_error_set(error, WEIR_USAGE,
                              "a RoPE scaling, factor or base does not apply to %s, which has no "
                              "rotary positions",
                              model->info.path);
    const bool base = o->base == 0.0 || (o->base >= 1.0 && o->base <= 1e15); /* in range */
    if (!base || (o->factor != 0.0 && !(o->factor >= 1.0 && o->factor <= 1e6)))
        return weir_error_set(error, WEIR_USAGE, "a RoPE %s of %g is out of range (1 to %s)",
                              base ? "factor" : "base", base ? o->factor : o->base,
                              base ? "1e6" : "1e15");
    if (o->original_context < 0 || o->original_context > (int64_t)1 << 40)
        return weir_error_set(error, WEIR_USAGE,
                              "an original context of %lld is out of range: give 1 or more",
                              (long long)o->original_context);
    return WEIR_OK;
}

static weir_status check_factor(const weir_model *model, const weir_rope_options *o,
                                weir_error *error) {
    const char *name = wr_rope_scaling_name(o->scaling);
    const bool takes_factor = o->scaling >= WEIR_ROPE_LINEAR && o->scaling != WEIR_ROPE_LONGROPE;
    if (o->factor != 0.0 && !takes_factor)
        return weir_error_set(error, WEIR_USAGE,
                              "a RoPE factor does not apply to the scaling %s: choose linear, "
                              "dynamic, yarn or llama3",
                              name);
    if (takes_factor && o->factor == 0.0 && model->rope_recipes[0].factor == 0.0)
        return weir_error_set(error, WEIR_USAGE,
                              "the RoPE scaling %s needs a factor, which %s does not have: give "
                              "--rope-factor",
                              name, model->info.path);
    return WEIR_OK;
}

static weir_status check_scaling(const weir_model *model, const weir_rope_options *o,
                                 weir_error *error) {
    if (o->original_context != 0 && o->scaling == WEIR_ROPE_FILE)
        return weir_error_set(error, WEIR_USAGE,
                              "an original context does not apply without a RoPE scaling: choose "
                              "one too");
    if (o->scaling == WEIR_ROPE_LONGROPE && !model->has_rope_lists)
        return weir_error_set(error, WEIR_USAGE,
                              "the RoPE scaling longrope needs lists of factors, which %s does not "
                              "have: choose linear, dynamic or yarn",
                              model->info.path);
    if (o->scaling != WEIR_ROPE_FILE && o->original_context == 0 && !model->knows_original)
        return weir_error_set(error, WEIR_USAGE,
                              "%s is scaled already and does not say what context it had before: "
                              "give --rope-context",
                              model->info.path);
    return WEIR_OK;
}

/* S + W may be so many tokens. */
static int64_t reached(const weir_model *model, const wr_rope_recipe *r) {
    const double most = (double)((int64_t)1 << 40);
    if (r->scaling == WEIR_ROPE_NONE) return r->original;
    if (r->scaling == WEIR_ROPE_LONGROPE) return model->info.trained_context;
    return (int64_t)fmin(most, r->factor * (double)r->original);
}

weir_status wr_model_choose_rope(const weir_model *model, const weir_rope_options *o,
                                 wr_rope_recipe out[WR_ROPES], int64_t *context,
                                 weir_error *error) {
    const wr_rope_recipe *file = model->rope_recipes;
    memcpy(out, file, sizeof model->rope_recipes);
    *context = model->scaled_context;
    if (o->scaling == WEIR_ROPE_FILE && o->factor == 0.0 && o->base == 0.0 &&
        o->original_context == 0)
        return WEIR_OK;
    weir_status status = check_ranges(model, o, error);
    if (status == WEIR_OK) status = check_factor(model, o, error);
    if (status == WEIR_OK) status = check_scaling(model, o, error);
    if (status != WEIR_OK) return status;
    if (o->base != 0.0) out->base = o->base;
    if (o->scaling == WEIR_ROPE_FILE) return WEIR_OK;
    out->scaling = o->scaling;
    out->factor = o->factor != 0.0 ? o->factor : file->factor;
    out->original = o->original_context != 0 ? o->original_context : file->original;
    out->divisors = NULL; /* those of the file's own scaling */
    if (o->scaling != file->scaling || o->factor != 0.0) out->attention = out->more = 0.0;
    if (o->scaling == WEIR_ROPE_LONGROPE && out->attention == 0.0)
        out->factor = fmax(1.0, (double)model->info.trained_context / (double)out->original);
    *context = reached(model, out);
    return WEIR_OK;
}
