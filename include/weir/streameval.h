/*
 * StreamEval: does a stream still know what it read so many lines ago? (libweir-lab)
 *
 * The text is made from a seed, a line at a time, and is the same on every machine:
 *
 *     ab: 42                     a fact: a key of two to four letters, a value from 10 to 99
 *     - the river runs on        filler, which says nothing
 *
 * A question is the beginning of the line asked about, "ab:", and the right answer is "42": the
 * rest of the line that the model writes, without the spaces around it, must be exactly that.
 * Values are independent of everything else, so who does not see the line is right by chance once
 * in 90.
 *
 * - StreamEval: every line is a fact. After every ten lines one question for each distance n, about
 *   the line n back (1: the last). Source: Xiao et al. (ICLR 2024), 4.3 and figure 9.
 * - Needle: one fact, then filler alone up to the largest distance, where the next fact stands. A
 *   question for each distance on the way.
 *
 * Every question is asked on a fork of the stream, which is then dropped: the stream itself reads
 * the lines and nothing else, and goes on as if nothing had been asked. Decoding is greedy.
 *
 * Each line is tokenised as a text of its own, after one BOS where the model adds it.
 *
 *     weir_streameval_options options = weir_streameval_options_default();
 *     weir_streameval_spread(model, plan.window, &options, &error);     or distances of your own
 *     weir_streameval_result result;
 *     weir_streameval(stream, &options, &result, &error);
 *     for (int i = 0; i < result.count; i++)
 *         printf("%lld lines back: %lld of %lld\n", (long long)result.distances[i].lines,
 *                (long long)result.distances[i].all.right,
 *                (long long)result.distances[i].all.asked);
 */
#ifndef WEIR_STREAMEVAL_H
#define WEIR_STREAMEVAL_H

#include "weir/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_STREAMEVAL_DISTANCES 16      /* in one evaluation, at most */
#define WEIR_STREAMEVAL_FARTHEST 456975   /* lines back: keys of four letters repeat after 26^4 */
#define WEIR_STREAMEVAL_QUESTIONS 1000000 /* for each distance, at most */
#define WEIR_STREAMEVAL_EVERY 10          /* lines between questions */
#define WEIR_STREAMEVAL_VALUES 90         /* 10 ... 99 */
#define WEIR_STREAMEVAL_CHANCE (1.0 / WEIR_STREAMEVAL_VALUES)

/* ---- the text ------------------------------------------------------------------------------- */

typedef struct weir_streameval_text {
    uint64_t seed;
    int32_t letters; /* of a key, 2 to 4: a key repeats after exactly 26^letters facts */
    int64_t period;  /* line i is a fact where i % period == 0, else filler; 1: all facts */
} weir_streameval_text;

typedef struct weir_streameval_line {
    char text[40];    /* NUL-terminated, with its line end */
    char question[8]; /* "ab:"; empty for filler */
    char answer[4];   /* "42"; empty for filler */
} weir_streameval_line;

/* Line `index`, a function of its arguments alone. */
WEIR_API void weir_streameval_get_line(const weir_streameval_text *text, int64_t index,
                                       weir_streameval_line *out);

/* ---- the evaluation ------------------------------------------------------------------------- */

typedef struct weir_streameval_options {
    bool needle;
    uint64_t seed;
    int64_t distances[WEIR_STREAMEVAL_DISTANCES]; /* lines back, 1 to WEIR_STREAMEVAL_FARTHEST */
    int32_t count;                                /* of distances */
    int64_t questions;                            /* for each distance */
    int64_t lines; /* read before the first question, at least; the largest distance counts too */
    /* May be NULL: called now and then; false ends the evaluation early, cleanly. */
    bool (*progress)(void *context, int64_t asked, int64_t total);
    void *progress_context;
} weir_streameval_options;

/* 100 questions for each distance, no distances yet, seed 0. */
WEIR_API weir_streameval_options weir_streameval_options_default(void);

/* Set distances that tell a window of `window` tokens: from a tenth of it to four times. */
WEIR_API weir_status weir_streameval_spread(const weir_model *model, int64_t window,
                                            weir_streameval_options *options, weir_error *error);

/* The text of an evaluation: keys long enough that none repeats within the largest distance. */
WEIR_API weir_streameval_text weir_streameval_get_text(const weir_streameval_options *options);

/* Tokens that the stream, or one of its forks, will hold at most. WEIR_USAGE when an option is out
 * of range, WEIR_UNSUPPORTED when the model cannot read text. */
WEIR_API weir_status weir_streameval_count(const weir_model *model,
                                           const weir_streameval_options *options, int64_t *tokens,
                                           weir_error *error);

typedef struct weir_streameval_score {
    int64_t asked, right;
} weir_streameval_score;

/* Where the line asked about was when the answer began. */
typedef enum weir_streameval_place {
    WEIR_STREAMEVAL_INSIDE, /* all of it in the cache */
    WEIR_STREAMEVAL_BORDER, /* a part of it */
    WEIR_STREAMEVAL_OUTSIDE /* none of it */
} weir_streameval_place;
#define WEIR_STREAMEVAL_PLACES 3

typedef struct weir_streameval_distance {
    int64_t lines;
    double tokens; /* mean, from the line's first to the question's last, both counted: the smallest
                      window that holds the line. NaN: never asked */
    weir_streameval_score all, at[WEIR_STREAMEVAL_PLACES];
} weir_streameval_distance;

typedef struct weir_streameval_result {
    weir_streameval_distance distances[WEIR_STREAMEVAL_DISTANCES]; /* as in the options */
    int32_t count;
    weir_streameval_score all, at[WEIR_STREAMEVAL_PLACES];
    int64_t lines, tokens; /* read by the stream */
    double seconds;
} weir_streameval_result;

/* Read and ask until every distance has its questions. The stream must be empty. A line that
 * touches a sink is not asked about, because it is never forgotten. A result is filled on failure
 * too, with what was asked until then. */
WEIR_API weir_status weir_streameval(weir_stream *stream, const weir_streameval_options *options,
                                     weir_streameval_result *out, weir_error *error);

/* Wilson's 95% confidence interval of a share (Wilson 1927). [0, 1] when nothing was asked. */
WEIR_API void weir_streameval_interval(weir_streameval_score score, double *low, double *high);

#ifdef __cplusplus
}
#endif
#endif
