/*
 * The second half of a block with experts: for each row a few of many feed-forward parts.
 *
 *     choose     logits = router(n); the `used` largest of them; shares = softmax over those
 *     gather     slots, expert after expert:   expert 0: rows 2 7 | expert 1: none | 2: rows 2 5 9
 *     products   up and gate, the activation, down: each expert once for all its rows
 *     combine    added = sum over the row's experts, the first chosen first, of share * output
 *
 * What a row gets depends on that row alone: which experts, in which order, and products whose bits
 * do not know the batch. So it is the same in any chunk and batch, and for any threads.
 */
#include <math.h>
#include <string.h>

#include "model/forward_inside.h"

enum { GROUP = 4 }; /* panels of an item */

/* --- Choosing --------------------------------------------------------------------------------- */

/* The `used` largest logits in order, of equal ones the first. A NaN is never larger. */
static void choose_row(const weir_model *m, const float *logits, int32_t *chosen, float *shares) {
    double sum = 0;
    for (int32_t k = 0; k < m->experts_used; k++) {
        int32_t best = -1;
        for (int32_t e = 0; e < m->experts; e++) {
            bool taken = false;
            for (int32_t i = 0; i < k; i++) taken = taken || chosen[i] == e;
            if (!taken && (best < 0 || logits[e] > logits[best])) best = e;
        }
        chosen[k] = best;
    }
    for (int32_t k = 0; k < m->experts_used; k++) {
        shares[k] = expf(logits[chosen[k]] - logits[chosen[0]]);
        sum += (double)shares[k];
    }
    for (int32_t k = 0; k < m->experts_used; k++) shares[k] = (float)((double)shares[k] / sum);
}

static void choose_task(void *context, int64_t begin, int64_t end, int worker) {
    wr_forward *f = context;
    const weir_model *m = f->model;
    (void)worker;
    for (int64_t i = begin; i < end; i++)
        choose_row(m, f->routed + i * m->experts, f->chosen + i * m->experts_used,
                   f->expert_shares + i * m->experts_used);
}

/* A slot for every choice, expert after expert, and inside each in the order of the rows. */
static void give_slots(wr_forward *f) {
    const weir_model *m = f->model;
    const int64_t choices = f->count * m->experts_used;
    int32_t *first = f->first_slots;
    memset(first, 0, ((size_t)m->experts + 1) * sizeof *first);
    for (int64_t i = 0; i < choices; i++) first[f->chosen[i] + 1]++;
    f->active_count = 0;
    for (int32_t e = 0; e < m->experts; e++) {
        if (first[e + 1] > 0) f->active[f->active_count++] = e;
        first[e + 1] += first[e];
    }
    for (int64_t i = 0; i < choices; i++) {
        const int32_t slot = first[f->chosen[i]]++;
        f->slots[i] = slot;
        f->slot_rows[slot] = (int32_t)(i / m->experts_used);
    }
    memmove(first + 1, first, (size_t)m->experts * sizeof *first); /* each went one expert on */
    first[0] = 0;
}

/* --- Products --------------------------------------------------------------------------------- */

typedef struct expert_step {
    wr_forward *f;
    const wr_block *block;
    const float *rows; /* [chunk, width] what the half reads */
} expert_step;

static const wr_linear *expert_at(const wr_forward *f, const wr_block *block, wr_expert_part part,
                                  int32_t expert) {
    return &block->experts[(int32_t)part * f->model->experts + expert];
}

/* All experts of a block stand in one tensor, so they take the same input. */
static wr_input input_of(const wr_forward *f, const wr_block *block, wr_expert_part part) {
    return f->model->kernels->input_of(expert_at(f, block, part, 0)->matrix.format);
}

/* A slot's row x as the products with a part read it. */
static void prepare_slot(wr_forward *f, const wr_block *block, wr_expert_part part, const float *x,
                         int64_t slot) {
    const wr_input kind = input_of(f, block, part);
    if (kind == WR_INPUT_FLOATS) return;
    f->model->kernels->prepare(kind, x, expert_at(f, block, part, 0)->matrix.columns,
                               f->inputs[kind] + (size_t)slot * f->input_bytes[kind]);
}

static void gather_task(void *context, int64_t begin, int64_t end, int worker) {
    const expert_step *step = context;
    wr_forward *f = step->f;
    const int64_t width = f->model->width;
    const bool two =
        input_of(f, step->block, WR_EXPERT_GATE) != input_of(f, step->block, WR_EXPERT_UP);
    (void)worker;
    for (int64_t slot = begin; slot < end; slot++) {
        float *x = f->gathered + slot * width;
        memcpy(x, step->rows + f->slot_rows[slot] * width, (size_t)width * sizeof *x);
        prepare_slot(f, step->block, WR_EXPERT_GATE, x, slot);
        if (two) prepare_slot(f, step->block, WR_EXPERT_UP, x, slot);
    }
}

