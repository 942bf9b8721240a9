/* Looking back: see lookup.h. */
#include "stream/lookup.h"

#include <assert.h>

/* --- Drafts ----------------------------------------------------------------------------------- */

#define SHORTEST_MATCH 2
#define MOST_MATCHES 64 /* compared for one draft: a bound on what a strange text costs */

static int32_t token_at(const wr_lookup_text *text, int64_t index) {
    return text->ring[index % text->size];
}

/* How many tokens before `j` equal those before the end. Longer matches are taken as equal. */
static int64_t common_before(const wr_lookup_text *text, int64_t j) {
    int64_t most =
        j - text->begin < WR_LOOKUP_LONGEST - 1 ? j - text->begin : WR_LOOKUP_LONGEST - 1;
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

wr_lookup_match wr_lookup_find(const wr_lookup_text *text, int32_t next) {
    wr_lookup_match best = {.end = -1, .length = 0};
    int64_t j = text->end;
    assert(text->begin >= 0 && text->end - text->begin <= text->size);
    for (int matches = 0; matches < MOST_MATCHES && best.length < WR_LOOKUP_LONGEST; matches++) {
        j = find_back(text, next, j - 1);
        if (j < text->begin) break;
        int64_t length = 1 + common_before(text, j);
        if (length >= SHORTEST_MATCH && length > best.length)
            best = (wr_lookup_match){.end = j, .length = length};
    }
    return best;
}

void wr_lookup_draft(const wr_lookup_text *text, int32_t next, wr_lookup_match match,
                     int32_t *draft, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        int64_t from = match.end + 1 + i;
        draft[i] = from < text->end    ? token_at(text, from)
                   : from == text->end ? next
                                       : draft[from - text->end - 1];
    }
}

/* --- Pace ------------------------------------------------------------------------------------- */

#define FIRST_PAUSE 32
#define LONGEST_PAUSE 1024
#define SHORTEST_WAIT 4 /* steps, while looks are rare */
#define LONGEST_WAIT 64
#define MOST_LOST 1.0  /* tokens' time, before a rest */
#define MOST_WON 8.0   /* what is remembered of a lucky time */
#define DEAR 0.9       /* what a drafted token costs, so that being right hardly pays */
#define ENOUGH_WON 4.0 /* for the next rest to be a short one again */

/* Matches of this length or longer, up to the next kind. */
static const int64_t kinds[WR_LOOKUP_KINDS] = {SHORTEST_MATCH, 3, 6, WR_LOOKUP_LONGEST};

static int kind_of(int64_t match) {
    int kind = WR_LOOKUP_KINDS - 1;
    while (kind > 0 && match < kinds[kind]) kind--;
    return kind;
}

static int64_t first_length(int kind) { return 2 + 2 * kind; }

bool wr_lookup_begin(wr_lookup_pace *pace) {
    for (int i = 0; i < WR_LOOKUP_KINDS; i++)
        if (pace->accounts[i].rest > 0) pace->accounts[i].rest--;
    if (pace->wait > 0) pace->wait--;
    return pace->always || pace->wait == 0;
}

int64_t wr_lookup_length(const wr_lookup_pace *pace, int64_t match, int64_t most) {
    int kind = kind_of(match);
    const wr_lookup_account *account = &pace->accounts[kind];
    if (match == 0 || most <= 0) return 0;
    if (pace->always) return most;
    if (account->rest > 0 || pace->plain <= 0) return 0;
    int64_t length = account->length > 0 ? account->length : first_length(kind);
    return length < most ? length : most;
}

/* Faster is believed soon, slower slowly: other programs only ever make a token slower. */
static void smooth(double *plain, double seconds) {
    if (*plain <= 0)
        *plain = seconds;
    else if (seconds < *plain)
        *plain += (seconds - *plain) / 4;
    else
        *plain += ((seconds < 2 * *plain ? seconds : 2 * *plain) - *plain) / 16;
}

/* A draft that came true is followed by one of twice its length; another by one that would have. */
static void adapt_length(wr_lookup_account *account, const wr_lookup_step *step) {
    if (step->accepted < step->drafted)
        account->length = step->accepted + 1;
    else if (2 * step->drafted > account->length)
        account->length = 2 * step->drafted;
}

static void settle(wr_lookup_account *account, int kind, double won, bool dear) {
    if (account->pause == 0) account->pause = FIRST_PAUSE;
    account->balance += won;
    if (account->balance >= ENOUGH_WON) account->pause = FIRST_PAUSE;
    if (account->balance > MOST_WON) account->balance = MOST_WON;
    if (account->balance >= -MOST_LOST) return;
    account->balance = 0;
    account->length = first_length(kind);
    if (dear) account->pause = LONGEST_PAUSE;
    account->rest = account->pause;
    if (account->pause < LONGEST_PAUSE) account->pause *= 4;
}

/* After a look: the next one, at once while that may pay. */
static int64_t wait_after(const wr_lookup_pace *pace, const wr_lookup_step *step) {
    if (step->drafted > 0 || pace->accounts[0].rest == 0) return 0;
    double wait = 100 * step->search / pace->plain;
    return wait < LONGEST_WAIT - SHORTEST_WAIT ? SHORTEST_WAIT + (int64_t)wait : LONGEST_WAIT;
}

void wr_lookup_end(wr_lookup_pace *pace, const wr_lookup_step *step) {
    if (!step->timed) return;
    if (step->drafted == 0 && step->compute > 0) smooth(&pace->plain, step->compute);
    if (pace->plain <= 0) return;
    if (step->search > 0) pace->wait = wait_after(pace, step);
    if (step->drafted == 0 && pace->accounts[0].rest > 0) return; /* a rare look: not charged */
    int kind = step->drafted > 0 ? kind_of(step->match) : 0;
    double paid = step->search > 0 ? step->search / pace->plain : 0;
    double won = 0;
    if (step->drafted > 0) {
        adapt_length(&pace->accounts[kind], step);
        smooth(&pace->row, (step->compute / pace->plain - 1) / (double)step->drafted);
        paid += step->compute / pace->plain;
        won = (double)(1 + step->accepted);
    }
    /* An interruption may fall into a step: it cannot cost more than its tokens one by one. */
    double worst = (double)(2 + step->drafted);
    settle(&pace->accounts[kind], kind, won - (paid < worst ? paid : worst), pace->row > DEAR);
}
