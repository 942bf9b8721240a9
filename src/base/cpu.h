/*
 * CPU levels: which table of kernels runs. Chosen once when a model opens; a person can force one.
 */
#ifndef WR_CPU_H
#define WR_CPU_H

#include <stdbool.h>

#include "weir/status.h"

/* The levels of the architecture that this is built for; those of others it does not know. */
typedef enum wr_cpu_level {
    WR_CPU_SCALAR, /* plain C: the specification */
#if defined(__x86_64__) || defined(__i386__)
    WR_CPU_AVX2,   /* AVX2, FMA and F16C */
    WR_CPU_AVX512, /* AVX-512 F, BW, DQ and VL */
    WR_CPU_VNNI,   /* and VNNI: dot products of bytes */
    WR_CPU_BF16,   /* and BF16: dot products of bfloat16s */
    WR_CPU_AMX,    /* and AMX: tiles of bytes and of bfloat16s */
#elif defined(__aarch64__)
    WR_CPU_NEON,    /* NEON, which every such processor has */
    WR_CPU_DOTPROD, /* and dot products of bytes */
#endif
    WR_CPU_LEVELS
} wr_cpu_level;

/* The best level that this machine (and this build) has. */
wr_cpu_level wr_cpu_detect(void);

/* CPUs that this process may run on, at least 1. */
int wr_cpu_count(void);

/* "scalar", "avx2", "avx512", "avx512vnni", "avx512bf16", "amx"; "neon", "neon-dotprod". */
const char *wr_cpu_name(wr_cpu_level level);

/* The level called `name`; NULL means the environment's WEIR_CPU or, without it, the best one.
 * WEIR_USAGE when the name is unknown (the message lists the names) or the machine lacks it. */
weir_status wr_cpu_choose(const char *name, wr_cpu_level *level, weir_error *error);

/* Tell the core that this thread waits in a loop. */
void wr_cpu_relax(void);

#endif
