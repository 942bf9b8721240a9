#include "streams/session.h"

#include "streams/keeper.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BORDER (-1)

static const char *const policies[] = {"sink", "window", "dense", "recompute"};
static const char *const cache_types[] = {"f16", "f32", "q8_0"};

static weir_status no_memory(weir_error *error) {
    return weir_error_set(error, WEIR_MEMORY, "no memory for another stream");
}

/* ---- life ------------------------------------------------------------------------------------ */

weir_status session_plan(const weir_model *model, const weir_stream_options *options,
                         weir_plan *out, weir_error *error) {
    weir_status status = weir_stream_plan(model, options, out, error);
    if (status == WEIR_OK) {
        out->reserved_bytes += (int64_t)sizeof(server_session);
    }
    return status;
}

static server_session *allocate(const weir_model *model, const char *id) {
    server_session *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return NULL;
    }
    strncpy(made->id, id, sizeof made->id - 1);
    made->model = model;
    made->created = (int64_t)time(NULL);
    made->text = malloc(weir_detokenize_room(model));
    if (made->text == NULL) {
        session_destroy(made);
        return NULL;
    }
    return made;
}

weir_status session_adopt(const weir_model *model, const weir_stream_options *options,
                          const char *id, server_metrics *metrics, weir_stream *stream,
                          server_session **out, weir_error *error) {
    weir_plan plan;
    *out = NULL;
    weir_status status = session_plan(model, options, &plan, error);
    server_session *made = status == WEIR_OK ? allocate(model, id) : NULL;
    if (made == NULL) {
        return status != WEIR_OK ? status : no_memory(error);
    }
    weir_stream_state state;
    weir_stream_get_state(stream, &state);
    made->options = *options;
    made->plan = plan;
    made->metrics = metrics;
    made->sampling = weir_sampling_default();
    made->stream = stream;
    made->index = state.index;
    made->oldest = state.oldest > state.sinks ? state.oldest : state.sinks;
    made->evicted_text = (weir_detokenizer){.begun = made->oldest > state.sinks};
    made->held = state.held > 0;
    *out = made;
    return WEIR_OK;
}

weir_status session_create(const weir_model *model, const weir_stream_options *options,
                           const char *id, server_metrics *metrics, server_session **out,
                           weir_error *error) {
    weir_stream *stream;
    *out = NULL;
    weir_status status = weir_stream_create(model, options, &stream, error);
    if (status == WEIR_OK) {
        status = session_adopt(model, options, id, metrics, stream, out, error);
        if (status != WEIR_OK) {
            weir_stream_destroy(stream);
        }
    }
    return status;
}

/* ---- what goes in ---------------------------------------------------------------------------- */

/* Tokens wait for a turn; BORDER between messages. */
static weir_status queue(server_session *session, const int32_t *tokens, int64_t count,
                         weir_error *error) {
    if (session->pending_at == session->pending_end) {
        session->pending_at = session->pending_end = 0;
    }
    int64_t wanted = session->pending_end + count;
    if (wanted > session->pending_capacity) {
        int64_t capacity = 2 * wanted + 64;
        int32_t *room = realloc(session->pending, (size_t)capacity * sizeof *room);
        if (room == NULL) {
            return weir_error_set(error, WEIR_MEMORY, "no memory for tokens");
        }
        session->pending = room;
        session->pending_capacity = capacity;
    }
    if (count > 0) {
        memcpy(session->pending + session->pending_end, tokens, (size_t)count * sizeof *tokens);
    }
    session->pending_end += count;
    session->opening.closed = true; /* it has all that waited when it began */
    return WEIR_OK;
}

weir_status session_fork(server_session *parent, const char *id, server_session **out,
                         weir_error *error) {
    *out = NULL;
    server_session *made = allocate(parent->model, id);
    if (made == NULL) {
        return no_memory(error);
    }
    made->options = parent->options;
    made->plan = parent->plan;
    made->metrics = parent->metrics;
    made->sampling = parent->sampling;
    made->seeded = parent->seeded;
    made->index = parent->index;
    made->made = parent->made;
    made->oldest = parent->oldest;
    made->evicted_text = parent->evicted_text;
    made->held = parent->held;
    made->begun = true;
    weir_status status = weir_stream_fork(parent->stream, &made->stream, error);
    int64_t waiting = session_waiting(parent);
    if (status == WEIR_OK && parent->system != NULL) {
        made->system = strdup(parent->system);
        status = made->system != NULL ? WEIR_OK : no_memory(error);
    }
    if (status == WEIR_OK && waiting > 0) {
        status = queue(made, parent->pending + parent->pending_at, waiting, error);
    }
    if (status != WEIR_OK) {
        session_destroy(made);
        return status;
    }
    atomic_fetch_add(&parent->metrics->forks, 1);
    *out = made;
    return WEIR_OK;
}

