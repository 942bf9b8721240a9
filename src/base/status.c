/*
 * Status codes and errors. Filling an error takes no memory, so "out of memory" can be said too.
 */
#include "weir/status.h"

#include <stdarg.h>
#include <stdio.h>

const char *weir_status_text(weir_status status) {
    switch (status) {
#define STATUS_TEXT(name, value, text)                                                             \
    case WEIR_##name:                                                                              \
        return text;
        WEIR_STATUS_MAP(STATUS_TEXT)
#undef STATUS_TEXT
    }
    return "unknown status";
}

const char *weir_status_name(weir_status status) {
    switch (status) {
#define STATUS_NAME(name, value, text)                                                             \
    case WEIR_##name:                                                                              \
        return #name;
        WEIR_STATUS_MAP(STATUS_NAME)
#undef STATUS_NAME
    }
    return "UNKNOWN";
}

weir_status weir_error_set(weir_error *error, weir_status status, const char *format, ...) {
    if (error == NULL) return status;
    error->status = status;
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    if (written < 0) error->message[0] = '\0';
    return status;
}
