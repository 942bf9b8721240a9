#include "http/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/address.h"
#include "http/deadline.h"
#include "http/origin.h"
#include "http/refusal.h"
#include "http/route.h"
#include "parts/clock.h"
#include "parts/log.h"
#include "parts/text_buffer.h"

#define HEADER_BYTES (32u << 10) /* of one connection: request line and headers */
#define SEND_BYTES (16u << 10)
#define PEM_BYTES (1u << 20)     /* of a chain of certificates, or a key */
#define SOCKET_BYTES (128 << 10) /* on their way to a client */

struct server_http {
    struct MHD_Daemon *daemon;
    const http_route *routes;
    server_auth *auth;
    server_metrics *metrics;
    void (*arrived)(void *context);
    void *arrived_context;
    void *server;
    size_t most_body;
    unsigned timeout; /* seconds */
    server_origin origin;
    server_deadlines *deadlines;
    int port;
    int listening; /* once no new connections are taken; -1 before */
    pthread_mutex_t lock;
    struct http_exchange *exchanges; /* all that are under way */
};

/* One request and its answer. */
typedef struct http_exchange {
    struct http_exchange *next, *before;
    server_http *http;
    struct MHD_Connection *connection;
    http_request request;
    route_match match;
    const char *method; /* of the table, or "other" */
    text_buffer body;
    bool handled; /* the handler ran, or the request was refused */
    bool arrives;
    double begun;
    deadline *deadline; /* of its connection */
} http_exchange;

/* ---- sleeping and waking --------------------------------------------------------------------- */

static void sleep_connection(void *context) {
    MHD_suspend_connection(((http_exchange *)context)->connection);
}

static void wake_connection(void *context) {
    MHD_resume_connection(((http_exchange *)context)->connection);
}

static int socket_of(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info != NULL ? info->connect_fd : -1;
}

/* ---- the life of an exchange ----------------------------------------------------------------- */

static void link_exchange(server_http *http, http_exchange *made) {
    pthread_mutex_lock(&http->lock);
    made->next = http->exchanges;
    if (made->next != NULL) {
        made->next->before = made;
    }
    http->exchanges = made;
    pthread_mutex_unlock(&http->lock);
}

static void unlink_exchange(http_exchange *exchange) {
    server_http *http = exchange->http;
    pthread_mutex_lock(&http->lock);
    if (exchange->next != NULL) {
        exchange->next->before = exchange->before;
    }
    *(exchange->before != NULL ? &exchange->before->next : &http->exchanges) = exchange->next;
    pthread_mutex_unlock(&http->lock);
}

static http_exchange *begin_exchange(server_http *http, struct MHD_Connection *connection,
                                     const char *method, const char *path) {
    http_exchange *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return NULL;
    }
    made->request.reply = reply_create();
    if (made->request.reply == NULL) {
        free(made);
        return NULL;
    }
    made->http = http;
    made->connection = connection;
    made->body.most = http->most_body;
    made->begun = clock_now();
    const union MHD_ConnectionInfo *own =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    made->deadline = own != NULL ? own->socket_context : NULL;
    made->request.server = http->server;
    route_find(http->routes, method, path, &made->match);
    made->method = made->match.route != NULL ? made->match.route->method : "other";
    for (int i = 0; i < HTTP_PARTS; i++) {
        made->request.parts[i] = made->match.parts[i];
    }
    reply_attach(made->request.reply,
                 &(reply_reader){sleep_connection, wake_connection, made, socket_of(connection)});
    link_exchange(http, made);
    return made;
}

static void count_request(http_exchange *exchange, int status) {
    server_metrics *metrics = exchange->http->metrics;
    atomic_llong *counter = status >= 500   ? &metrics->requests_5xx
                            : status >= 400 ? &metrics->requests_4xx
                                            : &metrics->requests_2xx;
    atomic_fetch_add(counter, 1);
    metrics_observe(&metrics->request_seconds, clock_now() - exchange->begun);
}

