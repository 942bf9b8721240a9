/* The fields of a run, by one table; and the schedule. */
#include "train/recipe.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef enum kind { WHOLE, REAL, FREE, HIDDEN } kind;

typedef struct field {
    const char *name; /* the option that sets it */
    size_t at;
    kind kind; /* FREE: may differ between calls; HIDDEN: no number that a person gave */
} field;

#define ROW(name, member, kind)                                                                    \
    { name, offsetof(wr_recipe, member), kind }
static const field fields[] = {
    ROW("--layers", layers, WHOLE),
    ROW("--width", width, WHOLE),
    ROW("--heads", heads, WHOLE),
    ROW("--kv-heads", kv_heads, WHOLE),
    ROW("--feed-forward", feed_forward, WHOLE),
    ROW("--context", context, WHOLE),
    ROW("--vocabulary", vocabulary_asked, WHOLE),
    ROW("a vocabulary of", vocabulary, WHOLE),
    ROW("--untied", tied, HIDDEN),
    ROW("--sink", sink, HIDDEN),
    ROW("--positions", positions, HIDDEN),
    ROW("--rope-base", rope_base, REAL),
    ROW("an epsilon of norms", norm_epsilon, REAL),
    ROW("text or vocabulary", data, HIDDEN),
    ROW("--seed", seed, WHOLE),
    ROW("--batch", batch, WHOLE),
    ROW("--micro-batch", micro, WHOLE),
    ROW("--steps", steps, FREE),
    ROW("--warm-up", warm_up, WHOLE),
    ROW("--schedule", schedule, HIDDEN),
    ROW("--rate", rate, REAL),
    ROW("--rate-end", rate_end, REAL),
    ROW("--decay-share", decay_share, REAL),
    ROW("--weight-decay", decay, REAL),
    ROW("--beta1", beta1, REAL),
    ROW("--beta2", beta2, REAL),
    ROW("--epsilon", epsilon, REAL),
    ROW("--clip", clip, REAL),
    ROW("--precision", bfloat16, HIDDEN),
};
#undef ROW
enum { FIELDS = sizeof fields / sizeof fields[0] };
_Static_assert(sizeof(wr_recipe) == FIELDS * sizeof(uint64_t), "a field has no row");

void wr_recipe_take(wr_recipe *recipe, const weir_train_options *options) {
    const weir_train_shape *shape = &options->shape;
    uint64_t data = recipe->data;
    int64_t asked = recipe->vocabulary_asked, bfloat16 = recipe->bfloat16;
    *recipe = (wr_recipe){
        .layers = shape->layers,
        .width = shape->width,
        .heads = shape->heads,
        .kv_heads = shape->kv_heads,
        .feed_forward = shape->feed_forward,
        .context = shape->context,
        .vocabulary = shape->vocabulary,
        .tied = shape->tied,
        .sink = shape->sink,
        .positions = shape->positions,
        .rope_base = shape->rope_base,
        .norm_epsilon = shape->norm_epsilon,
        .vocabulary_asked = asked,
        .data = data,
        .seed = options->seed,
        .batch = options->batch,
        .micro = options->micro,
        .steps = options->steps,
        .warm_up = options->warm_up,
        .schedule = options->schedule,
        .rate = options->rate,
        .rate_end = options->rate_end,
        .decay_share = options->decay_share,
        .decay = options->decay,
        .beta1 = options->beta1,
        .beta2 = options->beta2,
        .epsilon = options->epsilon,
        .clip = options->clip,
        .bfloat16 = bfloat16,
    };
}

static uint64_t bits_of(const wr_recipe *recipe, const field *row) {
    uint64_t bits;
    memcpy(&bits, (const char *)recipe + row->at, sizeof bits);
    return bits;
}

void wr_recipe_write(const wr_recipe *recipe, wr_writer *writer) {
    for (int i = 0; i < FIELDS; i++) {
        wr_write_u64(writer, bits_of(recipe, &fields[i]));
    }
}

void wr_recipe_read(wr_recipe *recipe, wr_reader *reader) {
    for (int i = 0; i < FIELDS; i++) {
        uint64_t bits = wr_read_u64(reader);
        memcpy((char *)recipe + fields[i].at, &bits, sizeof bits);
    }
}

static const char *in_words(const wr_recipe *recipe, const field *row, char out[40]) {
    uint64_t bits = bits_of(recipe, row);
    double real;
    memcpy(&real, &bits, sizeof real);
    if (row->kind == REAL) {
        snprintf(out, 40, "%.9g", real);
    } else {
        snprintf(out, 40, "%lld", (long long)bits);
    }
    return out;
}

weir_status wr_recipe_agree(const wr_recipe *asked, const wr_recipe *stands, const char *path,
                            weir_error *error) {
    static const char remedy[] = "give that, another --checkpoint folder, or --fresh to begin anew";
    for (int i = 0; i < FIELDS; i++) {
        const field *row = &fields[i];
        char one[40], other[40];
        if (row->kind == FREE || bits_of(asked, row) == bits_of(stands, row)) {
            continue;
        }
        if (row->kind == HIDDEN) {
            return weir_error_set(error, WEIR_USAGE, "%.250s was begun with another %s: %s", path,
                                  row->name, remedy);
        }
        return weir_error_set(error, WEIR_USAGE, "%.250s was begun with %s %s, not %s: %s", path,
                              row->name, in_words(stands, row, one), in_words(asked, row, other),
                              remedy);
    }
    return WEIR_OK;
}

/* The share of the way from rate to rate_end that a schedule has gone. */
static double way_gone(const wr_recipe *recipe, int64_t step) {
    double after = (double)(recipe->steps - recipe->warm_up);
    if (recipe->schedule == WEIR_TRAIN_COSINE) {
        const double pi = 3.14159265358979323846;
        double share = after > 0 ? (double)(step - recipe->warm_up) / after : 1;
        return 0.5 * (1 - cos(pi * share));
    }
    double decaying = recipe->decay_share * (double)recipe->steps;
    double into = decaying - (double)(recipe->steps - step);
    return into > 0 ? into / decaying : 0;
}

double wr_recipe_rate(const wr_recipe *recipe, int64_t step) {
    if (step < recipe->warm_up) {
        return recipe->rate * (double)step / (double)recipe->warm_up;
    }
    return recipe->rate + (recipe->rate_end - recipe->rate) * way_gone(recipe, step);
}
