/*
 * openapi_check DOCUMENT routes: every "METHOD PATH" of an OpenAPI document, parts of paths as ":".
 * openapi_check DOCUMENT fields: every "METHOD PATH FIELD" of its requests in JSON.
 * openapi_check DOCUMENT exchange METHOD PATH STATUS TYPE ANSWER [REQUEST]: an answer, and the JSON
 * it answers, are as the document says; prints the "METHOD PATH STATUS" that it was held to.
 * Exit 1 and sentences on stderr when something is not. For tests/cli.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema.h"

#define NAME 200

static json_t *document;

static bool complain(const char *where, const char *what) {
    fprintf(stderr, "%s: %s\n", where, what);
    return false;
}

/* ---- the document ---------------------------------------------------------------------------- */

static void upper(const char *word, char *out) {
    while ((*out++ = (char)toupper((unsigned char)*word++)) != '\0') {
    }
}

/* "/v1/streams/{id}" as "/v1/streams/:". */
static void pattern_of(const char *path, char *out) {
    for (bool inside = false; *path != '\0'; path++) {
        if (*path == '{') {
            *out++ = ':';
        }
        inside = (inside || *path == '{') && *path != '}';
        if (!inside && *path != '}') {
            *out++ = *path;
        }
    }
    *out = '\0';
}

static json_t *request_schema(json_t *operation) {
    json_t *body = schema_follow(document, json_object_get(operation, "requestBody"));
    json_t *content = json_object_get(json_object_get(body, "content"), "application/json");
    return json_object_get(content, "schema");
}

static bool contents_are_sound(json_t *content, const char *where) {
    const char *type, *event;
    json_t *media, *schema;
    bool sound = true;
    json_object_foreach(content, type, media) {
        schema = json_object_get(media, "schema");
        sound = (schema == NULL || schema_is_sound(document, schema, where)) && sound;
        json_object_foreach(json_object_get(media, "x-weir-events"), event, schema) {
            sound = schema_is_sound(document, schema, where) && sound;
        }
    }
    return sound;
}

static bool operation_is_sound(const char *where, json_t *item, json_t *operation) {
    size_t i, declared = 0, open = 0;
    const char *status;
    json_t *one, *responses = json_object_get(operation, "responses");
    json_array_foreach(json_object_get(item, "parameters"), i, one) {
        char braced[NAME];
        one = schema_follow(document, one);
        snprintf(braced, sizeof braced, "{%s}", json_string_value(json_object_get(one, "name")));
        declared += strstr(where, braced) != NULL && json_is_true(json_object_get(one, "required"));
    }
    for (const char *at = where; (at = strchr(at, '{')) != NULL; at++) {
        open++;
    }
    bool sound = declared == open || complain(where, "a part of the path is not declared");
    if (!json_is_string(json_object_get(operation, "operationId")) ||
        !json_is_string(json_object_get(operation, "summary")) || json_object_size(responses) < 1) {
        sound = complain(where, "has no operationId, no summary or no responses");
    }
    json_object_foreach(responses, status, one) {
        json_t *response = schema_follow(document, one);
        if (!json_is_string(json_object_get(response, "description"))) {
            sound = complain(where, "a response leads nowhere or has no description");
        }
        sound = contents_are_sound(json_object_get(response, "content"), where) && sound;
    }
    json_t *body = json_object_get(operation, "requestBody");
    return contents_are_sound(json_object_get(schema_follow(document, body), "content"), where) &&
           sound;
}

static bool schemas_are_sound(void) {
    const char *name;
    json_t *schema, *all = json_object_get(json_object_get(document, "components"), "schemas");
    bool sound = true;
    json_object_foreach(all, name, schema) {
        sound = schema_is_sound(document, schema, name) && sound;
    }
    return sound;
}

/* ---- routes, fields -------------------------------------------------------------------------- */

static void print_fields(const char *route, json_t *schema) {
    size_t i;
    const char *name;
    json_t *one;
    schema = schema_follow(document, schema);
    json_object_foreach(json_object_get(schema, "properties"), name, one) {
        printf("%s %s\n", route, name);
    }
    json_array_foreach(json_object_get(schema, "allOf"), i, one) { print_fields(route, one); }
}

static bool print_routes(bool fields) {
    const char *path, *method;
    json_t *item, *operation;
    bool sound = schemas_are_sound();
    json_object_foreach(json_object_get(document, "paths"), path, item) {
        json_object_foreach(item, method, operation) {
            char route[2 * NAME], name[NAME], pattern[NAME];
            if (strcmp(method, "parameters") == 0) {
                continue;
            }
            upper(method, name);
            pattern_of(path, pattern);
            snprintf(route, sizeof route, "%s %s", name, pattern);
            if (fields) {
                print_fields(route, request_schema(operation));
            } else {
                puts(route);
            }
            sound = operation_is_sound(path, item, operation) && sound;
        }
    }
    return sound;
}

/* ---- an exchange ----------------------------------------------------------------------------- */

