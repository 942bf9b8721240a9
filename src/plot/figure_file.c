/*
 * From a figure to a file: see figure_file.h.
 *
 * The laboratory sees the engine's public headers only, so replacing a file as a whole is done
 * here once more: a temporary file beside it, fsync, rename.
 */
#include "plot/figure_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plot/label.h"

static weir_status fail(const char *path, int code, weir_error *error) {
    char text[128];
    return weir_error_set(error, WEIR_IO, "%.300s: cannot write it: %s", path,
                          strerror_r(code, text, sizeof text));
}

/* Where `path` leads, so that a link stays a link; what is there must be a regular file. *mode is
 * its permissions, or 0 when there is none. */
static weir_status resolve(const char *path, char target[PATH_MAX], mode_t *mode,
                           weir_error *error) {
    struct stat about;
    *mode = 0;
    if (wr_plot_format_of(path) == NULL)
        return weir_error_set(error, WEIR_USAGE,
                              "%.300s: a figure is a .png or an .svg file, by its ending", path);
    if (strlen(path) >= PATH_MAX) return fail(path, ENAMETOOLONG, error);
    if (stat(path, &about) != 0) {
        if (errno != ENOENT) return fail(path, errno, error);
        strcpy(target, path);
        return WEIR_OK;
    }
    if (!S_ISREG(about.st_mode))
        return weir_error_set(error, WEIR_IO, "%.300s: %s, where a figure should be written", path,
                              S_ISDIR(about.st_mode) ? "is a folder" : "is not a regular file");
    *mode = about.st_mode & 07777;
    return realpath(path, target) != NULL ? WEIR_OK : fail(path, errno, error);
}

weir_status weir_plot_path_check(const char *path, weir_error *error) {
    char target[PATH_MAX];
    mode_t mode;
    weir_status status = resolve(path, target, &mode, error);
    if (status != WEIR_OK) return status;
    if (faccessat(AT_FDCWD, dirname(target), W_OK | X_OK, AT_EACCESS) != 0)
        return fail(path, errno, error);
    return WEIR_OK;
}

static bool write_all(int descriptor, const unsigned char *data, size_t size) {
    while (size > 0) {
        ssize_t written = write(descriptor, data, size);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return false;
        data += written;
        size -= (size_t)written;
    }
    return true;
}

static int open_beside(const char *target, char temporary[PATH_MAX]) {
    for (int attempt = 0; attempt < 100; attempt++) {
        int length =
            snprintf(temporary, PATH_MAX, "%s.%ld-%d.part", target, (long)getpid(), attempt);
        if (length < 0 || length >= PATH_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        int descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (descriptor >= 0 || errno != EEXIST) return descriptor;
    }
    return -1;
}

static weir_status replace(const char *path, const wr_plot_bytes *bytes, weir_error *error) {
    char target[PATH_MAX], temporary[PATH_MAX];
    mode_t mode;
    weir_status status = resolve(path, target, &mode, error);
    if (status != WEIR_OK) return status;
    int descriptor = open_beside(target, temporary);
    if (descriptor < 0) return fail(path, errno, error);
    bool done = (mode == 0 || fchmod(descriptor, mode) == 0) &&
                write_all(descriptor, bytes->data, bytes->size) && fsync(descriptor) == 0;
    int code = errno;
    if (close(descriptor) != 0 && done) {
        done = false;
        code = errno;
    }
    if (done && rename(temporary, target) != 0) {
        done = false;
        code = errno;
    }
    if (done) return WEIR_OK;
    unlink(temporary);
    return fail(path, code, error);
}

static bool draw(const wr_plot_job *job, wr_plot_canvas *canvas) {
    char title[WR_PLOT_LABEL];
    wr_plot_label_clean(title, job->title);
    canvas->format->begin(canvas, title);
    job->draw(canvas, job->figure);
    canvas->format->end(canvas);
    return !canvas->failed && !canvas->out.failed &&
           cairo_status(canvas->cairo) == CAIRO_STATUS_SUCCESS;
}

/* 0 becomes `usual`. */
static weir_status check_size(int32_t *size, int32_t usual, const char *what, weir_error *error) {
    if (*size == 0) *size = usual;
    if (*size >= 400 && *size <= 4096) return WEIR_OK;
    return weir_error_set(error, WEIR_USAGE, "the %s of a figure is 400 to 4096, not %d", what,
                          *size);
}

weir_status wr_plot_save(wr_plot_job *job, const char *path, weir_error *error) {
    weir_status status = check_size(&job->width, 1000, "width", error);
    if (status == WEIR_OK) status = check_size(&job->height, 640, "height", error);
    if (status == WEIR_OK) status = weir_plot_path_check(path, error);
    if (status != WEIR_OK) return status;
    locale_t plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    locale_t before = plain != (locale_t)0 ? uselocale(plain) : (locale_t)0;
    wr_plot_canvas canvas;
    bool drawn = wr_plot_canvas_init(&canvas, wr_plot_format_of(path), job->width, job->height) &&
                 draw(job, &canvas);
    if (plain != (locale_t)0) {
        uselocale(before);
        freelocale(plain);
    }
    status = drawn ? replace(path, &canvas.out, error)
                   : weir_error_set(error, WEIR_MEMORY,
                                    "%.300s: not enough memory to draw a figure of %d x %d", path,
                                    job->width, job->height);
    wr_plot_canvas_deinit(&canvas);
    return status;
}

weir_status wr_plot_axis_check(const weir_plot_axis *axis, const char *name, weir_error *error) {
    if (axis->scale < WEIR_PLOT_LINEAR || axis->scale > WEIR_PLOT_LOG2)
        return weir_error_set(error, WEIR_USAGE, "the %s has an unknown scale, %d", name,
                              (int)axis->scale);
    if (axis->from == 0 && axis->to == 0) return WEIR_OK;
    if (!(fabs(axis->from) <= 1e300 && fabs(axis->to) <= 1e300 &&
          axis->to - axis->from > 1e-10 * fmax(fabs(axis->from), fabs(axis->to))))
        return weir_error_set(error, WEIR_USAGE, "the %s cannot go from %g to %g", name, axis->from,
                              axis->to);
    if (axis->scale != WEIR_PLOT_LINEAR && axis->from <= 0)
        return weir_error_set(error, WEIR_USAGE,
                              "the %s is logarithmic and cannot begin at %g: only above 0", name,
                              axis->from);
    return WEIR_OK;
}