static int64_t groups_of(int64_t rows) { return (wr_panel_count(rows) + GROUP - 1) / GROUP; }

/* Groups [low, high) of a product for the rows of an expert. */
static void multiply_groups(wr_forward *f, int32_t expert, const wr_weighted *product,
                            const float *x, int64_t low, int64_t high, int worker) {
    const int64_t panels = wr_panel_count(product->linear->matrix.rows);
    const int64_t stop = high * GROUP < panels ? high * GROUP : panels;
    const wr_piece at = {low * GROUP, stop, f->first_slots[expert], f->first_slots[expert + 1]};
    if (low < high) wr_forward_multiply(f, x, product, at, worker);
}

/* Item: an expert that has rows, and a group of panels of gate or, behind those, of up. */
static void wide_task(void *context, int64_t begin, int64_t end, int worker) {
    const expert_step *step = context;
    wr_forward *f = step->f;
    const int64_t groups = groups_of(f->model->feed_forward);
    while (begin < end) {
        const int32_t expert = f->active[begin / (2 * groups)];
        const bool up = begin / groups % 2 != 0;
        const int64_t low = begin % groups, rest = end - begin + low;
        const int64_t high = rest < groups ? rest : groups;
        const wr_expert_part part = up ? WR_EXPERT_UP : WR_EXPERT_GATE;
        const wr_weighted product = {expert_at(f, step->block, part, expert), up ? f->up : f->gate};
        multiply_groups(f, expert, &product, f->gathered, low, high, worker);
        begin += high - low;
    }
}

static void act_task(void *context, int64_t begin, int64_t end, int worker) {
    const expert_step *step = context;
    wr_forward *f = step->f;
    const int64_t n = f->model->feed_forward;
    (void)worker;
    wr_forward_activate(f, begin, end);
    for (int64_t slot = begin; slot < end; slot++)
        prepare_slot(f, step->block, WR_EXPERT_DOWN, f->gate + slot * n, slot);
}

/* Outputs take the place of what was gathered. */
static void down_task(void *context, int64_t begin, int64_t end, int worker) {
    const expert_step *step = context;
    wr_forward *f = step->f;
    const int64_t groups = groups_of(f->model->width);
    while (begin < end) {
        const int32_t expert = f->active[begin / groups];
        const int64_t low = begin % groups, rest = end - begin + low;
        const int64_t high = rest < groups ? rest : groups;
        const wr_weighted product = {expert_at(f, step->block, WR_EXPERT_DOWN, expert),
                                     f->gathered};
        multiply_groups(f, expert, &product, f->gate, low, high, worker);
        begin += high - low;
    }
}

static void combine_task(void *context, int64_t begin, int64_t end, int worker) {
    wr_forward *f = context;
    const weir_model *m = f->model;
    const int64_t width = m->width;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        float *added = f->added + i * width;
        for (int32_t k = 0; k < m->experts_used; k++) {
            const int64_t choice = i * m->experts_used + k;
            float *out = f->gathered + f->slots[choice] * width;
            m->kernels->scale(out, f->expert_shares[choice], width);
            if (k == 0)
                memcpy(added, out, (size_t)width * sizeof *added);
            else
                m->kernels->add(added, out, width);
        }
    }
}

void wr_forward_experts(wr_forward *f, const wr_block *block, const float *rows) {
    const weir_model *m = f->model;
    const int64_t slots = f->count * m->experts_used;
    expert_step step = {.f = f, .block = block, .rows = rows};
    wr_forward_linear(f, rows, f->count, &(wr_weighted){&block->router, f->routed}, 1);
    wr_forward_run(f, f->count, f->count * m->experts * m->experts_used * 4, choose_task, f);
    give_slots(f);
    wr_forward_run(f, slots, slots * m->width * 16, gather_task, &step);
    wr_forward_run(f, f->active_count * 2 * groups_of(m->feed_forward),
                   slots * m->width * m->feed_forward * 2, wide_task, &step);
    wr_forward_run(f, slots, slots * m->feed_forward * 48, act_task, &step);
    wr_forward_run(f, f->active_count * groups_of(m->width), slots * m->width * m->feed_forward,
                   down_task, &step);
    wr_forward_run(f, f->count, slots * m->width * 4, combine_task, f);
}
