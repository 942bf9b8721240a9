/* A file that appears only when whole: see new_file.h. */
#include "base/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct wr_new_file {
    const weir_allocator *allocator;
    int descriptor;           /* -1 once closed */
    mode_t mode;              /* of the file that is replaced; 0 when there is none */
    char path[PATH_MAX];      /* as the caller says it: for messages */
    char target[PATH_MAX];    /* where it leads, so that a link stays a link */
    char temporary[PATH_MAX]; /* "" when there is none left to remove */
};

static weir_status fail(const wr_new_file *file, weir_error *error, const char *what, int code) {
    char text[128];
    const char *reason = strerror_r(code, text, sizeof text);
    if (code == ENOENT) reason = "no such file or folder";
    return weir_error_set(error, WEIR_IO, "%.300s: %s: %s", file->path, what, reason);
}

/* What exists must be a regular file: renaming over a device would remove the device. */
static weir_status resolve(wr_new_file *file, weir_error *error) {
    struct stat about;
    if (stat(file->path, &about) != 0) {
        if (errno != ENOENT) return fail(file, error, "cannot create it", errno);
        memcpy(file->target, file->path, sizeof file->target);
        return WEIR_OK;
    }
    if (!S_ISREG(about.st_mode))
        return weir_error_set(error, WEIR_IO, "%.300s: %s, where a file should be written",
                              file->path,
                              S_ISDIR(about.st_mode) ? "is a folder" : "is not a regular file");
    file->mode = about.st_mode & 07777;
    if (realpath(file->path, file->target) == NULL)
        return fail(file, error, "cannot replace it", errno);
    return WEIR_OK;
}

static weir_status open_temporary(wr_new_file *file, weir_error *error) {
    int code = EEXIST;
    for (int attempt = 0; attempt < 100 && code == EEXIST; attempt++) {
        int length = snprintf(file->temporary, sizeof file->temporary, "%s.%ld-%d.part",
                              file->target, (long)getpid(), attempt);
        if (length < 0 || (size_t)length >= sizeof file->temporary) {
            code = ENAMETOOLONG;
            break;
        }
        file->descriptor = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file->descriptor >= 0) return WEIR_OK;
        code = errno;
    }
    file->temporary[0] = '\0';
    return fail(file, error, "cannot create it", code);
}

weir_status wr_new_file_open(const char *path, const weir_allocator *allocator, wr_new_file **out,
                             weir_error *error) {
    *out = NULL;
    if (strlen(path) >= PATH_MAX)
        return weir_error_set(error, WEIR_IO, "%.300s...: the path is too long", path);
    wr_new_file *file = wr_allocate_array(allocator, 1, sizeof *file);
    if (file == NULL)
        return weir_error_set(error, WEIR_MEMORY, "%.300s: not enough memory to write it", path);
    file->allocator = allocator;
    file->descriptor = -1;
    strcpy(file->path, path);
    weir_status status = resolve(file, error);
    if (status == WEIR_OK) status = open_temporary(file, error);
    if (status == WEIR_OK)
        *out = file;
    else
        wr_new_file_close(file);
    return status;
}

weir_status wr_new_file_write(wr_new_file *file, const void *data, size_t size, weir_error *error) {
    const uint8_t *bytes = data;
    while (size > 0) {
        ssize_t written = write(file->descriptor, bytes, size);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return fail(file, error, "cannot write", errno);
        bytes += written;
        size -= (size_t)written;
    }
    return WEIR_OK;
}

/* So that the rename itself survives a power cut. Best effort: some systems refuse it. */
static void sync_folder(wr_new_file *file) {
    char *slash = strrchr(file->target, '/');
    if (slash != NULL) slash[slash == file->target] = '\0';
    int folder = open(slash != NULL ? file->target : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return;
    (void)fsync(folder);
    close(folder);
}

weir_status wr_new_file_commit(wr_new_file *file, weir_error *error) {
    if (file->mode != 0 && fchmod(file->descriptor, file->mode) != 0)
        return fail(file, error, "cannot keep its permissions", errno);
    if (fsync(file->descriptor) != 0) return fail(file, error, "cannot write", errno);
    int descriptor = file->descriptor;
    file->descriptor = -1;
    if (close(descriptor) != 0) return fail(file, error, "cannot write", errno);
    if (rename(file->temporary, file->target) != 0)
        return fail(file, error, "cannot replace it", errno);
    file->temporary[0] = '\0';
    sync_folder(file);
    return WEIR_OK;
}

void wr_new_file_close(wr_new_file *file) {
    if (file == NULL) return;
    if (file->descriptor >= 0) close(file->descriptor);
    if (file->temporary[0] != '\0') unlink(file->temporary);
    wr_release(file->allocator, file, sizeof *file);
}

const char *wr_new_file_path(const wr_new_file *file) { return file->path; }