/* The connection is done with the request, answered or not. */
static void end_exchange(void *context, struct MHD_Connection *connection, void **own,
                         enum MHD_RequestTerminationCode code) {
    http_exchange *exchange = *own;
    (void)context, (void)code;
    if (exchange == NULL) {
        return;
    }
    *own = NULL;
    if (exchange->arrives) {
        MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT,
                                  exchange->http->timeout);
    }
    deadline_start(exchange->deadline);
    int status = reply_status(exchange->request.reply);
    count_request(exchange, status);
    log_request(exchange->method,
                exchange->match.route != NULL ? exchange->match.route->path : "none", status,
                clock_now() - exchange->begun, reply_sent(exchange->request.reply));
    unlink_exchange(exchange);
    if (exchange->request.inlet != NULL) {
        inlet_detach(exchange->request.inlet);
        inlet_finish(exchange->request.inlet, false);
        inlet_release(exchange->request.inlet);
    }
    reply_detach(exchange->request.reply);
    exchange->http->arrived(exchange->http->arrived_context);
    reply_release(exchange->request.reply);
    text_free(&exchange->body);
    free(exchange);
}

/* ---- answers --------------------------------------------------------------------------------- */

static ssize_t read_reply(void *context, uint64_t position, char *out, size_t capacity) {
    http_exchange *exchange = context;
    (void)position;
    long size = reply_read(exchange->request.reply, out, capacity);
    return size == -1   ? MHD_CONTENT_READER_END_OF_STREAM
           : size == -2 ? MHD_CONTENT_READER_END_WITH_ERROR
                        : (ssize_t)size;
}

static void add_headers(struct MHD_Response *response, const reply_head *head) {
    MHD_add_response_header(response, "Content-Type", head->type);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    for (int i = 0; i < head->headers; i++) {
        MHD_add_response_header(response, head->header[i].name, head->header[i].value);
    }
}

