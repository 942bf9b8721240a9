/*
 * Vectors of texts: an encoder's, or the mean of a decoder's last hidden states.
 *
 *     weir_embed_options options = weir_embed_options_default();
 *     weir_embedder *embedder;
 *     weir_embedder_create(model, &options, &embedder, &error);
 *     weir_embed_text texts[] = {{"a mill", 6}, {"a weir", 6}};
 *     float *vectors = malloc(2 * width * sizeof *vectors);
 *     weir_embed_texts(embedder, texts, 2, vectors, &error);
 *     weir_embedder_destroy(embedder);
 *
 * A text is read whole, with what the model puts around every text ([CLS] and [SEP], or BOS). Short
 * texts are computed side by side; the bits of a vector depend neither on its neighbours nor on the
 * threads. An embedder is used by one thread at a time; after it is created it allocates nothing.
 *
 * Sources: Devlin et al., BERT (NAACL 2019); Reimers and Gurevych, Sentence-BERT (EMNLP 2019).
 */
#ifndef WEIR_EMBED_H
#define WEIR_EMBED_H

#include "weir/model.h"
#include "weir/observe.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How the hidden states of a text's tokens become one vector. */
typedef enum weir_pooling {
    WEIR_POOLING_MODEL, /* as the file says; where it says nothing: the mean */
    WEIR_POOLING_MEAN,  /* of all tokens, those around the text included */
    WEIR_POOLING_CLS,   /* the first token's */
    WEIR_POOLING_LAST   /* the last token's */
} weir_pooling;

typedef struct weir_embed_options {
    weir_pooling pooling;
    bool raw;        /* leave vectors as long as they are; otherwise they have length 1 */
    bool truncate;   /* of a text that is too long take the beginning; otherwise it is refused */
    int64_t tokens;  /* the longest text; 0: what the model was trained for, at most 2048 */
    int32_t threads; /* 0: one per CPU. Never changes a bit */
    const weir_allocator *allocator; /* NULL: the model's; copied */
} weir_embed_options;

WEIR_API weir_embed_options weir_embed_options_default(void);

typedef struct weir_embedder weir_embedder;

/* The memory that an embedder takes, to the byte, with nothing reserved. Fails as creating does. */
WEIR_API weir_status weir_embedder_plan(const weir_model *model, const weir_embed_options *options,
                                        int64_t *bytes, weir_error *error);

/* Reserve everything. WEIR_USAGE: an option is out of range; WEIR_LIMIT: `tokens` exceeds what the
 * model was trained for. */
WEIR_API weir_status weir_embedder_create(const weir_model *model,
                                          const weir_embed_options *options, weir_embedder **out,
                                          weir_error *error);
WEIR_API void weir_embedder_destroy(weir_embedder *embedder); /* NULL is allowed */

/* What was chosen for WEIR_POOLING_MODEL, and the longest text in tokens. */
WEIR_API weir_pooling weir_embedder_get_pooling(const weir_embedder *embedder);
WEIR_API int64_t weir_embedder_get_tokens(const weir_embedder *embedder);

typedef struct weir_embed_text {
    const char *text; /* borrowed */
    size_t size;      /* bytes */
} weir_embed_text;

/* vectors [count, width]. WEIR_LIMIT: a text is too long (the message says which, counted from 0,
 * and by how much); WEIR_USAGE: one has no tokens; WEIR_NAN: a vector is not numbers. */
WEIR_API weir_status weir_embed_texts(weir_embedder *embedder, const weir_embed_text *texts,
                                      int64_t count, float *vectors, weir_error *error);

/* The same of tokens, with nothing put around them. `vector` [width] and `states` [count, width],
 * the last hidden state of each token, may each be NULL. */
WEIR_API weir_status weir_embed_tokens(weir_embedder *embedder, const int32_t *tokens,
                                       int64_t count, float *vector, float *states,
                                       weir_error *error);

/* As weir_stream_observe and weir_stream_observe_scores: an index is a token's place in its text.
 * While somebody watches, texts are computed one by one, with the same bits. */
WEIR_API void weir_embedder_observe(weir_embedder *embedder, weir_observer_fn fn, void *context);
WEIR_API weir_status weir_embedder_observe_scores(weir_embedder *embedder, weir_scores_fn fn,
                                                  void *context, weir_error *error);

#ifdef __cplusplus
}
#endif
#endif
