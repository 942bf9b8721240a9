#include "http/reply_json.h"

void reply_json(server_reply *reply, int status, json_t *value) {
    size_t size;
    char *body = json_body(value, &size);
    reply_whole(reply, status, REPLY_JSON, body, size);
}