/* Send what the reply holds, or sleep until it begins. */
static enum MHD_Result answer(http_exchange *exchange) {
    reply_head head;
    if (!reply_begun(exchange->request.reply, &head)) {
        return MHD_YES;
    }
    if (head.status == 0) {
        return MHD_NO; /* the client has gone */
    }
    struct MHD_Response *response = MHD_create_response_from_callback(
        head.whole ? head.size : MHD_SIZE_UNKNOWN, SEND_BYTES, read_reply, exchange, NULL);
    if (response == NULL) {
        return MHD_NO;
    }
    add_headers(response, &head);
    enum MHD_Result queued =
        MHD_queue_response(exchange->connection, (unsigned)head.status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result refuse_now(http_exchange *exchange, int status, const char *code,
                                  const char *message) {
    exchange->handled = true;
    refuse(exchange->request.reply, status, code, message);
    return answer(exchange);
}

/* ---- requests -------------------------------------------------------------------------------- */

static const char *header(http_exchange *exchange, const char *name) {
    return MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, name);
}

static bool is_json(http_exchange *exchange) {
    const char *type = header(exchange, "Content-Type");
    return type != NULL && strncasecmp(type, REPLY_JSON, sizeof REPLY_JSON - 1) == 0;
}

static enum MHD_Result add_argument(void *context, enum MHD_ValueKind kind, const char *name,
                                    const char *text) {
    char *end = NULL;
    (void)kind;
    errno = 0;
    long long number = text != NULL ? strtoll(text, &end, 10) : 0;
    bool whole = text != NULL && *text != '\0' && *end == '\0' && errno == 0;
    json_t *value = whole ? json_integer(number) : json_any_text(text, text ? strlen(text) : 0);
    if (json_object_set_new(context, name, value) != 0) {
        json_object_set_new(context, "?", json_null()); /* a name that is none, and is refused */
    }
    return MHD_YES;
}

json_t *http_arguments(const http_request *request) {
    const http_exchange *exchange =
        (const http_exchange *)((const char *)request - offsetof(http_exchange, request));
    json_t *made = json_object();
    MHD_get_connection_values(exchange->connection, MHD_GET_ARGUMENT_KIND, add_argument, made);
    return made;
}

/* What can be said before the body; *refused: an answer is on its way. */
static enum MHD_Result check_request(http_exchange *exchange, bool *refused) {
    const http_route *route = exchange->match.route;
    const char *length = header(exchange, "Content-Length");
    *refused = true;
    if (!origin_allows(&exchange->http->origin, header(exchange, "Origin"),
                       header(exchange, "Host"))) {
        return refuse_now(exchange, 403, "foreign_origin",
                          "a page from elsewhere may not use this server (--origin names one that "
                          "may)");
    }
    if (route == NULL && !exchange->match.path_known) {
        return refuse_now(exchange, 404, "not_found", "there is nothing under this path");
    }
    if (route == NULL) {
        return refuse_now(exchange, 405, "method_not_allowed", "this path has no such method");
    }
    if (!route->open && !auth_allows(exchange->http->auth, header(exchange, "Authorization"))) {
        return refuse_now(exchange, 401, "invalid_api_key",
                          "a valid key is needed: Authorization: Bearer KEY");
    }
    exchange->arrives = route->body == BODY_ARRIVES && !is_json(exchange);
    if (!exchange->arrives && length != NULL &&
        strtoull(length, NULL, 10) > exchange->http->most_body) {
        return refuse_now(exchange, 413, "body_too_large",
                          "the body is larger than this server takes (--max-body); a text that is "
                          "no JSON may have any length");
    }
    *refused = false;
    return MHD_YES;
}

static void handle(http_exchange *exchange) {
    exchange->handled = true;
    deadline_stop(exchange->deadline);
    exchange->request.body = exchange->body.data != NULL ? exchange->body.data : "";
    exchange->request.size = exchange->body.size;
    exchange->match.route->handle(&exchange->request);
}

static enum MHD_Result begin_arriving(http_exchange *exchange) {
    server_http *http = exchange->http;
    server_inlet *made = inlet_create(http->arrived, http->arrived_context);
    if (made == NULL) {
        return MHD_NO;
    }
    inlet_attach(made, &(inlet_source){sleep_connection, wake_connection, exchange});
    exchange->request.inlet = made;
    /* whoever follows a log may be silent for hours; one that is dead is found by the system */
    MHD_set_connection_option(exchange->connection, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
    handle(exchange);
    return MHD_YES;
}

/* A piece of the body. What is too large is swallowed, and refused at its end. */
static enum MHD_Result take_body(http_exchange *exchange, const char *data, size_t *size) {
    if (exchange->arrives && !reply_has_begun(exchange->request.reply)) {
        *size -= inlet_put(exchange->request.inlet, data, *size);
        return MHD_YES;
    }
    if (!exchange->handled && exchange->match.route->body != BODY_NONE) {
        text_add(&exchange->body, data, *size);
    }
    *size = 0;
    return MHD_YES;
}

static enum MHD_Result finish_body(http_exchange *exchange) {
    if (exchange->arrives) {
        inlet_finish(exchange->request.inlet, true);
    } else if (!exchange->handled && exchange->body.failed) {
        return refuse_now(exchange, 413, "body_too_large",
                          "the body is larger than this server takes (--max-body)");
    } else if (!exchange->handled) {
        handle(exchange);
    }
    return answer(exchange);
}

static enum MHD_Result take_request(void *context, struct MHD_Connection *connection,
                                    const char *path, const char *method, const char *version,
                                    const char *data, size_t *size, void **own) {
    server_http *http = context;
    http_exchange *exchange = *own;
    (void)version;
    if (exchange == NULL) {
        bool refused;
        *own = exchange = begin_exchange(http, connection, method, path);
        if (exchange == NULL) {
            return MHD_NO;
        }
        enum MHD_Result result = check_request(exchange, &refused);
        return !refused && exchange->arrives ? begin_arriving(exchange) : result;
    }
    return *size > 0 ? take_body(exchange, data, size) : finish_body(exchange);
}

/* ---- life ------------------------------------------------------------------------------------ */

/* The system finds those that are dead, and holds little of what nobody reads. */
static void prepare_socket(int fd) {
    int yes = 1, most = SOCKET_BYTES;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &most, sizeof most);
}

static void count_connection(void *context, struct MHD_Connection *connection, void **own,
                             enum MHD_ConnectionNotificationCode code) {
    server_http *http = context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        prepare_socket(socket_of(connection));
        *own = deadline_begin(http->deadlines, socket_of(connection));
    } else {
        deadline_end(*own);
    }
    atomic_fetch_add(&http->metrics->connections, code == MHD_CONNECTION_NOTIFY_STARTED ? 1 : -1);
}

