#include "streams/keeper.h"

#include <stdlib.h>
#include <string.h>

#include "parts/clock.h"
#include "parts/log.h"
#include "streams/keeper_note.h"
#include "weir/store.h"

/* Tokens after which a snapshot shortens what a restart has to feed again: at least so many, and
 * several times what a stream holds. */
#define SNAPSHOT_TOKENS 8192
#define SNAPSHOT_WINDOWS 8

#define RETRY_SECONDS 2.0 /* after which what failed is tried again */

struct server_keeper {
    weir_store *store;
    const weir_model *model;
    server_metrics *metrics;
    bool changed; /* since the last commit */
    double tried; /* clock_now, when what had failed was tried again */
};

weir_status keeper_open(const char *folder, bool power_safe, const weir_model *model,
                        server_metrics *metrics, server_keeper **out, weir_error *error) {
    const weir_store_options options = {.power_safe = power_safe};
    *out = NULL;
    if (folder == NULL) {
        return WEIR_OK;
    }
    server_keeper *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for the store");
    }
    made->model = model;
    made->metrics = metrics;
    weir_status status = weir_store_open(folder, model, &options, &made->store, error);
    if (status != WEIR_OK) {
        free(made);
        return status;
    }
    *out = made;
    return WEIR_OK;
}

void keeper_close(server_keeper *keeper) {
    if (keeper != NULL) {
        weir_store_close(keeper->store);
        free(keeper);
    }
}

weir_store *keeper_store(server_keeper *keeper) { return keeper->store; }

/* The stream goes on in memory; whoever looks is told. The log hears of the first, and then seldom.
 */
static void failed(server_keeper *keeper, const weir_error *error) {
    atomic_store(&keeper->metrics->streams_not_stored, 1); /* keeper_tend counts them */
    if (atomic_fetch_add(&keeper->metrics->store_failures, 1) % 1000 == 0) {
        log_event("store", "%s", error->message);
    }
}

/* ---- what a session is given ----------------------------------------------------------------- */

void keeper_snapshot(server_session *session) {
    weir_error error;
    server_keeper *keeper = session->keeper;
    if (keeper == NULL) {
        return;
    }
    session->drawn_count = 0; /* the stream has them */
    char *note = keeper_note(session);
    weir_status status =
        note != NULL ? WEIR_OK : weir_error_set(&error, WEIR_MEMORY, "no memory for a note");
    if (status == WEIR_OK && !weir_store_is_behind(keeper->store, session->id)) {
        status = weir_store_set_note(keeper->store, session->id, note, &error);
    }
    if (status == WEIR_OK) {
        status = weir_store_snapshot(keeper->store, session->id, session->stream, &error);
    }
    free(note);
    session->kept_index = session->index; /* or the next try comes as late */
    if (status != WEIR_OK) {
        failed(keeper, &error);
    }
}

static void write_entry(server_session *session, weir_entry_kind kind, const void *data,
                        size_t size, const char *label) {
    server_keeper *keeper = session->keeper;
    const weir_entry entry = {.kind = kind,
                              .data = data,
                              .size = size,
                              .label = label,
                              .index =
                                  kind == WEIR_ENTRY_DRAWN ? session->drawn_index : session->index};
    weir_error error;
    if (weir_store_is_behind(keeper->store, session->id)) {
        return; /* a snapshot will catch up */
    }
    if (weir_store_write(keeper->store, session->id, &entry, &error) != WEIR_OK) {
        failed(keeper, &error);
    }
    keeper->changed = true;
}

static void write_drawn(server_session *session) {
    if (session->drawn_count > 0) {
        write_entry(session, WEIR_ENTRY_DRAWN, session->drawn,
                    (size_t)session->drawn_count * sizeof session->drawn[0], NULL);
        session->drawn_count = 0;
    }
}

