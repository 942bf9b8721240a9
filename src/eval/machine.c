/*
 * The machine's limits: reading memory, and computing in registers.
 *
 * All threads start a piece together and the piece ends with the last of them; of many pieces the
 * fastest counts. Pieces are short, a quarter of a millisecond, so that on a busy machine some of
 * them see all threads running at once.
 */
#include "weir/machine.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "eval/machine_peak.h"

#ifdef WR_X86_KERNELS
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum { THREADS_MAX = 256, MEGABYTE = 1000000, MEGABYTES = 512, PIECE = 4, PEAK_CALLS = 1 };

/* ---- pieces of work, all threads at once ----------------------------------------------------- */

typedef struct crew {
    /* One thread's part of piece number `piece`. */
    void (*work)(const struct crew *team, int64_t piece, int worker);
    const uint8_t *bytes; /* reading: [MEGABYTES * MEGABYTE] */
    float (*peak)(void);  /* computing */
    int workers;          /* threads in all; final before the first piece */
    atomic_llong begun;   /* pieces begun, so that the others see one; -1: go home */
    atomic_int at_work;   /* of the others */
    cpu_set_t allowed;    /* where the calling thread may run */
    pthread_t others[THREADS_MAX];
} crew;

typedef struct member {
    crew *team;
    int worker;
} member;

static _Atomic float kept; /* results go here, so that nothing is optimised away */

static double seconds_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Between pieces nobody lets go of a processor; for longer everybody does. */
static void wait_a_moment(int *waited) {
    if (++*waited > 2000) sched_yield();
}

/* Give each thread a processor of its own: a busy machine may leave two on one for seconds. Where
 * that is refused they stay where they are. */
static void settle(const cpu_set_t *allowed, int worker) {
    const int count = CPU_COUNT(allowed);
    int left = count > 0 ? worker % count : 0;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, allowed) && left-- == 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            pthread_setaffinity_np(pthread_self(), sizeof one, &one);
            return;
        }
    }
}

static void *serve(void *context) {
    const member me = *(const member *)context;
    free(context);
    settle(&me.team->allowed, me.worker);
    int waited = 0;
    for (long long seen = 0;;) {
        long long begun = atomic_load(&me.team->begun);
        if (begun < 0) return NULL;
        if (begun == seen) {
            wait_a_moment(&waited);
            continue;
        }
        seen = begun;
        waited = 0;
        me.team->work(me.team, begun, me.worker);
        atomic_fetch_sub(&me.team->at_work, 1);
    }
}

/* As many threads as can be had, `threads` at most. */
static void gather(crew *team, int threads) {
    pthread_getaffinity_np(pthread_self(), sizeof team->allowed, &team->allowed);
    team->workers = 1;
    atomic_init(&team->begun, 0);
    atomic_init(&team->at_work, 0);
    for (; team->workers < threads; team->workers++) {
        member *other = malloc(sizeof *other);
        if (other == NULL) return;
        *other = (member){team, team->workers};
        if (pthread_create(&team->others[team->workers], NULL, serve, other) != 0) {
            free(other);
            return;
        }
    }
}

static void dismiss(crew *team) {
    pthread_setaffinity_np(pthread_self(), sizeof team->allowed, &team->allowed);
    atomic_store(&team->begun, -1);
    for (int i = 1; i < team->workers; i++) pthread_join(team->others[i], NULL);
}

