/*
 * CPU levels, from what the processor and the system say at run time.
 */
#include "base/cpu.h"

#include <sched.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

int wr_cpu_count(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    return CPU_COUNT(&set);
}

/* For each architecture: the names of its levels, wr_cpu_detect, wr_cpu_relax. To add a level: the
 * enum in cpu.h, its name here, its test in wr_cpu_detect. */
#if defined(__x86_64__) || defined(__i386__)

static const char *const level_names[WR_CPU_LEVELS] = {
    [WR_CPU_SCALAR] = "scalar",   [WR_CPU_AVX2] = "avx2",       [WR_CPU_AVX512] = "avx512",
    [WR_CPU_VNNI] = "avx512vnni", [WR_CPU_BF16] = "avx512bf16", [WR_CPU_AMX] = "amx",
};

/* __builtin_cpu_supports knows no "f16c" in clang 14. Asked only beside AVX2, which also says that
 * the system saves the wide registers. */
static bool has_f16c(void) {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C) != 0;
}

/* The tiles' state is large, so Linux wants a program to ask for it (once; asking again is
 * harmless). */
static bool may_use_tiles(void) {
#if defined(__linux__) && defined(__x86_64__)
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    unsigned a, b, c, d;
    const unsigned bf16 = 1u << 22, tiles = 1u << 24, bytes = 1u << 25, gfni = 1u << 8;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    if ((c & gfni) == 0) return false; /* no such processor is known */
    if ((d & (bf16 | tiles | bytes)) != (bf16 | tiles | bytes)) return false;
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
    return false;
#endif
}

static wr_cpu_level detect_wide(void) {
    if (!__builtin_cpu_supports("avx512vnni")) return WR_CPU_AVX512;
    if (!__builtin_cpu_supports("avx512bf16")) return WR_CPU_VNNI;
    return may_use_tiles() ? WR_CPU_AMX : WR_CPU_BF16;
}

wr_cpu_level wr_cpu_detect(void) {
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !has_f16c()) {
        return WR_CPU_SCALAR;
    }
    bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return wide ? detect_wide() : WR_CPU_AVX2;
}

void wr_cpu_relax(void) { __builtin_ia32_pause(); }

#elif defined(__aarch64__)

static const char *const level_names[WR_CPU_LEVELS] = {
    [WR_CPU_SCALAR] = "scalar",
    [WR_CPU_NEON] = "neon",
    [WR_CPU_DOTPROD] = "neon-dotprod",
};

wr_cpu_level wr_cpu_detect(void) {
#ifdef __linux__
    enum { HAS_DOTPROD = 1 << 20 }; /* HWCAP_ASIMDDP */
    return getauxval(AT_HWCAP) & HAS_DOTPROD ? WR_CPU_DOTPROD : WR_CPU_NEON;
#else
    return WR_CPU_NEON;
#endif
}

void wr_cpu_relax(void) { __asm__ volatile("yield"); }

#else

static const char *const level_names[WR_CPU_LEVELS] = {[WR_CPU_SCALAR] = "scalar"};

wr_cpu_level wr_cpu_detect(void) { return WR_CPU_SCALAR; }

void wr_cpu_relax(void) {}

#endif

const char *wr_cpu_name(wr_cpu_level level) {
    bool known = (unsigned)level < WR_CPU_LEVELS;
    return known ? level_names[level] : "unknown";
}

static weir_status unknown(const char *name, weir_error *error) {
    char names[128];
    size_t used = 0;
    for (int i = 0; i < WR_CPU_LEVELS; i++) {
        const char *between = i == 0 ? "" : i + 1 < WR_CPU_LEVELS ? ", " : " and ";
        used +=
            (size_t)snprintf(names + used, sizeof names - used, "%s%s", between, level_names[i]);
    }
    return weir_error_set(error, WEIR_USAGE, "unknown CPU level \"%.40s\"; the levels are %s", name,
                          names);
}

weir_status wr_cpu_choose(const char *name, wr_cpu_level *level, weir_error *error) {
    wr_cpu_level best = wr_cpu_detect();
    if (name == NULL) name = getenv("WEIR_CPU");
    if (name == NULL || name[0] == '\0') {
        *level = best;
        return WEIR_OK;
    }
    for (int i = 0; i < WR_CPU_LEVELS; i++) {
        if (strcmp(name, level_names[i]) != 0) continue;
        if (i > (int)best) {
            return weir_error_set(error, WEIR_USAGE,
                                  "this machine has no CPU level \"%s\"; its best is \"%s\"", name,
                                  level_names[best]);
        }
        *level = (wr_cpu_level)i;
        return WEIR_OK;
    }
    return unknown(name, error);
}
