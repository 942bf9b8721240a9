/* What the handlers of requests share, and the handlers themselves. */
#ifndef WEIR_SERVER_HANDLERS_H
#define WEIR_SERVER_HANDLERS_H

#include "api/embeddings.h"
#include "api/generate_job.h"
#include "http/auth.h"
#include "http/http.h"
#include "streams/worker.h"

struct server_state {
    const weir_model *model;
    server_settings settings;
    char model_name[128];
    int64_t opened; /* seconds since 1970 */
    server_metrics metrics;
    server_auth *auth;
    server_worker *worker; /* NULL: the model is an encoder */
    server_embeddings *embeddings;
    server_http *http;
};

extern const http_route server_routes[];
extern const http_route server_encoder_routes[]; /* of models without streams */

/* The body as an object; NULL: refused. An empty body is an empty object. */
json_t *handler_body(http_request *request);
/* A job's first member, filled in. */
void handler_begin_job(http_request *request, server_job *job,
                       job_end (*run)(server_worker *worker, server_job *job, weir_error *error),
                       void (*free)(server_job *job));
/* Refuses for want of memory. */
void handler_no_memory(http_request *request);

/* operations.c */
void handle_health(http_request *request);
void handle_metrics(http_request *request);
void handle_models(http_request *request);

/* page.c */
void handle_page(http_request *request);
void handle_page_file(http_request *request);
void handle_document(http_request *request);

/* openai.c */
void handle_completions(http_request *request);
void handle_chat(http_request *request);
void handle_embeddings(http_request *request);
void handle_no_streams(http_request *request);

/* streams_api.c */
void handle_create_stream(http_request *request);
void handle_list_streams(http_request *request);
void handle_stream_state(http_request *request);
void handle_delete_stream(http_request *request);
void handle_fork(http_request *request);
void handle_mark(http_request *request);
void handle_unmark(http_request *request);
void handle_rewind(http_request *request);
void handle_events(http_request *request);

/* streams_log.c */
void handle_text(http_request *request);

/* streams_text.c */
void handle_append(http_request *request);
void handle_generate(http_request *request);
void handle_ask(http_request *request);

#endif