/* The seconds of the fastest piece. */
static double fastest(crew *team, double seconds) {
    double best = 1e9;
    const double begin = seconds_now();
    for (int64_t piece = 1; piece <= 8 || seconds_now() < begin + seconds; piece++) {
        const double start = seconds_now();
        atomic_store(&team->at_work, team->workers - 1);
        atomic_store(&team->begun, piece);
        team->work(team, piece, 0);
        int waited = 0;
        while (atomic_load(&team->at_work) > 0) wait_a_moment(&waited);
        const double took = seconds_now() - start;
        if (took < best) best = took;
    }
    return best;
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef uint64_t line __attribute__((vector_size(64), aligned(8)));

/* Four lines at a time, from four places, each asked for ahead of time. */
static uint64_t read_megabyte(const uint8_t *bytes) {
    enum { LINES = MEGABYTE / 64 / 4, AHEAD = 256 };
    const line *at = (const line *)(const void *)bytes;
    line sums[4] = {0};
    for (int i = 0; i < LINES; i++) {
        for (int place = 0; place < 4; place++) {
            __builtin_prefetch((const void *)((uintptr_t)(at + i + place * LINES) + 64 * AHEAD), 0,
                               2);
            sums[place] += at[i + place * LINES];
        }
    }
    return (sums[0] + sums[1] + sums[2] + sums[3])[0];
}

/* PIECE megabytes for each thread, the pieces one after the other through the whole buffer. */
static void read_part(const crew *team, int64_t piece, int worker) {
    uint64_t sum = 0;
    for (int64_t i = 0; i < PIECE; i++) {
        int64_t megabyte = ((piece * team->workers + worker) * PIECE + i) % MEGABYTES;
        sum += read_megabyte(team->bytes + megabyte * MEGABYTE);
    }
    atomic_store(&kept, (float)sum);
}

static weir_status measure_reading(crew *team, double seconds, weir_machine *out,
                                   weir_error *error) {
    const size_t size = (size_t)MEGABYTES * MEGABYTE;
    uint8_t *bytes = malloc(size);
    if (bytes == NULL) {
        return weir_error_set(error, WEIR_MEMORY,
                              "no memory for the %d MB that a measurement of reading needs",
                              MEGABYTES);
    }
    memset(bytes, 1, size);
    team->work = read_part;
    team->bytes = bytes;
    out->read_bytes = (double)PIECE * MEGABYTE * team->workers / fastest(team, seconds);
    free(bytes);
    return WEIR_OK;
}

/* ---- computing ------------------------------------------------------------------------------- */

static void compute_part(const crew *team, int64_t piece, int worker) {
    (void)piece;
    (void)worker;
    for (int i = 0; i < PEAK_CALLS; i++) atomic_store(&kept, team->peak());
}

/* Operations per second of a loop that does `lanes` multiplications and additions at a time. */
static double measure_peak(crew *team, float (*peak)(void), int lanes, double seconds) {
    team->work = compute_part;
    team->peak = peak;
    const double lanes_done = (double)lanes * WR_PEAK_CHAINS * WR_PEAK_ROUNDS * PEAK_CALLS;
    return 2 * lanes_done * team->workers / fastest(team, seconds);
}

/* One multiply and one add: what a level without fused instructions does with 128 bits. */
float wr_peak_scalar(void) {
    float sums[WR_PEAK_CHAINS * 4];
    for (int c = 0; c < WR_PEAK_CHAINS * 4; c++) sums[c] = (float)c;
    for (int i = 0; i < WR_PEAK_ROUNDS; i++) {
        for (int c = 0; c < WR_PEAK_CHAINS * 4; c++) sums[c] = sums[c] * 0.999f + 1e-3f;
    }
    for (int c = 1; c < WR_PEAK_CHAINS * 4; c++) sums[0] += sums[c];
    return sums[0];
}

/* ---- levels ---------------------------------------------------------------------------------- */

static bool has_scalar(void) { return true; }

#ifdef WR_X86_KERNELS
static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
static bool has_avx512(void) { return __builtin_cpu_supports("avx512f"); }
static bool has_vnni(void) { return __builtin_cpu_supports("avx512vnni"); }
static bool has_bf16(void) { return has_vnni() && __builtin_cpu_supports("avx512bf16"); }

/* The processor has tiles of bytes, and Linux lets us use them once asked. */
static bool has_tiles(void) {
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    unsigned a, b, c, d;
    const unsigned tiles = 1u << 24, bytes = 1u << 25;
    if (!has_bf16() || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    if ((d & tiles) == 0 || (d & bytes) == 0) return false;
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}
#endif

/* Best first. To add one: its loop in machine_peak.h, its flags in meson.build, its row here. */
static const struct level {
    const char *name;
    bool (*present)(void);
    float (*floats)(void);
    int float_lanes;
    float (*bytes)(void); /* 64 products; NULL: the level has none */
    float (*tiles)(void); /* 256 products; NULL: the level has none */
} levels[] = {
#ifdef WR_X86_KERNELS
    {"amx", has_tiles, wr_peak_avx512, 16, wr_peak_avx512_bytes, wr_peak_amx_bytes},
    {"avx512bf16", has_bf16, wr_peak_avx512, 16, wr_peak_avx512_bytes, NULL},
    {"avx512vnni", has_vnni, wr_peak_avx512, 16, wr_peak_avx512_bytes, NULL},
    {"avx512", has_avx512, wr_peak_avx512, 16, NULL, NULL},
    {"avx2", has_avx2, wr_peak_avx2, 8, NULL, NULL},
#endif
    {"scalar", has_scalar, wr_peak_scalar, 4, NULL, NULL},
};

static const struct level *find_level(const char *name, weir_error *error) {
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if ((name == NULL || strcmp(name, levels[i].name) == 0) && levels[i].present()) {
            return &levels[i];
        }
    }
    weir_error_set(error, WEIR_USAGE, "this machine has no CPU level \"%.40s\"", name);
    return NULL;
}

static int cpu_count(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

weir_status weir_machine_measure(const char *cpu, int32_t threads, double seconds,
                                 weir_machine *out, weir_error *error) {
    *out = (weir_machine){0};
    const struct level *level = find_level(cpu, error);
    if (level == NULL) return WEIR_USAGE;
    if (threads < 0 || threads > THREADS_MAX || !(seconds > 0 && seconds <= 3600)) {
        return weir_error_set(error, WEIR_USAGE, "%d threads and %g seconds: out of range",
                              (int)threads, seconds);
    }
    if (threads == 0) threads = cpu_count() < THREADS_MAX ? cpu_count() : THREADS_MAX;
    crew *team = calloc(1, sizeof *team);
    if (team == NULL) return weir_error_set(error, WEIR_MEMORY, "no memory for a measurement");
    gather(team, threads);
    settle(&team->allowed, 0);
    out->cpu = level->name;
    out->threads = team->workers;
    weir_status status = measure_reading(team, seconds, out, error);
    if (status == WEIR_OK) {
        out->float_operations = measure_peak(team, level->floats, level->float_lanes, seconds);
        if (level->bytes) out->int8_operations = measure_peak(team, level->bytes, 64, seconds);
        if (level->tiles) out->tile_operations = measure_peak(team, level->tiles, 256, seconds);
    }
    dismiss(team);
    free(team);
    return status;
}
