/*
 * Measuring speed: what the machine itself can do, and what many durations amount to
 * (libweir-lab).
 *
 *     weir_machine machine;
 *     if (weir_machine_measure(NULL, 0, 0.5, &machine, &error) != WEIR_OK) ...
 *     printf("%d threads read %.1f GB/s\n", machine.threads, machine.read_bytes * 1e-9);
 *
 * Limits are the best of many short pieces: on a shared machine the others' noise only takes away.
 * Compare only what was measured within one run.
 */
#ifndef WEIR_MACHINE_H
#define WEIR_MACHINE_H

#include <stdint.h>

#include "weir/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Per second, all threads together. A multiplication and an addition are two operations. */
typedef struct weir_machine {
    const char *cpu; /* whose instructions, as weir_model_info has them; lives for ever */
    int32_t threads;
    double read_bytes;       /* read from memory, from more than a cache holds */
    double float_operations; /* float32 in registers: the level's multiply-add */
    double int8_operations;  /* dot products of bytes (VNNI); 0 where the level has none */
    double tile_operations;  /* products of tiles of bytes (AMX); 0 where the level has none */
} weir_machine;

/* Spend about `seconds` on each limit. `cpu`: a level as above, NULL: the best there is; `threads`
 * 0: one per CPU that this process may use. The calling thread's affinity is put back. WEIR_USAGE
 * when the machine lacks the level or a number is out of range, WEIR_MEMORY when half a gigabyte to
 * read cannot be had. */
WEIR_API weir_status weir_machine_measure(const char *cpu, int32_t threads, double seconds,
                                          weir_machine *out, weir_error *error);

/* What many durations amount to. Percentiles lie between two of the sorted values in proportion:
 * the median of 1, 2, 3, 4 is 2.5. All are NaN when there are no values. */
typedef struct weir_times {
    int64_t count;
    double mean, p50, p90, p99, slowest;
} weir_times;

/* The values are sorted in place. */
WEIR_API void weir_times_sum_up(double *values, int64_t count, weir_times *out);

#ifdef __cplusplus
}
#endif
#endif
