/* Available memory, as Linux tells it. */
#include "train/available.h"

#include <stdio.h>

#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* formats are the three below */

/* The number that `format` finds in a line of a file; -1 when there is none. */
static int64_t number_in(const char *path, const char *format) {
    char line[128];
    long long value = -1;
    FILE *file = fopen(path, "re");
    while (file != NULL && value < 0 && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, format, &value) != 1) {
            value = -1;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return value;
}

int64_t wr_available_memory(void) {
    int64_t available = number_in("/proc/meminfo", "MemAvailable: %lld");
    int64_t limit = number_in("/sys/fs/cgroup/memory.max", "%lld"); /* "max" is none */
    int64_t used = number_in("/sys/fs/cgroup/memory.stat", "anon %lld");
    if (available > 0) {
        available *= 1024;
    }
    if (limit >= 0 && used >= 0) {
        int64_t left = limit > used ? limit - used : 0;
        available = available < 0 || left < available ? left : available;
    }
    return available;
}
