/*
 * Processes that train one model together: each computes its part of every step's samples, then all
 * sum the gradients in the same order and take the same step. So every process holds the same bits.
 *
 * One implementation for each way to be together: alone, and MPI. A way moves bytes; sums are made
 * here, in the order of the ranks. To add one: a wr_exchange_ways, and where exchange.c chooses.
 */
#ifndef WR_EXCHANGE_H
#define WR_EXCHANGE_H

#include "base/allocate.h"

typedef struct wr_exchange_ways {
    const char *name; /* "alone", "MPI" */
    /* all[ranks][size] = the `mine` [size] of each rank, in their order */
    void (*gather)(const void *mine, void *all, size_t size);
    void (*share)(void *bytes, size_t size); /* those of rank 0 to all */
} wr_exchange_ways;

extern const wr_exchange_ways wr_exchange_alone;

/* The module that a process loads which mpirun started (exchange_mpi.c), and its one function. May
 * be called again in one process. NULL: MPI failed to begin. */
#define WR_EXCHANGE_MODULE "weir-mpi.so"
#define WR_EXCHANGE_OPEN "wr_exchange_mpi_open"
typedef const wr_exchange_ways *(*wr_exchange_open_mpi)(int32_t *rank, int32_t *ranks);

typedef struct wr_exchange wr_exchange;

/* With the processes that mpirun started together, or alone. WEIR_UNSUPPORTED when mpirun started
 * several, and this weir was built without MPI. */
weir_status wr_exchange_open(const weir_allocator *allocator, wr_exchange **out, weir_error *error);
void wr_exchange_close(wr_exchange *exchange);

int32_t wr_exchange_rank(const wr_exchange *exchange);
int32_t wr_exchange_ranks(const wr_exchange *exchange);

/* What follows every rank calls, in the same order. */

/* The sum over all ranks, in their order, everywhere. */
void wr_exchange_sum(wr_exchange *exchange, float *numbers, size_t count);
void wr_exchange_sum_doubles(wr_exchange *exchange, double *numbers, size_t count);
/* Rank 0's bytes become everybody's. */
void wr_exchange_share(wr_exchange *exchange, void *bytes, size_t size);
/* The first failure among the ranks becomes everybody's. */
weir_status wr_exchange_agree(wr_exchange *exchange, weir_status status, weir_error *error);

#endif
