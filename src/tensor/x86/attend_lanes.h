/*
 * Attention as scalar_attend.c defines it. A template over the vector of simd_*.h, in two ways with
 * equal bits: token by token for few queries (decoding), and by tiles of queries.
 */
#ifndef WR_ATTEND_LANES_H
#define WR_ATTEND_LANES_H

#include "tensor/x86/attend_tile_lanes.h"
#include "tensor/x86/attend_token_lanes.h"

/* Whether enough lanes would be filled with queries. One token alone is bound by reading its keys,
 * which the other way does best. Scores are observed, and capped, token by token. */
static bool fills_lanes(const wr_attention *job) {
    if (job->cap > 0 || job->kv_heads > 1) return false;
    const int64_t queries = (int64_t)job->token_count * job->heads;
    if (queries > (int64_t)MAX_QUERY_BLOCKS * QUERY_BLOCK) return false;
    for (int32_t i = 0; i < job->token_count; i++)
        if (job->tokens[i].scores != NULL) return false;
    return job->token_count > 1 ? queries >= LANES / 2 : queries >= 2 * QUERY_BLOCK;
}

static void attend(const wr_attention *job) {
    if (fills_lanes(job)) {
        attend_tile(job);
        return;
    }
    for (int32_t i = 0; i < job->token_count; i++) attend_token(job, &job->tokens[i]);
}

#endif
