/*
 * Candidates: the tokens that may be drawn, with their logits, and the rules that leave some out.
 *
 * Every truncation keeps at least one candidate. "Better" means a larger logit, among equals the
 * lower id; since nothing else ever decides, results do not depend on how the work is done.
 * Probabilities are computed in double precision from the logits of the candidates that are left.
 */
#ifndef WR_CANDIDATES_H
#define WR_CANDIDATES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct wr_candidate {
    float logit; /* finite */
    int32_t token;
} wr_candidate;

typedef struct wr_candidates {
    wr_candidate *items;
    int32_t count; /* >= 1 */
    bool sorted;   /* from the best to the worst */
} wr_candidates;

/* The k best; k = 0: all. */
void wr_candidates_top_k(wr_candidates *set, int32_t k);
/* Locally typical (Meister et al. 2023, arXiv 2202.00666): those whose information -log p is
 * closest to the entropy, as few as have together at least this probability. */
void wr_candidates_typical(wr_candidates *set, float mass);
/* The best, as few as have together at least this probability (Holtzman et al. 2020,
 * arXiv 1904.09751). */
void wr_candidates_top_p(wr_candidates *set, float mass);
/* Those whose probability is at least min_p times the best one's. */
void wr_candidates_min_p(wr_candidates *set, float min_p);
/* The candidate in which `unit`, in [0, 1), falls when they are laid end to end with the
 * probabilities of softmax(logits / temperature); temperature > 0. */
int32_t wr_candidates_draw(const wr_candidates *set, float temperature, double unit);

#endif
