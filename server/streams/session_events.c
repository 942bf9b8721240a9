/* Those who listen to a session. A slow one never holds the stream up: it misses events, and is
 * told how many. */
#include <string.h>

#include "http/sse.h"
#include "streams/session.h"

#define MOST_WAITING (256u << 10)
#define SILENCE 15.0 /* seconds after which a comment says that the line stands */

weir_status session_listen(server_session *session, server_reply *to, weir_error *error) {
    for (int i = 0; i < SESSION_LISTENERS; i++) {
        session_listener *listener = &session->listeners[i];
        if (listener->reply == NULL) {
            *listener = (session_listener){.reply = reply_share(to)};
            sse_begin(to);
            sse_event(to, "state", session_state(session));
            return WEIR_OK;
        }
    }
    return weir_error_set(error, WEIR_MEMORY, "a stream has at most %d listeners",
                          SESSION_LISTENERS);
}

bool session_has_listeners(const server_session *session) {
    for (int i = 0; i < SESSION_LISTENERS; i++) {
        if (session->listeners[i].reply != NULL) {
            return true;
        }
    }
    return false;
}

static void tell_one(session_listener *listener, const char *event, json_t *data) {
    if (reply_waiting(listener->reply) > MOST_WAITING) {
        listener->lost++;
        return;
    }
    if (listener->lost > 0) {
        sse_event(listener->reply, "lost",
                  json_pack("{s:I}", "events", (json_int_t)listener->lost));
        listener->lost = 0;
    }
    sse_event(listener->reply, event, json_incref(data));
    listener->told = 0;
}

void session_tell(server_session *session, const char *event, json_t *data) {
    for (int i = 0; i < SESSION_LISTENERS && data != NULL; i++) {
        if (session->listeners[i].reply != NULL) {
            tell_one(&session->listeners[i], event, data);
        }
    }
    json_decref(data);
}

static void forget(session_listener *listener) {
    reply_release(listener->reply);
    *listener = (session_listener){.reply = NULL};
}

void session_tend_listeners(server_session *session, double now) {
    for (int i = 0; i < SESSION_LISTENERS; i++) {
        session_listener *listener = &session->listeners[i];
        if (listener->reply == NULL) {
            continue;
        }
        if (reply_client_left(listener->reply)) {
            forget(listener);
        } else if (listener->told == 0) {
            listener->told = now;
        } else if (now - listener->told > SILENCE) {
            sse_comment(listener->reply);
            listener->told = now;
        }
    }
}

void session_end_listeners(server_session *session) {
    session_tell(session, "end", json_object());
    for (int i = 0; i < SESSION_LISTENERS; i++) {
        if (session->listeners[i].reply != NULL) {
            reply_end(session->listeners[i].reply);
            forget(&session->listeners[i]);
        }
    }
}
