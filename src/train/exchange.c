/* What processes together have in common, and which way they are together: see exchange.h. */
#include "train/exchange.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "weir/train.h"

enum { PIECE = 1 << 18, MOST_RANKS = 1024 }; /* numbers summed at once */

struct wr_exchange {
    const weir_allocator *allocator;
    const wr_exchange_ways *ways;
    int32_t rank, ranks;
    float *scratch; /* [ranks, PIECE]; NULL alone */
};

/* ---- who is there ---------------------------------------------------------------------------- */

/* As Open MPI and MPICH tell the processes that their mpirun starts. */
static int32_t number_in(const char *open_mpi, const char *mpich, int32_t otherwise) {
    const char *text = getenv(open_mpi);
    if (text == NULL) {
        text = getenv(mpich);
    }
    long value = text == NULL ? -1 : strtol(text, NULL, 10);
    return value < 0 || value > MOST_RANKS ? otherwise : (int32_t)value;
}

int32_t weir_train_process(void) { return number_in("OMPI_COMM_WORLD_RANK", "PMI_RANK", 0); }

/* Load the module from where `place` lies below the folder of a file of ours. */
static void *load_from(const char *own, const char *place) {
    char folder[PATH_MAX], file[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", own);
    char *slash = strrchr(folder, '/');
    if (slash == NULL) {
        return NULL;
    }
    *slash = '\0';
    int length = snprintf(file, sizeof file, "%s/%s" WR_EXCHANGE_MODULE, folder, place);
    bool there = length < (int)sizeof file && access(file, R_OK) == 0;
    return there ? dlopen(file, RTLD_NOW | RTLD_GLOBAL) : NULL;
}

/* The module lies beside the program or the library that this is part of, or where it is installed
 * with either. */
static void *load_module(void) {
    static const char *const places[] = {"", "weir/", "../lib/weir/"};
    char program[PATH_MAX];
    Dl_info about = {0};
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length > 0 ? length : 0] = '\0';
    void *module = NULL;
    for (int i = 0; i < 3 && module == NULL; i++) {
        module = load_from(program, places[i]);
    }
    if (dladdr((void *)(uintptr_t)&weir_train_process, &about) == 0 || about.dli_fname == NULL) {
        return module;
    }
    for (int i = 0; i < 3 && module == NULL; i++) {
        module = load_from(about.dli_fname, places[i]);
    }
    return module;
}

static weir_status join(wr_exchange *exchange, weir_error *error) {
    void *module = load_module();
    wr_exchange_open_mpi open_mpi = NULL;
    if (module != NULL) {
        void *found = dlsym(module, WR_EXCHANGE_OPEN);
        memcpy(&open_mpi, &found, sizeof open_mpi);
    }
    if (open_mpi == NULL) {
        return weir_error_set(error, WEIR_UNSUPPORTED,
                              "mpirun started several processes, but this weir was built without "
                              "MPI: install libopenmpi-dev and build it again");
    }
    exchange->ways = open_mpi(&exchange->rank, &exchange->ranks); /* never unloaded: MPI stays */
    return exchange->ways != NULL ? WEIR_OK
                                  : weir_error_set(error, WEIR_UNSUPPORTED, "MPI does not begin");
}

weir_status wr_exchange_open(const weir_allocator *allocator, wr_exchange **out,
                             weir_error *error) {
    *out = NULL;
    wr_exchange *exchange = wr_allocate_array(allocator, 1, sizeof *exchange);
    if (exchange == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory to begin training");
    }
    *exchange = (wr_exchange){.allocator = allocator, .ways = &wr_exchange_alone, .ranks = 1};
    weir_status status = WEIR_OK;
    if (number_in("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", 1) > 1) {
        status = join(exchange, error);
    }
    if (status == WEIR_OK && exchange->ranks > 1) {
        exchange->scratch =
            wr_allocate_array(allocator, (size_t)exchange->ranks * PIECE, sizeof(float));
        if (exchange->scratch == NULL) {
            status = weir_error_set(error, WEIR_MEMORY, "no memory to sum gradients in");
        }
    }
    if (status == WEIR_OK) {
        *out = exchange;
    } else {
        wr_exchange_close(exchange);
    }
    return status;
}

void wr_exchange_close(wr_exchange *exchange) {
    if (exchange != NULL) {
        wr_release(exchange->allocator, exchange->scratch,
                   (size_t)exchange->ranks * PIECE * sizeof(float));
        wr_release(exchange->allocator, exchange, sizeof *exchange);
    }
}

int32_t wr_exchange_rank(const wr_exchange *exchange) { return exchange->rank; }
int32_t wr_exchange_ranks(const wr_exchange *exchange) { return exchange->ranks; }

/* ---- together -------------------------------------------------------------------------------- */

void wr_exchange_sum(wr_exchange *exchange, float *numbers, size_t count) {
    for (size_t at = 0; exchange->ranks > 1 && at < count; at += PIECE) {
        const size_t piece = count - at < PIECE ? count - at : PIECE;
        float *sum = numbers + at;
        exchange->ways->gather(sum, exchange->scratch, piece * sizeof *sum);
        memcpy(sum, exchange->scratch, piece * sizeof *sum);
        for (int32_t rank = 1; rank < exchange->ranks; rank++) {
            const float *part = exchange->scratch + (size_t)rank * piece;
            for (size_t i = 0; i < piece; i++) {
                sum[i] += part[i];
            }
        }
    }
}

void wr_exchange_sum_doubles(wr_exchange *exchange, double *numbers, size_t count) {
    double all[MOST_RANKS];
    for (size_t i = 0; exchange->ranks > 1 && i < count; i++) {
        exchange->ways->gather(&numbers[i], all, sizeof all[0]);
        numbers[i] = 0;
        for (int32_t rank = 0; rank < exchange->ranks; rank++) {
            numbers[i] += all[rank];
        }
    }
}

void wr_exchange_share(wr_exchange *exchange, void *bytes, size_t size) {
    exchange->ways->share(bytes, size);
}

weir_status wr_exchange_agree(wr_exchange *exchange, weir_status status, weir_error *error) {
    weir_error mine = {.status = status};
    if (exchange->ranks == 1) {
        return status;
    }
    if (status != WEIR_OK && error != NULL) {
        memcpy(mine.message, error->message, sizeof mine.message);
    }
    weir_error *all = (weir_error *)(void *)exchange->scratch; /* PIECE numbers hold one */
    exchange->ways->gather(&mine, all, sizeof mine);
    for (int32_t rank = 0; rank < exchange->ranks; rank++) {
        if (all[rank].status != WEIR_OK) {
            if (error != NULL) {
                *error = all[rank];
            }
            return all[rank].status;
        }
    }
    return WEIR_OK;
}
