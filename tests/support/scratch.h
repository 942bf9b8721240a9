/* A fresh folder for the files of a test. Header only. */
#ifndef SCRATCH_H
#define SCRATCH_H

#include <dirent.h>
#include <ftw.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch_folder[256];

static inline int scratch_make(void **state) {
    (void)state;
    const char *parent = getenv("TMPDIR");
    snprintf(scratch_folder, sizeof scratch_folder, "%s/weir-test.XXXXXX",
             parent != NULL ? parent : "/tmp");
    return mkdtemp(scratch_folder) == NULL;
}

/* The path of a file in it; 32 are remembered at a time. */
static inline const char *scratch_path(const char *name) {
    static char paths[32][1024];
    static int next;
    char *path = paths[next++ % 32];
    snprintf(path, sizeof paths[0], "%s/%s", scratch_folder, name);
    return path;
}

static inline const char *scratch_write(const char *name, const void *data, size_t size) {
    const char *path = scratch_path(name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0) abort();
    return path;
}

static inline const char *scratch_text(const char *name, const char *text) {
    return scratch_write(name, text, strlen(text));
}

/* Files in one of its folders ("." for itself) whose names hold `part`; they are removed if wanted.
 * `last` (may be NULL, else 1024 bytes) gets the path of one of them. */
static inline int scratch_files(const char *folder, const char *part, bool remove_them,
                                char *last) {
    int count = 0;
    DIR *names = opendir(scratch_path(folder));
    if (!names) return 0;
    for (struct dirent *name; (name = readdir(names)) != NULL;) {
        char path[600];
        struct stat about;
        snprintf(path, sizeof path, "%.200s/%s", folder, name->d_name);
        const char *whole = scratch_path(path);
        if (stat(whole, &about) != 0 || !S_ISREG(about.st_mode)) continue;
        if (!strstr(name->d_name, part)) continue;
        if (last) snprintf(last, 1024, "%s", whole);
        if (remove_them) remove(whole);
        count++;
    }
    closedir(names);
    return count;
}

static inline int scratch_remove_one(const char *path, const struct stat *about, int kind,
                                     struct FTW *place) {
    (void)about, (void)kind, (void)place;
    return remove(path);
}

/* With every folder in it. */
static inline int scratch_remove_all(void **state) {
    (void)state;
    return nftw(scratch_folder, scratch_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline int scratch_remove(void **state) {
    (void)state;
    scratch_files("tokens", "", true, NULL);
    rmdir(scratch_path("tokens"));
    scratch_files(".", "", true, NULL);
    return rmdir(scratch_folder);
}

/* A limit on file size stands in for a full disk. */
static inline void scratch_disk_holds(rlim_t bytes) {
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes == 0 || bytes > limit.rlim_max ? limit.rlim_max : bytes;
    signal(SIGXFSZ, bytes == 0 ? SIG_DFL : SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
}

#endif
