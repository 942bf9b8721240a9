/* All sessions, and the memory that they were promised: a stream is admitted when its plan, to the
 * byte, fits beside those of the others. Only the worker's thread touches it. */
#ifndef WEIR_SERVER_REGISTRY_H
#define WEIR_SERVER_REGISTRY_H

#include "streams/keeper.h"
#include "streams/session.h"

typedef struct server_registry {
    const weir_model *model;
    server_metrics *metrics;
    server_session *first;
    int64_t count;          /* those that are kept (sharing.h) left out */
    int64_t kept, keep;     /* so many are, and may be; 0: nothing is shared either */
    int64_t limit, planned; /* bytes */
    int64_t kept_bytes;     /* of those that are kept */
    server_keeper *keeper;  /* borrowed; NULL: nothing is stored */
    weir_batch *batch;      /* of streams that come back from the store */
} server_registry;

/* A new session; `named`: it gets an id and stays until it is deleted. WEIR_MEMORY: no room for it
 * now. WEIR_LIMIT: there never will be. */
weir_status registry_open(server_registry *registry, const weir_stream_options *options, bool named,
                          server_session **out, weir_error *error);
weir_status registry_fork(server_registry *registry, server_session *parent, bool named,
                          server_session **out, weir_error *error);
/* What a mark, or anything else beside a session, takes. */
weir_status registry_reserve(server_registry *registry, int64_t bytes, weir_error *error);
/* The same for what has to do with a session that is at hand: others leave for it, this one stays.
 */
weir_status registry_reserve_beside(server_registry *registry, server_session *session,
                                    int64_t bytes, weir_error *error);
void registry_unreserve(server_registry *registry, int64_t bytes);
/* What was promised for a session. */
int64_t registry_bytes(const server_session *session);
/* The figures of the metrics follow. */
void registry_tell(const server_registry *registry);
void registry_close(server_registry *registry, server_session *session);
/* The session of an id; one that left memory comes back. WEIR_USAGE: there is none. */
weir_status registry_find(server_registry *registry, const char *id, server_session **out,
                          weir_error *error);
/* The same for a request: NULL when it was refused. */
server_session *registry_want(server_registry *registry, const char *id, server_reply *reply);
/* Stored sessions that nobody named for so many seconds leave memory. */
void registry_unload_idle(server_registry *registry, double now, double seconds);
/* The states of all, those on disk alone included. */
json_t *registry_list(server_registry *registry);

#endif
