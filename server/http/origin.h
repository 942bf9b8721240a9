/*
 * From which pages a browser may ask: those of this server alone, and of one origin that the server
 * is told of. A page from elsewhere can make a browser send requests, with or without a look at the
 * answers; and a name of its own can be made to lead here. Both show in the headers Origin and
 * Host.
 */
#ifndef WEIR_SERVER_ORIGIN_H
#define WEIR_SERVER_ORIGIN_H

#include <stdbool.h>

typedef struct server_origin {
    const char *allowed; /* "https://weir.example.org"; NULL: none */
    bool local; /* only names of this machine lead here: loopback, and no key is asked for */
} server_origin;

/* The values of both headers; NULL: without. */
bool origin_allows(const server_origin *rules, const char *origin, const char *host);

/* Whether it can be an origin: "http://host" or "https://host:port", and no more. */
bool origin_is_one(const char *text);

#endif
