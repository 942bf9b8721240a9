#include "schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHERE 400

typedef struct reader {
    json_t *document;
    bool quiet; /* one of several is tried */
} reader;

static bool holds(reader *with, json_t *schema, json_t *value, const char *where);

static bool wrong(const reader *with, const char *where, const char *what, json_t *value) {
    if (!with->quiet) {
        char *text = value != NULL ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
        fprintf(stderr, "%s: %s%s%.200s\n", where, what, text != NULL ? ": " : "",
                text != NULL ? text : "");
        free(text);
    }
    return false;
}

json_t *schema_follow(json_t *document, json_t *value) {
    for (int depth = 0; depth < 8; depth++) {
        const char *to = json_string_value(json_object_get(value, "$ref"));
        if (to == NULL) {
            return value;
        }
        char path[WHERE];
        snprintf(path, sizeof path, "%s", to);
        value = strncmp(path, "#/", 2) == 0 ? document : NULL;
        for (char *name = strtok(path + 1, "/"); name != NULL; name = strtok(NULL, "/")) {
            value = json_object_get(value, name);
        }
    }
    return NULL;
}

/* ---- types and ranges ------------------------------------------------------------------------ */

static bool is_type(const json_t *value, const char *name) {
    return strcmp(name, "object") == 0    ? json_is_object(value)
           : strcmp(name, "array") == 0   ? json_is_array(value)
           : strcmp(name, "string") == 0  ? json_is_string(value)
           : strcmp(name, "integer") == 0 ? json_is_integer(value)
           : strcmp(name, "number") == 0  ? json_is_number(value)
           : strcmp(name, "boolean") == 0 ? json_is_boolean(value)
           : strcmp(name, "null") == 0    ? json_is_null(value)
                                          : false;
}

static bool type_holds(json_t *type, const json_t *value) {
    size_t i;
    json_t *one;
    bool any = type == NULL || (json_is_string(type) && is_type(value, json_string_value(type)));
    json_array_foreach(type, i, one) { any = any || is_type(value, json_string_value(one)); }
    return any;
}

static bool enum_holds(json_t *list, json_t *value) {
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one) {
        if (json_equal(one, value)) {
            return true;
        }
    }
    return list == NULL;
}

/* Whether a size or number is within what two words of the schema say; absent ones say nothing. */
static bool range_holds(json_t *schema, const char *low, const char *high, double x) {
    json_t *least = json_object_get(schema, low), *most = json_object_get(schema, high);
    return (least == NULL || x >= json_number_value(least)) &&
           (most == NULL || x <= json_number_value(most));
}

static bool ranges_hold(json_t *schema, json_t *value) {
    if (json_is_number(value)) {
        return range_holds(schema, "minimum", "maximum", json_number_value(value));
    }
    if (json_is_string(value)) {
        return range_holds(schema, "minLength", "maxLength", (double)json_string_length(value));
    }
    return !json_is_array(value) ||
           range_holds(schema, "minItems", "maxItems", (double)json_array_size(value));
}

/* ---- objects --------------------------------------------------------------------------------- */

/* The schema of a property, here or in what the schema is made of. */
static json_t *property(json_t *document, json_t *schema, const char *name) {
    size_t i;
    json_t *part;
    schema = schema_follow(document, schema);
    json_t *found = json_object_get(json_object_get(schema, "properties"), name);
    json_array_foreach(json_object_get(schema, "allOf"), i, part) {
        found = found != NULL ? found : property(document, part, name);
    }
    return found;
}

static bool required_hold(const reader *with, json_t *schema, json_t *value, const char *where) {
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(schema, "required"), i, name) {
        if (json_object_get(value, json_string_value(name)) == NULL) {
            return wrong(with, where, "lacks what is required", name);
        }
    }
    return true;
}

static bool object_holds(reader *with, json_t *schema, json_t *value, const char *where) {
    const char *name;
    json_t *field, *others = json_object_get(schema, "additionalProperties");
    bool closed =
        json_is_false(others) || json_is_false(json_object_get(schema, "unevaluatedProperties"));
    if (!required_hold(with, schema, value, where)) {
        return false;
    }
    json_object_foreach(value, name, field) {
        char below[WHERE];
        snprintf(below, sizeof below, "%s.%s", where, name);
        json_t *own = json_object_get(json_object_get(schema, "properties"), name);
        if (own == NULL && closed && property(with->document, schema, name) == NULL) {
            return wrong(with, below, "is in no schema", field);
        }
        own = own == NULL && json_is_object(others) ? others : own;
        if (own != NULL && !holds(with, own, field, below)) {
            return false;
        }
    }
    return true;
}

