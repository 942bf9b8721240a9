/*
 * Files: mapped read-only, or replaced as a whole.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* "PATH: what the system says", as WEIR_IO. */
static weir_status system_failure(weir_error *error, const char *path, int code) {
    char text[128];
    const char *reason = strerror_r(code, text, sizeof text);
    if (code == ENOENT) reason = "no such file or folder";
    return weir_error_set(error, WEIR_IO, "%.300s: %s", path, reason);
}

static weir_status check_regular(const char *path, const struct stat *about, weir_error *error) {
    if (S_ISREG(about->st_mode)) return WEIR_OK;
    const char *what =
        S_ISDIR(about->st_mode) ? "is a folder, not a file" : "is not a regular file";
    return weir_error_set(error, WEIR_IO, "%.300s: %s", path, what);
}

static weir_status map_descriptor(int fd, const char *path, wr_map *out, weir_error *error) {
    struct stat about;
    if (fstat(fd, &about) != 0) return system_failure(error, path, errno);
    weir_status status = check_regular(path, &about, error);
    if (status != WEIR_OK) return status;
    if (about.st_size == 0) {
        return weir_error_set(error, WEIR_DAMAGED, "%.300s: the file is empty", path);
    }
    void *data = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) return system_failure(error, path, errno);
    *out = (wr_map){.data = data, .size = (size_t)about.st_size};
    return WEIR_OK;
}

weir_status wr_map_open(const char *path, wr_map *out, weir_error *error) {
    *out = (wr_map){0};
    /* Not blocking: a pipe without a writer must become a sentence, not a wait. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return system_failure(error, path, errno);
    weir_status status = map_descriptor(fd, path, out, error);
    close(fd); /* the mapping stays */
    return status;
}

void wr_map_close(wr_map *map) {
    if (map->data != NULL) munmap((void *)(uintptr_t)map->data, map->size);
    *map = (wr_map){0};
}

/* Where `path` leads: through links, so that a link stays a link. What exists must be a regular
 * file (renaming over a device would remove it). *mode is the old file's, or 0 when there is none.
 */
static weir_status resolve_target(const char *path, char target[PATH_MAX], mode_t *mode,
                                  weir_error *error) {
    struct stat about;
    *mode = 0;
    if (stat(path, &about) == 0) {
        weir_status status = check_regular(path, &about, error);
        if (status != WEIR_OK) return status;
        *mode = about.st_mode & 07777;
        if (realpath(path, target) == NULL) return system_failure(error, path, errno);
        return WEIR_OK;
    }
    if (errno != ENOENT) return system_failure(error, path, errno);
    if (strlen(path) >= PATH_MAX) return system_failure(error, path, ENAMETOOLONG);
    strcpy(target, path);
    return WEIR_OK;
}

/* A new file beside `target`; its name in `temporary`. -1 and errno on failure. */
static int open_temporary(const char *target, char temporary[PATH_MAX]) {
    for (unsigned attempt = 0; attempt < 100; attempt++) {
        int length =
            snprintf(temporary, PATH_MAX, "%s.%ld-%u.part", target, (long)getpid(), attempt);
        if (length < 0 || length >= PATH_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

static bool write_all(int fd, const uint8_t *data, size_t size) {
    while (size > 0) {
        ssize_t written = write(fd, data, size);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return false;
        data += written;
        size -= (size_t)written;
    }
    return true;
}

/* So that the rename itself survives a power cut. Best effort: some systems refuse it. */
static void sync_folder(char *target) {
    char *slash = strrchr(target, '/');
    if (slash != NULL) slash[slash == target] = '\0';
    int fd = open(slash != NULL ? target : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    (void)fsync(fd);
    close(fd);
}

weir_status wr_file_replace(const char *path, const void *data, size_t size, weir_error *error) {
    char target[PATH_MAX];
    char temporary[PATH_MAX];
    mode_t mode;
    weir_status status = resolve_target(path, target, &mode, error);
    if (status != WEIR_OK) return status;
    int fd = open_temporary(target, temporary);
    if (fd < 0) return system_failure(error, path, errno);

    bool done = (mode == 0 || fchmod(fd, mode) == 0) && write_all(fd, data, size) && fsync(fd) == 0;
    int code = errno;
    if (close(fd) != 0 && done) {
        done = false;
        code = errno;
    }
    if (done && rename(temporary, target) != 0) {
        done = false;
        code = errno;
    }
    if (!done) {
        unlink(temporary);
        return system_failure(error, path, code);
    }
    sync_folder(target);
    return WEIR_OK;
}
