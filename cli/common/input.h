/* What comes into the program: whole files, and lists of tokens. */
#ifndef WEIR_CLI_INPUT_H
#define WEIR_CLI_INPUT_H

#include "weir/model.h"

/* Bytes that grow. */
typedef struct byte_buffer {
    char *data;
    size_t size, capacity;
} byte_buffer;
bool bytes_add(byte_buffer *buffer, const char *data, size_t size); /* false: no memory */
void bytes_free(byte_buffer *buffer);

typedef struct token_list {
    int32_t *items;
    int64_t count, capacity;
    int64_t most; /* no more than these are taken; 0: all */
} token_list;
bool tokens_add(token_list *list, int32_t token); /* false: no memory */
void tokens_free(token_list *list);

/* Open for reading; "-" is standard input. A folder is an error. */
weir_status input_open(const char *path, int *fd, weir_error *error);
weir_status input_failed(const char *path, weir_error *error); /* by errno */

/* The whole of a file, of 1 GiB at most; a NUL follows that size does not count. */
weir_status input_read(const char *path, byte_buffer *out, weir_error *error);

/* The tokens of a text, as a stream would see them; list->most of them when that is set. */
weir_status input_tokenize(const weir_model *model, const byte_buffer *text, bool bos,
                           token_list *out, weir_error *error);
/* The same; control tokens written in the text become those tokens. */
weir_status input_tokenize_special(const weir_model *model, const byte_buffer *text, bool bos,
                                   token_list *out, weir_error *error);

/* Add the number of a text's tokens to *count. */
weir_status input_count_tokens(const weir_model *model, const char *text, size_t size,
                               int64_t *count, weir_error *error);

/* Token numbers joined by commas (spaces and line ends are allowed), or a JSON array of them.
 * `name` is where they come from: "--tokens". text[size] is NUL. */
weir_status input_token_numbers(const char *name, const char *text, size_t size, token_list *out,
                                weir_error *error);

#endif
