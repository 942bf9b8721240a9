/*
 * GET /v1/streams/ID/text: what a stream was given and what it made, piece by piece, from the
 * store's entries; without a store what the stream itself still remembers.
 *
 * Entries of one kind become one piece, as far as no flush or border stands between. An answer is
 * bounded in bytes and entries, and says where the next one goes on.
 */
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "http/refusal.h"
#include "http/reply_json.h"
#include "weir/store.h"

#define MOST_ENTRIES 65536
#define MOST_BYTES (1 << 20)
#define DEFAULT_BYTES (64 << 10)

typedef struct log_request {
    int64_t from; /* an entry; negative: so many before the end */
    int64_t bytes;
} log_request;

typedef struct log_job {
    server_job job;
    char id[SESSION_ID];
    log_request asked;
} log_job;

/* ---- pieces ---------------------------------------------------------------------------------- */

typedef struct log_reader {
    const weir_model *model;
    json_t *pieces;
    const char *kind; /* of the piece that grows; NULL: none does */
    const char *role; /* of a message */
    int64_t entry, index;
    text_buffer text;
    weir_detokenizer state;
    char *room; /* for a token's text */
    int64_t bytes, most_bytes, entries;
    int64_t next; /* the first entry that is not read */
} log_reader;

static void end_piece(log_reader *r) {
    if (r->kind == NULL) {
        return;
    }
    char rest[8];
    text_add(&r->text, rest, weir_detokenize_end(&r->state, rest));
    json_t *piece =
        json_pack("{s:I,s:I,s:s,s:o}", "entry", (json_int_t)r->entry, "index", (json_int_t)r->index,
                  "kind", r->kind, "text", json_any_text(r->text.data, r->text.size));
    if (r->role != NULL) {
        json_object_set_new(piece, "role", json_string(r->role));
    }
    json_array_append_new(r->pieces, piece);
    text_clear(&r->text);
    r->kind = r->role = NULL;
}

/* The piece that grows, or a new one. */
static void go_on(log_reader *r, const char *kind, const char *role, const weir_entry *entry) {
    if (r->kind == kind && r->role == role) {
        return;
    }
    end_piece(r);
    r->kind = kind;
    r->role = role;
    r->entry = entry->number;
    r->index = entry->index;
    r->state = (weir_detokenizer){.begun = entry->index > 0};
}

static void add_tokens(log_reader *r, const weir_entry *entry) {
    const char *at = entry->data;
    for (size_t i = 0; i + sizeof(int32_t) <= entry->size; i += sizeof(int32_t)) {
        int32_t token;
        memcpy(&token, at + i, sizeof token); /* a blob may lie anywhere */
        text_add(&r->text, r->room, weir_detokenize(r->model, &r->state, token, r->room));
    }
}

static void add_moved(log_reader *r, const weir_entry *entry) {
    int64_t to = 0;
    memcpy(&to, entry->data, entry->size < sizeof to ? entry->size : sizeof to);
    end_piece(r);
    json_array_append_new(
        r->pieces, json_pack("{s:I,s:I,s:s,s:I}", "entry", (json_int_t)entry->number, "index",
                             (json_int_t)entry->index, "kind", "moved", "to", (json_int_t)to));
}

static void add_note(log_reader *r, const weir_entry *entry) {
    static const char *const roles[] = {"system", "user", "assistant"};
    if (entry->label == NULL) {
        return;
    }
    if (strcmp(entry->label, KEEPER_MOVED) == 0) {
        add_moved(r, entry);
        return;
    }
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (strcmp(entry->label, roles[i]) == 0) {
            end_piece(r); /* a message by itself, unless it is longer than an entry */
            go_on(r, "message", roles[i], entry);
            text_add(&r->text, entry->data, entry->size);
        }
    }
}

/* Whether the text ends inside a character, which the next entry may complete. */
static bool is_cut(const text_buffer *text) {
    for (size_t back = 1; back <= 3 && back <= text->size; back++) {
        unsigned char byte = (unsigned char)text->data[text->size - back];
        if (byte >= 0xc0) {
            return (byte >= 0xf0 ? 4u : byte >= 0xe0 ? 3u : 2u) > back;
        }
        if (byte < 0x80) {
            return false;
        }
    }
    return false;
}

static weir_status take_entry(void *context, const weir_entry *entry) {
    log_reader *r = context;
    if (r->entries >= MOST_ENTRIES || r->bytes >= 2 * r->most_bytes ||
        (r->bytes >= r->most_bytes && !(r->kind != NULL && is_cut(&r->text)))) {
        return WEIR_CANCELLED; /* enough */
    }
    size_t before = r->text.size;
    switch (entry->kind) {
    case WEIR_ENTRY_TEXT:
        go_on(r, "given", NULL, entry);
        text_add(&r->text, entry->data, entry->size);
        break;
    case WEIR_ENTRY_TOKENS:
        if (entry->label == NULL || strcmp(entry->label, KEEPER_CHAT) != 0) {
            go_on(r, "given", NULL, entry);
            add_tokens(r, entry);
        }
        break;
    case WEIR_ENTRY_DRAWN:
        go_on(r, "made", NULL, entry);
        add_tokens(r, entry);
        break;
    case WEIR_ENTRY_REWIND:
        add_moved(r, entry);
        break;
    case WEIR_ENTRY_NOTE:
        before = 0;
        add_note(r, entry);
        break;
    case WEIR_ENTRY_FLUSH:
    case WEIR_ENTRY_BORDER:
        end_piece(r); /* the text ended here */
        break;
    case WEIR_ENTRY_PIN:
        break;
    }
    r->bytes += (int64_t)(r->text.size > before ? r->text.size - before : 0);
    r->entries++;
    r->next = entry->number + 1;
    return WEIR_OK;
}

