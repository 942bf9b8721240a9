/*
 * An inlet: a request body on its way to a stream, as it arrives, in constant memory.
 *
 * The connection puts, the worker takes. A full inlet takes nothing more and puts the connection to
 * sleep until half of it is empty: so the client is slowed down to the pace of the model. Two
 * owners; the last one frees it.
 */
#ifndef WEIR_SERVER_INLET_H
#define WEIR_SERVER_INLET_H

#include <stdbool.h>
#include <stddef.h>

#define INLET_BYTES (64u << 10)

typedef struct server_inlet server_inlet;

typedef struct inlet_source {
    void (*pause)(void *context); /* the connection sleeps, under the inlet's lock */
    void (*wake)(void *context);
    void *context;
} inlet_source;

/* `arrived` is called when the worker should look: after every change. */
server_inlet *inlet_create(void (*arrived)(void *context), void *context);
server_inlet *inlet_share(server_inlet *inlet);
void inlet_release(server_inlet *inlet); /* NULL is allowed */

/* --- The connection --- */
void inlet_attach(server_inlet *inlet, const inlet_source *source);
void inlet_detach(server_inlet *inlet);                               /* never called again */
size_t inlet_put(server_inlet *inlet, const char *data, size_t size); /* how many were taken */
void inlet_finish(server_inlet *inlet, bool whole); /* no more comes; not whole: broken off */

/* --- The worker --- */
/* Up to `capacity` bytes; 0: none now. *ended: nothing comes after them; *whole: and all came. */
size_t inlet_take(server_inlet *inlet, char *out, size_t capacity, bool *ended, bool *whole);
bool inlet_has_news(server_inlet *inlet); /* whether inlet_take would tell anything */
void inlet_close(server_inlet *inlet);    /* what still comes is swallowed */

#endif
