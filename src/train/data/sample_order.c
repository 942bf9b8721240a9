/* Which window is drawn when: see sample_order.h. */
#include "train/data/sample_order.h"

#include "base/random.h"

/* ---- turns ----------------------------------------------------------------------------------- */

void wr_turns_share(const double *weights, int32_t count, int64_t *turns, wr_turn *pattern,
                    int64_t *owed) {
    double sum = 0;
    int64_t left = WR_TURNS;
    int32_t largest = 0;
    for (int32_t k = 0; k < count; k++) sum += weights[k];
    for (int32_t k = 0; k < count; k++) {
        turns[k] = (int64_t)(weights[k] / sum * WR_TURNS + 0.5);
        if (turns[k] < 1) turns[k] = 1;
        left -= turns[k];
        owed[k] = 0;
        if (turns[k] > turns[largest]) largest = k;
    }
    turns[largest] += left; /* what rounding left over, or took too much */
    for (int64_t i = 0; i < WR_TURNS; i++) {
        int32_t next = 0;
        for (int32_t k = 0; k < count; k++) {
            owed[k] += turns[k];
            if (owed[k] > owed[next]) next = k;
        }
        owed[next] -= WR_TURNS;
        pattern[i].text = (uint32_t)next;
    }
    for (int32_t k = 0; k < count; k++) owed[k] = 0;
    for (int64_t i = 0; i < WR_TURNS; i++) pattern[i].earlier = (uint32_t)owed[pattern[i].text]++;
}

/* ---- epochs ---------------------------------------------------------------------------------- */

wr_epoch wr_epoch_of(uint64_t seed, uint32_t text, uint64_t epoch) {
    uint32_t random[4];
    wr_random_block(seed, (uint64_t)text << 32 | 0x64617461, epoch, random); /* "data" */
    return (wr_epoch){(uint64_t)random[0] << 32 | random[1], (uint64_t)random[2] << 32 | random[3]};
}

static uint64_t mix(uint64_t key, uint64_t round, uint64_t half) {
    uint64_t x = key + round * 0x9E3779B97F4A7C15u + half * 0xD6E8FEB86659FD93u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

/* A Feistel network (Luby and Rackoff 1988) permutes numbers of 2 * bits bits; what it sends beyond
 * `count` is sent on until it comes back inside ("cycle walking", Black and Rogaway 2002), less
 * than four steps on average. */
uint64_t wr_epoch_place(uint64_t key, uint64_t i, uint64_t count) {
    int bits = 1;
    while (bits < 32 && (uint64_t)1 << (2 * bits) < count) bits++;
    const uint64_t mask = ((uint64_t)1 << bits) - 1;
    do {
        uint64_t left = i >> bits, right = i & mask;
        for (uint64_t round = 0; round < 4; round++) {
            uint64_t next = left ^ (mix(key, round, right) & mask);
            left = right;
            right = next;
        }
        i = left << bits | right;
    } while (i >= count);
    return i;
}
