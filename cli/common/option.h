/*
 * Options as data: a command lists what it takes in tables, one parser reads the command line, one
 * printer writes the help. A table's entry says where its value goes, as an offset into the
 * command's own struct of arguments, whose fields are cli_value, cli_list or cli_texts.
 *
 *     typedef struct { cli_value tokens; cli_texts stop; } my_arguments;
 *     static const cli_option my_options[] = {
 *         {"-n", OPTION_COUNT, "N", .at = offsetof(my_arguments, tokens), .range = "[1,inf)",
 *          .help = "tokens to make (default 256)"},
 *         {0},
 *     };
 */
#ifndef WEIR_CLI_OPTION_H
#define WEIR_CLI_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/status.h"

#define OPTION_LIST_MAX 16
#define OPTION_TEXTS_MAX 1024

typedef enum cli_kind {
    OPTION_FLAG,   /* cli_value: given */
    OPTION_COUNT,  /* cli_value: count; k, M and G are powers of 1000 */
    OPTION_BYTES,  /* cli_value: count; k, M and G are powers of 1024 */
    OPTION_REAL,   /* cli_value: real */
    OPTION_TEXT,   /* cli_value: text */
    OPTION_WORD,   /* cli_value: text, and count: its place in `words` */
    OPTION_PERIOD, /* cli_value: count, and text: "lines" or "s" */
    OPTION_COUNTS, /* cli_list of counts: "60,124,252" */
    OPTION_WORDS,  /* cli_list of places in `words`: "dense,sink" */
    OPTION_TEXTS   /* cli_texts; the only kind that may be given again */
} cli_kind;

typedef struct cli_value {
    int given; /* how often; 0: the default holds */
    int64_t count;
    double real;
    const char *text; /* borrowed from argv or a table */
} cli_value;

typedef struct cli_list {
    int given;
    int size;
    int64_t items[OPTION_LIST_MAX];
} cli_list;

typedef struct cli_texts {
    int given; /* items */
    const char *items[OPTION_TEXTS_MAX];
} cli_texts;

typedef struct cli_option {
    const char *name; /* with its dashes: "--window" */
    cli_kind kind;
    const char *argument; /* the value's name in help: "N" */
    size_t at;            /* offset into the arguments */
    const char *range;    /* of numbers, as mathematicians do, in digits: "[1,inf)"; NULL: any */
    const char *words;    /* of words: "dense|window|sink" */
    const char *help;     /* one line, with the default */
    unsigned policies;    /* bits 1 << weir_policy to which it applies; 0: all */
    bool begins;          /* shapes a new stream: does not apply to one that is loaded */
} cli_option;

typedef struct cli_group {
    const char *title;         /* in help */
    const cli_option *options; /* ends with a zero name */
    size_t at;                 /* offset of the group's part in the command's arguments */
} cli_group;

/* The options of all groups (the list ends with a zero title), walked in order. */
typedef struct cli_cursor {
    const cli_group *group;
    const cli_option *option;
    size_t at; /* where the current option's value is, in the arguments */
} cli_cursor;
bool option_next(const cli_group *groups, cli_cursor *cursor); /* start with {0} */

/* How often the option under the cursor was given. */
int option_given(const cli_cursor *cursor, const void *arguments);

/* Fill `arguments` (zeroed by the caller) from the words after the command; words that are no
 * options go to `rest`, at most `rest_max`. WEIR_USAGE and one sentence with the remedy. */
weir_status options_parse(const cli_group *groups, int argc, char **argv, void *arguments,
                          const char **rest, int rest_max, weir_error *error);

/* Parse one value; `text` is never NULL. */
weir_status option_parse_value(const cli_option *option, const char *text, void *value,
                               weir_error *error);

/* "--window N" and what it does, for every option of every group, on standard output. */
void options_print_help(const cli_group *groups);

/* The word of `words` ("a|b|c", or a list of names joined so) that is most like `word`, or NULL
 * when none is near; the answer lies in `out`. */
const char *nearest_word(const char *word, const char *words, char *out, size_t capacity);

#endif
