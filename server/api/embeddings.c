#include "api/embeddings.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "http/refusal.h"
#include "http/reply_json.h"
#include "weir/embed.h"

#define TOGETHER 8 /* texts that are computed before the client is looked after again */

typedef struct embed_job {
    struct embed_job *next;
    json_t *object;
    embed_request request;
    server_reply *reply;
} embed_job;

struct server_embeddings {
    const weir_model *model;
    const char *model_name;
    int32_t threads;
    int64_t most_waiting;
    int64_t width;
    int64_t bytes;           /* that the embedder takes */
    atomic_bool has_room;    /* they were promised */
    weir_embedder *embedder; /* the thread's own */
    pthread_t thread;
    bool started;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    embed_job *queue, *queue_end;
    int64_t waiting;
    bool closing;
};

static void free_job(embed_job *job) {
    embed_request_free(&job->request);
    json_decref(job->object);
    reply_release(job->reply);
    free(job);
}

/* ---- one request ----------------------------------------------------------------------------- */

static weir_status count_token(void *context, const int32_t *tokens, int64_t count) {
    (void)tokens;
    *(int64_t *)context += count;
    return WEIR_OK;
}

static weir_embed_options options_of(const server_embeddings *embeddings) {
    weir_embed_options options = weir_embed_options_default();
    options.threads = embeddings->threads;
    return options;
}

static weir_status prepare(server_embeddings *embeddings, weir_error *error) {
    if (embeddings->embedder != NULL) {
        return WEIR_OK;
    }
    const weir_embed_options options = options_of(embeddings);
    return weir_embedder_create(embeddings->model, &options, &embeddings->embedder, error);
}

/* The vector of input i. */
static weir_status embed_one(server_embeddings *embeddings, const embed_input *input, float *vector,
                             int64_t *tokens, weir_error *error) {
    if (input->text == NULL) {
        *tokens += (int64_t)input->size;
        return weir_embed_tokens(embeddings->embedder, input->tokens, (int64_t)input->size, vector,
                                 NULL, error);
    }
    weir_embed_text text = {input->text, input->size};
    weir_status status = weir_model_tokenize(embeddings->model, input->text, input->size, true,
                                             count_token, tokens, error);
    return status == WEIR_OK ? weir_embed_texts(embeddings->embedder, &text, 1, vector, error)
                             : status;
}

/* Texts from `first` on that can be computed side by side. */
static weir_status embed_some(server_embeddings *embeddings, const embed_request *request,
                              int64_t first, int64_t *count, float *vectors, int64_t *tokens,
                              weir_error *error) {
    weir_embed_text texts[TOGETHER];
    int64_t together = 0;
    weir_status status = WEIR_OK;
    while (together < TOGETHER && first + together < request->count && status == WEIR_OK) {
        const embed_input *input = &request->inputs[first + together];
        if (input->text == NULL) {
            break;
        }
        texts[together++] = (weir_embed_text){input->text, input->size};
        status = weir_model_tokenize(embeddings->model, input->text, input->size, true, count_token,
                                     tokens, error);
    }
    *count = together > 0 ? together : 1;
    if (status != WEIR_OK) {
        return status;
    }
    return together > 0 ? weir_embed_texts(embeddings->embedder, texts, together, vectors, error)
                        : embed_one(embeddings, &request->inputs[first], vectors, tokens, error);
}

static json_t *vector_json(const float *vector, int64_t width, bool base64) {
    if (base64) {
        char *text = base64_encode(vector, (size_t)width * sizeof *vector);
        json_t *string = text != NULL ? json_string(text) : NULL;
        free(text);
        return string;
    }
    json_t *list = json_array();
    for (int64_t i = 0; i < width; i++) {
        json_array_append_new(list, json_finite((double)vector[i]));
    }
    return list;
}

static void reply_vectors(const server_embeddings *embeddings, json_t *data, int64_t tokens,
                          server_reply *to) {
    json_t *made = json_pack("{s:s,s:o,s:s,s:{s:I,s:I}}", "object", "list", "data", data, "model",
                             embeddings->model_name, "usage", "prompt_tokens", (json_int_t)tokens,
                             "total_tokens", (json_int_t)tokens);
    reply_json(to, 200, made);
}

