/* Refusals: errors in the shape that OpenAI's clients know, for every part of the server.
 *     {"error":{"message":"...","type":"invalid_request_error","param":null,"code":"..."}} */
#ifndef WEIR_SERVER_REFUSAL_H
#define WEIR_SERVER_REFUSAL_H

#include "http/reply.h"
#include "parts/json.h"

/* The HTTP status that a failure of the library has. */
int refusal_status(weir_status status);

json_t *refusal_json(int status, const char *code, const char *message);

/* Answer with one; `code` may be NULL. Statuses that a later try may not meet (429, 503) say when
 * to try again. */
void refuse(server_reply *reply, int status, const char *code, const char *message);
void refuse_error(server_reply *reply, const weir_error *error);

#endif
