/*
 * What leaves the program: text on standard output as it is made, JSON, and files that appear under
 * their name only when whole.
 */
#ifndef WEIR_CLI_OUTPUT_H
#define WEIR_CLI_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "weir/status.h"

/* Write to standard output and flush. WEIR_IO when that fails; with an empty message when nobody
 * reads it any more. */
weir_status output_text(const char *text, size_t size, weir_error *error);

/* The same for what printf() wrote there before. */
weir_status output_flush(weir_error *error);

/* One JSON value and a newline on standard output; `value` is given back. */
weir_status output_json(json_t *value, weir_error *error);

/* The same with an "error" beside what the object holds; `failed` NULL: without. */
weir_status output_json_beside(json_t *object, const weir_error *failed, weir_error *error);

/* Strings from anywhere: bytes that are no UTF-8 become U+FFFD. */
json_t *json_text(const char *text, size_t size);
json_t *json_word(const char *text); /* the same, NUL-terminated */
/* null when x is not finite */
json_t *json_number(double x);

/* Whether a file can come to stand there, as far as can be known before: for what is written only
 * at the end of long work. */
weir_status output_check_path(const char *path, weir_error *error);

/* A file that replaces `path` when committed. What is no regular file (a pipe, /dev/full) is
 * written in place. */
typedef struct output_file {
    const char *path;
    char *temporary; /* NULL: in place */
    char *target;    /* path with its links resolved */
    FILE *file;
} output_file;
weir_status output_file_open(output_file *out, const char *path, weir_error *error);
weir_status output_file_write(output_file *out, const void *data, size_t size, weir_error *error);
weir_status output_file_commit(output_file *out, weir_error *error);
void output_file_close(output_file *out); /* a zeroed one is allowed; drops what is not committed */

#endif
