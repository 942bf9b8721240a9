/* What the benchmarks of whole streams share; each names itself in BENCH before. */
#ifndef WR_BENCH_MEASURE_H
#define WR_BENCH_MEASURE_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "weir/status.h"

/* What the process has computed. */
static inline double seconds_used(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static inline void must(weir_status status, const weir_error *error) {
    if (status == WEIR_OK) return;
    fprintf(stderr, BENCH ": %s\n", error->message);
    exit(1);
}

#endif
