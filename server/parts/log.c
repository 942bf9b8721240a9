#include "parts/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "parts/json.h"

static atomic_bool silent;

void log_silence(void) { atomic_store(&silent, true); }

static const char *now(char out[40]) {
    struct timespec time;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &time);
    gmtime_r(&time.tv_sec, &parts);
    size_t size = strftime(out, 40, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(out + size, 40 - size, ".%03ldZ", time.tv_nsec / 1000000);
    return out;
}

/* One write, so that lines of several threads do not mix. */
static void write_line(json_t *object) {
    size_t size;
    char *text = json_body(object, &size);
    if (text != NULL) {
        text[size] = '\n'; /* in the place of its NUL */
        ssize_t written = write(STDERR_FILENO, text, size + 1);
        (void)written;
        free(text);
    }
}

void log_event(const char *event, const char *format, ...) {
    char time[40], message[600];
    if (atomic_load(&silent)) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    write_line(json_pack("{s:s,s:s,s:s}", "time", now(time), "event", event, "message", message));
}

void log_request(const char *method, const char *route, int status, double seconds, size_t bytes) {
    char time[40];
    if (atomic_load(&silent)) {
        return;
    }
    write_line(json_pack("{s:s,s:s,s:s,s:s,s:i,s:o,s:I}", "time", now(time), "event", "request",
                         "method", method, "route", route, "status", status, "seconds",
                         json_finite(seconds), "bytes", (json_int_t)bytes));
}
