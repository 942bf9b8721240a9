#include "api/generate_job.h"

#include <stdlib.h>
#include <string.h>

#include "http/refusal.h"
#include "weir/chat.h"

void generate_job_free(server_job *base) {
    generate_job *job = (generate_job *)base;
    answer_free(job->answer);
    reply_release(job->job.reply);
    conversation_free(&job->conversation);
    free(job->text);
    free(job->tokens);
    free(job);
}

char *copy_bytes(const char *data, size_t size) {
    char *copy = malloc(size + 1);
    if (copy != NULL) {
        memcpy(copy, data, size);
        copy[size] = '\0';
    }
    return copy;
}

weir_status generate_job_fill(generate_job *job, const weir_model *model, const generate_wish *wish,
                              weir_error *error) {
    const bool chats = wish->conversation->count > 0;
    const char *stop = chats ? weir_chat_stop(model) : NULL;
    if (stop != NULL) {
        weir_status status = generate_request_stop(wish->generate, stop, strlen(stop), error);
        if (status != WEIR_OK) {
            return status;
        }
    }
    job->answer = answer_create(wish->shape, wish->prefix, job->job.reply, wish->generate);
    job->text = wish->text != NULL ? copy_bytes(wish->text, wish->text_size) : NULL;
    if (job->answer == NULL || (wish->text != NULL && job->text == NULL)) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for a request");
    }
    job->text_size = wish->text_size;
    job->answer->logprobs = wish->logprobs;
    job->answer->chats = chats;
    job->conversation = *wish->conversation;
    *wish->conversation = (server_conversation){.count = 0};
    return WEIR_OK;
}

static weir_status find_session(server_worker *worker, const generate_job *job,
                                server_session **out, weir_error *error) {
    server_registry *registry = worker_registry(worker);
    if (job->source == FROM_NEW) {
        weir_stream_options options = worker_stream_options(worker), given = job->options;
        given.batch = options.batch;
        return registry_open(registry, &given, false, out, error);
    }
    weir_status status = registry_find(registry, job->id, out, error);
    if (status != WEIR_OK) {
        return status;
    }
    return job->source == FROM_FORK ? registry_fork(registry, *out, false, out, error) : WEIR_OK;
}

static weir_status begin_task(server_worker *worker, generate_job *job, server_session *session,
                              weir_error *error) {
    server_task *task = answer_task(worker, job->answer, session);
    if (task == NULL) {
        worker_let_go(worker, session);
        return weir_error_set(error, WEIR_MEMORY, "no memory for a request");
    }
    job->answer = NULL;
    task->tokens = job->tokens;
    task->token_count = job->token_count;
    job->tokens = NULL;
    task->text = job->text;
    task->text_size = job->text_size;
    job->text = NULL;
    task->conversation = job->conversation;
    job->conversation = (server_conversation){.count = 0};
    task->border = job->border;
    worker_add(worker, task);
    return WEIR_OK;
}

job_end generate_job_run(server_worker *worker, server_job *base, weir_error *error) {
    generate_job *job = (generate_job *)base;
    server_session *session = NULL;
    if (!worker_has_room(worker)) {
        weir_error_set(error, WEIR_MEMORY,
                       "as many requests are under way as this server steps "
                       "at once: try again in a moment");
        return JOB_WAITS;
    }
    weir_status status = find_session(worker, job, &session, error);
    if (status == WEIR_MEMORY) {
        return JOB_WAITS;
    }
    const bool unknown = status == WEIR_USAGE && session == NULL && job->source != FROM_NEW;
    if (status == WEIR_OK) {
        if (job->source != FROM_NEW) {
            generate_request_inherit(&job->answer->request, &session->sampling, session->seeded);
        }
        status = begin_task(worker, job, session, error);
    }
    if (unknown) {
        refuse(base->reply, 404, "stream_not_found", error->message);
    } else if (status != WEIR_OK) {
        refuse_error(base->reply, error);
    }
    return JOB_DONE;
}
