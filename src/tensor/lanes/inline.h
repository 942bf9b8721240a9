/*
 * How templates over vectors are compiled.
 */
#ifndef WR_INLINE_H
#define WR_INLINE_H

/* The templates are functions of constants (a format, a count of rows): inlined, they vanish, and
 * arrays of vectors become registers. */
#define INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("GCC unroll 8")
#define UNROLLED_16 _Pragma("GCC unroll 16")

/* Ask for a line ahead of its turn; any address will do. */
static inline void prefetch(const void *line) { __builtin_prefetch(line, 0, 3); }

#endif
