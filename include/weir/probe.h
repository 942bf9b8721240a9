/*
 * Attention maps, sink rates and norms: where a model looks, and what its values and hidden states
 * weigh (libweir-lab).
 *
 *     weir_stream_options stream = weir_stream_options_default();
 *     weir_probe_options options = {.length = 16, .maps = true};
 *     weir_probe *probe;
 *     weir_probe_create(model, &stream, &options, &probe, &error);
 *     for (int64_t i = 0; i < 256; i++) weir_probe_add(probe, samples[i], 16, &error);
 *     double rate[WEIR_PROBE_FIRST];
 *     weir_probe_sink_rate(probe, 0, 0.3, rate);
 *     weir_probe_destroy(probe);
 *
 * A sample is a few tokens fed to an empty stream; an encoder, which has none, reads it whole, each
 * token all of it, and of the stream's options only the threads count. Query t and key j are stream
 * indices. The score s(t, j) is scale * q . k as the stream computed it; the probability is its
 * softmax over the keys that token t may attend, in double; where the softmax has a sink of its own
 * (STREAMING's sink variants) over that too. Every figure is a mean over the samples in which there
 * is one: what a policy hides from a query (evicted, masked, after it) is no zero but nothing.
 *
 * Sources: Xiao et al., Efficient Streaming Language Models with Attention Sinks (ICLR 2024),
 * figure 2; Gu et al., When Attention Sink Emerges in Language Models (ICLR 2025), for the sink
 * rate; Sun et al., Massive Activations in Large Language Models (COLM 2024) for the norms.
 */
#ifndef WEIR_PROBE_H
#define WEIR_PROBE_H

#include "weir/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_PROBE_FIRST 8 /* the tokens at indices 0 ... 7 are followed by themselves */

typedef struct weir_probe weir_probe;

typedef enum weir_probe_kind { WEIR_PROBE_PROBABILITY, WEIR_PROBE_SCORE } weir_probe_kind;

/* What the columns of a map are. */
typedef enum weir_probe_columns {
    WEIR_PROBE_INDEX,   /* the key's stream index j */
    WEIR_PROBE_POSITION /* its position in the cache, c(j): j when pinned, else S + j - b(t) */
} weir_probe_columns;

typedef struct weir_probe_options {
    int64_t length; /* tokens of a sample at most, at least 1: the rows of a map */
    int64_t from;   /* the means over queries leave out those before this index; 0: all count */
    weir_probe_kind kind;       /* of the maps */
    weir_probe_columns columns; /* of the maps */
    bool maps;                  /* keep maps; else only the means of the first tokens and norms */
    const int32_t *layers;      /* whose maps are kept, [layer_count]; NULL: of all */
    const int32_t *heads;       /* [head_count]; NULL: of all */
    int32_t layer_count, head_count;
    const weir_allocator *allocator; /* NULL: the system's; copied, its context borrowed */
} weir_probe_options;

/* Make the stream that is looked into, and all the room. WEIR_USAGE: a layer or head that the model
 * has not; samples longer than the window under recompute, which keeps no cache between tokens.
 * WEIR_LIMIT: maps of over 2 GiB. */
WEIR_API weir_status weir_probe_create(const weir_model *model, const weir_stream_options *stream,
                                       const weir_probe_options *options, weir_probe **out,
                                       weir_error *error);
WEIR_API void weir_probe_destroy(weir_probe *probe); /* NULL is allowed */

/* Feed one sample to the emptied stream and add it to the means. Allocates nothing. After a failure
 * (WEIR_CANCELLED) what was seen until then is in the means, but no sample is counted. WEIR_NAN:
 * scores that are not numbers. */
WEIR_API weir_status weir_probe_add(weir_probe *probe, const int32_t *tokens, int64_t count,
                                    weir_error *error);

/* For weir_stream_cancel and weir_stream_get_state; not to be fed. NULL with an encoder. */
WEIR_API weir_stream *weir_probe_get_stream(weir_probe *probe);

typedef struct weir_probe_shape {
    int64_t samples; /* added so far */
    int32_t layers, heads;
    int64_t rows, columns; /* of a map: `length`, and as many columns as keys can be told apart */
    bool sink_term;        /* the softmax has a sink of its own: a zero sink, or sink logits */
} weir_probe_shape;

WEIR_API void weir_probe_get_shape(const weir_probe *probe, weir_probe_shape *out);

/* In place of a column: the softmax's own sink, whose probability is what a row's keys lack of 1.
 */
#define WEIR_PROBE_SINK_TERM (-1)

/* The map's mean for query `row` and key `column`. NaN: never seen, or a map that is not kept; and
 * for WEIR_PROBE_SINK_TERM where there is none. */
WEIR_API double weir_probe_cell(const weir_probe *probe, int32_t layer, int32_t head, int64_t row,
                                int64_t column);

/* The mean attention on each of the first tokens: for token k over all queries from k on that may
 * attend it. layer -1: the mean over the layers; head -1: over the heads. NaN: no such query. */
WEIR_API void weir_probe_first(const weir_probe *probe, weir_probe_kind kind, int32_t layer,
                               int32_t head, double out[WEIR_PROBE_FIRST]);

/* What the probabilities of weir_probe_first would be if every query attended all its keys alike:
 * the figure to compare with. */
WEIR_API void weir_probe_even(const weir_probe *probe, int32_t layer, double out[WEIR_PROBE_FIRST]);

/* The share of heads whose mean probability on token k (weir_probe_first) exceeds epsilon. layer
 * -1: of all layers. */
WEIR_API void weir_probe_sink_rate(const weir_probe *probe, int32_t layer, double epsilon,
                                   double out[WEIR_PROBE_FIRST]);

/* The mean attention that the softmax's own sink takes, over all queries; and the share of heads
 * where it exceeds epsilon. layer -1: the mean over the layers; head -1: over the heads. NaN: the
 * model has no such term, or no query was seen. */
WEIR_API double weir_probe_sink_term(const weir_probe *probe, int32_t layer, int32_t head);
WEIR_API double weir_probe_sink_term_rate(const weir_probe *probe, int32_t layer, double epsilon);

/* Encoders: the mean attention on a sample's last token ([SEP]), over all queries; layer -1: the
 * mean over the layers; head -1: over the heads. NaN: the model is none, or no query was seen. */
WEIR_API double weir_probe_last(const weir_probe *probe, int32_t layer, int32_t head);

typedef struct weir_probe_norms {
    double value;   /* Euclidean norm of one head's value, the mean over the KV heads */
    double hidden;  /* Euclidean norm of the hidden state that leaves the layer */
    double largest; /* largest |element| of that hidden state: a massive activation stands out */
} weir_probe_norms;

/* The means for the token at index `row`. */
WEIR_API void weir_probe_get_norms(const weir_probe *probe, int32_t layer, int64_t row,
                                   weir_probe_norms *out);

#ifdef __cplusplus
}
#endif
#endif
