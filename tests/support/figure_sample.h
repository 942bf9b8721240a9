/* Figures in memory again: a folder of this run, and what stands in a file that was saved. */
#ifndef FIGURE_SAMPLE_H
#define FIGURE_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char figure_folder[256];

static inline int figure_folder_make(void **state) {
    (void)state;
    const char *parent = getenv("TMPDIR");
    snprintf(figure_folder, sizeof figure_folder, "%s/weir-plot.XXXXXX",
             parent != NULL ? parent : "/tmp");
    return mkdtemp(figure_folder) == NULL;
}

static inline int figure_folder_remove(void **state) {
    (void)state;
    return rmdir(figure_folder); /* fails when a test left something there */
}

static inline const char *figure_path(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", figure_folder, name);
    return path;
}

/* The file's bytes, NUL-terminated, and the file is gone; NULL when there is none. */
static inline char *figure_take(const char *name, size_t *size) {
    char *bytes = NULL;
    FILE *file = fopen(figure_path(name), "rb");
    if (file == NULL) return NULL;
    fseek(file, 0, SEEK_END);
    long length = ftell(file);
    rewind(file);
    if (length >= 0) bytes = malloc((size_t)length + 1);
    if (bytes != NULL) {
        *size = fread(bytes, 1, (size_t)length, file);
        bytes[*size] = '\0';
    }
    fclose(file);
    unlink(figure_path(name));
    return bytes;
}

static inline int figure_count(const char *text, const char *part) {
    int count = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++) count++;
    return count;
}

#endif
