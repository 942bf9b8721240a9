/*
 * Sizes by name, and the recipe that each begins with.
 *
 * Heads are 32 wide in the small ones, so that there are several of them to look at sinks in.
 * Matrices have multiples of 32 as sides: no tile of a product is half empty.
 */
#include <string.h>

#include "weir/train.h"

typedef struct preset {
    const char *name;
    int64_t layers, width, heads, kv_heads, feed_forward, context, vocabulary;
    int64_t batch; /* samples */
    double rate;
} preset;

static const preset presets[] = {
    {"1m", 4, 128, 4, 2, 256, 256, 4096, 32, 3e-3},
    {"3m", 6, 192, 6, 3, 512, 256, 4096, 64, 2e-3},
    {"10m", 8, 288, 9, 3, 768, 512, 8192, 32, 1.5e-3},
    {"30m", 8, 512, 8, 4, 1408, 512, 16384, 64, 1e-3},
    {"60m", 12, 576, 9, 3, 1536, 1024, 32000, 64, 8e-4},
    {"160m", 12, 1024, 16, 4, 2688, 1024, 32000, 128, 6e-4},
};
enum { PRESETS = sizeof presets / sizeof presets[0] };

static void apply(const preset *from, weir_train_options *options) {
    weir_train_shape *shape = &options->shape;
    shape->layers = from->layers;
    shape->width = from->width;
    shape->heads = from->heads;
    shape->kv_heads = from->kv_heads;
    shape->feed_forward = from->feed_forward;
    shape->context = from->context;
    shape->vocabulary = from->vocabulary;
    shape->tied = true;
    shape->rope_base = 10000;
    shape->norm_epsilon = 1e-5;
    options->batch = from->batch;
    options->rate = from->rate;
    options->rate_end = from->rate / 10;
}

const char *weir_train_preset_name(int32_t i) {
    return i >= 0 && i < PRESETS ? presets[i].name : NULL;
}

weir_status weir_train_preset(const char *name, weir_train_options *options, weir_error *error) {
    for (int i = 0; i < PRESETS; i++) {
        if (strcmp(presets[i].name, name) == 0) {
            apply(&presets[i], options);
            return WEIR_OK;
        }
    }
    char listed[128] = "";
    for (int i = 0; i < PRESETS; i++) {
        strcat(strcat(listed, i > 0 ? " " : ""), presets[i].name);
    }
    return weir_error_set(error, WEIR_USAGE, "there is no size \"%.40s\"; the sizes are: %s", name,
                          listed);
}

weir_train_options weir_train_options_default(void) {
    weir_train_options options = {
        .format = "F16",
        .precision = "auto",
        .warm_up = -1,
        .decay_share = 0.2,
        .decay = 0.1,
        .beta1 = 0.9,
        .beta2 = 0.95,
        .epsilon = 1e-8,
        .clip = 1,
        .save_minutes = 10,
        .evaluate = 250,
        .evaluate_most = 64,
        .probe = 250,
    };
    weir_train_preset("3m", &options, NULL);
    return options;
}
