/* Help from the option tables, and the nearest name to a misspelt one. */
#include <stdio.h>
#include <string.h>

#include "common/option.h"

void options_print_help(const cli_group *groups) {
    for (const cli_group *group = groups; group->title != NULL; group++) {
        printf("\n%s:\n", group->title);
        for (const cli_option *option = group->options; option->name != NULL; option++) {
            char left[64];
            snprintf(left, sizeof left, "%s%s%s", option->name, option->argument ? " " : "",
                     option->argument ? option->argument : "");
            if (strlen(left) > 23) {
                printf("  %s\n  %-23s  %s\n", left, "", option->help);
            } else {
                printf("  %-23s  %s\n", left, option->help);
            }
        }
    }
}

#define LONGEST 32

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* How many letters of two short words are changed, missing, too many or swapped with the next;
 * LONGEST when one is too long to compare. */
static size_t distance(const char *a, size_t a_size, const char *b, size_t b_size) {
    size_t to[LONGEST][LONGEST]; /* [i][j]: between the first i of a and the first j of b */
    if (a_size >= LONGEST || b_size >= LONGEST) {
        return LONGEST;
    }
    for (size_t i = 0; i <= a_size; i++) {
        for (size_t j = 0; j <= b_size; j++) {
            if (i == 0 || j == 0) {
                to[i][j] = i + j;
                continue;
            }
            to[i][j] = least(to[i - 1][j - 1] + (a[i - 1] != b[j - 1]),
                             least(to[i - 1][j], to[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                to[i][j] = least(to[i][j], to[i - 2][j - 2] + 1);
            }
        }
    }
    return to[a_size][b_size];
}

const char *nearest_word(const char *word, const char *words, char *out, size_t capacity) {
    size_t best = LONGEST;
    for (const char *candidate = words; *candidate != '\0';) {
        size_t size = strcspn(candidate, "|");
        size_t d = distance(word, strlen(word), candidate, size);
        if (d < best && size < capacity) {
            best = d;
            memcpy(out, candidate, size);
            out[size] = '\0';
        }
        candidate += size + (candidate[size] == '|');
    }
    /* a third of the letters may be wrong: "--widow" is near "--window", "--xyz" near nothing */
    return best <= (strlen(word) + 2) / 3 && best < 4 ? out : NULL;
}
