/*
 * JSON in and out; the one header that brings jansson in.
 *
 * What comes in is distrusted: bytes are bounded by the connection, nesting here, names must be
 * known, numbers must be in their range. Every refusal is a sentence that names the field.
 *
 *     static const json_field fields[] = {
 *         {"max_tokens", FIELD_COUNT, offsetof(my_request, tokens), 0, 1e9},
 *         {0},
 *     };
 *     json_t *object = json_object_of(text, size, &error);
 *     json_read_fields(object, fields, &request, &error);
 */
#ifndef WEIR_SERVER_JSON_H
#define WEIR_SERVER_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/status.h"

#define JSON_DEPTH 32

/* The object that a body holds. WEIR_USAGE: why it is none. The caller gives it back with
 * json_decref. */
json_t *json_object_of(const char *text, size_t size, weir_error *error);

typedef enum json_kind {
    FIELD_COUNT, /* int64_t: a whole number from low to high */
    FIELD_SEED,  /* uint64_t: any whole number; negative ones wrap */
    FIELD_REAL,  /* float, from low to high */
    FIELD_BOOL,  /* bool */
    FIELD_TEXT,  /* const char *: borrowed from the object; no NUL inside */
    FIELD_ANY    /* json_t *: borrowed; what it may be is the caller's to check */
} json_kind;

typedef struct json_field {
    const char *name;
    json_kind kind;
    size_t at; /* offset into the target */
    double low, high;
} json_field;

/* A table (it ends with a zero name) and the struct that it fills. */
typedef struct json_part {
    const json_field *fields;
    void *target;
} json_part;

/* Set what is there and not null; leave the rest. A name that no table has is refused. */
weir_status json_read_parts(json_t *object, const json_part *parts, int count, weir_error *error);
weir_status json_read_fields(json_t *object, const json_field *fields, void *target,
                             weir_error *error);

/* Bytes of any kind as a string: what is no UTF-8 becomes U+FFFD. `text` may be NULL when size is
 * 0. */
json_t *json_any_text(const char *text, size_t size);

/* null when x is not finite */
json_t *json_finite(double x);

/* The value as text for a body, which the caller free()s; `value` is given back. NULL: no memory.
 */
char *json_body(json_t *value, size_t *size);

#endif
