/*
 * Looking back: a draft of the next tokens, from what the stream has said before, and whether
 * drafts pay.
 *
 *     past   ... the mill hums by | the weir ...  and now the mill hums by
 *                ^^^^^^^^^^^^^^^^   ^^^^^^^^^                ^^^^^^^^^^^^^^^^
 *                found again        the draft               how the text ends
 *
 * A draft is computed in one chunk together with the token before it, which costs less than its
 * tokens one by one; those that the sampler then draws are kept, the rest was in vain. What is
 * drawn never depends on the draft (Saxena 2023, "Prompt Lookup Decoding"; verifying in one pass:
 * Leviathan et al. 2023, arXiv 2211.17192).
 *
 * Nothing is indexed: a draft is one scan over tokens that the stream remembers anyway, so a fork,
 * a rewind or a restore has nothing to mend. The scan reads 4 bytes per token; the attention of one
 * token reads hundreds.
 */
#ifndef WR_LOOKUP_H
#define WR_LOOKUP_H

#include <stdbool.h>
#include <stdint.h>

/* --- Drafts ----------------------------------------------------------------------------------- */

/* Tokens [begin, end) of a stream: token j is ring[j % size]. */
typedef struct wr_lookup_text {
    const int32_t *ring;
    int64_t size;
    int64_t begin;
    int64_t end;
} wr_lookup_text;

/* The longest earlier occurrence of how the text ends; the latest among equals. */
typedef struct wr_lookup_match {
    int64_t end;    /* index of its last token */
    int64_t length; /* tokens, at least 2, counted up to WR_LOOKUP_LONGEST; 0: there is none */
} wr_lookup_match;

#define WR_LOOKUP_LONGEST 16

/* `next` is the text's last token, not in the ring yet: its index is text->end. */
wr_lookup_match wr_lookup_find(const wr_lookup_text *text, int32_t next);
/* What followed the match, `count` tokens; at the end of the text it goes on with itself. */
void wr_lookup_draft(const wr_lookup_text *text, int32_t next, wr_lookup_match match,
                     int32_t *draft, int64_t count);

/* --- Pace ------------------------------------------------------------------------------------- */

/*
 * When to draft, and how much, from what tokens have cost so far. A step is a chunk of one token,
 * or of one and a draft. A step with a draft wins what its tokens would have cost one by one, and
 * pays its time. Matches are sorted by length, for a long one is a better sign; each kind keeps an
 * account of its own. When it has lost more than a token's time its matches are left alone for a
 * while, and four times as long after each loss; what wins puts that right. Where a drafted token
 * costs nearly as much as another, the first loss is enough. Looking itself is paid
 * by the shortest kind, and while that rests it is done so rarely that it costs a hundredth.
 *
 * Everything zero is a beginning.
 */
enum { WR_LOOKUP_KINDS = 4 };

typedef struct wr_lookup_account {
    double balance; /* tokens' time won of late; negative: lost */
    int64_t length; /* tokens of the next draft, at most; 0: the first */
    int64_t rest;   /* steps in which its matches are left alone */
    int64_t pause;  /* the next rest; 0: the shortest */
} wr_lookup_account;

typedef struct wr_lookup_pace {
    double plain; /* seconds of a token without a draft, smoothed; 0: not known yet */
    double row;   /* what a drafted token costs, in tokens' time, smoothed; 0: not known yet */
    wr_lookup_account accounts[WR_LOOKUP_KINDS];
    int64_t wait; /* steps until the next look */
    bool always;  /* for tests: draft whatever it costs */
} wr_lookup_pace;

typedef struct wr_lookup_step {
    bool timed;       /* there is one, and times are taken: none without a look */
    int64_t match;    /* length of what was found, 0: nothing, or not looked */
    int64_t drafted;  /* tokens of the draft */
    int64_t accepted; /* of them, drawn */
    double search;    /* seconds of looking; 0: not done */
    double compute;   /* seconds of the chunk and its logits */
} wr_lookup_step;

/* A step begins: whether to look for a match in it, and take its time. */
bool wr_lookup_begin(wr_lookup_pace *pace);
/* How long a draft after a match of this length, `most` at most; 0: none. */
int64_t wr_lookup_length(const wr_lookup_pace *pace, int64_t match, int64_t most);
/* A step is over. Seconds are those of the calling thread's computing: on a busy machine a long
 * step is interrupted, and many short ones are not. */
void wr_lookup_end(wr_lookup_pace *pace, const wr_lookup_step *step);

#endif
