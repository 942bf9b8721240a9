/* JSON by jansson: see json.h. A wr_json is a json_t. */
#include "convert/json.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/file.h"

#define LARGEST_WHOLE 9007199254740992.0 /* 2^53 */

static const json_t *inner(const wr_json *value) { return (const json_t *)value; }

weir_status wr_json_parse(const char *name, const void *data, size_t size, wr_json **out,
                          weir_error *error) {
    json_error_t flaw;
    json_t *root = json_loadb(
        data, size,
        JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL | JSON_DECODE_ANY | JSON_ALLOW_NUL, &flaw);
    *out = (wr_json *)root;
    if (root != NULL) return WEIR_OK;
    if (json_error_code(&flaw) == json_error_out_of_memory)
        return weir_error_set(error, WEIR_MEMORY, "%.200s: not enough memory to read it", name);
    for (char *c = flaw.text; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e) *c = '?';
    return weir_error_set(error, WEIR_DAMAGED, "%.200s: no valid JSON (line %d, column %d): %s",
                          name, flaw.line, flaw.column, flaw.text);
}

weir_status wr_json_open(const char *path, size_t limit, wr_json **out, weir_error *error) {
    wr_map map;
    *out = NULL;
    weir_status status = wr_map_open(path, &map, error);
    if (status != WEIR_OK) return status;
    if (map.size > limit)
        status = weir_error_set(error, WEIR_LIMIT, "%.200s: %zu bytes of JSON, more than %zu", path,
                                map.size, limit);
    else
        status = wr_json_parse(path, map.data, map.size, out, error);
    wr_map_close(&map);
    return status;
}

void wr_json_close(wr_json *document) { json_decref((json_t *)document); }

bool wr_json_is_object(const wr_json *value) { return json_is_object(inner(value)); }
bool wr_json_is_array(const wr_json *value) { return json_is_array(inner(value)); }

static const json_t *present(const json_t *value) { return json_is_null(value) ? NULL : value; }

const wr_json *wr_json_member(const wr_json *object, const char *name) {
    return (const wr_json *)present(json_object_get(inner(object), name));
}

const wr_json *wr_json_find(const wr_json *value, const char *path) {
    char name[64];
    while (value != NULL && *path != '\0') {
        const size_t size = strcspn(path, ".");
        if (size >= sizeof name) return NULL;
        memcpy(name, path, size);
        name[size] = '\0';
        value = wr_json_member(value, name);
        path += size + (path[size] == '.');
    }
    return value;
}

size_t wr_json_count(const wr_json *value) {
    return json_is_array(inner(value)) ? json_array_size(inner(value))
                                       : json_object_size(inner(value));
}

const wr_json *wr_json_item(const wr_json *array, size_t i) {
    return (const wr_json *)present(json_array_get(inner(array), i));
}

bool wr_json_next(const wr_json *object, wr_json_cursor *cursor, wr_string *name,
                  const wr_json **value) {
    json_t *walked = (json_t *)(uintptr_t)object; /* jansson's iterators take no const */
    if (!json_is_object(walked)) return false;
    cursor->place =
        cursor->begun ? json_object_iter_next(walked, cursor->place) : json_object_iter(walked);
    cursor->begun = true;
    if (cursor->place == NULL) return false;
    const char *key = json_object_iter_key(cursor->place);
    *name = (wr_string){key, strlen(key)};
    *value = (const wr_json *)present(json_object_iter_value(cursor->place));
    return true;
}

bool wr_json_get_string(const wr_json *value, wr_string *out) {
    if (!json_is_string(inner(value))) return false;
    *out = (wr_string){json_string_value(inner(value)), json_string_length(inner(value))};
    return true;
}

bool wr_json_get_number(const wr_json *value, double *out) {
    if (!json_is_number(inner(value))) return false;
    *out = json_number_value(inner(value));
    return true;
}

bool wr_json_get_int(const wr_json *value, int64_t *out) {
    double number;
    if (!wr_json_get_number(value, &number)) return false;
    if (number != floor(number) || fabs(number) > LARGEST_WHOLE) return false;
    *out = (int64_t)number;
    return true;
}

bool wr_json_get_bool(const wr_json *value, bool *out) {
    if (!json_is_boolean(inner(value))) return false;
    *out = json_is_true(inner(value));
    return true;
}
