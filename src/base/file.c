/*
 * Files: mapped read-only, or replaced as a whole.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/new_file.h"

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

void wr_map_forget(const void *data, size_t size) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t begin = ((uintptr_t)data + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)data + size) / page * page;
    if (begin < end) madvise((void *)begin, end - begin, MADV_DONTNEED);
}

weir_status wr_file_replace(const char *path, const void *data, size_t size,
                            const weir_allocator *allocator, weir_error *error) {
    wr_new_file *file;
    weir_status status = wr_new_file_open(path, allocator, &file, error);
    if (status == WEIR_OK) status = wr_new_file_write(file, data, size, error);
    if (status == WEIR_OK) status = wr_new_file_commit(file, error);
    wr_new_file_close(file);
    return status;
}
