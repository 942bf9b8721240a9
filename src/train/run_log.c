/* The log of a run: see run_log.h. */
#include "train/run_log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"

struct wr_run_log {
    const weir_allocator *allocator;
    int descriptor;
    int64_t layers;
    off_t size; /* of whole lines */
    wr_writer line;
    char path[PATH_MAX];
};

static weir_status fail(const wr_run_log *log, weir_error *error) {
    return weir_error_set(error, WEIR_IO, "%.300s: the log cannot be written: %s", log->path,
                          strerror(errno));
}

static void put(wr_writer *writer, const char *format, ...) WEIR_FORMAT(2, 3);
static void put(wr_writer *writer, const char *format, ...) {
    char text[64];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    wr_write_bytes(writer, text, size > 0 && (size_t)size < sizeof text ? (size_t)size : 0);
}

/* ---- opening --------------------------------------------------------------------------------- */

static void put_head(wr_writer *writer, int64_t layers) {
    const char *fixed = "step,tokens,rate,loss,gradient_norm,validation_nll,validation_perplexity,"
                        "bits_per_character,sink_rate,term_rate,tokens_per_second,seconds";
    wr_write_bytes(writer, fixed, strlen(fixed));
    for (int64_t i = 0; i < 2 * layers; i++) {
        put(writer, ",%s_%lld", i < layers ? "token0" : "term", (long long)(i % layers));
    }
    wr_write_bytes(writer, "\n", 1);
}

/* Bytes of `text` up to the end of the line of `step`, or of the last whole line before. */
static size_t keep_until(const char *text, size_t size, size_t head, int64_t step) {
    size_t kept = head;
    while (kept < size) {
        const char *end = memchr(text + kept, '\n', size - kept);
        if (end == NULL || text[kept] < '0' || text[kept] > '9' ||
            strtoll(text + kept, NULL, 10) > step) { /* a digit is there, and a line end */
            break;
        }
        kept = (size_t)(end - text) + 1;
    }
    return kept;
}

/* Of a file that is there: whether it is a log of this shape, and how much of it stays. */
static weir_status look_at(wr_run_log *log, int64_t step, weir_error *error) {
    wr_map map;
    if (access(log->path, F_OK) != 0 || wr_map_open(log->path, &map, NULL) != WEIR_OK) {
        return WEIR_OK; /* none, or an empty one */
    }
    const char *text = (const char *)map.data;
    weir_status status = WEIR_OK;
    if (map.size < log->line.size || memcmp(text, log->line.data, log->line.size) != 0) {
        status = weir_error_set(error, WEIR_USAGE,
                                "%.300s is not the log of this run: give another --log", log->path);
    } else {
        log->size = (off_t)keep_until(text, map.size, log->line.size, step);
    }
    wr_map_close(&map);
    return status;
}

static weir_status write_line(wr_run_log *log, weir_error *error) {
    if (log->line.failed) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for the log");
    }
    const uint8_t *from = log->line.data;
    for (size_t left = log->line.size; left > 0;) {
        ssize_t written = write(log->descriptor, from, left);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            weir_status status = fail(log, error);
            int cut = ftruncate(log->descriptor, log->size); /* half a line must not stay */
            (void)cut; /* where even that fails, opening the log again cuts it */
            return status;
        }
        from += written;
        left -= (size_t)written;
    }
    log->size += (off_t)log->line.size;
    return WEIR_OK;
}

static weir_status begin(wr_run_log *log, int64_t step, weir_error *error) {
    put_head(&log->line, log->layers);
    if (log->line.failed) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for the log");
    }
    weir_status status = step > 0 ? look_at(log, step, error) : WEIR_OK;
    if (status != WEIR_OK) {
        return status;
    }
    log->descriptor = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (log->descriptor < 0 || ftruncate(log->descriptor, log->size) != 0) {
        return fail(log, error);
    }
    return log->size == 0 ? write_line(log, error) : WEIR_OK;
}

weir_status wr_run_log_open(const char *path, int64_t layers, int64_t step,
                            const weir_allocator *allocator, wr_run_log **out, weir_error *error) {
    *out = NULL;
    if (strlen(path) >= PATH_MAX) {
        return weir_error_set(error, WEIR_IO, "%.300s...: the path is too long", path);
    }
    wr_run_log *log = wr_allocate_array(allocator, 1, sizeof *log);
    if (log == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for the log");
    }
    log->allocator = allocator;
    log->line.allocator = allocator;
    log->layers = layers;
    log->descriptor = -1;
    strcpy(log->path, path);
    weir_status status = begin(log, step, error);
    if (status == WEIR_OK) {
        *out = log;
    } else {
        wr_run_log_close(log);
    }
    return status;
}

void wr_run_log_close(wr_run_log *log) {
    if (log == NULL) {
        return;
    }
    if (log->descriptor >= 0) {
        close(log->descriptor);
    }
    wr_writer_release(&log->line);
    wr_release(log->allocator, log, sizeof *log);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void put_number(wr_writer *writer, double value) {
    if (isfinite(value)) {
        put(writer, ",%.7g", value);
    } else {
        wr_write_bytes(writer, ",", 1);
    }
}

weir_status wr_run_log_add(wr_run_log *log, const wr_run_line *line, weir_error *error) {
    const double numbers[] = {line->rate,
                              line->loss,
                              line->gradient_norm,
                              line->validation,
                              exp(line->validation),
                              line->bits_per_character,
                              line->sink_rate,
                              line->term_rate,
                              line->tokens_per_second,
                              line->seconds};
    log->line.size = 0;
    put(&log->line, "%lld,%lld", (long long)line->step, (long long)line->tokens);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        put_number(&log->line, numbers[i]);
    }
    for (int64_t i = 0; i < 2 * log->layers; i++) {
        const double *from = i < log->layers ? line->token0 : line->term;
        put_number(&log->line, from == NULL ? (double)NAN : from[i % log->layers]);
    }
    wr_write_bytes(&log->line, "\n", 1);
    return write_line(log, error);
}

weir_status wr_run_log_sync(wr_run_log *log, weir_error *error) {
    /* a pipe or a device has nothing to bring to a disk */
    return fsync(log->descriptor) == 0 || errno == EINVAL || errno == EROFS ? WEIR_OK
                                                                            : fail(log, error);
}
