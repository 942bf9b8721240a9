/* Figures of a server since it began, as Prometheus reads them. Any thread may count. */
#ifndef WEIR_SERVER_METRICS_H
#define WEIR_SERVER_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "parts/text_buffer.h"

/* counter, its help */
#define METRICS_COUNTERS(X)                                                                        \
    X(tokens_fed, "Tokens that requests appended.")                                                \
    X(tokens_made, "Tokens that were generated.")                                                  \
    X(tokens_evicted, "Tokens that left a window.")                                                \
    X(steps, "Steps of the batch.")                                                                \
    X(turns, "Turns of streams in those steps.")                                                   \
    X(openings_shared, "Streams that began as forks of another that begins alike.")                \
    X(tokens_shared, "Tokens that so were not computed again.")                                    \
    X(forks, "Streams that were forked from another.")                                             \
    X(requests_2xx, "Requests answered with success.")                                             \
    X(requests_4xx, "Requests refused.")                                                           \
    X(requests_5xx, "Requests that failed or met a full server.")                                  \
    X(store_failures, "Times that the store could not be written.")                                \
    X(clients_gone, "Requests whose client went away before the answer was whole.")

/* measured as they are asked for */
#define METRICS_GAUGES(X)                                                                          \
    X(streams, "Streams that are held, those of requests under way included.")                     \
    X(streams_kept, "Streams whose requests have ended, kept for others that begin alike.")        \
    X(tasks, "Requests under way.")                                                                \
    X(queue, "Requests that wait for their turn.")                                                 \
    X(connections, "Connections.")                                                                 \
    X(streams_not_stored, "Streams that go on in memory alone, though there is a store.")          \
    X(memory_planned_bytes, "Bytes reserved for the batch and for streams.")                       \
    X(memory_kept_bytes, "Of these, bytes of kept streams, which go when others are wanted.")      \
    X(memory_limit_bytes, "Bytes that may be.")                                                    \
    X(memory_resident_bytes, "Bytes of memory that the process itself holds.")

#define METRICS_HISTOGRAMS(X)                                                                      \
    X(step_seconds, "Time of a step.")                                                             \
    X(first_token_seconds, "From a request to its first token.")                                   \
    X(request_seconds, "From a request to the end of its answer.")

#define METRICS_BUCKETS 14

typedef struct metrics_histogram {
    atomic_llong bucket[METRICS_BUCKETS + 1]; /* the last one: longer than all bounds */
    atomic_llong count;
    atomic_llong microseconds;
} metrics_histogram;

typedef struct server_metrics {
#define METRICS_FIELD(name, help) atomic_llong name;
    METRICS_COUNTERS(METRICS_FIELD)
    METRICS_GAUGES(METRICS_FIELD)
#undef METRICS_FIELD
#define METRICS_FIELD(name, help) metrics_histogram name;
    METRICS_HISTOGRAMS(METRICS_FIELD)
#undef METRICS_FIELD
} server_metrics;

void metrics_observe(metrics_histogram *histogram, double seconds);

/* weir_NAME lines with their help. */
void metrics_write(server_metrics *metrics, text_buffer *out);

#endif
