/*
 * `weir serve`: one model, many streams, over HTTP.
 *
 *     server_settings settings = server_settings_default();
 *     server_open(model, &settings, &server, &error);
 *     ... until a signal ...
 *     server_close(server);          drains: work under way has settings.drain seconds
 *
 * Connections (http.h) parse and queue; one worker (worker.h) owns all streams. The handlers of
 * requests are in openai.c, streams_api.c and operations.c, listed in routes.c.
 */
#ifndef WEIR_SERVER_SERVER_H
#define WEIR_SERVER_SERVER_H

#include "parts/settings.h"

typedef struct server_state server_state;

weir_status server_open(const weir_model *model, const server_settings *settings,
                        server_state **out, weir_error *error);
int server_port(const server_state *server);
/* Read the keys again. */
weir_status server_reload(server_state *server, weir_error *error);
void server_close(server_state *server); /* NULL is allowed */

#endif
