/*
 * Vectors of texts: a thread of its own, beside the worker, since no stream is needed for them. It
 * takes one request after the other, a few texts at a time. The memory that it computes in is
 * reserved by the first request, and must have been promised.
 */
#ifndef WEIR_SERVER_EMBEDDINGS_H
#define WEIR_SERVER_EMBEDDINGS_H

#include "http/reply.h"
#include "parts/settings.h"
#include "requests/embed_request.h"

typedef struct server_embeddings server_embeddings;

/* `model_name` is borrowed. A model that cannot embed is told so by its first request. */
weir_status embeddings_create(const weir_model *model, const server_settings *settings,
                              const char *model_name, server_embeddings **out, weir_error *error);
/* `object` and `request` are taken; the reply is shared. Refused with 429 when too many wait. */
void embeddings_submit(server_embeddings *embeddings, json_t *object, embed_request *request,
                       server_reply *to);
/* The bytes that the first request reserves; and whether they were promised (any thread). */
int64_t embeddings_bytes(const server_embeddings *embeddings);
bool embeddings_have_room(server_embeddings *embeddings);
void embeddings_give_room(server_embeddings *embeddings);
/* What is under way is finished, what waits is refused. NULL is allowed. */
void embeddings_destroy(server_embeddings *embeddings);

#endif
