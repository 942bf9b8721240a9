/* The truncations, over heaps: only as much of the order is computed as a rule needs. */
#include "sample/candidates.h"

#include <math.h>
#include <stddef.h>

/* What puts one candidate before another: the logit, or how far -log p is from the entropy. */
typedef struct order {
    bool typical;
    double log_sum, entropy; /* -log p = log_sum - logit */
} order;

static const order by_logit = {.typical = false};

static double distance(const order *o, const wr_candidate *c) {
    return fabs(o->log_sum - (double)c->logit - o->entropy);
}

/* a stands before b. */
static bool before(const order *o, const wr_candidate *a, const wr_candidate *b) {
    if (o->typical) {
        double left = distance(o, a), right = distance(o, b);
        if (left != right) return left < right;
    }
    if (a->logit != b->logit) return a->logit > b->logit;
    return a->token < b->token;
}

static void swap(wr_candidate *a, wr_candidate *b) {
    wr_candidate c = *a;
    *a = *b;
    *b = c;
}

/* items[0, count) is a heap but for items[at]. `first`: the root is the one before all others,
 * otherwise the one after all others. */
static void sift(const order *o, bool first, wr_candidate *items, int64_t at, int64_t count) {
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= count) return;
        if (child + 1 < count && before(o, &items[child + 1], &items[child]) == first) child++;
        if (before(o, &items[child], &items[at]) != first) return;
        swap(&items[child], &items[at]);
        at = child;
    }
}

static void make_heap(const order *o, bool first, wr_candidate *items, int64_t count) {
    for (int64_t at = count / 2; at-- > 0;) sift(o, first, items, at, count);
}

/* The k first of the order, in order; O(n log k). */
static void keep_first(wr_candidates *set, const order *o, int32_t k) {
    wr_candidate *items = set->items;
    make_heap(o, false, items, k); /* the worst of those kept is the root */
    for (int32_t i = k; i < set->count; i++) {
        if (!before(o, &items[i], &items[0])) continue;
        items[0] = items[i];
        sift(o, false, items, 0, k);
    }
    for (int32_t end = k; --end > 0;) {
        swap(&items[0], &items[end]);
        sift(o, false, items, 0, end);
    }
    set->count = k;
}

static float best_logit(const wr_candidates *set) {
    float best = set->items[0].logit;
    for (int32_t i = 1; i < set->count && !set->sorted; i++)
        if (set->items[i].logit > best) best = set->items[i].logit;
    return best;
}

/* Sum of exp(logit - best). */
static double sum_of_weights(const wr_candidates *set, double best) {
    double sum = 0;
    for (int32_t i = 0; i < set->count; i++) sum += exp((double)set->items[i].logit - best);
    return sum;
}

/*
 * The first of the order that have together the probability `mass`, as few as possible.
 *
 *   items   [ heap, the first is its root ... ][ taken, the last one leftmost ]
 *
 * Each step takes the root; in the end those taken are turned round to the front.
 */
static void keep_mass(wr_candidates *set, const order *o, double mass, double best, double sum) {
    wr_candidate *items = set->items;
    int32_t heap = set->count;
    double taken = 0;
    make_heap(o, true, items, heap);
    do {
        heap--;
        swap(&items[0], &items[heap]);
        sift(o, true, items, 0, heap);
        taken += exp((double)items[heap].logit - best);
    } while (heap > 0 && taken < mass * sum);
    int32_t kept = set->count - heap;
    for (int32_t i = heap, j = set->count - 1; i < j; i++, j--) swap(&items[i], &items[j]);
    for (int32_t i = 0; i < kept; i++) items[i] = items[heap + i];
    set->count = kept;
}

void wr_candidates_top_k(wr_candidates *set, int32_t k) {
    if (k == 0 || k >= set->count) return;
    keep_first(set, &by_logit, k);
    set->sorted = true;
}

void wr_candidates_typical(wr_candidates *set, float mass) {
    if (mass >= 1) return;
    double best = (double)best_logit(set), sum = sum_of_weights(set, best);
    order o = {.typical = true, .log_sum = best + log(sum)};
    for (int32_t i = 0; i < set->count; i++) {
        double information = o.log_sum - (double)set->items[i].logit;
        o.entropy += exp(-information) * information;
    }
    keep_mass(set, &o, (double)mass, best, sum);
    set->sorted = false;
}

void wr_candidates_top_p(wr_candidates *set, float mass) {
    if (mass >= 1) return;
    double best = (double)best_logit(set), sum = sum_of_weights(set, best);
    if (!set->sorted) {
        keep_mass(set, &by_logit, (double)mass, best, sum);
        set->sorted = true;
        return;
    }
    double taken = 0;
    int32_t kept = 0;
    do taken += exp((double)set->items[kept++].logit - best);
    while (kept < set->count && taken < (double)mass * sum);
    set->count = kept;
}

void wr_candidates_min_p(wr_candidates *set, float min_p) {
    if (min_p <= 0) return;
    double least = (double)best_logit(set) + log((double)min_p);
    int32_t kept = 0;
    for (int32_t i = 0; i < set->count; i++)
        if ((double)set->items[i].logit >= least) set->items[kept++] = set->items[i];
    set->count = kept;
}

int32_t wr_candidates_draw(const wr_candidates *set, float temperature, double unit) {
    double best = (double)best_logit(set), sum = 0;
    for (int32_t i = 0; i < set->count; i++)
        sum += exp(((double)set->items[i].logit - best) / (double)temperature);
    double passed = 0;
    int32_t last = 0; /* the last one with any weight, where rounding leaves the sum short */
    for (int32_t i = 0; i < set->count; i++) {
        double weight = exp(((double)set->items[i].logit - best) / (double)temperature);
        passed += weight;
        if (weight > 0) last = i;
        if (passed > unit * sum) return set->items[i].token;
    }
    return set->items[last].token;
}
