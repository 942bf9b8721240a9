#include "streams/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "http/refusal.h"
#include "parts/clock.h"
#include "parts/log.h"
#include "streams/sharing.h"
#include "streams/task.h"

static void make_id(char out[SESSION_ID]) {
    unsigned char random[12] = {0};
    ssize_t got = getrandom(random, sizeof random, 0);
    (void)got; /* 12 bytes are never cut short */
    size_t used = (size_t)snprintf(out, SESSION_ID, "st_");
    for (size_t i = 0; i < sizeof random; i++) {
        used += (size_t)snprintf(out + used, SESSION_ID - used, "%02x", random[i]);
    }
}

/* A session that the store has whole, and that nobody uses or listens to. */
static bool can_leave(const server_session *session) {
    bool marked = false; /* in memory alone */
    for (int i = 0; i < SESSION_MARKS; i++) {
        marked = marked || (session->marks[i].mark != NULL && !session->marks[i].stored);
    }
    return session->id[0] != '\0' && !session->deleted && session->users == 0 && !marked &&
           session_waiting(session) == 0 && !session_has_listeners(session) && keeper_has(session);
}

/* The one that was used longest ago, of those that may leave; NULL: none. */
static server_session *longest_idle(const server_registry *registry) {
    server_session *found = NULL;
    for (server_session *at = registry->first; at != NULL; at = at->next) {
        if (can_leave(at) && (found == NULL || at->used < found->used)) {
            found = at;
        }
    }
    return found;
}

static void unload(server_registry *registry, server_session *session) {
    keeper_snapshot(session);
    if (keeper_has(session)) { /* or the disk failed just now: it stays */
        registry_close(registry, session);
    }
}

weir_status registry_reserve(server_registry *registry, int64_t bytes, weir_error *error) {
    if (bytes > registry->limit) {
        return weir_error_set(error, WEIR_LIMIT,
                              "a stream of %lld bytes does not fit the %lld of --memory: choose a "
                              "smaller window",
                              (long long)bytes, (long long)registry->limit);
    }
    while (bytes > registry->limit - registry->planned && sharing_drop(registry)) {
    }
    for (server_session *idle;
         bytes > registry->limit - registry->planned && (idle = longest_idle(registry)) != NULL;) {
        unload(registry, idle);
    }
    if (bytes > registry->limit - registry->planned) {
        return weir_error_set(error, WEIR_MEMORY,
                              "no room for %lld more bytes: %lld of %lld are taken; delete a "
                              "stream, or try again later",
                              (long long)bytes, (long long)registry->planned,
                              (long long)registry->limit);
    }
    registry->planned += bytes;
    atomic_store(&registry->metrics->memory_planned_bytes, registry->planned);
    return WEIR_OK;
}

weir_status registry_reserve_beside(server_registry *registry, server_session *session,
                                    int64_t bytes, weir_error *error) {
    session->users++;
    weir_status status = registry_reserve(registry, bytes, error);
    session->users--;
    return status;
}

void registry_unreserve(server_registry *registry, int64_t bytes) {
    registry->planned -= bytes;
    atomic_store(&registry->metrics->memory_planned_bytes, registry->planned);
}

void registry_tell(const server_registry *registry) {
    atomic_store(&registry->metrics->streams, registry->count);
    atomic_store(&registry->metrics->streams_kept, registry->kept);
    atomic_store(&registry->metrics->memory_kept_bytes, registry->kept_bytes);
}

/* `made` NULL: its bytes are given back. */
static void keep(server_registry *registry, server_session *made, int64_t bytes) {
    if (made == NULL) {
        registry_unreserve(registry, bytes);
        return;
    }
    made->used = clock_now(); /* or it would be the longest idle one */
    made->next = registry->first;
    registry->first = made;
    registry->count++;
    registry_tell(registry);
}

weir_status registry_open(server_registry *registry, const weir_stream_options *options, bool named,
                          server_session **out, weir_error *error) {
    weir_plan plan;
    char id[SESSION_ID] = "";
    *out = NULL;
    if (named) {
        make_id(id);
    }
    weir_status status = session_plan(registry->model, options, &plan, error);
    if (status == WEIR_OK) {
        status = registry_reserve(registry, plan.reserved_bytes, error);
    }
    if (status == WEIR_OK) {
        status = session_create(registry->model, options, id, registry->metrics, out, error);
        keep(registry, *out, plan.reserved_bytes);
    }
    return status;
}