static void answer(server_embeddings *embeddings, const embed_job *job) {
    weir_error error = {0};
    const embed_request *request = &job->request;
    json_t *data = json_array();
    int64_t tokens = 0, width = embeddings->width;
    float *vectors = calloc((size_t)(width * TOGETHER), sizeof *vectors);
    weir_status status = vectors != NULL ? prepare(embeddings, &error)
                                         : weir_error_set(&error, WEIR_MEMORY, "no memory");
    for (int64_t i = 0, count; i < request->count && status == WEIR_OK; i += count) {
        if (reply_client_left(job->reply)) {
            status = weir_error_set(&error, WEIR_CANCELLED, "the client went away");
            break;
        }
        status = embed_some(embeddings, request, i, &count, vectors, &tokens, &error);
        for (int64_t k = 0; k < count && status == WEIR_OK; k++) {
            json_array_append_new(
                data,
                json_pack("{s:s,s:I,s:o}", "object", "embedding", "index", (json_int_t)(i + k),
                          "embedding", vector_json(vectors + k * width, width, request->base64)));
        }
    }
    free(vectors);
    if (status != WEIR_OK) {
        json_decref(data);
        refuse_error(job->reply, &error);
    } else {
        reply_vectors(embeddings, data, tokens, job->reply);
    }
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* NULL: no more come. */
static embed_job *next_job(server_embeddings *embeddings) {
    pthread_mutex_lock(&embeddings->lock);
    while (embeddings->queue == NULL && !embeddings->closing) {
        pthread_cond_wait(&embeddings->changed, &embeddings->lock);
    }
    embed_job *job = embeddings->closing ? NULL : embeddings->queue;
    if (job != NULL) {
        embeddings->queue = job->next;
        embeddings->queue_end = job->next != NULL ? embeddings->queue_end : NULL;
        embeddings->waiting--;
    }
    pthread_mutex_unlock(&embeddings->lock);
    return job;
}

static void *work(void *context) {
    server_embeddings *embeddings = context;
    for (embed_job *job; (job = next_job(embeddings)) != NULL;) {
        answer(embeddings, job);
        free_job(job);
    }
    return NULL;
}

void embeddings_submit(server_embeddings *embeddings, json_t *object, embed_request *request,
                       server_reply *to) {
    embed_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        embed_request_free(request);
        json_decref(object);
        refuse(to, 503, "MEMORY", "no memory for a request");
        return;
    }
    *job = (embed_job){.object = object, .request = *request, .reply = reply_share(to)};
    *request = (embed_request){.count = 0};
    pthread_mutex_lock(&embeddings->lock);
    bool full = embeddings->waiting >= embeddings->most_waiting || embeddings->closing;
    if (!full) {
        *(embeddings->queue_end != NULL ? &embeddings->queue_end->next : &embeddings->queue) = job;
        embeddings->queue_end = job;
        embeddings->waiting++;
        pthread_cond_signal(&embeddings->changed);
    }
    pthread_mutex_unlock(&embeddings->lock);
    if (full) {
        refuse(to, 429, "queue_full", "too many requests wait already: try again in a moment");
        free_job(job);
    }
}

int64_t embeddings_bytes(const server_embeddings *embeddings) { return embeddings->bytes; }

bool embeddings_have_room(server_embeddings *embeddings) {
    return atomic_load(&embeddings->has_room);
}

void embeddings_give_room(server_embeddings *embeddings) {
    atomic_store(&embeddings->has_room, true);
}

/* ---- life ------------------------------------------------------------------------------------ */

weir_status embeddings_create(const weir_model *model, const server_settings *settings,
                              const char *model_name, server_embeddings **out, weir_error *error) {
    server_embeddings *made = calloc(1, sizeof *made);
    *out = NULL;
    if (made == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for embeddings");
    }
    made->model = model;
    made->model_name = model_name;
    made->threads = settings->threads;
    made->most_waiting = settings->queue;
    made->width = weir_model_get_info(model)->width;
    const weir_embed_options options = options_of(made);
    (void)weir_embedder_plan(model, &options, &made->bytes, NULL);
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->changed, NULL);
    int failed = pthread_create(&made->thread, NULL, work, made);
    made->started = failed == 0;
    if (failed != 0) {
        embeddings_destroy(made);
        return weir_error_set(error, WEIR_IO, "a thread cannot start: %s", strerror(failed));
    }
    *out = made;
    return WEIR_OK;
}

void embeddings_destroy(server_embeddings *embeddings) {
    if (embeddings == NULL) {
        return;
    }
    pthread_mutex_lock(&embeddings->lock);
    embeddings->closing = true;
    pthread_cond_signal(&embeddings->changed);
    pthread_mutex_unlock(&embeddings->lock);
    if (embeddings->started) {
        pthread_join(embeddings->thread, NULL);
    }
    while (embeddings->queue != NULL) {
        embed_job *next = embeddings->queue->next;
        refuse(embeddings->queue->reply, 503, "closing", "the server ends");
        free_job(embeddings->queue);
        embeddings->queue = next;
    }
    weir_embedder_destroy(embeddings->embedder);
    pthread_cond_destroy(&embeddings->changed);
    pthread_mutex_destroy(&embeddings->lock);
    free(embeddings);
}