/* Whether a path is one of a pattern's: each ":" stands for a part. */
static bool is_of(const char *pattern, const char *path) {
    while (*pattern != '\0') {
        if (*pattern == ':') {
            size_t size = strcspn(path, "/");
            if (size == 0) {
                return false;
            }
            path += size;
            pattern++;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return *path == '\0';
}

static json_t *find_operation(const char *method, const char *path, char *pattern) {
    const char *name;
    json_t *item;
    char lower[NAME];
    size_t i = 0;
    for (; method[i] != '\0' && i + 1 < sizeof lower; i++) {
        lower[i] = (char)tolower((unsigned char)method[i]);
    }
    lower[i] = '\0';
    json_object_foreach(json_object_get(document, "paths"), name, item) {
        pattern_of(name, pattern);
        json_t *operation = json_object_get(item, lower);
        if (is_of(pattern, path) && operation != NULL) {
            return operation;
        }
    }
    return NULL;
}

static json_t *load(const char *path) {
    json_error_t error;
    json_t *made = json_load_file(path, JSON_ALLOW_NUL, &error);
    if (made == NULL) {
        fprintf(stderr, "%s: %s at byte %d\n", path, error.text, error.position);
    }
    return made;
}

static bool file_holds(json_t *schema, const char *path, const char *where) {
    json_t *value = load(path);
    bool fits = value != NULL && schema_holds(document, schema, value, where);
    json_decref(value);
    return fits;
}

static bool event_holds(json_t *media, const char *event, const char *data) {
    json_error_t error;
    json_t *schema = json_object_get(json_object_get(media, "x-weir-events"), event);
    if (schema == NULL) {
        return complain(event, "the document has no such event");
    }
    json_t *value = json_loads(data, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    bool fits = value != NULL ? schema_holds(document, schema, value, event)
                              : complain(event, "the data is not JSON");
    json_decref(value);
    return fits;
}

/* Every event of a file; one without a name is a "message". */
static bool events_hold(json_t *media, const char *path) {
    FILE *file = fopen(path, "r");
    char *line = NULL, event[NAME] = "message";
    size_t room = 0, count = 0;
    bool hold = file != NULL || complain(path, "cannot be read");
    while (hold && getline(&line, &room, file) >= 0) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '\0') {
            strcpy(event, "message");
        } else if (strncmp(line, "event: ", 7) == 0) {
            snprintf(event, sizeof event, "%s", line + 7);
        } else if (strcmp(line, "data: [DONE]") == 0) {
            hold = json_is_true(json_object_get(media, "x-weir-done"));
        } else if (strncmp(line, "data: ", 6) == 0) {
            count++;
            hold = event_holds(media, event, line + 6);
        }
    }
    free(line);
    if (file != NULL) {
        fclose(file);
    }
    return hold && (count > 0 || complain(path, "no event in it"));
}

static bool answer_holds(json_t *operation, const char *status, const char *type, const char *path,
                         const char **held) {
    char media_type[NAME];
    json_t *responses = json_object_get(operation, "responses");
    *held = json_object_get(responses, status) != NULL ? status : "default";
    json_t *response = schema_follow(document, json_object_get(responses, *held));
    snprintf(media_type, sizeof media_type, "%s", type);
    media_type[strcspn(media_type, ";")] = '\0';
    json_t *media = json_object_get(json_object_get(response, "content"), media_type);
    if (media == NULL) {
        fprintf(stderr, "no answer %s of type %s is documented\n", status, media_type);
        return false;
    }
    if (strcmp(media_type, "text/event-stream") == 0) {
        return events_hold(media, path);
    }
    json_t *schema = json_object_get(media, "schema");
    return strcmp(media_type, "application/json") != 0 ||
           (schema != NULL ? file_holds(schema, path, "answer")
                           : complain(status, "the answer has no schema"));
}

static bool check_exchange(int count, char **words) {
    char pattern[NAME];
    const char *held;
    if (count < 5) {
        return complain("exchange", "METHOD PATH STATUS TYPE ANSWER [REQUEST]");
    }
    json_t *operation = find_operation(words[0], words[1], pattern);
    if (operation == NULL) {
        return complain(words[1], "is not documented");
    }
    if (count > 5 && words[2][0] == '2' &&
        !file_holds(request_schema(operation), words[5], "request")) {
        return false;
    }
    if (!answer_holds(operation, words[2], words[3], words[4], &held)) {
        return complain(words[1], "answered otherwise than the document says");
    }
    printf("%s %s %s\n", words[0], pattern, held);
    return true;
}

int main(int argc, char **argv) {
    document = argc >= 3 ? load(argv[1]) : NULL;
    if (document == NULL) {
        fputs("openapi_check DOCUMENT routes | fields | exchange ...\n", stderr);
        return 2;
    }
    bool good = strcmp(argv[2], "exchange") == 0 ? check_exchange(argc - 3, argv + 3)
                                                 : print_routes(strcmp(argv[2], "fields") == 0);
    json_decref(document);
    return good ? 0 : 1;
}
