#include "parts/text_buffer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool make_room(text_buffer *buffer, size_t size) {
    if (buffer->failed || size > (size_t)-1 / 4 - buffer->size ||
        (buffer->most > 0 && buffer->size + size > buffer->most)) {
        buffer->failed = true;
        return false;
    }
    size_t wanted = buffer->size + size + 1;
    if (wanted <= buffer->capacity) {
        return true;
    }
    size_t capacity = buffer->capacity > 0 ? buffer->capacity : 256;
    while (capacity < wanted) {
        capacity *= 2;
    }
    char *data = realloc(buffer->data, capacity);
    if (data == NULL) {
        buffer->failed = true;
        return false;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

bool text_add(text_buffer *buffer, const char *data, size_t size) {
    if (!make_room(buffer, size)) {
        return false;
    }
    if (size > 0) {
        memcpy(buffer->data + buffer->size, data, size);
    }
    buffer->size += size;
    buffer->data[buffer->size] = '\0';
    return true;
}

bool text_print(text_buffer *buffer, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (size < 0 || !make_room(buffer, (size_t)size)) {
        buffer->failed = true;
        return false;
    }
    va_start(arguments, format);
    vsnprintf(buffer->data + buffer->size, (size_t)size + 1, format, arguments);
    va_end(arguments);
    buffer->size += (size_t)size;
    return true;
}

void text_drop(text_buffer *buffer, size_t size) {
    if (size == 0) {
        return;
    }
    memmove(buffer->data, buffer->data + size, buffer->size - size);
    buffer->size -= size;
    buffer->data[buffer->size] = '\0';
}

weir_status text_add_file(text_buffer *buffer, const char *path, weir_error *error) {
    char piece[4096];
    size_t before = buffer->size;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return weir_error_set(error, WEIR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    }
    for (size_t size; !buffer->failed && (size = fread(piece, 1, sizeof piece, file)) > 0;) {
        text_add(buffer, piece, size);
    }
    bool good = !ferror(file) && !buffer->failed && buffer->size > before;
    fclose(file);
    return good ? WEIR_OK
                : weir_error_set(error, WEIR_IO,
                                 "%s: cannot be read, is empty or larger than %zu bytes", path,
                                 buffer->most);
}

void text_clear(text_buffer *buffer) {
    buffer->size = 0;
    buffer->failed = false;
    if (buffer->data != NULL) {
        buffer->data[0] = '\0';
    }
}

char *text_take(text_buffer *buffer) {
    char *data = buffer->data;
    buffer->data = NULL;
    buffer->size = buffer->capacity = 0;
    return data;
}

void text_free(text_buffer *buffer) {
    free(buffer->data);
    *buffer = (text_buffer){.most = buffer->most};
}
