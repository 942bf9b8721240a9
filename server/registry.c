#include "registry.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static void make_id(char out[SESSION_ID]) {
    unsigned char random[12] = {0};
    ssize_t got = getrandom(random, sizeof random, 0);
    (void)got; /* 12 bytes are never cut short */
    size_t used = (size_t)snprintf(out, SESSION_ID, "st_");
    for (size_t i = 0; i < sizeof random; i++) {
        used += (size_t)snprintf(out + used, SESSION_ID - used, "%02x", random[i]);
    }
}

weir_status registry_reserve(server_registry *registry, int64_t bytes, weir_error *error) {
    if (bytes > registry->limit) {
        return weir_error_set(error, WEIR_LIMIT,
                              "a stream of %lld bytes does not fit the %lld of --memory: choose a "
                              "smaller window",
                              (long long)bytes, (long long)registry->limit);
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

void registry_unreserve(server_registry *registry, int64_t bytes) {
    registry->planned -= bytes;
    atomic_store(&registry->metrics->memory_planned_bytes, registry->planned);
}

/* `made` NULL: its bytes are given back. */
static void keep(server_registry *registry, server_session *made, int64_t bytes) {
    if (made == NULL) {
        registry_unreserve(registry, bytes);
        return;
    }
    made->next = registry->first;
    registry->first = made;
    registry->count++;
    atomic_store(&registry->metrics->streams, registry->count);
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
    weir_status status = registry_reserve(registry, parent->plan.reserved_bytes, error);
    if (status == WEIR_OK) {
        status = session_fork(parent, id, out, error);
        keep(registry, *out, parent->plan.reserved_bytes);
    }
    return status;
}

static int64_t mark_bytes(const server_session *session) {
    int64_t bytes = 0;
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
    registry->count--;
    atomic_store(&registry->metrics->streams, registry->count);
    registry_unreserve(registry, session->plan.reserved_bytes + mark_bytes(session));
    session_destroy(session);
}

server_session *registry_find(const server_registry *registry, const char *id) {
    for (server_session *at = registry->first; at != NULL; at = at->next) {
        if (at->id[0] != '\0' && !at->deleted && strcmp(at->id, id) == 0) {
            return at;
        }
    }
    return NULL;
}
