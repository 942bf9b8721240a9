#include "streams/sharing.h"

#include <string.h>

#include "parts/clock.h"
#include "streams/task.h"

/* ---- which stream ---------------------------------------------------------------------------- */

/* Whether the same tokens make the same bits in both. */
static bool alike(const server_session *a, const server_session *b) {
    const weir_stream_options *x = &a->options, *y = &b->options;
    return a->plan.policy == b->plan.policy && a->plan.sinks == b->plan.sinks &&
           a->plan.window == b->plan.window && x->cache_type == y->cache_type &&
           x->eviction == y->eviction && x->chunk == y->chunk && x->beyond == y->beyond;
}

/* A part of what both begin with that the other stream can be taken back to: `common` tokens, or
 * its sinks, which never leave. */
static int64_t reachable_tokens(const server_session *other, int64_t common) {
    weir_stream_state state;
    weir_stream_get_state(other->stream, &state);
    if (common >= state.reachable) {
        return common;
    }
    return common < state.sinks ? common : state.sinks;
}

typedef struct candidate {
    server_session *session; /* NULL: none */
    int64_t tokens;
} candidate;

typedef struct search {
    candidate now;      /* who has most of it */
    candidate soon;     /* who will have most of it, being fed */
    int64_t soon_until; /* when it was fed so many entries */
} search;

static void look_at(search *found, const server_session *session, server_session *other) {
    const server_opening *opening = &other->opening;
    const int32_t *entries = session->pending + session->pending_at;
    int64_t common = opening_common(opening, entries, session_waiting(session));
    int64_t has = common < opening->fed ? common : opening->fed;
    int64_t tokens = reachable_tokens(other, opening_tokens(entries, has));
    if (tokens > found->now.tokens) {
        found->now = (candidate){other, tokens};
    }
    int64_t later = opening_tokens(entries, common);
    if (common > opening->fed && other->users > 0 && later > found->soon.tokens) {
        found->soon = (candidate){other, later};
        found->soon_until = opening_place(entries, later);
    }
}

static search find(const server_registry *registry, const server_session *session) {
    search found = {.soon_until = 0};
    for (server_session *at = registry->first; at != NULL; at = at->next) {
        if (at != session && at->opening.entries != NULL && !at->deleted && alike(session, at)) {
            look_at(&found, session, at);
        }
    }
    return found;
}

/* ---- becoming a fork of it ------------------------------------------------------------------- */

static bool take(server_registry *registry, server_session *session, const candidate *from) {
    weir_stream *fork = NULL;
    weir_error error;
    weir_status status = weir_stream_fork(from->session->stream, &fork, &error);
    if (status == WEIR_OK) { /* also when nothing is taken back: text goes on as after tokens */
        status = weir_stream_rewind(fork, from->tokens, &error);
    }
    if (status == WEIR_OK) {
        status = weir_stream_set_sampling(fork, &session->sampling, &error);
    }
    if (status != WEIR_OK) {
        weir_stream_destroy(fork);
        return false; /* then it is computed */
    }
    from->session->used = clock_now();
    session_begin_with(session, fork, from->tokens);
    atomic_fetch_add(&registry->metrics->openings_shared, 1);
    atomic_fetch_add(&registry->metrics->tokens_shared, from->tokens);
    return true;
}

/* Room for what it begins with; others may go for it. */
static void make_room(server_registry *registry, server_session *session, int64_t more) {
    const int64_t bytes = opening_size(session_waiting(session), more) * (int64_t)sizeof(int32_t);
    if (registry_reserve(registry, bytes, NULL) == WEIR_OK) {
        session->opening_bytes = bytes;
    }
}

static void remember(server_registry *registry, server_session *session, int64_t more) {
    const int32_t *entries = session->pending + session->pending_at;
    if (session->opening_bytes > 0 &&
        !opening_begin(&session->opening, entries, session_waiting(session), more)) {
        registry_unreserve(registry, session->opening_bytes);
        session->opening_bytes = 0;
    }
}

/* Text that goes on is tokenized with what a unigram vocabulary has summed up, which a stream that
 * is taken back has not. */
static bool text_goes_on(const server_session *session) {
    return session->id[0] != '\0' &&
           strstr(weir_model_get_info(session->model)->tokenizer, "nigram") != NULL;
}

/* The other one pauses just there, before its window moves on. */
static bool waits(const server_session *session) {
    server_session *other = session->waits_for;
    const int64_t until = session->waits_until;
    if (other == NULL || other->users == 0 || other->opening.fed >= until ||
        other->opening.count < until) {
        return false;
    }
    if (other->pauses_at <= other->opening.fed || until < other->pauses_at) {
        other->pauses_at = until;
    }
    return true;
}

bool sharing_begin(server_registry *registry, server_session *session, int64_t more) {
    if (session->begun || registry->keep == 0 || session_waiting(session) == 0) {
        return false;
    }
    if (session->index > 0 || session->held || text_goes_on(session)) {
        session->begun = true;
        return false;
    }
    if (waits(session)) {
        return false;
    }
    if (session->opening_bytes == 0) {
        make_room(registry, session, more);
    }
    search found = find(registry, session);
    bool worth = found.soon.tokens >= found.now.tokens + SHARING_TOKENS;
    session->waits_for = worth ? found.soon.session : NULL;
    session->waits_until = found.soon_until;
    if (waits(session)) {
        return false;
    }
    session->begun = true;
    remember(registry, session, more);
    return found.now.tokens >= SHARING_TOKENS && take(registry, session, &found.now);
}

/* ---- kept ------------------------------------------------------------------------------------ */

static server_session *missed_least(const server_registry *registry) {
    server_session *found = NULL;
    for (server_session *at = registry->first; at != NULL; at = at->next) {
        if (at->kept && (found == NULL || at->used < found->used)) {
            found = at;
        }
    }
    return found;
}

bool sharing_drop(server_registry *registry) {
    server_session *session = missed_least(registry);
    if (session != NULL) {
        registry_close(registry, session);
    }
    return session != NULL;
}

/* Those that `session` goes on from are missed least: what they have, it has. */
static void supersede(server_registry *registry, const server_session *session) {
    for (server_session *at = registry->first; at != NULL; at = at->next) {
        const server_opening *short_one = &at->opening;
        if (at->kept && short_one->fed <= session->opening.fed && alike(at, session) &&
            opening_common(&session->opening, short_one->entries, short_one->fed) ==
                short_one->fed) {
            at->used = 0;
        }
    }
}

bool sharing_keep(server_registry *registry, server_session *session) {
    if (registry->keep == 0 || session->id[0] != '\0' || session->deleted ||
        session->opening.entries == NULL) {
        return false;
    }
    session_drop_pending(session);
    opening_close(&session->opening);
    if (session->opening.tokens < SHARING_TOKENS) {
        return false;
    }
    supersede(registry, session);
    session->used = clock_now();
    session->kept = true;
    registry->count--;
    registry->kept++;
    registry->kept_bytes += registry_bytes(session);
    registry_tell(registry);
    while (registry->kept > registry->keep) {
        sharing_drop(registry);
    }
    return true;
}

void sharing_forget(server_registry *registry, const server_session *session) {
    for (server_session *at = registry->first; at != NULL; at = at->next) {
        if (at->waits_for == session) {
            at->waits_for = NULL;
        }
    }
}