static void write_labelled(server_session *session, weir_entry_kind kind, const void *data,
                           size_t size, const char *label) {
    if (session->keeper != NULL) {
        write_drawn(session);
        write_entry(session, kind, data, size, label);
    }
}

static void write_in_order(server_session *session, weir_entry_kind kind, const void *data,
                           size_t size) {
    write_labelled(session, kind, data, size, NULL);
}

/* An empty text counts too: it begins a stream with BOS. */
void keeper_text(server_session *session, const char *text, size_t size, bool flush) {
    size_t at = 0;
    do {
        size_t part = size - at < WEIR_STORE_ENTRY_MAX ? size - at : WEIR_STORE_ENTRY_MAX;
        write_in_order(session, WEIR_ENTRY_TEXT, text + at, part);
        at += part;
    } while (at < size);
    if (flush) {
        keeper_flush(session);
    }
}

void keeper_flush(server_session *session) { write_in_order(session, WEIR_ENTRY_FLUSH, NULL, 0); }
void keeper_border(server_session *session) { write_in_order(session, WEIR_ENTRY_BORDER, NULL, 0); }

void keeper_tokens(server_session *session, const int32_t *tokens, int64_t count,
                   const char *label) {
    const int64_t most = WEIR_STORE_ENTRY_MAX / (int64_t)sizeof *tokens;
    for (int64_t at = 0; at < count; at += most) {
        int64_t part = count - at < most ? count - at : most;
        write_labelled(session, WEIR_ENTRY_TOKENS, tokens + at, (size_t)part * sizeof *tokens,
                       label);
    }
}

void keeper_messages(server_session *session, const weir_message *messages, int64_t count) {
    static const char *const roles[] = {[WEIR_ROLE_SYSTEM] = "system",
                                        [WEIR_ROLE_USER] = "user",
                                        [WEIR_ROLE_ASSISTANT] = "assistant"};
    for (int64_t i = 0; i < count && session->keeper != NULL; i++) {
        size_t size = messages[i].size, at = 0;
        do {
            size_t part = size - at < WEIR_STORE_ENTRY_MAX ? size - at : WEIR_STORE_ENTRY_MAX;
            write_labelled(session, WEIR_ENTRY_NOTE, messages[i].text + at, part,
                           roles[messages[i].role]);
            at += part;
        } while (at < size);
    }
}

void keeper_moved(server_session *session, int64_t index) {
    write_labelled(session, WEIR_ENTRY_NOTE, &index, sizeof index, KEEPER_MOVED);
}

void keeper_drew(server_session *session, int32_t token) {
    if (session->keeper == NULL) {
        return;
    }
    session->drawn_index = session->drawn_count == 0 ? session->index : session->drawn_index;
    session->drawn[session->drawn_count++] = token;
    if (session->drawn_count == SESSION_DRAWN) {
        write_drawn(session);
    }
}

void keeper_rewind(server_session *session, int64_t index) {
    write_in_order(session, WEIR_ENTRY_REWIND, &index, sizeof index);
    if (session->keeper != NULL) {
        keeper_commit(session->keeper, NULL, false); /* it is answered at once */
    }
}

/* ---- marks ----------------------------------------------------------------------------------- */

bool keeper_mark(server_session *session, const char *name, weir_stream *stream) {
    weir_error error;
    if (session->keeper == NULL) {
        return false;
    }
    if (weir_store_mark(session->keeper->store, session->id, name, stream, &error) == WEIR_OK) {
        return true;
    }
    failed(session->keeper, &error);
    return false;
}

weir_status keeper_unmark(server_session *session, const char *name, weir_error *error) {
    return weir_store_unmark(session->keeper->store, session->id, name, error);
}

weir_status keeper_load_mark(server_session *session, const char *name, weir_stream **out,
                             weir_error *error) {
    weir_status status = weir_store_load_mark(session->keeper->store, session->id, name,
                                              &session->options, out, error);
    if (status == WEIR_OK) {
        status = weir_stream_set_sampling(*out, &session->sampling, error);
    }
    if (status != WEIR_OK) {
        weir_stream_destroy(*out);
        *out = NULL;
    }
    return status;
}

