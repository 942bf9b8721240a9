/* A server for tests and measurements: a process that says on stdout where it listens. */
#ifndef WEIR_TESTS_TEST_SERVER_H
#define WEIR_TESTS_TEST_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

typedef struct test_server {
    char *const *command; /* of `weir serve`, NULL at its end */
    const char *log;      /* a file for its stderr, added to; NULL: it goes where ours goes */
    pid_t pid;            /* 0: none */
    int port;
    int out; /* its stdout */
} test_server;

/* Start the process; false: it cannot be. */
bool server_begin(test_server *server);
/* Wait until it listens; false: it ended instead. */
bool server_ready(test_server *server);
/* Send a signal, and wait for the end: the status of waitpid. */
int server_end(test_server *server, int signal);

#endif
