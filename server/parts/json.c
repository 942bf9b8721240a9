#include "parts/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- in -------------------------------------------------------------------------------------- */

/* The parser recurses: so the nesting is counted before it runs. Brackets in strings do not count.
 */
static bool is_shallow(const char *text, size_t size) {
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > JSON_DEPTH) {
                return false;
            }
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return true;
}

json_t *json_object_of(const char *text, size_t size, weir_error *error) {
    json_error_t why;
    if (!is_shallow(text, size)) {
        weir_error_set(error, WEIR_USAGE, "the body is nested deeper than %d levels", JSON_DEPTH);
        return NULL;
    }
    json_t *object = json_loadb(size > 0 ? text : "", size, JSON_REJECT_DUPLICATES, &why);
    if (object == NULL) {
        weir_error_set(error, WEIR_USAGE, "the body is not JSON: %s (line %d, column %d)", why.text,
                       why.line, why.column);
        return NULL;
    }
    if (!json_is_object(object)) {
        json_decref(object);
        weir_error_set(error, WEIR_USAGE, "the body must be a JSON object: {...}");
        return NULL;
    }
    return object;
}

static weir_status read_number(const json_field *field, json_t *value, void *at,
                               weir_error *error) {
    bool whole = field->kind == FIELD_COUNT;
    double number = json_number_value(value);
    bool good = whole ? json_is_integer(value) : json_is_number(value);
    if (!good || !isfinite(number) || number < field->low || number > field->high) {
        return weir_error_set(error, WEIR_USAGE, "%s must be a %s from %.10g to %.10g", field->name,
                              whole ? "whole number" : "number", field->low, field->high);
    }
    if (whole) {
        *(int64_t *)at = json_integer_value(value);
    } else {
        *(float *)at = (float)number;
    }
    return WEIR_OK;
}

static weir_status read_value(const json_field *field, json_t *value, void *at, weir_error *error) {
    const char *wanted = NULL;
    switch (field->kind) {
    case FIELD_COUNT:
    case FIELD_REAL:
        return read_number(field, value, at, error);
    case FIELD_SEED:
        wanted = json_is_integer(value) ? NULL : "a whole number";
        *(uint64_t *)at = (uint64_t)json_integer_value(value);
        break;
    case FIELD_BOOL:
        wanted = json_is_boolean(value) ? NULL : "true or false";
        *(bool *)at = json_is_true(value);
        break;
    case FIELD_TEXT:
        wanted = json_is_string(value) ? NULL : "a string";
        *(const char **)at = json_string_value(value);
        break;
    case FIELD_ANY:
        *(json_t **)at = value;
        break;
    }
    return wanted == NULL ? WEIR_OK
                          : weir_error_set(error, WEIR_USAGE, "%s must be %s", field->name, wanted);
}

static weir_status read_one(const char *name, json_t *value, const json_part *parts, int count,
                            weir_error *error) {
    for (int i = 0; i < count; i++) {
        for (const json_field *field = parts[i].fields; field->name != NULL; field++) {
            if (strcmp(field->name, name) == 0) {
                void *at = (char *)parts[i].target + field->at;
                return json_is_null(value) ? WEIR_OK : read_value(field, value, at, error);
            }
        }
    }
    return weir_error_set(error, WEIR_USAGE, "\"%.60s\" is no field of this request", name);
}

weir_status json_read_parts(json_t *object, const json_part *parts, int count, weir_error *error) {
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) {
        weir_status status = read_one(name, value, parts, count, error);
        if (status != WEIR_OK) {
            return status;
        }
    }
    return WEIR_OK;
}

weir_status json_read_fields(json_t *object, const json_field *fields, void *target,
                             weir_error *error) {
    json_part part = {fields, target};
    return json_read_parts(object, &part, 1, error);
}

/* ---- out ------------------------------------------------------------------------------------- */

/* Bytes of the character that begins here; 0: none does. */
static size_t character(const unsigned char *at, size_t left) {
    size_t size = *at < 0x80 ? 1 : *at >= 0xf0 ? 4 : *at >= 0xe0 ? 3 : 2;
    if (size == 1) {
        return 1;
    }
    if (*at < 0xc2 || *at > 0xf4 || size > left) {
        return 0;
    }
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool wrong = (*at == 0xe0 && at[1] < 0xa0) || (*at == 0xed && at[1] >= 0xa0) ||
                 (*at == 0xf0 && at[1] < 0x90) || (*at == 0xf4 && at[1] >= 0x90);
    return wrong ? 0 : size;
}

json_t *json_any_text(const char *text, size_t size) {
    json_t *string = json_stringn(size > 0 ? text : "", size);
    char *mended = string == NULL ? malloc(3 * size + 1) : NULL;
    size_t used = 0;
    if (mended == NULL) {
        return string;
    }
    for (size_t at = 0; at < size;) {
        size_t whole = character((const unsigned char *)text + at, size - at);
        memcpy(mended + used, whole > 0 ? text + at : "\xef\xbf\xbd", whole > 0 ? whole : 3);
        used += whole > 0 ? whole : 3;
        at += whole > 0 ? whole : 1;
    }
    string = json_stringn(mended, used);
    free(mended);
    return string;
}

json_t *json_finite(double x) { return isfinite(x) ? json_real(x) : json_null(); }

char *json_body(json_t *value, size_t *size) {
    char *text = value != NULL ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    json_decref(value);
    *size = text != NULL ? strlen(text) : 0;
    return text;
}