static weir_status take_mark(void *context, const char *name, int64_t index) {
    server_session *session = context;
    for (int i = 0; i < SESSION_MARKS; i++) {
        session_mark *mark = &session->marks[i];
        if (mark->name[0] == '\0' && strlen(name) < sizeof mark->name) {
            *mark = (session_mark){.index = index, .stored = true};
            memcpy(mark->name, name, strlen(name));
            return WEIR_OK;
        }
    }
    return WEIR_OK; /* more than we ever made */
}

/* A mark that the disk had no room for: a fork goes there and is kept. */
static bool mark_again(server_session *session, const session_mark *mark) {
    weir_error error;
    weir_stream *fork = NULL;
    bool stored = weir_stream_fork(session->stream, &fork, &error) == WEIR_OK &&
                  weir_stream_return(fork, mark->mark, &error) == WEIR_OK &&
                  keeper_mark(session, mark->name, fork);
    weir_stream_destroy(fork);
    return stored;
}

/* ---- a session as a whole -------------------------------------------------------------------- */

/* What waits to be fed: runs of tokens between borders. */
static void keep_pending(server_session *session) {
    for (int64_t at = session->pending_at, end; at < session->pending_end; at = end) {
        end = at;
        while (end < session->pending_end && session->pending[end] >= 0) {
            end++;
        }
        keeper_tokens(session, session->pending + at, end - at, NULL);
        if (end < session->pending_end) {
            keeper_border(session);
            end++;
        }
    }
}

void keeper_add(server_keeper *keeper, server_session *session) {
    weir_error error;
    if (keeper == NULL) {
        return;
    }
    char *note = keeper_note(session);
    weir_status status =
        note != NULL ? weir_store_add(keeper->store, session->id, note, session->stream, &error)
                     : weir_error_set(&error, WEIR_MEMORY, "no memory for a note");
    free(note);
    if (status != WEIR_OK) {
        failed(keeper, &error);
        return; /* it lives in memory alone */
    }
    session->keeper = keeper;
    session->kept_index = session->index;
    keep_pending(session);
}

void keeper_remove(server_session *session) {
    weir_error error;
    if (session->keeper != NULL &&
        weir_store_remove(session->keeper->store, session->id, &error) != WEIR_OK) {
        failed(session->keeper, &error);
    }
    session->keeper = NULL;
}

bool keeper_has(const server_session *session) {
    return session->keeper != NULL && !weir_store_is_behind(session->keeper->store, session->id);
}

/* ---- the disk -------------------------------------------------------------------------------- */

void keeper_commit(server_keeper *keeper, server_session *sessions, bool drawn) {
    weir_error error;
    if (keeper == NULL) {
        return;
    }
    for (server_session *at = sessions; drawn && at != NULL; at = at->next) {
        if (at->keeper != NULL) {
            write_drawn(at);
        }
    }
    if (keeper->changed && weir_store_commit(keeper->store, &error) != WEIR_OK) {
        failed(keeper, &error);
    }
    keeper->changed = false;
}

/* A snapshot where one is due, or would let a stream catch up; another try to keep it at all. */
static void tend_one(server_keeper *keeper, server_session *session) {
    int64_t most = SNAPSHOT_WINDOWS * session->plan.slots;
    most = most > SNAPSHOT_TOKENS ? most : SNAPSHOT_TOKENS;
    if (session->keeper == NULL) {
        keeper_add(keeper, session);
    } else if (session_waiting(session) == 0 &&
               (!keeper_has(session) || session->index - session->kept_index >= most)) {
        keeper_snapshot(session);
    }
    for (int i = 0; i < SESSION_MARKS && keeper_has(session); i++) {
        session_mark *mark = &session->marks[i];
        mark->stored = mark->stored ||
                       (mark->mark != NULL && session->users == 0 && mark_again(session, mark));
    }
}

