/* Marks and rewinding: a stream goes back. A mark lives in memory, on disk, or in both; one on disk
 * is a whole stream, which takes the place of the session's. */
#include <string.h>

#include "streams/keeper.h"

static session_mark *find_mark(server_session *session, const char *name) {
    for (int i = 0; i < SESSION_MARKS; i++) {
        if (strcmp(session->marks[i].name, name) == 0) {
            return &session->marks[i];
        }
    }
    return NULL;
}

static weir_status check_mark_name(const char *name, weir_error *error) {
    size_t size = strlen(name);
    if (size == 0 || size >= SESSION_MARK) {
        return weir_error_set(error, WEIR_USAGE, "a mark's name must have 1 to %d bytes",
                              SESSION_MARK - 1);
    }
    return WEIR_OK;
}

/* Held text is fed first: a mark is a border of tokens. */
weir_status session_mark_here(server_session *session, const char *name, weir_error *error) {
    weir_status status = check_mark_name(name, error);
    session_mark *mark = status == WEIR_OK ? find_mark(session, name) : NULL;
    if (status == WEIR_OK && mark == NULL) {
        mark = find_mark(session, "");
        if (mark == NULL) {
            return weir_error_set(error, WEIR_LIMIT, "a stream has at most %d marks",
                                  SESSION_MARKS);
        }
    }
    weir_mark *made = NULL;
    if (status == WEIR_OK) {
        status = weir_stream_mark(session->stream, &made, error);
    }
    if (status == WEIR_OK) {
        weir_stream_state state;
        weir_stream_get_state(session->stream, &state);
        keeper_flush(session); /* what was held is fed now */
        session->index = state.index;
        session->held = false;
        weir_mark_destroy(mark->mark);
        *mark = (session_mark){.mark = made, .index = session->index};
        strncpy(mark->name, name, sizeof mark->name - 1);
        mark->stored = keeper_mark(session, name, session->stream);
    }
    return status;
}

static session_mark *known_mark(server_session *session, const char *name, weir_error *error) {
    session_mark *mark = check_mark_name(name, NULL) == WEIR_OK ? find_mark(session, name) : NULL;
    if (mark == NULL) {
        weir_error_set(error, WEIR_USAGE, "the stream has no mark \"%.63s\"", name);
    }
    return mark;
}

weir_status session_unmark(server_session *session, const char *name, weir_error *error) {
    session_mark *mark = known_mark(session, name, error);
    if (mark == NULL) {
        return WEIR_USAGE;
    }
    weir_status status = mark->stored ? keeper_unmark(session, name, error) : WEIR_OK;
    if (status == WEIR_OK) {
        weir_mark_destroy(mark->mark);
        *mark = (session_mark){.name = ""};
    }
    return status;
}

/* The stream stands elsewhere: what is seen from there was not evicted, as far as we know. */
static void note_moved(server_session *session) {
    weir_stream_state state;
    weir_stream_get_state(session->stream, &state);
    session->index = state.index;
    if (state.index < session->opening.tokens) {
        opening_free(&session->opening); /* what follows is another beginning */
    }
    session->oldest = state.oldest > state.sinks ? state.oldest : state.sinks;
    session->evicted_text = (weir_detokenizer){.begun = session->oldest > state.sinks};
    session->held = state.held > 0;
    session_tell(session, "moved", json_pack("{s:I}", "index", (json_int_t)state.index));
}

/* The stream of a mark on disk takes the place of the session's; the marks in memory, which belong
 * to that one, are on disk as well, or are lost. */
static weir_status change_stream(server_session *session, const char *name, weir_error *error) {
    weir_stream *stream;
    weir_status status = keeper_load_mark(session, name, &stream, error);
    if (status != WEIR_OK) {
        return status;
    }
    for (int i = 0; i < SESSION_MARKS; i++) {
        session_mark *mark = &session->marks[i];
        weir_mark_destroy(mark->mark);
        mark->mark = NULL;
        if (!mark->stored) {
            *mark = (session_mark){.name = ""};
        }
    }
    weir_stream_destroy(session->stream);
    session->stream = stream;
    return WEIR_OK;
}

weir_status session_return(server_session *session, const char *name, weir_error *error) {
    session_mark *mark = known_mark(session, name, error);
    if (mark == NULL) {
        return WEIR_USAGE;
    }
    weir_status status = mark->mark != NULL ? weir_stream_return(session->stream, mark->mark, error)
                                            : change_stream(session, name, error);
    if (status == WEIR_OK) {
        keeper_moved(session, mark->index); /* no entry can say where to */
        keeper_snapshot(session);
        note_moved(session);
    }
    return status;
}

weir_status session_rewind(server_session *session, int64_t index, weir_error *error) {
    weir_status status = weir_stream_rewind(session->stream, index, error);
    if (status == WEIR_OK) {
        keeper_rewind(session, index);
        note_moved(session);
    }
    return status;
}
