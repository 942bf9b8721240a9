/*
 * json_check [PATH]...: reads one JSON value from standard input, prints what stands at each path
 * ("error.status", "runs.0.ppl", "tokens.#" for a length), one a line. Exit 1 and a sentence when
 * the input is not JSON, has anything behind the value, or lacks a path. For tests/cli.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *step(json_t *value, const char *name, size_t *length) {
    if (strcmp(name, "#") == 0) {
        *length = json_is_array(value) ? json_array_size(value) : json_object_size(value);
        return json_integer((json_int_t)*length);
    }
    if (json_is_array(value)) {
        return json_incref(json_array_get(value, strtoul(name, NULL, 10)));
    }
    return json_incref(json_object_get(value, name));
}

static json_t *find(json_t *root, char *path) {
    json_t *value = json_incref(root);
    size_t length;
    for (char *name = strtok(path, "."); name != NULL && value != NULL; name = strtok(NULL, ".")) {
        json_t *next = step(value, name, &length);
        json_decref(value);
        value = next;
    }
    return value;
}

static void print(const json_t *value) {
    if (json_is_string(value)) {
        fwrite(json_string_value(value), 1, json_string_length(value), stdout);
        putchar('\n');
    } else {
        json_dumpf(value, stdout, JSON_ENCODE_ANY | JSON_REAL_PRECISION(12));
        putchar('\n');
    }
}

int main(int argc, char **argv) {
    json_error_t error;
    json_t *root = json_loadf(stdin, JSON_ALLOW_NUL, &error);
    if (root == NULL) {
        fprintf(stderr, "json_check: %s at byte %d\n", error.text, error.position);
        return 1;
    }
    int status = 0;
    for (int i = 1; i < argc; i++) {
        char *path = strdup(argv[i]);
        json_t *value = find(root, path);
        if (value == NULL) {
            fprintf(stderr, "json_check: there is no %s\n", argv[i]);
            status = 1;
        } else {
            print(value);
            json_decref(value);
        }
        free(path);
    }
    json_decref(root);
    return status;
}
