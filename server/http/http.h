/*
 * HTTP: connections, and from them to requests; the one file that knows libmicrohttpd.
 *
 * One thread serves all connections and never waits for the model: a request is parsed, handed to
 * the worker, and its connection sleeps until the reply wakes it. Everything that a client sends is
 * bounded: headers, body, connections, silence.
 */
#ifndef WEIR_SERVER_HTTP_H
#define WEIR_SERVER_HTTP_H

#include "http/auth.h"
#include "http/inlet.h"
#include "http/reply.h"
#include "parts/json.h"
#include "parts/metrics.h"
#include "parts/settings.h"

#define HTTP_PARTS 2 /* variable parts of a path */

typedef struct http_request {
    void *server;                  /* http_create's context */
    const char *parts[HTTP_PARTS]; /* "/v1/streams/:/marks/:": what stands for each colon */
    const char *body;              /* whole; "" without one; unless: */
    size_t size;
    server_inlet *inlet; /* the body as it arrives, for a handler that shares it; NULL: whole */
    server_reply *reply; /* the handler answers, or shares it with somebody who will */
} http_request;

typedef enum http_body {
    BODY_NONE,
    BODY_WHOLE,  /* gathered, then handled */
    BODY_ARRIVES /* JSON is gathered; anything else is handled while it arrives */
} http_body;

typedef struct http_route {
    const char *method, *path; /* a colon stands for one part: "/v1/streams/:" */
    http_body body;
    bool open; /* needs no key */
    void (*handle)(http_request *request);
} http_route;

/* What stands behind the path's question mark: strings, or whole numbers where they look like one.
 * The caller gives it back with json_decref. */
json_t *http_arguments(const http_request *request);

typedef struct server_http server_http;

/* `routes` ends with a zero method. Listening has begun when it returns. */
weir_status http_create(const server_settings *settings, const http_route *routes,
                        server_auth *auth, server_metrics *metrics, void (*arrived)(void *context),
                        void *arrived_context, void *server, server_http **out, weir_error *error);
int http_port(const server_http *http);
/* No new connections; those that are there go on. */
void http_quiesce(server_http *http);
/* Everything is closed, once what is answered has been sent or `seconds` have passed; whoever still
 * waits is cut off. NULL is allowed. */
void http_destroy(server_http *http, double seconds);

#endif
