/*
 * A command is a row of data: its name, its help, its option tables and one function.
 *
 * To add one: write cli/FOLDER/NAME.c with a `const cli_command NAME_command`, declare it below,
 * and list it in the array of main.c and in meson.build.
 */
#ifndef WEIR_CLI_COMMAND_H
#define WEIR_CLI_COMMAND_H

#include "common/option.h"

typedef struct cli_command cli_command;

/* One call of a command. */
typedef struct cli_call {
    const cli_command *command;
    const char *model; /* path; NULL where the command takes none */
    const char *out;   /* the second word, of a command that takes one */
    bool json;         /* --json: one JSON object on stdout and nothing else there */
    bool working;      /* everything that was asked for has been checked and work has begun */
} cli_call;

struct cli_command {
    const char *name;
    const char *synopsis;    /* what follows the name: "MODEL.gguf --text FILE [options]" */
    const char *summary;     /* one line, for the list of commands */
    const char *notes;       /* more, for --help; may be NULL */
    const cli_group *groups; /* ends with a zero title */
    size_t arguments_size;   /* of the struct that the groups fill; zeroed first */
    int (*run)(cli_call *call, void *arguments); /* returns an exit status */
    bool takes_model;
    bool takes_out; /* a second word: the file to write */
    bool hidden;    /* works, but is not listed */
};

extern const cli_command run_command;
extern const cli_command chat_command;
extern const cli_command serve_command;
extern const cli_command eval_command;
extern const cli_command streameval_command;
extern const cli_command cloze_command;
extern const cli_command plot_command;
extern const cli_command probe_command;
extern const cli_command bench_command;
extern const cli_command train_command;
extern const cli_command convert_command;
extern const cli_command quantize_command;
extern const cli_command embed_command;
extern const cli_command tokenize_command;
extern const cli_command info_command;
extern const cli_command plan_command;
extern const cli_command logits_command;
extern const cli_command make_random_command;

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

/* Say what went wrong, in one sentence on stderr, and as {"error":...} on stdout with --json. An
 * empty message says nothing: the reader of stdout has gone. Returns the exit status: usage for
 * what the caller asked wrongly, and for a limit met before work began. */
int report(const cli_call *call, const weir_error *error);
/* The same after what there is has been shown. `failed`: why the work ended early (with --json it
 * stands in the object that was printed), or NULL; `unshown`: why showing failed, or NULL. */
int report_beside(const cli_call *call, const weir_error *failed, const weir_error *unshown);

#endif
