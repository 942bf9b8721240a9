/* The part of JSON Schema (2020-12) that docs/openapi.json uses; a schema with any other word is
 * refused. */
#ifndef WEIR_TESTS_SCHEMA_H
#define WEIR_TESTS_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>

/* What a "$ref" of the document leads to, or `value` itself; NULL: nowhere. Borrowed. */
json_t *schema_follow(json_t *document, json_t *value);

/* Whether the value is what the schema says; if not, a sentence on stderr that begins with `where`.
 */
bool schema_holds(json_t *document, json_t *schema, json_t *value, const char *where);

/* Whether every word of the schema, and of those in it, is understood, and every reference leads
 * somewhere. */
bool schema_is_sound(json_t *document, json_t *schema, const char *where);

#endif
