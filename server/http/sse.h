/* Server-sent events: a name, and one line of JSON. */
#ifndef WEIR_SERVER_SSE_H
#define WEIR_SERVER_SSE_H

#include "http/reply.h"
#include "parts/json.h"

void sse_begin(server_reply *reply);
/* `event` NULL: without a name, as OpenAI has it. `data` is given back. */
void sse_event(server_reply *reply, const char *event, json_t *data);
/* A line that is no JSON: "[DONE]". */
void sse_word(server_reply *reply, const char *word);
/* A comment: the line stands. */
void sse_comment(server_reply *reply);

#endif