weir_status registry_fork(server_registry *registry, server_session *parent, bool named,
                          server_session **out, weir_error *error) {
    char id[SESSION_ID] = "";
    *out = NULL;
    if (named) {
        make_id(id);
    }
    weir_status status =
        registry_reserve_beside(registry, parent, parent->plan.reserved_bytes, error);
    if (status == WEIR_OK) {
        status = session_fork(parent, id, out, error);
        keep(registry, *out, parent->plan.reserved_bytes);
    }
    return status;
}

int64_t registry_bytes(const server_session *session) {
    int64_t bytes = session->plan.reserved_bytes + session->opening_bytes;
    for (int i = 0; i < SESSION_MARKS; i++) {
        bytes += session->marks[i].mark != NULL ? session->plan.page_bytes : 0;
    }
    return bytes;
}

void registry_close(server_registry *registry, server_session *session) {
    struct server_session **at = &registry->first;
    while (*at != session) {
        at = &(*at)->next;
    }
    *at = session->next;
    *(session->kept ? &registry->kept : &registry->count) -= 1;
    registry->kept_bytes -= session->kept ? registry_bytes(session) : 0;
    registry_tell(registry);
    sharing_forget(registry, session);
    registry_unreserve(registry, registry_bytes(session));
    session_destroy(session);
}

/* ---- finding --------------------------------------------------------------------------------- */

static server_session *find_loaded(const server_registry *registry, const char *id) {
    for (server_session *at = registry->first; at != NULL; at = at->next) {
        if (at->id[0] != '\0' && !at->deleted && strcmp(at->id, id) == 0) {
            return at;
        }
    }
    return NULL;
}

static weir_status bring_back(server_registry *registry, const char *id, server_session **out,
                              weir_error *error) {
    keeper_record record;
    weir_plan plan;
    weir_status status = keeper_look(registry->keeper, id, &record, error);
    if (status != WEIR_OK) {
        return status;
    }
    const double begun = clock_now();
    record.options.batch = registry->batch;
    status = session_plan(registry->model, &record.options, &plan, error);
    if (status == WEIR_OK) {
        status = registry_reserve(registry, plan.reserved_bytes, error);
    }
    if (status == WEIR_OK) {
        status = keeper_restore(registry->keeper, id, &record, out, error);
        keep(registry, *out, plan.reserved_bytes);
    }
    free(record.system);
    if (status == WEIR_OK) {
        log_event("restored", "%s, %lld tokens, in %.3f s", id, (long long)(*out)->index,
                  clock_now() - begun);
    }
    return status;
}

weir_status registry_find(server_registry *registry, const char *id, server_session **out,
                          weir_error *error) {
    *out = find_loaded(registry, id);
    weir_status status = *out != NULL ? WEIR_OK : bring_back(registry, id, out, error);
    if (status == WEIR_OK) {
        (*out)->used = clock_now();
    }
    return status;
}

server_session *registry_want(server_registry *registry, const char *id, server_reply *reply) {
    server_session *session;
    weir_error error;
    weir_status status = registry_find(registry, id, &session, &error);
    if (status == WEIR_USAGE) {
        refuse(reply, 404, "stream_not_found", error.message);
    } else if (status == WEIR_MEMORY) {
        refuse(reply, 503, "no_room", error.message);
    } else if (status != WEIR_OK) {
        refuse_error(reply, &error);
    }
    return session;
}

void registry_unload_idle(server_registry *registry, double now, double seconds) {
    server_session *idle = longest_idle(registry);
    if (idle != NULL && now - idle->used > seconds) {
        unload(registry, idle); /* one at a time: steps go on between them */
    }
}

static bool is_loaded(void *context, const char *id) { return find_loaded(context, id) != NULL; }

json_t *registry_list(server_registry *registry) {
    json_t *list = keeper_list(registry->keeper, is_loaded, registry);
    for (server_session *at = registry->first; at != NULL; at = at->next) {
        if (at->id[0] != '\0' && !at->deleted) {
            json_array_append_new(list, session_state(at));
        }
    }
    return list;
}
