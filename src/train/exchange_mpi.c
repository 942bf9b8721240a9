/*
 * Processes together by MPI. A module of its own: the program loads it only when mpirun started
 * it, and depends on no MPI otherwise.
 */
#include <mpi.h>
#include <stdlib.h>

#include "train/exchange.h"

enum { PIECE = 1 << 28 }; /* MPI counts in int */

static void gather(const void *mine, void *all, size_t size) {
    MPI_Allgather(mine, (int)size, MPI_BYTE, all, (int)size, MPI_BYTE, MPI_COMM_WORLD);
}

static void share(void *bytes, size_t size) {
    char *from = bytes;
    for (; size > 0; size -= size < PIECE ? size : PIECE, from += PIECE) {
        MPI_Bcast(from, (int)(size < PIECE ? size : PIECE), MPI_BYTE, 0, MPI_COMM_WORLD);
    }
}

static const wr_exchange_ways ways = {"MPI", gather, share};

/* MPI begins and ends once in a process. */
static void end(void) { MPI_Finalize(); }

const wr_exchange_ways *wr_exchange_mpi_open(int32_t *rank, int32_t *ranks);

__attribute__((visibility("default"))) const wr_exchange_ways *
wr_exchange_mpi_open(int32_t *rank, int32_t *ranks) {
    int begun = 0, provided, mine, all;
    MPI_Initialized(&begun);
    if (!begun) {
        if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS) {
            return NULL;
        }
        atexit(end);
    }
    MPI_Comm_rank(MPI_COMM_WORLD, &mine);
    MPI_Comm_size(MPI_COMM_WORLD, &all);
    *rank = mine;
    *ranks = all;
    return &ways;
}