/* ---- where they come from -------------------------------------------------------------------- */

static weir_status note_entries(void *context, const weir_store_stream *stream) {
    *(int64_t *)context = stream->entries;
    return WEIR_OK;
}

static weir_status read_store(log_reader *r, const server_session *session,
                              const log_request *asked, int64_t *of, weir_error *error) {
    weir_store *store = keeper_store(session->keeper);
    weir_status status = weir_store_look(store, session->id, note_entries, of, error);
    if (status != WEIR_OK) {
        return status;
    }
    int64_t from = asked->from < 0 ? *of + asked->from : asked->from;
    r->next = from = from < 0 ? 0 : from;
    weir_error enough;
    status = weir_store_read(store, session->id, from, take_entry, r, &enough);
    if (status != WEIR_OK && status != WEIR_CANCELLED) {
        *error = enough;
        return status;
    }
    return WEIR_OK;
}

/* Tokens [first, end), if all of them are remembered. */
static bool read_range(log_reader *r, const server_session *session, int64_t first, int64_t end) {
    weir_entry entry = {.number = r->next, .index = first};
    int32_t token;
    if (first >= end || weir_stream_get_tokens(session->stream, first, first + 1, &token, NULL) ||
        weir_stream_get_tokens(session->stream, end - 1, end, &token, NULL)) {
        return false;
    }
    go_on(r, "remembered", NULL, &entry);
    for (int64_t i = first; i < end; i++) {
        if (weir_stream_get_tokens(session->stream, i, i + 1, &token, NULL) == WEIR_OK) {
            entry.data = &token;
            entry.size = sizeof token;
            add_tokens(r, &entry);
        }
    }
    end_piece(r);
    r->next++;
    return true;
}

/* The pinned tokens, and those that are still seen after them. */
static void read_stream(log_reader *r, const server_session *session, int64_t *of) {
    weir_stream_state state;
    weir_stream_get_state(session->stream, &state);
    int64_t sinks = state.sinks < state.index ? state.sinks : state.index;
    int64_t recent = state.oldest > sinks ? state.oldest : sinks;
    read_range(r, session, 0, sinks);
    read_range(r, session, recent, state.index);
    *of = r->next;
}

static weir_status read_log(const server_session *session, const log_request *asked, json_t **out,
                            weir_error *error) {
    log_reader r = {.model = session->model, .most_bytes = asked->bytes, .pieces = json_array()};
    int64_t of = 0;
    const bool stored = session->keeper != NULL && keeper_has(session);
    weir_status status = WEIR_OK;
    r.room = malloc(weir_detokenize_room(session->model));
    if (r.room == NULL) {
        status = weir_error_set(error, WEIR_MEMORY, "no memory for a text");
    } else if (stored) {
        status = read_store(&r, session, asked, &of, error);
    } else {
        read_stream(&r, session, &of);
    }
    end_piece(&r);
    if (status == WEIR_OK && r.text.failed) {
        status = weir_error_set(error, WEIR_MEMORY, "no memory for a text");
    }
    *out = json_pack("{s:s,s:o,s:b,s:I,s:I}", "object", "list", "data", r.pieces, "stored", stored,
                     "next", (json_int_t)r.next, "entries", (json_int_t)of);
    text_free(&r.text);
    free(r.room);
    return status;
}

/* ---- the request ----------------------------------------------------------------------------- */

static job_end run_log(server_worker *worker, server_job *base, weir_error *error) {
    log_job *job = (log_job *)base;
    json_t *made = NULL;
    server_session *session = registry_want(worker_registry(worker), job->id, base->reply);
    if (session == NULL) {
        return JOB_DONE;
    }
    if (read_log(session, &job->asked, &made, error) == WEIR_OK) {
        reply_json(base->reply, 200, made);
    } else {
        json_decref(made);
        refuse_error(base->reply, error);
    }
    return JOB_DONE;
}

static void free_log(server_job *base) {
    reply_release(base->reply);
    free(base);
}

void handle_text(http_request *request) {
    static const json_field fields[] = {
        {"from", FIELD_COUNT, offsetof(log_request, from), -1e15, 1e15},
        {"bytes", FIELD_COUNT, offsetof(log_request, bytes), 1, MOST_BYTES},
        {0},
    };
    struct server_state *server = request->server;
    log_request asked = {.bytes = DEFAULT_BYTES};
    weir_error error;
    json_t *arguments = http_arguments(request);
    weir_status status = json_read_fields(arguments, fields, &asked, &error);
    json_decref(arguments);
    if (status != WEIR_OK) {
        refuse_error(request->reply, &error);
        return;
    }
    log_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        handler_no_memory(request);
        return;
    }
    handler_begin_job(request, &job->job, run_log, free_log);
    strncpy(job->id, request->parts[0], sizeof job->id - 1);
    job->asked = asked;
    worker_submit(server->worker, &job->job);
}
