/* Which table a CPU level has. */
#include "train/kernels/train_kernels.h"

#include <pthread.h>

#include "base/cpu.h"

extern const wr_train_kernels wr_train_kernels_plain;
#ifdef WR_X86_KERNELS
extern const wr_train_kernels wr_train_kernels_avx2;
extern const wr_train_kernels wr_train_kernels_avx512;
#endif

static const wr_train_kernels *chosen;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void choose(void) {
    wr_cpu_level level;
    chosen = &wr_train_kernels_plain;
    if (wr_cpu_choose(NULL, &level, NULL) != WEIR_OK) return;
#ifdef WR_X86_KERNELS
    if (level >= WR_CPU_AVX2) chosen = &wr_train_kernels_avx2;
    if (level >= WR_CPU_AVX512) chosen = &wr_train_kernels_avx512;
#endif
}

const wr_train_kernels *wr_train_kernels_get(void) {
    pthread_once(&once, choose);
    return chosen;
}
