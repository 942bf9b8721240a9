/* A reply that is one JSON value. */
#ifndef WEIR_SERVER_REPLY_JSON_H
#define WEIR_SERVER_REPLY_JSON_H

#include "http/reply.h"
#include "parts/json.h"

/* As reply_whole(); `value` is taken, and NULL (no memory) is answered with a 500. */
void reply_json(server_reply *reply, int status, json_t *value);

#endif
