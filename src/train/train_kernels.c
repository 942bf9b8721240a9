/* Which table a CPU level has. */
#include "train/train_kernels.h"

#include "base/cpu.h"

extern const wr_train_kernels wr_train_kernels_plain;
#ifdef WR_X86_KERNELS
extern const wr_train_kernels wr_train_kernels_avx2;
extern const wr_train_kernels wr_train_kernels_avx512;
#endif

const wr_train_kernels *wr_train_kernels_get(void) {
    wr_cpu_level level;
    if (wr_cpu_choose(NULL, &level, NULL) != WEIR_OK) return &wr_train_kernels_plain;
#ifdef WR_X86_KERNELS
    if (level >= WR_CPU_AVX512) return &wr_train_kernels_avx512;
    if (level >= WR_CPU_AVX2) return &wr_train_kernels_avx2;
#endif
    return &wr_train_kernels_plain;
}
