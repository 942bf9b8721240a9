#include "http/sse.h"

#include <stdlib.h>
#include <string.h>

void sse_begin(server_reply *reply) {
    reply_header(reply, "Cache-Control", "no-store");
    reply_header(reply, "X-Accel-Buffering", "no"); /* a proxy in front passes events on at once */
    reply_begin(reply, 200, REPLY_EVENTS);
}

static void write_all(server_reply *reply, const char *event, const char *data, size_t size) {
    /* one write: an event is never torn by another */
    size_t name = event != NULL ? strlen(event) : 0;
    char *text = malloc(name + size + 32);
    if (text == NULL) {
        reply_leave(reply); /* broken off, never with a hole */
        return;
    }
    size_t used = 0;
    if (event != NULL) {
        memcpy(text, "event: ", 7);
        memcpy(text + 7, event, name);
        text[7 + name] = '\n';
        used = 8 + name;
    }
    memcpy(text + used, "data: ", 6);
    memcpy(text + used + 6, data, size);
    memcpy(text + used + 6 + size, "\n\n", 2);
    reply_write(reply, text, used + size + 8);
    free(text);
}

void sse_event(server_reply *reply, const char *event, json_t *data) {
    size_t size;
    char *text = json_body(data, &size);
    if (text == NULL) {
        reply_leave(reply);
        return;
    }
    write_all(reply, event, text, size);
    free(text);
}

void sse_word(server_reply *reply, const char *word) { write_all(reply, NULL, word, strlen(word)); }

void sse_comment(server_reply *reply) { reply_write(reply, ":\n\n", 3); }