static weir_status start(server_http *http, const server_settings *settings,
                         const server_address *at, const char *certificate, const char *key,
                         weir_error *error) {
    /* poll, not epoll: whoever closes while a part of its body is read is seen at once */
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_ALLOW_SUSPEND_RESUME |
                     (at->ipv6 ? MHD_USE_IPv6 : 0) | (certificate != NULL ? MHD_USE_TLS : 0);
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)certificate},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)key},
        {MHD_OPTION_END, 0, NULL},
    };
    struct MHD_OptionItem *more = certificate != NULL ? tls : tls + 2;
    http->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, take_request, http, MHD_OPTION_SOCK_ADDR, &at->socket,
        MHD_OPTION_NOTIFY_COMPLETED, end_exchange, http, MHD_OPTION_NOTIFY_CONNECTION,
        count_connection, http, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_BYTES,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)settings->connections, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)settings->timeout, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_ARRAY, more,
        MHD_OPTION_END);
    if (http->daemon == NULL) {
        return weir_error_set(error, WEIR_IO, "%s: cannot listen there: %s", settings->listen,
                              errno != 0 ? strerror(errno) : "the TLS files do not fit");
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_BIND_PORT);
    http->port = info != NULL ? info->port : 0;
    return WEIR_OK;
}

static weir_status listen_there(server_http *http, const server_settings *settings,
                                weir_error *error) {
    server_address at;
    text_buffer certificate = {.most = PEM_BYTES}, key = {.most = PEM_BYTES};
    weir_status status = address_parse(settings->listen, &at, error);
    http->origin = (server_origin){settings->origin, at.loopback && settings->api_key_file == NULL};
    if (status == WEIR_OK) {
        status = deadlines_create((double)settings->timeout, settings->connections,
                                  &http->deadlines, error);
    }
    if (status == WEIR_OK && settings->tls_certificate != NULL) {
        status = text_add_file(&certificate, settings->tls_certificate, error);
    }
    if (status == WEIR_OK && settings->tls_key != NULL) {
        status = text_add_file(&key, settings->tls_key, error);
    }
    if (status == WEIR_OK) {
        status = start(http, settings, &at, certificate.data, key.data, error);
    }
    text_free(&certificate);
    text_free(&key);
    return status;
}

weir_status http_create(const server_settings *settings, const http_route *routes,
                        server_auth *auth, server_metrics *metrics, void (*arrived)(void *context),
                        void *arrived_context, void *server, server_http **out, weir_error *error) {
    server_http *made = calloc(1, sizeof *made);
    *out = NULL;
    if (made == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for connections");
    }
    made->routes = routes;
    made->listening = -1;
    made->auth = auth;
    made->metrics = metrics;
    made->arrived = arrived;
    made->arrived_context = arrived_context;
    made->server = server;
    made->most_body = (size_t)settings->body;
    made->timeout = (unsigned)settings->timeout;
    pthread_mutex_init(&made->lock, NULL);
    weir_status status = listen_there(made, settings, error);
    if (status != WEIR_OK) {
        http_destroy(made, 0);
        return status;
    }
    *out = made;
    return WEIR_OK;
}

int http_port(const server_http *http) { return http->port; }

void http_quiesce(server_http *http) {
    http->listening = MHD_quiesce_daemon(http->daemon);
    if (http->listening >= 0) {
        shutdown(http->listening, SHUT_RDWR); /* closed when no thread can use it any more */
    }
}

/* A connection that sleeps would never be closed. */
static void wake_all(server_http *http) {
    pthread_mutex_lock(&http->lock);
    for (http_exchange *at = http->exchanges; at != NULL; at = at->next) {
        reply_leave(at->request.reply);
        if (at->request.inlet != NULL) {
            inlet_close(at->request.inlet);
        }
    }
    pthread_mutex_unlock(&http->lock);
}

static bool is_idle(server_http *http) {
    pthread_mutex_lock(&http->lock);
    bool idle = http->exchanges == NULL;
    pthread_mutex_unlock(&http->lock);
    return idle;
}

void http_destroy(server_http *http, double seconds) {
    if (http == NULL) {
        return;
    }
    if (http->daemon != NULL) {
        /* answers that are whole have that long to be sent, and a moment in any case */
        for (int i = 0; i < 20 * (seconds > 1 ? seconds : 1) && !is_idle(http); i++) {
            usleep(50000);
        }
        for (int i = 0; i < 100 && !is_idle(http); i++) {
            wake_all(http);
            usleep(10000);
        }
        MHD_stop_daemon(http->daemon);
    }
    if (http->listening >= 0) {
        close(http->listening);
    }
    deadlines_destroy(http->deadlines);
    pthread_mutex_destroy(&http->lock);
    free(http);
}
