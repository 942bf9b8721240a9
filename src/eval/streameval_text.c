/*
 * The text of StreamEval. Everything is a function of (seed, purpose, counter): no state, so any
 * line can be asked for at any time, and the line n back is what it was.
 *
 * A key is the place of its fact among all facts, sent through a permutation of 0 ... 26^letters -
 * 1 that the seed chooses, and written in letters: so each key occurs once in 26^letters facts.
 */
#include <stdio.h>

#include "weir/streameval.h"

enum { KEY, VALUE, NOUN, VERB, PLACE }; /* purposes */
enum { ROUNDS = 4, WORDS = 8 };

/* tools/reference/train_streameval.py knows the same words; a test compares. */
static const char *const nouns[WORDS] = {"river", "mill", "boat", "bell",
                                         "wind",  "rain", "bird", "moon"};
static const char *const verbs[WORDS] = {"runs",  "waits", "turns", "sings",
                                         "rests", "falls", "grows", "stays"};
static const char *const places[WORDS] = {"on",     "now",   "here",  "again",
                                          "slowly", "below", "today", "alone"};

/* splitmix64's finaliser (Steele, Lea and Flood 2014), over each word in turn. */
static uint64_t finish(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t draw(uint64_t seed, uint64_t purpose, uint64_t counter) {
    const uint64_t golden = 0x9e3779b97f4a7c15u;
    uint64_t x = finish(seed + golden);
    x = finish(x + golden * (purpose + 1));
    return finish(x + golden * (counter + 1));
}

/* A permutation of 0 ... size - 1: a Feistel network over 2 * half bits, walked until it is back
 * inside (Black and Rogaway 2002). */
static uint64_t permute(uint64_t seed, uint64_t size, uint64_t x) {
    unsigned half = 1;
    while (1ull << (2 * half) < size) half++;
    uint64_t mask = (1ull << half) - 1;
    do {
        uint64_t left = x >> half, right = x & mask;
        for (uint64_t round = 0; round < ROUNDS; round++) {
            uint64_t next = left ^ (draw(seed, KEY, round << 32 | right) & mask);
            left = right;
            right = next;
        }
        x = left << half | right;
    } while (x >= size);
    return x;
}

static void write_key(const weir_streameval_text *text, int64_t fact, char out[8]) {
    uint64_t keys = 1;
    for (int32_t i = 0; i < text->letters; i++) keys *= 26;
    uint64_t key = permute(text->seed, keys, (uint64_t)fact % keys);
    out[text->letters] = ':';
    out[text->letters + 1] = '\0';
    for (int32_t i = text->letters - 1; i >= 0; i--, key /= 26) out[i] = (char)('a' + key % 26);
}

static const char *pick(const char *const words[WORDS], uint64_t seed, uint64_t purpose,
                        int64_t index) {
    return words[draw(seed, purpose, (uint64_t)index) % WORDS];
}

void weir_streameval_get_line(const weir_streameval_text *text, int64_t index,
                              weir_streameval_line *out) {
    uint64_t seed = text->seed;
    *out = (weir_streameval_line){.text = ""};
    if (index % text->period == 0) {
        int64_t fact = index / text->period;
        int value = 10 + (int)(draw(seed, VALUE, (uint64_t)fact) % WEIR_STREAMEVAL_VALUES);
        write_key(text, fact, out->question);
        snprintf(out->answer, sizeof out->answer, "%d", value);
        snprintf(out->text, sizeof out->text, "%s %s\n", out->question, out->answer);
    } else {
        snprintf(out->text, sizeof out->text, "- the %s %s %s\n", pick(nouns, seed, NOUN, index),
                 pick(verbs, seed, VERB, index), pick(places, seed, PLACE, index));
    }
}