void session_destroy(server_session *session) {
    if (session == NULL) {
        return;
    }
    session_end_listeners(session);
    for (int i = 0; i < SESSION_MARKS; i++) {
        weir_mark_destroy(session->marks[i].mark);
    }
    weir_stream_destroy(session->stream);
    opening_free(&session->opening);
    free(session->system);
    free(session->pending);
    free(session->text);
    free(session);
}

weir_status session_put_tokens(server_session *session, const int32_t *tokens, int64_t count,
                               weir_error *error) {
    keeper_tokens(session, tokens, count, NULL);
    return queue(session, tokens, count, error);
}

static weir_status put(void *context, const int32_t *tokens, int64_t count) {
    return queue(context, tokens, count, NULL);
}

weir_status session_put_text(server_session *session, const char *text, size_t size, bool flush,
                             weir_error *error) {
    keeper_text(session, text, size, flush);
    session->held = !flush;
    return weir_batch_tokenize(session->stream, text, size, flush, put, session, error);
}

/* An end token of another format may have been taken back before the messages. */
static void note_taken_back(server_session *session) {
    weir_stream_state state;
    weir_stream_get_state(session->stream, &state);
    if (state.index < session->index) {
        keeper_rewind(session, state.index);
        session->index = state.index;
    }
}

static weir_status put_or_border(void *context, const int32_t *tokens, int64_t count, bool border) {
    note_taken_back(context);
    if (border) {
        return session_put_border(context, NULL);
    }
    keeper_tokens(context, tokens, count, KEEPER_CHAT);
    return queue(context, tokens, count, NULL);
}

/* The system message that a stream was created with stands before its first messages. */
static weir_status put_conversation(server_session *session,
                                    const server_conversation *conversation, weir_error *error) {
    const weir_message *messages = conversation->messages;
    weir_message *all = NULL;
    int64_t count = conversation->count;
    if (session->system != NULL && session->index == 0) {
        all = calloc((size_t)count + 1, sizeof *all);
        if (all == NULL) {
            return weir_error_set(error, WEIR_MEMORY, "no memory for messages");
        }
        all[0] = (weir_message){WEIR_ROLE_SYSTEM, session->system, strlen(session->system)};
        memcpy(all + 1, messages, (size_t)count * sizeof *all);
        messages = all;
        count++;
    }
    keeper_messages(session, messages, count);
    weir_status status =
        weir_batch_tokenize_chat(session->stream, messages, count, put_or_border, session, error);
    free(all);
    return status;
}

weir_status session_put_messages(server_session *session, const server_conversation *conversation,
                                 weir_error *error) {
    weir_status status = put_conversation(session, conversation, error);
    note_taken_back(session);
    return status;
}

weir_status session_put_border(server_session *session, weir_error *error) {
    const int32_t border = BORDER;
    keeper_border(session);
    return queue(session, &border, 1, error);
}

int64_t session_waiting(const server_session *session) {
    return session->pending_end - session->pending_at;
}

int64_t session_next(server_session *session, const int32_t **tokens, int64_t most,
                     weir_error *error) {
    error->status = WEIR_OK;
    while (session_waiting(session) > 0 && session->pending[session->pending_at] == BORDER) {
        session->pending_at++;
        opening_fed(&session->opening, 1);
        if (weir_stream_border(session->stream, error) != WEIR_OK) {
            return 0;
        }
    }
    int64_t count = 0, pause = session->pauses_at - session->opening.fed;
    most = pause > 0 && pause < most ? pause : most;
    *tokens = session->pending + session->pending_at;
    while (count < most && count < session_waiting(session) && (*tokens)[count] != BORDER) {
        count++;
    }
    return count;
}

