/*
 * Deadlines: connections whose request takes too long to arrive are cut. libmicrohttpd closes those
 * that are silent; this is for those that send a byte now and then. While there are `most`
 * connections a second is too long, silent or not, the time between two requests included: whoever
 * asks for something finds a place. A thread of its own looks after them.
 */
#ifndef WEIR_SERVER_DEADLINE_H
#define WEIR_SERVER_DEADLINE_H

#include <stdint.h>

#include "weir/status.h"

typedef struct server_deadlines server_deadlines;
typedef struct deadline deadline;

weir_status deadlines_create(double seconds, int64_t most, server_deadlines **out,
                             weir_error *error);
void deadlines_destroy(server_deadlines *deadlines); /* NULL is allowed; no deadline is left */

/* For a connection: its time runs. NULL: no memory, and no deadline. All others accept NULL. */
deadline *deadline_begin(server_deadlines *deadlines, int fd);
void deadline_stop(deadline *line);  /* the request is here */
void deadline_start(deadline *line); /* the next one is waited for */
void deadline_end(deadline *line);   /* before the socket is closed */

#endif
