/* From logits to a token: bias, penalties, truncations, one seeded draw, in the order that
 * weir/sampling.h gives. */
#include "sample/sampler.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/largest.h"
#include "base/random.h"
#include "sample/candidates.h"
#include "sample/history.h"

/* The random numbers of sampling, apart from any other use of a stream's seed: "sample". */
#define RANDOM_STREAM 0x73616D706C65u

struct wr_sampler {
    int32_t n_vocab;
    weir_sampling rules;      /* rules.bias is `bias` */
    weir_logit_bias *bias;    /* [WEIR_MAX_LOGIT_BIAS] */
    wr_candidate *candidates; /* [n_vocab] */
    wr_history history;
};

wr_sampler *wr_sampler_layout(wr_arena *arena, int32_t n_vocab) {
    assert(n_vocab > 0);
    wr_sampler *sampler = wr_arena_take(arena, 1, sizeof *sampler);
    weir_logit_bias *bias = wr_arena_take(arena, WEIR_MAX_LOGIT_BIAS, sizeof *bias);
    wr_candidate *candidates = wr_arena_take(arena, (size_t)n_vocab, sizeof *candidates);
    wr_history_layout(arena, sampler ? &sampler->history : NULL, n_vocab);
    if (!sampler) return NULL;
    sampler->n_vocab = n_vocab;
    sampler->bias = bias;
    sampler->candidates = candidates;
    sampler->rules = weir_sampling_default();
    sampler->rules.bias = bias;
    wr_history_set_window(&sampler->history, sampler->rules.penalty_window);
    return sampler;
}

/* Take rules that were checked. */
static void take_rules(wr_sampler *s, const weir_sampling *rules) {
    if (rules->bias_count > 0)
        memmove(s->bias, rules->bias, (size_t)rules->bias_count * sizeof *s->bias);
    s->rules = *rules;
    s->rules.bias = s->bias;
    wr_history_set_window(&s->history, rules->penalty_window);
}

weir_status wr_sampler_set(wr_sampler *sampler, const weir_sampling *sampling, weir_error *error) {
    weir_status status = weir_sampling_check(sampling, sampler->n_vocab, error);
    if (status == WEIR_OK) take_rules(sampler, sampling);
    return status;
}

const weir_sampling *wr_sampler_get(const wr_sampler *sampler) { return &sampler->rules; }

void wr_sampler_accept(wr_sampler *sampler, int32_t token) {
    wr_history_accept(&sampler->history, token);
}

void wr_sampler_forget(wr_sampler *sampler, int64_t count) {
    wr_history_forget(&sampler->history, count);
}

/* ---- drawing --------------------------------------------------------------------------------- */

static weir_status check_logits(const wr_sampler *s, const float *logits, int64_t index,
                                weir_error *error) {
    bool any = false;
    if (wr_all_finite(logits, s->n_vocab)) return WEIR_OK;
    for (int32_t i = 0; i < s->n_vocab; i++) {
        if (isnan(logits[i]) || logits[i] == INFINITY)
            return weir_error_set(error, WEIR_NAN,
                                  "the logit of token %d at stream index %lld is %s", (int)i,
                                  (long long)index, isnan(logits[i]) ? "NaN" : "infinite");
        any = any || logits[i] != -INFINITY;
    }
    if (any) return WEIR_OK;
    return weir_error_set(error, WEIR_NAN, "no logit at stream index %lld is finite",
                          (long long)index);
}

/* A float again, and finite unless it is -infinity: however large a bias or a penalty. */
static float to_logit(double value) {
    if (value == -(double)INFINITY) return -INFINITY;
    return (float)fmax(fmin(value, (double)FLT_MAX), -(double)FLT_MAX);
}

/* Bias, then penalties, on candidates that stand at the index of their token. Repetition: Keskar et
 * al. 2019, arXiv 1909.05858. */
static void adjust(wr_sampler *s) {
    const weir_sampling *r = &s->rules;
    wr_candidate *c = s->candidates;
    for (int32_t i = 0; i < r->bias_count; i++) {
        wr_candidate *biased = &c[r->bias[i].token];
        biased->logit = to_logit((double)biased->logit + (double)r->bias[i].bias);
    }
    double repetition = (double)r->repetition_penalty;
    for (int32_t i = 0; i < s->history.distinct_count; i++) {
        int32_t token = s->history.distinct[i];
        double logit = (double)c[token].logit;
        logit = logit > 0 ? logit / repetition : logit * repetition;
        logit -= (double)r->presence_penalty;
        logit -= (double)r->frequency_penalty * (double)s->history.counts[token];
        c[token].logit = to_logit(logit);
    }
}

/* Those that are possible at all. */
static wr_candidates gather(wr_sampler *s, const float *logits) {
    wr_candidate *c = s->candidates;
    for (int32_t i = 0; i < s->n_vocab; i++) c[i] = (wr_candidate){logits[i], i};
    adjust(s);
    wr_candidates set = {.items = c};
    for (int32_t i = 0; i < s->n_vocab; i++)
        if (c[i].logit != -INFINITY) c[set.count++] = c[i];
    return set;
}