static bool array_holds(reader *with, json_t *schema, json_t *value, const char *where) {
    size_t i;
    json_t *one, *items = json_object_get(schema, "items");
    json_array_foreach(value, i, one) {
        char below[WHERE];
        snprintf(below, sizeof below, "%s[%zu]", where, i);
        if (items != NULL && !holds(with, items, one, below)) {
            return false;
        }
    }
    return true;
}

/* ---- schemas --------------------------------------------------------------------------------- */

static bool any_holds(reader *with, json_t *list, json_t *value, const char *where) {
    size_t i;
    json_t *one;
    reader quiet = {with->document, true};
    json_array_foreach(list, i, one) {
        if (holds(&quiet, one, value, where)) {
            return true;
        }
    }
    return list == NULL || wrong(with, where, "is nothing of what it may be", value);
}

static bool holds(reader *with, json_t *schema, json_t *value, const char *where) {
    size_t i;
    json_t *part;
    schema = schema_follow(with->document, schema);
    if (!type_holds(json_object_get(schema, "type"), value)) {
        return wrong(with, where, "has another type", value);
    }
    json_t *only = json_object_get(schema, "const");
    if (!enum_holds(json_object_get(schema, "enum"), value) ||
        (only != NULL && !json_equal(only, value))) {
        return wrong(with, where, "is not among what it may be", value);
    }
    if (!ranges_hold(schema, value)) {
        return wrong(with, where, "is out of its range", value);
    }
    json_array_foreach(json_object_get(schema, "allOf"), i, part) {
        if (!holds(with, part, value, where)) {
            return false;
        }
    }
    return any_holds(with, json_object_get(schema, "anyOf"), value, where) &&
           (!json_is_object(value) || object_holds(with, schema, value, where)) &&
           array_holds(with, schema, value, where);
}

bool schema_holds(json_t *document, json_t *schema, json_t *value, const char *where) {
    reader with = {document, false};
    return holds(&with, schema, value, where);
}

/* ---- soundness ------------------------------------------------------------------------------- */

static bool is_known(const char *word) {
    static const char *const words[] = {"$ref",        "additionalProperties",
                                        "allOf",       "anyOf",
                                        "const",       "default",
                                        "description", "enum",
                                        "examples",    "items",
                                        "maxItems",    "maxLength",
                                        "maximum",     "minItems",
                                        "minimum",     "minLength",
                                        "properties",  "required",
                                        "type",        "unevaluatedProperties",
                                        NULL};
    int i = 0;
    while (words[i] != NULL && strcmp(words[i], word) != 0) {
        i++;
    }
    return words[i] != NULL;
}

static bool parts_are_sound(json_t *document, json_t *parts, const char *where) {
    size_t i;
    const char *name;
    json_t *one;
    bool sound = true;
    json_array_foreach(parts, i, one) { sound = schema_is_sound(document, one, where) && sound; }
    if (json_is_object(parts)) {
        json_object_foreach(parts, name, one) {
            char below[WHERE];
            snprintf(below, sizeof below, "%s.%s", where, name);
            sound = schema_is_sound(document, one, below) && sound;
        }
    }
    return sound;
}

bool schema_is_sound(json_t *document, json_t *schema, const char *where) {
    reader with = {document, false};
    const char *word;
    json_t *value, *others = json_object_get(schema, "additionalProperties");
    if (!json_is_object(schema) || schema_follow(document, schema) == NULL) {
        return wrong(&with, where, "is no schema", schema);
    }
    json_object_foreach(schema, word, value) {
        if (!is_known(word)) {
            return wrong(&with, where, "has a word that this checker does not know", schema);
        }
    }
    json_t *items = json_object_get(schema, "items");
    return parts_are_sound(document, json_object_get(schema, "properties"), where) &&
           parts_are_sound(document, json_object_get(schema, "allOf"), where) &&
           parts_are_sound(document, json_object_get(schema, "anyOf"), where) &&
           (items == NULL || schema_is_sound(document, items, where)) &&
           (!json_is_object(others) || schema_is_sound(document, others, where));
}
