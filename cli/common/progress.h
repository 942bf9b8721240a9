/* How far long work has come: one line on stderr, rewritten, when that is a terminal. */
#ifndef WEIR_CLI_PROGRESS_H
#define WEIR_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct cli_progress {
    const char *title;  /* "reading" */
    bool shown;         /* stderr is a terminal */
    bool on_screen;     /* a line stands there */
    double begun, last; /* seconds */
} cli_progress;

void progress_begin(cli_progress *progress, const char *title);
/* `total` 0: unknown. `unit`: "tokens". */
void progress_show(cli_progress *progress, int64_t done, int64_t total, const char *unit);
/* For calls that report and may be told to end (`context`: a cli_progress): false after Ctrl-C. */
bool progress_bytes(void *context, int64_t done, int64_t total);
bool progress_questions(void *context, int64_t done, int64_t total);
void progress_clear(cli_progress *progress);

/* Seconds since an arbitrary moment. */
double now_seconds(void);

#endif
