#include "parts/metrics.h"

static const double bounds[METRICS_BUCKETS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                               0.25,  0.5,    1,     2.5,  5,     10,   60};

void metrics_observe(metrics_histogram *histogram, double seconds) {
    int at = 0;
    while (at < METRICS_BUCKETS && seconds > bounds[at]) {
        at++;
    }
    atomic_fetch_add(&histogram->bucket[at], 1);
    atomic_fetch_add(&histogram->count, 1);
    atomic_fetch_add(&histogram->microseconds, (long long)(seconds * 1e6));
}

static void write_number(text_buffer *out, const char *name, const char *help, const char *type,
                         const char *suffix, atomic_llong *value) {
    text_print(out, "# HELP weir_%s%s %s\n# TYPE weir_%s%s %s\nweir_%s%s %lld\n", name, suffix,
               help, name, suffix, type, name, suffix, atomic_load(value));
}

static void write_histogram(text_buffer *out, const char *name, const char *help,
                            metrics_histogram *histogram) {
    long long sum = 0;
    text_print(out, "# HELP weir_%s %s\n# TYPE weir_%s histogram\n", name, help, name);
    for (int i = 0; i < METRICS_BUCKETS; i++) {
        sum += atomic_load(&histogram->bucket[i]);
        text_print(out, "weir_%s_bucket{le=\"%g\"} %lld\n", name, bounds[i], sum);
    }
    sum += atomic_load(&histogram->bucket[METRICS_BUCKETS]);
    text_print(out, "weir_%s_bucket{le=\"+Inf\"} %lld\n", name, sum);
    text_print(out, "weir_%s_sum %.6f\nweir_%s_count %lld\n", name,
               (double)atomic_load(&histogram->microseconds) / 1e6, name, sum);
}

void metrics_write(server_metrics *metrics, text_buffer *out) {
#define METRICS_LINE(name, help)                                                                   \
    write_number(out, #name, help, "counter", "_total", &metrics->name);
    METRICS_COUNTERS(METRICS_LINE)
#undef METRICS_LINE
#define METRICS_LINE(name, help) write_number(out, #name, help, "gauge", "", &metrics->name);
    METRICS_GAUGES(METRICS_LINE)
#undef METRICS_LINE
#define METRICS_LINE(name, help) write_histogram(out, #name, help, &metrics->name);
    METRICS_HISTOGRAMS(METRICS_LINE)
#undef METRICS_LINE
}