static int32_t best(const wr_candidates *set) {
    int32_t first = 0;
    for (int32_t i = 1; i < set->count; i++)
        if (set->items[i].logit > set->items[first].logit) first = i;
    return set->items[first].token;
}

/* Nothing moves a logit. */
static bool is_plain(const wr_sampler *s) {
    const weir_sampling *r = &s->rules;
    return r->bias_count == 0 && r->repetition_penalty == 1 && r->presence_penalty == 0 &&
           r->frequency_penalty == 0;
}

weir_status wr_sampler_draw(wr_sampler *sampler, const float *logits, int64_t index, int32_t *token,
                            weir_error *error) {
    weir_status status = check_logits(sampler, logits, index, error);
    if (status != WEIR_OK) return status;
    const weir_sampling *r = &sampler->rules;
    if (r->temperature == 0 && is_plain(sampler)) {
        *token = (int32_t)wr_first_largest(logits, sampler->n_vocab);
        return WEIR_OK;
    }
    wr_candidates set = gather(sampler, logits);
    if (set.count == 0)
        return weir_error_set(error, WEIR_USAGE,
                              "logit bias forbids every token that is possible at stream index "
                              "%lld",
                              (long long)index);
    if (r->temperature == 0) {
        *token = best(&set);
        return WEIR_OK;
    }
    wr_candidates_top_k(&set, r->top_k);
    wr_candidates_typical(&set, r->typical);
    wr_candidates_top_p(&set, r->top_p);
    wr_candidates_min_p(&set, r->min_p);
    double unit = wr_random_unit(r->seed, RANDOM_STREAM, (uint64_t)index);
    *token = wr_candidates_draw(&set, r->temperature, unit);
    return WEIR_OK;
}

/* ---- the state elsewhere --------------------------------------------------------------------- */

void wr_sampler_copy(wr_sampler *to, const wr_sampler *from) {
    assert(to->n_vocab == from->n_vocab);
    if (to == from) return;
    wr_history_copy(&to->history, &from->history);
    take_rules(to, &from->rules);
}

void wr_sampler_save(const wr_sampler *sampler, wr_writer *writer) {
    const weir_sampling *r = &sampler->rules;
    wr_write_f32(writer, r->temperature);
    wr_write_u32(writer, (uint32_t)r->top_k);
    wr_write_f32(writer, r->top_p);
    wr_write_f32(writer, r->min_p);
    wr_write_f32(writer, r->typical);
    wr_write_f32(writer, r->repetition_penalty);
    wr_write_f32(writer, r->presence_penalty);
    wr_write_f32(writer, r->frequency_penalty);
    wr_write_u32(writer, (uint32_t)r->penalty_window);
    wr_write_u64(writer, r->seed);
    wr_write_u32(writer, (uint32_t)r->bias_count);
    for (int32_t i = 0; i < r->bias_count; i++) {
        wr_write_u32(writer, (uint32_t)r->bias[i].token);
        wr_write_f32(writer, r->bias[i].bias);
    }
    wr_history_save(&sampler->history, writer);
}

/* The rules as saved, their bias in `bias`; not checked yet. */
static weir_sampling read_rules(wr_reader *reader, weir_logit_bias *bias) {
    weir_sampling r = weir_sampling_default();
    r.temperature = wr_read_f32(reader);
    r.top_k = (int32_t)wr_read_u32(reader);
    r.top_p = wr_read_f32(reader);
    r.min_p = wr_read_f32(reader);
    r.typical = wr_read_f32(reader);
    r.repetition_penalty = wr_read_f32(reader);
    r.presence_penalty = wr_read_f32(reader);
    r.frequency_penalty = wr_read_f32(reader);
    r.penalty_window = (int32_t)wr_read_u32(reader);
    r.seed = wr_read_u64(reader);
    r.bias_count = (int32_t)wr_read_u32(reader);
    r.bias = bias;
    if (r.bias_count < 0 || r.bias_count > WEIR_MAX_LOGIT_BIAS) return r; /* the check refuses it */
    for (int32_t i = 0; i < r.bias_count; i++) {
        bias[i].token = (int32_t)wr_read_u32(reader);
        bias[i].bias = wr_read_f32(reader);
    }
    return r;
}

/* After a failure: the default rules and no history. */
weir_status wr_sampler_load(wr_sampler *sampler, wr_reader *reader, weir_error *error) {
    weir_sampling rules = read_rules(reader, sampler->bias);
    bool good = !reader->failed && weir_sampling_check(&rules, sampler->n_vocab, NULL) == WEIR_OK;
    if (good) take_rules(sampler, &rules);
    if (good && wr_history_load(&sampler->history, reader)) return WEIR_OK;
    rules = weir_sampling_default();
    take_rules(sampler, &rules);
    wr_history_clear(&sampler->history);
    return weir_error_set(error, WEIR_DAMAGED, "the saved state of the sampler is damaged");
}
