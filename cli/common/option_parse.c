/* Reads the words of a command line by the tables of option.h. */
#include <string.h>

#include "common/option.h"

bool option_next(const cli_group *groups, cli_cursor *cursor) {
    if (cursor->group == NULL) {
        cursor->group = groups;
        cursor->option = groups->title != NULL ? groups->options : NULL;
    } else {
        cursor->option++;
    }
    while (cursor->group->title != NULL) {
        if (cursor->option->name != NULL) {
            cursor->at = cursor->group->at + cursor->option->at;
            return true;
        }
        cursor->group++;
        cursor->option = cursor->group->options;
    }
    return false;
}

int option_given(const cli_cursor *cursor, const void *arguments) {
    /* the first field of all three kinds of value */
    int given;
    memcpy(&given, (const char *)arguments + cursor->at, sizeof given);
    return given;
}

/* Find an option by its name: the first `size` bytes of `word`. */
static bool find_option(const cli_group *groups, const char *word, size_t size, cli_cursor *found) {
    *found = (cli_cursor){0};
    while (option_next(groups, found)) {
        const char *name = found->option->name;
        if (strlen(name) == size && memcmp(name, word, size) == 0) {
            return true;
        }
    }
    return false;
}

static weir_status unknown_option(const cli_group *groups, const char *word, size_t size,
                                  weir_error *error) {
    char name[64], names[4096], near[64];
    size_t used = 0;
    cli_cursor cursor = {0};
    while (option_next(groups, &cursor)) {
        size_t length = strlen(cursor.option->name);
        if (used + length + 2 < sizeof names) {
            memcpy(names + used, cursor.option->name, length);
            used += length;
            names[used++] = '|';
        }
    }
    names[used > 0 ? used - 1 : 0] = '\0';
    size_t length = size < sizeof name - 1 ? size : sizeof name - 1;
    memcpy(name, word, length);
    name[length] = '\0';
    if (nearest_word(name, names, near, sizeof near) != NULL) {
        return weir_error_set(error, WEIR_USAGE, "there is no option %s; did you mean %s?", name,
                              near);
    }
    return weir_error_set(error, WEIR_USAGE,
                          "there is no option %s; --help lists those of this command", name);
}

/* The value of an option that has none behind an '=': the next word, unless that is an option. */
static weir_status next_value(const cli_group *groups, const cli_option *option, const char *next,
                              weir_error *error) {
    cli_cursor other;
    bool missing = next == NULL;
    if (!missing && strncmp(next, "--", 2) == 0) {
        bool text = option->kind == OPTION_TEXT || option->kind == OPTION_TEXTS;
        missing = !text || find_option(groups, next, strcspn(next, "="), &other);
    }
    if (missing) {
        bool joined = strncmp(option->name, "--", 2) == 0;
        return weir_error_set(error, WEIR_USAGE, "%s needs a value: %s%s%s", option->name,
                              option->name, joined ? "=" : " ", option->argument);
    }
    return WEIR_OK;
}

/* Take the option in argv[*i], and its value, which may be the next word. */
static weir_status take_option(const cli_group *groups, int argc, char **argv, int *i,
                               void *arguments, weir_error *error) {
    const char *word = argv[*i];
    size_t size = strcspn(word, "=");
    const char *value = word[size] == '=' ? word + size + 1 : NULL;
    cli_cursor found;
    if (!find_option(groups, word, size, &found)) {
        return unknown_option(groups, word, size, error);
    }
    const cli_option *option = found.option;
    if (option_given(&found, arguments) > 0 && option->kind != OPTION_TEXTS) {
        return weir_error_set(error, WEIR_USAGE, "%s is given twice: keep one", option->name);
    }
    if (option->kind == OPTION_FLAG) {
        if (value != NULL) {
            return weir_error_set(error, WEIR_USAGE, "%s takes no value: leave out \"=%s\"",
                                  option->name, value);
        }
        value = "";
    } else if (value == NULL) {
        value = *i + 1 < argc ? argv[*i + 1] : NULL;
        weir_status status = next_value(groups, option, value, error);
        if (status != WEIR_OK) {
            return status;
        }
        (*i)++;
    }
    return option_parse_value(option, value, (char *)arguments + found.at, error);
}

weir_status options_parse(const cli_group *groups, int argc, char **argv, void *arguments,
                          const char **rest, int rest_max, weir_error *error) {
    int rest_count = 0;
    bool options_end = false;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (!options_end && strcmp(word, "--") == 0) {
            options_end = true;
        } else if (!options_end && word[0] == '-' && word[1] != '\0') {
            weir_status status = take_option(groups, argc, argv, &i, arguments, error);
            if (status != WEIR_OK) {
                return status;
            }
        } else if (rest_count == rest_max) {
            return weir_error_set(error, WEIR_USAGE,
                                  "\"%.60s\" is one word too many: quote a text that has spaces",
                                  word);
        } else {
            rest[rest_count++] = word;
        }
    }
    return WEIR_OK;
}
