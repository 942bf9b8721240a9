/*
 * Cloze: which word ends this sentence? (libweir-lab)
 *
 * A question is the last word of a sentence: the model reads what stands before it, and is asked
 * which of a few words belongs there: the right one, or others that end other sentences of the same
 * text, drawn from a seed. It says what it thinks most likely, the sentence's point included. A
 * model that knows nothing is right once in `choices`.
 *
 *     weir_cloze_options options = weir_cloze_options_default();
 *     weir_cloze_result result;
 *     weir_cloze(stream, text, size, &options, &result, &error);
 *     printf("%lld of %lld\n", (long long)result.right, (long long)result.asked);
 *
 * After Hill et al., "The Goldilocks Principle: Reading Children's Books with Explicit Memory
 * Representations" (ICLR 2016), ten candidates, and Paperno et al., "The LAMBADA dataset" (ACL
 * 2016), the last word of a passage.
 */
#ifndef WEIR_CLOZE_H
#define WEIR_CLOZE_H

#include "weir/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_CLOZE_MAX_CHOICES 32

typedef struct weir_cloze_options {
    int64_t questions; /* at most, spread evenly over the text */
    int32_t choices;   /* 2 ... WEIR_CLOZE_MAX_CHOICES, the right word counted */
    int64_t context;   /* tokens of a passage at most, BOS and word included; 0: what fits */
    uint64_t seed;     /* of the wrong words */
    bool without_bos;  /* passages begin without the BOS that the model adds */
    /* May be NULL: called now and then with the questions asked; false ends early, cleanly. */
    bool (*progress)(void *context, int64_t done, int64_t total);
    void *progress_context;
} weir_cloze_options;

/* 1,000 questions of 10 choices, seed 0. */
WEIR_API weir_cloze_options weir_cloze_options_default(void);

typedef struct weir_cloze_result {
    int64_t asked;
    int64_t right;
    int64_t endings;    /* of sentences that could be asked about */
    double low, high;   /* Wilson's 95% interval of right / asked */
    double nll;         /* mean negative log-likelihood of the right word, nats */
    double passage_nll; /* the same of the passages' own tokens, all but their first */
    double tokens;      /* mean tokens of a passage */
    double seconds;
} weir_cloze_result;

/* Ask about text[size]. The stream is dense (or its window holds a passage), empty before and
 * after. WEIR_USAGE: too few sentences or different words, or a number out of range. A result is
 * filled on failure too, with what was asked until then. */
WEIR_API weir_status weir_cloze(weir_stream *stream, const char *text, size_t size,
                                const weir_cloze_options *options, weir_cloze_result *out,
                                weir_error *error);

#ifdef __cplusplus
}
#endif
#endif
