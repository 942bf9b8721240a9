/* A request for text, on its way to the worker: where its stream comes from, what is appended
 * first, and the answer that it wants. */
#ifndef WEIR_SERVER_GENERATE_JOB_H
#define WEIR_SERVER_GENERATE_JOB_H

#include "api/answer.h"
#include "streams/worker.h"

typedef enum generate_source {
    FROM_NEW,    /* a stream of its own, which goes with the request */
    FROM_STREAM, /* the stream `id` itself */
    FROM_FORK    /* a fork of `id`, which goes with the request */
} generate_source;

typedef struct generate_job {
    server_job job;
    server_answer *answer;
    generate_source source;
    char id[SESSION_ID];
    weir_stream_options options; /* of a new stream; the batch is the worker's */
    char *text;                  /* to append first; own */
    size_t text_size;
    int32_t *tokens; /* or these; own */
    int64_t token_count;
    server_conversation conversation; /* or these */
    bool border;                      /* what is appended begins a message */
} generate_job;

/* What a request wants, as it was read: `generate` and `conversation` are taken, the text copied.
 */
typedef struct generate_wish {
    const answer_shape *shape;
    const char *prefix; /* of the answer's id */
    generate_request *generate;
    const char *text; /* NULL: none */
    size_t text_size;
    server_conversation *conversation;
    int logprobs;
} generate_wish;

/* The answer and the input of a job that handler_begin_job has begun. On a failure what was taken
 * goes with the job. */
weir_status generate_job_fill(generate_job *job, const weir_model *model, const generate_wish *wish,
                              weir_error *error);
job_end generate_job_run(server_worker *worker, server_job *job, weir_error *error);
void generate_job_free(server_job *job);

/* A copy of bytes, never NULL for no bytes. NULL: no memory. */
char *copy_bytes(const char *data, size_t size);

#endif
