/* Numbers as people read them, into buffers of WORD_MAX bytes; each returns its buffer. */
#ifndef WEIR_CLI_WORDS_H
#define WEIR_CLI_WORDS_H

#include <stdint.h>

#define WORD_MAX 32

const char *word_count(int64_t n, char out[WORD_MAX]);     /* "12,345" */
const char *word_bytes(int64_t bytes, char out[WORD_MAX]); /* "21.3 MiB"; "?" when negative */
const char *word_speed(double per_second, char out[WORD_MAX]);
const char *word_short(int64_t n, char out[WORD_MAX]); /* "4.2 M" */

#endif
