/* From the words of a command line to numbers, lists and choices, with one sentence when not. */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/option.h"

typedef struct interval {
    double low, high;
    bool low_open, high_open;
} interval;

/* "[1,inf)", "(0,1]": an infinite end is open. */
static interval parse_interval(const char *range) {
    interval in = {-HUGE_VAL, HUGE_VAL, true, true};
    if (range != NULL) {
        char *end;
        in.low_open = range[0] == '(';
        in.low = strtod(range + 1, &end);
        assert(*end == ',');
        in.high = strtod(end + 1, &end);
        assert(*end == ')' || *end == ']');
        in.high_open = *end == ')';
    }
    return in;
}

static bool inside(interval in, double x) {
    return (in.low_open ? x > in.low : x >= in.low) && (in.high_open ? x < in.high : x <= in.high);
}

/* "a whole number from 1 to 256", "a number above 0 and at most 1". */
static void describe_number(bool whole, const char *range, char *out, size_t capacity) {
    interval in = parse_interval(range);
    const char *noun = whole ? "a whole number" : "a number";
    bool low = isfinite(in.low), high = isfinite(in.high);
    if (low && high && !in.low_open && !in.high_open) {
        snprintf(out, capacity, "%s from %.15g to %.15g", noun, in.low, in.high);
    } else if (low && high) {
        snprintf(out, capacity, "%s %s %.15g and %s %.15g", noun, in.low_open ? "above" : "from",
                 in.low, in.high_open ? "below" : "at most", in.high);
    } else if (low) {
        snprintf(out, capacity, "%s %s %.15g", noun, in.low_open ? "above" : "of at least", in.low);
    } else {
        snprintf(out, capacity, "%s", noun);
    }
}

static weir_status wrong_number(const cli_option *option, bool whole, const char *text,
                                weir_error *error) {
    char wanted[128];
    describe_number(whole, option->range, wanted, sizeof wanted);
    return weir_error_set(error, WEIR_USAGE, "%s wants %s%s, not \"%.40s\"", option->name, wanted,
                          option->kind == OPTION_COUNTS ? ", or several joined by commas" : "",
                          text);
}

/* A whole number with an optional k, M or G; false when it is none or does not fit. */
static bool parse_whole(const char *text, int64_t thousand, int64_t *out) {
    const char *digits = text[0] == '-' || text[0] == '+' ? text + 1 : text;
    if (digits[0] < '0' || digits[0] > '9') { /* strtoll would take spaces too */
        return false;
    }
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    int powers = *end == 'k' || *end == 'K' ? 1 : *end == 'M' ? 2 : *end == 'G' ? 3 : 0;
    if (errno != 0 || end[powers > 0 ? 1 : 0] != '\0') {
        return false;
    }
    int64_t value = number;
    for (; powers > 0; powers--) {
        if (__builtin_mul_overflow(value, thousand, &value)) {
            return false;
        }
    }
    *out = value;
    return true;
}

static weir_status parse_count(const cli_option *option, const char *text, int64_t *out,
                               weir_error *error) {
    int64_t thousand = option->kind == OPTION_BYTES ? 1024 : 1000;
    if (!parse_whole(text, thousand, out) || !inside(parse_interval(option->range), (double)*out)) {
        return wrong_number(option, true, text, error);
    }
    return WEIR_OK;
}

static weir_status parse_real(const cli_option *option, const char *text, double *out,
                              weir_error *error) {
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    bool plain = strchr("0123456789.-+", text[0]) != NULL && text[0] != '\0';
    if (!plain || *end != '\0' || !isfinite(*out) || !inside(parse_interval(option->range), *out)) {
        return wrong_number(option, false, text, error);
    }
    return WEIR_OK;
}

/* The place of `text` among "a|b|c". */
static weir_status parse_word(const cli_option *option, const char *text, int64_t *place,
                              weir_error *error) {
    size_t size = strlen(text);
    *place = 0;
    for (const char *word = option->words;; ++*place) {
        size_t length = strcspn(word, "|");
        if (length == size && memcmp(word, text, size) == 0) {
            return WEIR_OK;
        }
        if (word[length] == '\0') {
            break;
        }
        word += length + 1;
    }
    char listed[256];
    snprintf(listed, sizeof listed, "%s", option->words);
    for (char *bar = listed; (bar = strchr(bar, '|')) != NULL;) {
        *bar = ' ';
    }
    return weir_error_set(error, WEIR_USAGE, "%s knows no \"%.40s\"; it takes one of: %s",
                          option->name, text, listed);
}

static weir_status parse_list(const cli_option *option, const char *text, cli_list *list,
                              weir_error *error) {
    list->given = 1;
    for (const char *item = text;; item++) {
        size_t size = strcspn(item, ",");
        char word[64];
        if (list->size == OPTION_LIST_MAX) {
            return weir_error_set(error, WEIR_USAGE, "%s takes at most %d values in one call",
                                  option->name, OPTION_LIST_MAX);
        }
        snprintf(word, sizeof word, "%.*s", (int)(size < 63 ? size : 63), item);
        int64_t *out = &list->items[list->size];
        weir_status status = option->kind == OPTION_COUNTS ? parse_count(option, word, out, error)
                                                           : parse_word(option, word, out, error);
        if (status != WEIR_OK) {
            return status;
        }
        list->size++;
        item += size;
        if (*item == '\0') {
            return WEIR_OK;
        }
    }
}

/* "100", "100lines" or "30s". */
static weir_status parse_period(const cli_option *option, const char *text, cli_value *value,
                                weir_error *error) {
    char number[32];
    size_t size = strspn(text, "0123456789");
    const char *unit = text + size;
    bool seconds = strcmp(unit, "s") == 0;
    snprintf(number, sizeof number, "%.*s", (int)(size < 31 ? size : 31), text);
    if ((!seconds && *unit != '\0' && strcmp(unit, "lines") != 0) ||
        !parse_whole(number, 1000, &value->count) || value->count < 1 ||
        value->count > 1000000000) {
        return weir_error_set(error, WEIR_USAGE,
                              "%s wants a number of lines or of seconds, as in 100lines or 30s, "
                              "not \"%.40s\"",
                              option->name, text);
    }
    value->text = seconds ? "s" : "lines";
    return WEIR_OK;
}

static weir_status add_text(const cli_option *option, const char *text, cli_texts *texts,
                            weir_error *error) {
    if (texts->given == OPTION_TEXTS_MAX) {
        return weir_error_set(error, WEIR_USAGE, "%s can be given %d times at most", option->name,
                              OPTION_TEXTS_MAX);
    }
    texts->items[texts->given++] = text;
    return WEIR_OK;
}

weir_status option_parse_value(const cli_option *option, const char *text, void *target,
                               weir_error *error) {
    if (option->kind == OPTION_TEXTS) {
        return add_text(option, text, target, error);
    }
    if (option->kind == OPTION_COUNTS || option->kind == OPTION_WORDS) {
        return parse_list(option, text, target, error);
    }
    cli_value *value = target;
    value->given = 1;
    value->text = text;
    switch (option->kind) {
    case OPTION_COUNT:
    case OPTION_BYTES:
        return parse_count(option, text, &value->count, error);
    case OPTION_REAL:
        return parse_real(option, text, &value->real, error);
    case OPTION_WORD:
        return parse_word(option, text, &value->count, error);
    case OPTION_PERIOD:
        return parse_period(option, text, value, error);
    default:
        return WEIR_OK;
    }
}
