/* What a server is told when it starts. */
#ifndef WEIR_SERVER_SETTINGS_H
#define WEIR_SERVER_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "weir/stream.h"

typedef struct server_settings {
    const char *listen;                    /* "127.0.0.1:8080", "[::1]:0"; port 0: any free one */
    const char *api_key_file;              /* one key a line; NULL: no key is asked for */
    const char *origin;                    /* of pages that may ask too; NULL: only our own */
    const char *tls_certificate, *tls_key; /* PEM files; NULL: plain HTTP */
    const char *store;                     /* folder; NULL: streams live in memory alone */
    bool power_safe;                       /* what was stored survives a loss of power too */
    int64_t idle;                          /* seconds after which a stored stream leaves memory */
    weir_stream_options stream;            /* of streams whose requests say nothing */
    int32_t streams;                       /* that one step computes together, at most */
    int64_t rows;                          /* tokens of a step, at most; 0: the batch's default */
    int32_t threads;                       /* 0: one per CPU */
    int64_t memory;      /* bytes of streams and batch together; 0: most of what is free */
    int64_t queue;       /* requests that wait for their turn, at most */
    int64_t connections; /* at once */
    int64_t body;        /* bytes of a JSON body, at most */
    int64_t most_tokens; /* that one request may make */
    int64_t timeout;     /* seconds of silence after which a connection is closed, and that a
                            request waits for its turn */
    int64_t kept;        /* streams of requests that have ended, kept for others that begin alike;
                            0: nothing is shared */
    int64_t drain;       /* seconds that work under way has after SIGTERM */
    bool quiet;          /* no log */
} server_settings;

server_settings server_settings_default(void);

#endif
