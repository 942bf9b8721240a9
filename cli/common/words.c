#include "common/words.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *word_count(int64_t n, char out[WORD_MAX]) {
    char digits[WORD_MAX];
    int size = snprintf(digits, sizeof digits, "%lld", (long long)(n < 0 ? -n : n));
    char *to = out;
    if (n < 0) {
        *to++ = '-';
    }
    for (int i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0) {
            *to++ = ',';
        }
        *to++ = digits[i];
    }
    *to = '\0';
    return out;
}

static const char *scaled(double x, double step, const char *const *units, char out[WORD_MAX]) {
    int unit = 0;
    while (x >= step && units[unit + 1] != NULL) {
        x /= step;
        unit++;
    }
    snprintf(out, WORD_MAX, unit == 0 ? "%.0f%s" : "%.1f%s", x, units[unit]);
    return out;
}

const char *word_bytes(int64_t bytes, char out[WORD_MAX]) {
    static const char *const units[] = {" B", " KiB", " MiB", " GiB", " TiB", NULL};
    if (bytes < 0) {
        return strcpy(out, "?");
    }
    return scaled((double)bytes, 1024, units, out);
}

const char *word_short(int64_t n, char out[WORD_MAX]) {
    static const char *const units[] = {"", " k", " M", " G", NULL};
    return scaled((double)n, 1000, units, out);
}

const char *word_speed(double per_second, char out[WORD_MAX]) {
    if (!isfinite(per_second)) {
        return strcpy(out, "-");
    }
    if (per_second >= 100) {
        return word_count((int64_t)(per_second + 0.5), out);
    }
    snprintf(out, WORD_MAX, "%.1f", per_second);
    return out;
}
