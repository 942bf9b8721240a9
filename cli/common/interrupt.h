/*
 * Ctrl-C: a signal cancels the call that is running on the watched stream and leaves a note; the
 * command then ends in order (it saves what it was asked to save) with status 130.
 */
#ifndef WEIR_CLI_INTERRUPT_H
#define WEIR_CLI_INTERRUPT_H

#include <stdbool.h>

#include "weir/stream.h"

/* Catch SIGINT, SIGTERM and, unless nohup ignores it, SIGHUP. `patient`: as often as they come;
 * otherwise a second one ends the program at once. */
void interrupt_catch(bool patient);

/* The stream that a signal cancels; NULL: none. Returns the one before. */
weir_stream *interrupt_watch(weir_stream *stream);

bool interrupted(void);
void interrupt_forget(void);

/* Whether SIGTERM or SIGHUP was among the signals: the program should end, not only the answer. */
bool interrupted_for_good(void);

/* Wait until `fd` can be read: 1; or until `seconds` have passed (negative: for ever): 0; or until
 * a signal comes, or has come already: -1. */
int interrupt_wait(int fd, double seconds);

#endif
