/*
 * A client of the server for tests and measurements: a request and its whole answer over a
 * connection of its own, in HTTP/1.0, so that the end of the connection ends the answer.
 */
#ifndef WEIR_TESTS_TEST_CLIENT_H
#define WEIR_TESTS_TEST_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct client_answer {
    int status; /* 0: none came */
    char *data; /* the answer, NUL-terminated; body: what follows its headers */
    const char *body;
    size_t size; /* of the body */
    bool whole;  /* as long as its headers say; unsaid: the connection ended in order */
} client_answer;

/* Called with what has come so far, whenever more came. False: no more is wanted. */
typedef bool client_watch(void *context, const client_answer *answer);

/* `path` "/…"; `type` and `body` NULL: none, and `size` bytes of it else. `watch` may be NULL.
 * Frees what the answer held before. False: no whole answer came. */
bool client_ask(int port, const char *method, const char *path, const char *type, const char *body,
                size_t size, client_watch *watch, void *context, client_answer *answer);
void client_free(client_answer *answer);

/* -1: refused. */
int client_dial(int port);

#endif
