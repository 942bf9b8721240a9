/* Looking back: see lookup.h. */
#include "stream/lookup.h"

#include <assert.h>

/* --- Drafts ----------------------------------------------------------------------------------- */

#define SHORTEST_MATCH 2
#define LONGEST_MATCH 16 /* tokens compared; longer ones are taken as equal */
#define MOST_MATCHES 64  /* compared for one draft: a bound on what a strange text costs */

static int32_t token_at(const wr_lookup_text *text, int64_t index) {
    return text->ring[index % text->size];
}

/* How many tokens before `j` equal those before the end, LONGEST_MATCH - 1 at most. */
static int64_t common_before(const wr_lookup_text *text, int64_t j) {
    int64_t most = j - text->begin < LONGEST_MATCH - 1 ? j - text->begin : LONGEST_MATCH - 1;
    int64_t count = 0;
    while (count < most && token_at(text, j - 1 - count) == token_at(text, text->end - 1 - count))
        count++;
    return count;
}

/* The last `token` at or before `from`; begin - 1 when there is none. */
static int64_t find_back(const wr_lookup_text *text, int32_t token, int64_t from) {
    while (from >= text->begin) {
        int64_t place = from % text->size;
        int64_t stretch = from - text->begin < place ? from - text->begin : place;
        const int32_t *ring = text->ring + place; /* and `stretch` tokens before it, unbroken */
        for (int64_t i = 0; i <= stretch; i++)
            if (ring[-i] == token) return from - i;
        from -= stretch + 1;
    }
    return text->begin - 1;
}

/* Where the longest earlier match ends; -1: there is none. */
static int64_t find_match(const wr_lookup_text *text, int32_t next) {
    int64_t best = -1;
    int64_t longest = SHORTEST_MATCH - 1;
    int64_t j = text->end;
    for (int matches = 0; matches < MOST_MATCHES && longest < LONGEST_MATCH; matches++) {
        j = find_back(text, next, j - 1);
        if (j < text->begin) break;
        int64_t length = 1 + common_before(text, j);
        if (length <= longest) continue;
        longest = length;
        best = j;
    }
    return best;
}

int64_t wr_lookup_draft(const wr_lookup_text *text, int32_t next, int32_t *draft, int64_t most) {
    assert(text->begin >= 0 && text->end - text->begin <= text->size);
    int64_t match = most > 0 ? find_match(text, next) : -1;
    if (match < 0) return 0;
    for (int64_t i = 0; i < most; i++) {
        int64_t from = match + 1 + i;
        draft[i] = from < text->end    ? token_at(text, from)
                   : from == text->end ? next
                                       : draft[from - text->end - 1];
    }
    return most;
}

/* --- Pace ------------------------------------------------------------------------------------- */

#define FIRST_LENGTH 2
#define FIRST_PAUSE 16
#define LONGEST_PAUSE 1024
#define MOST_LOST 1.0  /* tokens' time, before a rest */
#define MOST_WON 8.0   /* what is remembered of a lucky time */
#define ENOUGH_WON 4.0 /* for the next rest to be a short one again */

int64_t wr_lookup_begin(wr_lookup_pace *pace, int64_t most) {
    if (pace->length == 0) pace->length = FIRST_LENGTH;
    if (pace->pause == 0) pace->pause = FIRST_PAUSE;
    if (pace->always) return most;
    if (pace->rest > 0) {
        pace->rest--;
        return 0;
    }
    if (pace->plain <= 0) return 0;
    return pace->length < most ? pace->length : most;
}

/* Faster is believed soon, slower slowly: other programs only ever make a token slower. */
static void smooth(double *plain, double seconds) {
    if (*plain <= 0)
        *plain = seconds;
    else if (seconds < *plain)
        *plain += (seconds - *plain) / 2;
    else
        *plain += ((seconds < 2 * *plain ? seconds : 2 * *plain) - *plain) / 16;
}

/* A draft that came true is followed by one of twice its length; another by one that would have. */
static void adapt_length(wr_lookup_pace *pace, const wr_lookup_step *step) {
    if (step->accepted < step->drafted)
        pace->length = step->accepted + 1;
    else if (2 * step->drafted > pace->length)
        pace->length = 2 * step->drafted;
}

void wr_lookup_end(wr_lookup_pace *pace, const wr_lookup_step *step) {
    if (step->drafted > 0)
        adapt_length(pace, step);
    else if (step->compute > 0)
        smooth(&pace->plain, step->compute);
    if (pace->plain <= 0) return;
    double paid = step->search / pace->plain;
    double won = 0;
    if (step->drafted > 0) {
        paid += step->compute / pace->plain;
        won = (double)(1 + step->accepted);
    }
    /* An interruption may fall into a step: it cannot cost more than its tokens one by one. */
    double worst = (double)(2 + step->drafted);
    pace->balance += won - (paid < worst ? paid : worst);
    if (pace->balance >= ENOUGH_WON) pace->pause = FIRST_PAUSE;
    if (pace->balance > MOST_WON) pace->balance = MOST_WON;
    if (pace->balance >= -MOST_LOST) return;
    pace->balance = 0;
    pace->length = FIRST_LENGTH;
    pace->rest = pace->pause;
    if (pace->pause < LONGEST_PAUSE) pace->pause *= 4;
}
