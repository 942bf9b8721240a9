/*
 * Rotary positions that a stream chooses for itself: a longer window than the model was trained
 * for, before streaming begins.
 *
 *     options.rope = (weir_rope_options){.scaling = WEIR_ROPE_YARN, .factor = 4};
 *     options.cache = 8192;                     of a model that was trained for 2048 tokens
 *
 * A model's file may say how its frequencies are scaled; an option takes the place of all that.
 * Frequencies are constants of a stream, chosen when it is created for its S + W (dense: its
 * capacity), under WEIR_ROPE_DYNAMIC and WEIR_ROPE_LONGROPE too, whose frequencies elsewhere change
 * as the text grows. A saved stream keeps them.
 */
#ifndef WEIR_POSITIONS_H
#define WEIR_POSITIONS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What becomes of the frequencies f_i = base^(-2 i / dim). */
typedef enum weir_rope_scaling {
    WEIR_ROPE_FILE,    /* what the model's file says */
    WEIR_ROPE_NONE,    /* nothing */
    WEIR_ROPE_LINEAR,  /* f_i / factor: position interpolation (Chen et al. 2023) */
    WEIR_ROPE_DYNAMIC, /* NTK: a larger base when S + W exceeds the original context */
    WEIR_ROPE_YARN,   /* slow ones divided, fast ones not; attention sharpened (Peng et al. 2023) */
    WEIR_ROPE_LLAMA3, /* the same idea with the bounds of Llama 3.1 */
    WEIR_ROPE_LONGROPE /* a divisor of its own for each, from the file (Ding et al. 2024) */
} weir_rope_scaling;

typedef struct weir_rope_options {
    weir_rope_scaling scaling;
    double factor;            /* how much longer than the original context; 0: the file's */
    double base;              /* 0: the file's */
    int64_t original_context; /* tokens trained for before any scaling; 0: what the file says */
} weir_rope_options;

#ifdef __cplusplus
}
#endif
#endif