void keeper_tend(server_keeper *keeper, server_session *sessions, double now) {
    int64_t missing = 0;
    if (keeper == NULL) {
        return;
    }
    const bool again = now - keeper->tried > RETRY_SECONDS;
    for (server_session *at = sessions; at != NULL; at = at->next) {
        if (at->id[0] == '\0' || at->deleted) {
            continue;
        }
        if (keeper_has(at) || again) {
            tend_one(keeper, at);
        }
        missing += keeper_has(at) ? 0 : 1;
    }
    if (again) {
        keeper->tried = now;
    }
    atomic_store(&keeper->metrics->streams_not_stored, missing);
}

/* ---- streams on disk alone ------------------------------------------------------------------- */

typedef struct look {
    keeper_record *record;
    weir_error *error;
} look;

static weir_status look_at(void *context, const weir_store_stream *stream) {
    look *wanted = context;
    return keeper_read_note(stream->name, stream->note, wanted->record, wanted->error);
}

weir_status keeper_look(server_keeper *keeper, const char *id, keeper_record *out,
                        weir_error *error) {
    look wanted = {.record = out, .error = error};
    weir_status status =
        keeper != NULL ? weir_store_look(keeper->store, id, look_at, &wanted, error) : WEIR_USAGE;
    return status == WEIR_USAGE ? weir_error_set(error, WEIR_USAGE, "there is no such stream")
                                : status;
}

weir_status keeper_restore(server_keeper *keeper, const char *id, const keeper_record *record,
                           server_session **out, weir_error *error) {
    weir_stream *stream = NULL;
    weir_restored restored;
    *out = NULL;
    weir_status status =
        weir_store_restore(keeper->store, id, &record->options, NULL, &stream, &restored, error);
    if (status == WEIR_OK) {
        status = weir_stream_set_sampling(stream, &record->sampling, error);
    }
    if (status == WEIR_OK) {
        status =
            session_adopt(keeper->model, &record->options, id, keeper->metrics, stream, out, error);
    }
    if (status != WEIR_OK) {
        weir_stream_destroy(stream);
        return status;
    }
    (*out)->keeper = keeper;
    (*out)->begun = true;
    (*out)->kept_index = restored.snapshot_index;
    (*out)->sampling = record->sampling;
    (*out)->seeded = record->seeded;
    (*out)->created = record->created;
    (*out)->made = record->made;
    (*out)->system = record->system != NULL ? strdup(record->system) : NULL;
    status = weir_store_list_marks(keeper->store, id, take_mark, *out, error);
    if (status != WEIR_OK) {
        session_destroy(*out);
        *out = NULL;
    }
    return status;
}

typedef struct listing {
    bool (*skip)(void *context, const char *id);
    void *context;
    json_t *list;
} listing;

static weir_status list_one(void *context, const weir_store_stream *stream) {
    listing *to = context;
    const int64_t index =
        stream->index > stream->snapshot_index ? stream->index : stream->snapshot_index;
    if (!to->skip(to->context, stream->name)) {
        json_array_append_new(to->list,
                              json_pack("{s:s,s:s,s:I,s:I,s:b,s:b}", "id", stream->name, "object",
                                        "stream", "created", (json_int_t)stream->made, "index",
                                        (json_int_t)index, "stored", 1, "loaded", 0));
    }
    return WEIR_OK;
}

json_t *keeper_list(server_keeper *keeper, bool (*skip)(void *context, const char *id),
                    void *context) {
    weir_error error;
    listing to = {.skip = skip, .context = context, .list = json_array()};
    if (keeper != NULL && weir_store_list(keeper->store, list_one, &to, &error) != WEIR_OK) {
        failed(keeper, &error);
    }
    return to.list;
}
