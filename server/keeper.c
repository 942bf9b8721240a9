#include "keeper.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
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

/* The stream goes on in memory; whoever looks is told. The log hears of the first, and then seldom.
 */
static void failed(server_keeper *keeper, const weir_error *error) {
    atomic_store(&keeper->metrics->streams_not_stored, 1); /* keeper_tend counts them */
    if (atomic_fetch_add(&keeper->metrics->store_failures, 1) % 1000 == 0) {
        log_event("store", "%s", error->message);
    }
}

/* ---- notes: what a session is besides its stream --------------------------------------------- */

#define SAMPLING_NUMBERS 10

static json_t *sampling_note(const weir_sampling *s) {
    return json_pack("[f,i,f,f,f,f,f,f,i,I]", (double)s->temperature, (int)s->top_k,
                     (double)s->top_p, (double)s->min_p, (double)s->typical,
                     (double)s->repetition_penalty, (double)s->presence_penalty,
                     (double)s->frequency_penalty, (int)s->penalty_window, (json_int_t)s->seed);
}

static bool read_sampling(json_t *list, weir_sampling *out) {
    double number[SAMPLING_NUMBERS];
    if (!json_is_array(list) || json_array_size(list) != SAMPLING_NUMBERS) {
        return false;
    }
    for (size_t i = 0; i < SAMPLING_NUMBERS; i++) {
        json_t *value = json_array_get(list, i);
        if (!json_is_number(value)) {
            return false;
        }
        number[i] = json_number_value(value);
    }
    *out = weir_sampling_default();
    out->temperature = (float)number[0];
    out->top_k = (int32_t)number[1];
    out->top_p = (float)number[2];
    out->min_p = (float)number[3];
    out->typical = (float)number[4];
    out->repetition_penalty = (float)number[5];
    out->presence_penalty = (float)number[6];
    out->frequency_penalty = (float)number[7];
    out->penalty_window = (int32_t)number[8];
    out->seed = (uint64_t)json_integer_value(json_array_get(list, 9));
    return true;
}

/* A new string, or NULL. */
static char *note_of(const server_session *session) {
    const weir_stream_options *o = &session->options;
    json_t *note = json_pack(
        "{s:i,s:I,s:I,s:I,s:I,s:b,s:i,s:i,s:I,s:I,s:I,s:o,s:b,s:s*}", "policy", (int)o->policy,
        "sinks", (json_int_t)session->plan.sinks, "window", (json_int_t)o->window, "cache",
        (json_int_t)o->cache, "context", (json_int_t)o->context, "beyond", o->beyond, "cache_type",
        (int)o->cache_type, "eviction", (int)o->eviction, "chunk", (json_int_t)o->chunk, "created",
        (json_int_t)session->created, "made", (json_int_t)session->made, "sampling",
        sampling_note(&session->sampling), "seeded", session->seeded, "system", session->system);
    char *text = note != NULL ? json_dumps(note, JSON_COMPACT) : NULL;
    json_decref(note);
    return text;
}

