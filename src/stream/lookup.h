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

/* What followed the longest earlier occurrence of how the text ends, `next` being its last token
 * (not in the ring yet); the latest among equals. It must be at least two tokens long. A draft that
 * reaches the end of the text goes on with itself. Returns how many of `most` tokens there are: all
 * or 0. */
int64_t wr_lookup_draft(const wr_lookup_text *text, int32_t next, int32_t *draft, int64_t most);

/* --- Pace ------------------------------------------------------------------------------------- */

/*
 * When to draft, from what tokens have cost so far. A step is a chunk of one token, or of one and a
 * draft. A step with a draft wins what its tokens would have cost one by one, and pays its time;
 * looking for a draft that is not there is paid too. When more is lost than a token's time, nothing
 * is looked up for a while, and four times as long after each loss; what wins puts that right.
 * Everything zero is a beginning.
 */
typedef struct wr_lookup_pace {
    double plain;   /* seconds of a token without a draft, smoothed; 0: not known yet */
    double balance; /* tokens' time won of late; negative: lost */
    int64_t length; /* tokens of the next draft, at most; 0: the first */
    int64_t rest;   /* steps that are left without looking up */
    int64_t pause;  /* the next rest; 0: the shortest */
    bool always;    /* for tests: draft whatever it costs */
} wr_lookup_pace;

typedef struct wr_lookup_step {
    int64_t drafted;  /* tokens of the draft */
    int64_t accepted; /* of them, drawn */
    double search;    /* seconds of looking up */
    double compute;   /* seconds of the chunk and its logits */
} wr_lookup_step;

/* How long a draft to look for in the step that begins, `most` at most; 0: do not look. */
int64_t wr_lookup_begin(wr_lookup_pace *pace, int64_t most);
/* A step is over. */
void wr_lookup_end(wr_lookup_pace *pace, const wr_lookup_step *step);

#endif