void session_drop_pending(server_session *session) {
    const bool lost = session_waiting(session) > 0;
    session->pending_at = session->pending_end = 0;
    opening_close(&session->opening);
    if (lost) {
        keeper_moved(session, session->index);
        keeper_snapshot(session); /* what was written down is more than what was fed */
    }
}

/* ---- what has become of it ------------------------------------------------------------------- */

/* The text of tokens [first, end), which have just left the window: the stream remembers them. */
static json_t *evicted_text(server_session *session, int64_t first, int64_t end) {
    text_buffer text = {0};
    for (int64_t i = first; i < end; i++) {
        int32_t token;
        if (weir_stream_get_tokens(session->stream, i, i + 1, &token, NULL) == WEIR_OK) {
            text_add(&text, session->text,
                     weir_detokenize(session->model, &session->evicted_text, token, session->text));
        }
    }
    json_t *string = text.failed ? NULL : json_stringn(text.size > 0 ? text.data : "", text.size);
    text_free(&text);
    return string != NULL ? string : json_null();
}

static void note_evicted(server_session *session, int64_t oldest) {
    if (oldest <= session->oldest) {
        return;
    }
    atomic_fetch_add(&session->metrics->tokens_evicted, oldest - session->oldest);
    if (session_has_listeners(session)) {
        session_tell(session, "evicted",
                     json_pack("{s:I,s:I,s:o}", "first", (json_int_t)session->oldest, "end",
                               (json_int_t)oldest, "text",
                               evicted_text(session, session->oldest, oldest)));
    }
    session->oldest = oldest;
}

static void note_past(server_session *session) {
    weir_stream_state state;
    weir_stream_get_state(session->stream, &state);
    session->index = state.index;
    note_evicted(session, state.oldest);
}

static void note_fed(server_session *session, int64_t tokens, int64_t entries) {
    note_past(session);
    session->pending_at += entries;
    opening_fed(&session->opening, entries);
    if (session_has_listeners(session)) {
        session_tell(session, "fed",
                     json_pack("{s:I,s:I}", "index", (json_int_t)session->index, "tokens",
                               (json_int_t)tokens));
    }
}

void session_fed(server_session *session, int64_t count) {
    atomic_fetch_add(&session->metrics->tokens_fed, count);
    note_fed(session, count, count);
}

void session_begin_with(server_session *session, weir_stream *stream, int64_t tokens) {
    weir_stream_destroy(session->stream);
    session->stream = stream;
    session->shared = tokens;
    note_fed(session, tokens, opening_place(session->pending + session->pending_at, tokens));
}

void session_drew(server_session *session, int32_t token) {
    opening_drew(&session->opening, token, session->index);
    keeper_drew(session, token);
    note_past(session);
    session->made++;
    atomic_fetch_add(&session->metrics->tokens_made, 1);
}

/* ---- state ----------------------------------------------------------------------------------- */

static json_t *mark_list(const server_session *session) {
    json_t *list = json_array();
    for (int i = 0; i < SESSION_MARKS; i++) {
        const session_mark *mark = &session->marks[i];
        if (mark->name[0] != '\0') {
            json_array_append_new(list, json_pack("{s:s,s:I,s:b}", "name", mark->name, "index",
                                                  (json_int_t)mark->index, "stored", mark->stored));
        }
    }
    return list;
}

json_t *session_state(const server_session *session) {
    weir_stream_state state;
    weir_stream_get_state(session->stream, &state);
    return json_pack(
        "{s:s,s:s,s:I,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:b,s:o}", "id",
        session->id, "object", "stream", "created", (json_int_t)session->created, "policy",
        policies[session->options.policy], "cache_type", cache_types[session->options.cache_type],
        "sinks", (json_int_t)state.sinks, "window", (json_int_t)state.window, "index",
        (json_int_t)state.index, "evicted", (json_int_t)state.evicted, "oldest",
        (json_int_t)state.oldest, "reachable", (json_int_t)state.reachable, "made",
        (json_int_t)session->made, "shared", (json_int_t)session->shared, "waiting",
        (json_int_t)session_waiting(session), "held_bytes", (json_int_t)state.held, "memory_bytes",
        (json_int_t)session->plan.reserved_bytes, "busy", session->users > 0, "stored",
        keeper_has(session), "marks", mark_list(session));
}
