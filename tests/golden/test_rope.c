/*
 * Frequencies and attention factors of every RoPE scaling against those of transformers
 * (tools/reference/rope_golden.py), which computes them in float32: within 3e-6 of each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "position/rope.h"

static const json_t *parameter(const json_t *at, const char *key) {
    return json_object_get(json_object_get(at, "parameters"), key);
}

static double real(const json_t *value) { return value ? json_number_value(value) : 0.0; }

static const float *divisors(const json_t *at, const char *key, float out[WR_ROPE_MAX_PAIRS]) {
    const json_t *list = parameter(at, key);
    for (size_t i = 0; i < json_array_size(list); i++)
        out[i] = (float)json_number_value(json_array_get(list, i));
    return list ? out : NULL;
}

static weir_rope_scaling scaling_of(const char *name) {
    for (int i = WEIR_ROPE_NONE; i <= WEIR_ROPE_LONGROPE; i++)
        if (strcmp(name, wr_rope_scaling_name((weir_rope_scaling)i)) == 0)
            return (weir_rope_scaling)i;
    fail_msg("there is no scaling %s", name);
    return WEIR_ROPE_FILE;
}

static wr_rope_recipe recipe_of(const json_t *at, float lists[2][WR_ROPE_MAX_PAIRS]) {
    const double trained = real(json_object_get(at, "trained"));
    const double original = real(parameter(at, "original_max_position_embeddings"));
    const double all = real(parameter(at, "mscale_all_dim"));
    wr_rope_recipe r = {.dim = (int32_t)real(json_object_get(at, "dim")),
                        .scaling = scaling_of(json_string_value(json_object_get(at, "scaling"))),
                        .base = real(json_object_get(at, "base")),
                        .factor = real(parameter(at, "factor")),
                        .original = (int64_t)(original > 0 ? original : trained),
                        .attention = real(parameter(at, "attention_factor")),
                        .fast = real(parameter(at, "beta_fast")),
                        .slow = real(parameter(at, "beta_slow")),
                        .broken = json_is_false(parameter(at, "truncate")),
                        .low = real(parameter(at, "low_freq_factor")),
                        .high = real(parameter(at, "high_freq_factor"))};
    r.short_divisors = divisors(at, "short_factor", lists[0]);
    r.long_divisors = divisors(at, "long_factor", lists[1]);
    if (r.factor == 0.0) r.factor = trained / (double)r.original;
    if (all > 0) r.more = 1.0 / (0.1 * all * log(r.factor) + 1.0);
    return r;
}

static double check_case(const json_t *at) {
    float lists[2][WR_ROPE_MAX_PAIRS];
    wr_rope rope;
    weir_error error;
    const wr_rope_recipe recipe = recipe_of(at, lists);
    const json_t *wanted = json_object_get(at, "frequency");
    const int64_t slots = (int64_t)real(json_object_get(at, "slots"));
    if (wr_rope_init(&rope, WR_ROTARY_HALVES, &recipe, slots, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    assert_int_equal(json_array_size(wanted), rope.dim / 2);
    double worst = fabs(rope.magnitude / real(json_object_get(at, "magnitude")) - 1.0);
    for (int32_t i = 0; i < rope.dim / 2; i++) {
        const double turns = real(json_array_get(wanted, (size_t)i)) / 6.283185307179586;
        const double ours = ldexp((double)rope.turns[i], -64);
        worst = fmax(worst, fabs(ours / (turns - floor(turns)) - 1.0));
    }
    return worst;
}

static void test_frequencies(void **state) {
    (void)state;
    char path[4200];
    json_error_t flaw;
    double worst = 0.0;
    size_t i;
    json_t *at;
    snprintf(path, sizeof path, "%s/tests/golden/rope.json", getenv("WEIR_ROOT"));
    json_t *figures = json_load_file(path, 0, &flaw);
    if (!figures) fail_msg("%s: %s", path, flaw.text);
    const json_t *cases = json_object_get(figures, "cases");
    assert_true(json_array_size(cases) > 200);
    json_array_foreach(cases, i, at) {
        const double off = check_case(at);
        if (!(off <= 3e-6)) fail_msg("case %zu is off by %.2g", i, off);
        worst = fmax(worst, off);
    }
    printf("%zu cases: worst relative difference %.1e\n", json_array_size(cases), worst);
    json_decref(figures);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_frequencies)};
    return cmocka_run_group_tests_name("rope", tests, NULL, NULL);
}
