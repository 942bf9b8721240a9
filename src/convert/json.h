/*
 * JSON from outside: config.json, tokenizer.json, the header of a safetensors file. jansson parses
 * it, behind this one file.
 *
 * A text is UTF-8, has no name twice in an object, and is no deeper than jansson's own bound; NaN
 * and infinities are no JSON. Numbers are doubles: an integer beyond 2^53 is none (a length that
 * large is no length of a file, and tokenizer_config.json is fond of 10^30).
 *
 * Values are borrowed from their document until it is closed. Every getter accepts NULL and says
 * that there is nothing.
 */
#ifndef WR_JSON_H
#define WR_JSON_H

#include "base/bytes.h"

typedef struct wr_json wr_json;

/* `name` stands in front of messages. */
weir_status wr_json_parse(const char *name, const void *data, size_t size, wr_json **out,
                          weir_error *error);
/* The same of a file; at most `limit` bytes. */
weir_status wr_json_open(const char *path, size_t limit, wr_json **out, weir_error *error);
void wr_json_close(wr_json *document);

bool wr_json_is_object(const wr_json *value);
bool wr_json_is_array(const wr_json *value);

/* The value at a path such as "rope_parameters.rope_theta", or NULL: absent, null, or what is no
 * object on the way. */
const wr_json *wr_json_find(const wr_json *value, const char *path);
/* The same for a name that may have points of its own. */
const wr_json *wr_json_member(const wr_json *object, const char *name);

size_t wr_json_count(const wr_json *value); /* of an array or object, else 0 */
const wr_json *wr_json_item(const wr_json *array, size_t i);

/* Walk an object in the order of the text; start with a zeroed cursor. */
typedef struct wr_json_cursor {
    void *place;
    bool begun;
} wr_json_cursor;
bool wr_json_next(const wr_json *object, wr_json_cursor *cursor, wr_string *name,
                  const wr_json **value);

/* false, and *out as it was, when the value is of another kind. */
bool wr_json_get_string(const wr_json *value, wr_string *out);
bool wr_json_get_int(const wr_json *value, int64_t *out); /* whole, within 2^53 */
bool wr_json_get_number(const wr_json *value, double *out);
bool wr_json_get_bool(const wr_json *value, bool *out);

#endif
