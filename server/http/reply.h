/*
 * A reply: what a request is answered with, between the thread that writes it (the worker, or the
 * connection itself) and the connection that sends it.
 *
 *     writer   reply_header*, then reply_whole, or reply_begin, reply_write*, reply_end
 *     reader   reply_begun, then reply_read until it ends
 *
 * Two owners, one for each side; the last one frees it. The writer never waits: who writes without
 * an end asks reply_waiting() and pauses. The reader never waits either: when there is nothing yet
 * it is put to sleep by its own `pause` and called back by `wake`, both under the reply's lock, so
 * no wake is lost. A reader that leaves turns the rest into nothing; the writer sees reply_gone().
 */
#ifndef WEIR_SERVER_REPLY_H
#define WEIR_SERVER_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#define REPLY_HEADERS 8
#define REPLY_JSON "application/json"
#define REPLY_EVENTS "text/event-stream"
#define REPLY_TEXT "text/plain; charset=utf-8"

typedef struct server_reply server_reply;

/* How the reader sleeps and wakes. */
typedef struct reply_reader {
    void (*pause)(void *context);
    void (*wake)(void *context);
    void *context;
    int fd; /* its socket, to see when the client has gone; -1: none */
} reply_reader;

typedef struct reply_head {
    int status;
    const char *type;
    bool whole; /* the size is known */
    size_t size;
    int headers;
    struct {
        char name[40], value[256];
    } header[REPLY_HEADERS];
} reply_head;

server_reply *reply_create(void); /* NULL: no memory. One owner */
server_reply *reply_share(server_reply *reply);
void reply_release(server_reply *reply); /* NULL is allowed */

/* --- The writer --- */

/* One more header; cut when too long, dropped when there are too many or the reply has begun. */
void reply_header(server_reply *reply, const char *name, const char *value);
/* All at once. `body` is taken, and free()d. What comes after the first such call does nothing. */
void reply_whole(server_reply *reply, int status, const char *type, char *body, size_t size);
void reply_begin(server_reply *reply, int status, const char *type);
void reply_write(server_reply *reply, const char *data, size_t size);
void reply_end(server_reply *reply);

size_t reply_waiting(server_reply *reply); /* bytes that were not read yet */
bool reply_gone(server_reply *reply);
bool reply_has_begun(server_reply *reply);
int reply_status(server_reply *reply); /* 0: not begun */
size_t reply_sent(server_reply *reply);

/* --- The reader --- */

void reply_attach(server_reply *reply, const reply_reader *reader);
/* Whether the answer has begun, with *head filled; else the reader sleeps. */
bool reply_begun(server_reply *reply, reply_head *head);
/* Bytes read; 0: none yet, the reader sleeps; -1: the end; -2: broken off. */
long reply_read(server_reply *reply, char *out, size_t capacity);
/* The client has gone, or is told to: nobody reads any more. The reader is woken. */
void reply_leave(server_reply *reply);
/* The reader's context is about to go: it is never called again. */
void reply_detach(server_reply *reply);
/* Whether nobody reads any more, or the client has closed its side: asks the socket. */
bool reply_client_left(server_reply *reply);

#endif
