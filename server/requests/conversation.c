#include "requests/conversation.h"

#include <stdlib.h>
#include <string.h>

#include "parts/text_buffer.h"

typedef struct role_name {
    const char *name;
    weir_role role;
} role_name;

static const role_name roles[] = {{"system", WEIR_ROLE_SYSTEM},
                                  {"developer", WEIR_ROLE_SYSTEM},
                                  {"user", WEIR_ROLE_USER},
                                  {"assistant", WEIR_ROLE_ASSISTANT}};

static weir_status read_role(json_t *message, size_t at, weir_role *out, weir_error *error) {
    const char *name = json_string_value(json_object_get(message, "role"));
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (name != NULL && strcmp(name, roles[i].name) == 0) {
            *out = roles[i].role;
            return WEIR_OK;
        }
    }
    return weir_error_set(error, WEIR_USAGE,
                          "messages[%zu]: role must be system, developer, user or assistant", at);
}

static weir_status wrong_content(size_t at, weir_error *error) {
    return weir_error_set(error, WEIR_USAGE,
                          "messages[%zu]: content must be a string or a list of "
                          "{\"type\":\"text\",\"text\":\"...\"}; this server reads text only",
                          at);
}

static weir_status read_parts(json_t *list, size_t at, text_buffer *out, weir_error *error) {
    size_t i;
    json_t *part;
    json_array_foreach(list, i, part) {
        const char *type = json_string_value(json_object_get(part, "type"));
        json_t *text = json_object_get(part, "text");
        if (type == NULL || strcmp(type, "text") != 0 || !json_is_string(text)) {
            return wrong_content(at, error);
        }
        text_add(out, json_string_value(text), json_string_length(text));
    }
    return WEIR_OK;
}

static weir_status read_message(json_t *message, size_t at, weir_message *out, weir_error *error) {
    static const char *const known[] = {"role", "content", "name", "refusal", NULL};
    const char *name;
    json_t *value, *content = json_object_get(message, "content");
    text_buffer text = {0};
    weir_status status = read_role(message, at, &out->role, error);
    json_object_foreach(message, name, value) {
        bool found = json_is_null(value);
        for (int i = 0; known[i] != NULL && !found; i++) {
            found = strcmp(known[i], name) == 0;
        }
        if (status == WEIR_OK && !found) {
            status = weir_error_set(error, WEIR_USAGE, "messages[%zu]: \"%.40s\" is not supported",
                                    at, name);
        }
    }
    if (status == WEIR_OK && json_is_string(content)) {
        text_add(&text, json_string_value(content), json_string_length(content));
    } else if (status == WEIR_OK) {
        status = json_is_array(content) ? read_parts(content, at, &text, error)
                                        : wrong_content(at, error);
    }
    if (status == WEIR_OK && (text.failed || !text_add(&text, "", 0))) {
        status = weir_error_set(error, WEIR_MEMORY, "no memory for a message");
    }
    out->size = text.size;
    out->text = text_take(&text);
    return status;
}

weir_status conversation_read(json_t *list, server_conversation *out, weir_error *error) {
    *out = (server_conversation){.count = 0};
    size_t count = json_array_size(list);
    if (count == 0 || count > CONVERSATION_MESSAGES) {
        return weir_error_set(error, WEIR_USAGE, "messages must be a list of 1 to %d messages",
                              CONVERSATION_MESSAGES);
    }
    out->messages = calloc(count, sizeof *out->messages);
    if (out->messages == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for messages");
    }
    weir_status status = WEIR_OK;
    for (size_t i = 0; i < count && status == WEIR_OK; i++) {
        status = read_message(json_array_get(list, i), i, &out->messages[i], error);
        out->count++;
    }
    if (status != WEIR_OK) {
        conversation_free(out);
    }
    return status;
}

const weir_message *conversation_system(const server_conversation *conversation) {
    bool there = conversation->count > 0 && conversation->messages[0].role == WEIR_ROLE_SYSTEM;
    return there ? conversation->messages : NULL;
}

void conversation_free(server_conversation *conversation) {
    for (int64_t i = 0; i < conversation->count; i++) {
        free((char *)(uintptr_t)conversation->messages[i].text);
    }
    free(conversation->messages);
    conversation->messages = NULL;
    conversation->count = 0;
}
