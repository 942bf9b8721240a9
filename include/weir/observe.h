/*
 * Observing: the inside of a forward pass, for measurements. See weir_stream_observe().
 */
#ifndef WEIR_OBSERVE_H
#define WEIR_OBSERVE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum weir_point {
    WEIR_POINT_EMBEDDING, /* [rows, width] what enters the first layer; layer -1 */
    WEIR_POINT_VALUE,     /* [rows, kv_heads * value_dim] values before they are cached */
    WEIR_POINT_ATTENTION, /* [rows, heads * value_dim] what attention gave, before its output matrix
                           */
    WEIR_POINT_LAYER,     /* [rows, width] hidden states that leave a layer */
    WEIR_POINT_FINAL      /* [rows, width] after the last norm; layer -1; only rows with logits */
} weir_point;

/* Sees the inside of a forward pass: rows of consecutive tokens from stream index `first`. */
typedef void (*weir_observer_fn)(void *context, weir_point point, int layer, int64_t first,
                                 const float *data, int64_t rows, int64_t columns);

/* The attention scores of one token in one layer, before the softmax. */
typedef struct weir_scores {
    int layer;
    int64_t index;       /* the query's stream index */
    const float *scores; /* [heads, keys]: scale * q . k, less the bias under ALiBi; pinned keys
                            first, then recent ones */
    const float *sink; /* [heads] the score of the softmax's own sink, or NULL where the softmax is
                          over the keys alone */
    int32_t heads;     /* query heads */
    int32_t keys;      /* pinned + recent */
    int64_t pinned_first; /* stream index of the first pinned key */
    int32_t pinned;       /* pinned keys: indices pinned_first ... pinned_first + pinned - 1 */
    int64_t recent_first; /* stream index of the first recent key; the last one is `index`, or in
                             encoders that of the text's last token */
} weir_scores;

/* Sees every query's scores, token by token, layer by layer within a chunk; borrowed. */
typedef void (*weir_scores_fn)(void *context, const weir_scores *scores);

#ifdef __cplusplus
}
#endif
#endif