static weir_status read_note(const char *id, const char *text, keeper_record *out,
                             weir_error *error) {
    json_error_t where;
    json_t *note = json_loads(text, JSON_REJECT_DUPLICATES, &where);
    json_t *sampling = NULL;
    json_int_t sinks, window, cache, context, chunk, created, made;
    int policy, cache_type, eviction, beyond, seeded = 0;
    const char *system = NULL;
    *out = (keeper_record){.options = weir_stream_options_default()};
    bool good =
        note != NULL &&
        json_unpack(note, "{s:i,s:I,s:I,s:I,s:I,s:b,s:i,s:i,s:I,s:I,s:I,s:o,s?b,s?s}", "policy",
                    &policy, "sinks", &sinks, "window", &window, "cache", &cache, "context",
                    &context, "beyond", &beyond, "cache_type", &cache_type, "eviction", &eviction,
                    "chunk", &chunk, "created", &created, "made", &made, "sampling", &sampling,
                    "seeded", &seeded, "system", &system) == 0 &&
        policy >= WEIR_SINK && policy < WEIR_RECOMPUTE && cache_type >= 0 &&
        cache_type <= WEIR_CACHE_Q8_0 && eviction >= 0 && eviction <= WEIR_EVICT_MESSAGE &&
        read_sampling(sampling, &out->sampling);
    if (good) {
        weir_stream_options *o = &out->options;
        o->policy = (weir_policy)policy;
        o->sinks = policy == WEIR_SINK ? sinks : -1;
        o->window = window;
        o->cache = cache;
        o->context = context;
        o->beyond = beyond != 0;
        o->cache_type = (weir_cache_type)cache_type;
        o->eviction = (weir_eviction)eviction;
        o->chunk = chunk;
        out->created = created;
        out->made = made;
        out->seeded = seeded != 0;
        out->system = system != NULL ? strdup(system) : NULL;
    }
    json_decref(note);
    return good ? WEIR_OK
                : weir_error_set(error, WEIR_DAMAGED,
                                 "the store's note on the stream %s is damaged", id);
}

/* ---- what a session is given ----------------------------------------------------------------- */

void keeper_snapshot(server_session *session) {
    weir_error error;
    server_keeper *keeper = session->keeper;
    if (keeper == NULL) {
        return;
    }
    session->drawn_count = 0; /* the stream has them */
    char *note = note_of(session);
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
                        size_t size) {
    server_keeper *keeper = session->keeper;
    const weir_entry entry = {.kind = kind, .data = data, .size = size, .index = session->index};
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
                    (size_t)session->drawn_count * sizeof session->drawn[0]);
        session->drawn_count = 0;
    }
}

static void write_in_order(server_session *session, weir_entry_kind kind, const void *data,
                           size_t size) {
    if (session->keeper != NULL) {
        write_drawn(session);
        write_entry(session, kind, data, size);
    }
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

void keeper_tokens(server_session *session, const int32_t *tokens, int64_t count) {
    const int64_t most = WEIR_STORE_ENTRY_MAX / (int64_t)sizeof *tokens;
    for (int64_t at = 0; at < count; at += most) {
        int64_t part = count - at < most ? count - at : most;
        write_in_order(session, WEIR_ENTRY_TOKENS, tokens + at, (size_t)part * sizeof *tokens);
    }
}

void keeper_drew(server_session *session, int32_t token) {
    if (session->keeper == NULL) {
        return;
    }
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

/* ---- a session as a whole -------------------------------------------------------------------- */

/* What waits to be fed: runs of tokens between borders. */
static void keep_pending(server_session *session) {
    for (int64_t at = session->pending_at, end; at < session->pending_end; at = end) {
        end = at;
        while (end < session->pending_end && session->pending[end] >= 0) {
            end++;
        }
        keeper_tokens(session, session->pending + at, end - at);
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
    char *note = note_of(session);
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
    return read_note(stream->name, stream->note, wanted->record, wanted->error);
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
    (*out)->kept_index = restored.snapshot_index;
    (*out)->sampling = record->sampling;
    (*out)->seeded = record->seeded;
    (*out)->created = record->created;
    (*out)->made = record->made;
    (*out)->system = record->system != NULL ? strdup(record->system) : NULL;
    return WEIR_OK;
}

typedef struct listing {
    bool (*skip)(void *context, const char *id);
    void *context;
    json_t *list;
} listing;

static weir_status list_one(void *context, const weir_store_stream *stream) {
    listing *to = context;
    if (!to->skip(to->context, stream->name)) {
        json_array_append_new(to->list,
                              json_pack("{s:s,s:s,s:I,s:I,s:b,s:b}", "id", stream->name, "object",
                                        "stream", "created", (json_int_t)stream->made, "index",
                                        (json_int_t)stream->index, "stored", 1, "loaded", 0));
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
