#include "common/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)1 << 30)

bool bytes_add(byte_buffer *buffer, const char *data, size_t size) {
    if (size > buffer->capacity - buffer->size) {
        size_t capacity = (buffer->size + size) * 2;
        char *grown = realloc(buffer->data, capacity);
        if (grown == NULL) {
            return false;
        }
        buffer->data = grown;
        buffer->capacity = capacity;
    }
    if (size > 0) {
        memcpy(buffer->data + buffer->size, data, size);
    }
    buffer->size += size;
    return true;
}

void bytes_free(byte_buffer *buffer) {
    free(buffer->data);
    *buffer = (byte_buffer){0};
}

bool tokens_add(token_list *list, int32_t token) {
    if (list->count == list->capacity) {
        int64_t capacity = list->capacity > 0 ? list->capacity * 2 : 1024;
        int32_t *grown = realloc(list->items, (size_t)capacity * sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        list->items = grown;
        list->capacity = capacity;
    }
    list->items[list->count++] = token;
    return true;
}

void tokens_free(token_list *list) {
    free(list->items);
    *list = (token_list){0};
}

weir_status input_failed(const char *path, weir_error *error) {
    return weir_error_set(error, WEIR_IO, "%s: cannot be read: %s",
                          strcmp(path, "-") == 0 ? "standard input" : path, strerror(errno));
}

weir_status input_open(const char *path, int *fd, weir_error *error) {
    if (strcmp(path, "-") == 0) {
        *fd = STDIN_FILENO;
        return WEIR_OK;
    }
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0) {
        return input_failed(path, error);
    }
    struct stat info;
    if (fstat(*fd, &info) == 0 && S_ISDIR(info.st_mode)) {
        close(*fd);
        errno = EISDIR;
        return input_failed(path, error);
    }
    return WEIR_OK;
}

static weir_status read_all(const char *path, int fd, byte_buffer *out, weir_error *error) {
    char piece[65536];
    for (;;) {
        ssize_t size = read(fd, piece, sizeof piece);
        if (size < 0) {
            return input_failed(path, error);
        }
        if (out->size + (size_t)size > FILE_MAX) {
            return weir_error_set(error, WEIR_LIMIT,
                                  "%s: more than 1 GiB: give a smaller file, or feed it to "
                                  "`weir run --file`, which takes any length",
                                  path);
        }
        /* a NUL behind the last byte, for those who read numbers from it */
        if (!bytes_add(out, size > 0 ? piece : "", size > 0 ? (size_t)size : 1)) {
            return weir_error_set(error, WEIR_MEMORY, "%s: no memory to read it", path);
        }
        if (size == 0) {
            out->size--;
            return WEIR_OK;
        }
    }
}

weir_status input_read(const char *path, byte_buffer *out, weir_error *error) {
    int fd;
    *out = (byte_buffer){0};
    weir_status status = input_open(path, &fd, error);
    if (status != WEIR_OK) {
        return status;
    }
    status = read_all(path, fd, out, error);
    if (fd != STDIN_FILENO) {
        close(fd);
    }
    return status;
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static weir_status take_tokens(void *context, const int32_t *tokens, int64_t count) {
    token_list *list = context;
    for (int64_t i = 0; i < count; i++) {
        if (list->most > 0 && list->count == list->most) {
            return WEIR_CANCELLED;
        }
        if (!tokens_add(list, tokens[i])) {
            return WEIR_MEMORY;
        }
    }
    return WEIR_OK;
}

/* weir_model_tokenize, or the other one. */
typedef weir_status (*tokenize_fn)(const weir_model *model, const char *text, size_t size, bool bos,
                                   weir_token_fn emit, void *context, weir_error *error);

static weir_status tokenize(tokenize_fn how, const weir_model *model, const char *text, size_t size,
                            bool bos, weir_token_fn emit, void *context, weir_error *error) {
    weir_error inner = {0};
    weir_status status = how(model, text, size, bos, emit, context, &inner);
    if (status != WEIR_OK) {
        const char *why = inner.message[0] != '\0' ? inner.message : weir_status_text(status);
        weir_error_set(error, status, "%s", why);
    }
    return status;
}

static weir_status tokenize_all(tokenize_fn how, const weir_model *model, const byte_buffer *text,
                                bool bos, token_list *out, weir_error *error) {
    weir_status status = tokenize(how, model, text->data, text->size, bos, take_tokens, out, error);
    bool all = status == WEIR_CANCELLED && out->most > 0 && out->count == out->most;
    return all ? WEIR_OK : status; /* all that was wanted */
}

weir_status input_tokenize(const weir_model *model, const byte_buffer *text, bool bos,
                           token_list *out, weir_error *error) {
    return tokenize_all(weir_model_tokenize, model, text, bos, out, error);
}

weir_status input_tokenize_special(const weir_model *model, const byte_buffer *text, bool bos,
                                   token_list *out, weir_error *error) {
    return tokenize_all(weir_model_tokenize_special, model, text, bos, out, error);
}

static weir_status count_tokens(void *context, const int32_t *tokens, int64_t count) {
    (void)tokens;
    *(int64_t *)context += count;
    return WEIR_OK;
}

weir_status input_count_tokens(const weir_model *model, const char *text, size_t size,
                               int64_t *count, weir_error *error) {
    return tokenize(weir_model_tokenize, model, text, size, true, count_tokens, count, error);
}

static weir_status take_number(const char *name, const char *text, size_t *at, token_list *out,
                               weir_error *error) {
    char *end;
    errno = 0;
    long long token = strtoll(text + *at, &end, 10);
    if (end == text + *at || errno != 0 || token < 0 || token > INT32_MAX) {
        return weir_error_set(error, WEIR_USAGE,
                              "%s: byte %zu: expected a token number, as in 1,403,407", name, *at);
    }
    *at = (size_t)(end - text);
    if (!tokens_add(out, (int32_t)token)) {
        return weir_error_set(error, WEIR_MEMORY, "%s: no memory for the tokens", name);
    }
    return WEIR_OK;
}

static size_t skip_space(const char *text, size_t at) { return at + strspn(text + at, " \t\r\n"); }

weir_status input_token_numbers(const char *name, const char *text, size_t size, token_list *out,
                                weir_error *error) {
    size_t at = skip_space(text, 0);
    bool array = text[at] == '[';
    at = skip_space(text, at + array);
    bool more = text[at] != ']' && text[at] != '\0';
    while (more) {
        weir_status status = take_number(name, text, &at, out, error);
        if (status != WEIR_OK) {
            return status;
        }
        at = skip_space(text, at);
        more = text[at] == ',';
        at = skip_space(text, at + more);
    }
    bool closed = !array || text[at] == ']';
    at = skip_space(text, at + (array && closed));
    if (!closed || at != size || out->count == 0) {
        return weir_error_set(error, WEIR_USAGE,
                              "%s: expected token numbers joined by commas, as in 1,403,407, or a "
                              "JSON array of them",
                              name);
    }
    return WEIR_OK;
}
