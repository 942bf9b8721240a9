#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "api/handlers.h"
#include "http/address.h"
#include "http/origin.h"
#include "http/refusal.h"
#include "parts/clock.h"
#include "parts/log.h"
#include "streams/task.h"

server_settings server_settings_default(void) {
    return (server_settings){
        .listen = "127.0.0.1:8080",
        .stream = weir_stream_options_default(),
        .streams = 64,
        .queue = 64,
        .connections = 256,
        .body = 4 << 20,
        .most_tokens = 65536,
        .timeout = 60,
        .kept = 16,
        .drain = 30,
        .idle = 600,
    };
}

/* ---- what handlers share --------------------------------------------------------------------- */

json_t *handler_body(http_request *request) {
    weir_error error;
    json_t *object =
        request->size == 0 ? json_object() : json_object_of(request->body, request->size, &error);
    if (object == NULL) {
        refuse_error(request->reply, &error);
    }
    return object;
}

void handler_begin_job(http_request *request, server_job *job,
                       job_end (*run)(server_worker *worker, struct server_job *job,
                                      weir_error *error),
                       void (*free)(struct server_job *job)) {
    struct server_state *server = request->server;
    job->run = run;
    job->free = free;
    job->reply = reply_share(request->reply);
    job->deadline = clock_now() + (double)server->settings.timeout;
}

void handler_no_memory(http_request *request) {
    refuse(request->reply, 503, "MEMORY", "no memory for a request");
}

/* ---- life ------------------------------------------------------------------------------------ */

/* The file's name without its folder and without .gguf. */
static void name_model(struct server_state *server) {
    const char *path = weir_model_get_info(server->model)->path;
    const char *slash = strrchr(path, '/');
    snprintf(server->model_name, sizeof server->model_name, "%s", slash != NULL ? slash + 1 : path);
    char *end = strstr(server->model_name, ".gguf");
    if (end != NULL && end[5] == '\0') {
        *end = '\0';
    }
}

static weir_status check_address(const server_settings *settings, weir_error *error) {
    server_address at;
    weir_status status = address_parse(settings->listen, &at, error);
    if (status == WEIR_OK && !at.loopback && settings->api_key_file == NULL) {
        return weir_error_set(error, WEIR_USAGE,
                              "--listen %s can be reached by others: give --api-key-file FILE, or "
                              "listen on 127.0.0.1",
                              settings->listen);
    }
    if (status == WEIR_OK && settings->origin != NULL && !origin_is_one(settings->origin)) {
        return weir_error_set(error, WEIR_USAGE,
                              "--origin wants a scheme, a host and no path, as in "
                              "https://weir.example.org, not \"%.80s\"",
                              settings->origin);
    }
    if (status == WEIR_OK && (settings->tls_certificate == NULL) != (settings->tls_key == NULL)) {
        return weir_error_set(error, WEIR_USAGE, "--tls-certificate and --tls-key belong together");
    }
    return status;
}

/* Besides connections: the store, what is being read, the listening socket. */
#define OWN_FILES 64

/* As many open files as connections need, if the system lets us. */
static weir_status allow_files(const server_settings *settings, weir_error *error) {
    struct rlimit files;
    const rlim_t wanted = (rlim_t)settings->connections + OWN_FILES;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= wanted) {
        return WEIR_OK;
    }
    if (files.rlim_max < wanted) {
        return weir_error_set(error, WEIR_USAGE,
                              "--connections %lld needs %lld open files, and this process may have "
                              "%lld (ulimit -Hn; LimitNOFILE= of a service)",
                              (long long)settings->connections, (long long)wanted,
                              (long long)files.rlim_max);
    }
    files.rlim_cur = wanted;
    setrlimit(RLIMIT_NOFILE, &files);
    return WEIR_OK;
}

/* An encoder has no worker: what it computes in must fit by itself. */
static weir_status plan_encoder(struct server_state *server, weir_error *error) {
    const int64_t bytes = embeddings_bytes(server->embeddings), limit = server->settings.memory;
    if (limit > 0 && bytes > limit) {
        return weir_error_set(error, WEIR_LIMIT,
                              "embeddings take %lld bytes, more than the %lld of --memory",
                              (long long)bytes, (long long)limit);
    }
    embeddings_give_room(server->embeddings);
    atomic_store(&server->metrics.memory_planned_bytes, bytes);
    atomic_store(&server->metrics.memory_limit_bytes, limit > 0 ? limit : bytes);
    return WEIR_OK;
}

/* Those who compute, then those who ask them to. */
static weir_status open_threads(struct server_state *server, weir_error *error) {
    const server_settings *settings = &server->settings;
    bool encoder = weir_model_get_info(server->model)->encoder;
    weir_status status =
        embeddings_create(server->model, settings, server->model_name, &server->embeddings, error);
    if (status == WEIR_OK && !encoder) {
        status = worker_create(server->model, settings, &server->metrics, &server->worker, error);
    } else if (status == WEIR_OK) {
        status = plan_encoder(server, error);
    }
    return status == WEIR_OK
               ? http_create(settings, encoder ? server_encoder_routes : server_routes,
                             server->auth, &server->metrics, worker_wake, server->worker, server,
                             &server->http, error)
               : status;
}

weir_status server_open(const weir_model *model, const server_settings *settings,
                        server_state **out, weir_error *error) {
    *out = NULL;
    weir_status status = check_address(settings, error);
    if (status == WEIR_OK) {
        status = allow_files(settings, error);
    }
    if (status != WEIR_OK) {
        return status;
    }
    server_state *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for a server");
    }
    made->model = model;
    made->settings = *settings;
    made->opened = (int64_t)time(NULL);
    name_model(made);
    if (settings->quiet) {
        log_silence();
    }
    status = auth_open(settings->api_key_file, &made->auth, error);
    if (status == WEIR_OK) {
        status = open_threads(made, error);
    }
    if (status != WEIR_OK) {
        server_close(made);
        return status;
    }
    *out = made;
    return WEIR_OK;
}

int server_port(const server_state *server) { return http_port(server->http); }

weir_status server_reload(server_state *server, weir_error *error) {
    return auth_reload(server->auth, error);
}

/* First no new connections, then the work, then the answers that are on their way. */
void server_close(server_state *server) {
    if (server == NULL) {
        return;
    }
    const double seconds = (double)server->settings.drain, begun = clock_now();
    if (server->http != NULL) {
        http_quiesce(server->http);
        worker_drain(server->worker, seconds);
    }
    embeddings_destroy(server->embeddings);
    http_destroy(server->http, seconds - (clock_now() - begun));
    worker_destroy(server->worker);
    auth_close(server->auth);
    free(server);
}
