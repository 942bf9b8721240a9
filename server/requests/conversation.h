/* The messages of a request, as OpenAI's clients write them. */
#ifndef WEIR_SERVER_CONVERSATION_H
#define WEIR_SERVER_CONVERSATION_H

#include "parts/json.h"
#include "weir/message.h"

#define CONVERSATION_MESSAGES 4096

typedef struct server_conversation {
    weir_message *messages; /* their texts are ours */
    int64_t count;
} server_conversation;

/* A list of {"role":…,"content":…}, where the content is a string or a list of texts. */
weir_status conversation_read(json_t *list, server_conversation *out, weir_error *error);
/* The first message, where it is the system's; else NULL. */
const weir_message *conversation_system(const server_conversation *conversation);
void conversation_free(server_conversation *conversation);

#endif
