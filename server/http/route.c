#include "http/route.h"

#include <string.h>

/* The parts of a path that a pattern leaves open are letters, digits and -_. and no more. */
static size_t part_size(const char *path) {
    return strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
}

static bool matches(const char *pattern, const char *path, char parts[HTTP_PARTS][ROUTE_PART]) {
    int part = 0;
    while (*pattern != '\0') {
        if (*pattern == ':') {
            size_t size = part_size(path);
            if (size == 0 || size >= ROUTE_PART || part == HTTP_PARTS) {
                return false;
            }
            memcpy(parts[part], path, size);
            parts[part++][size] = '\0';
            path += size;
            pattern++;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return *path == '\0';
}

void route_find(const http_route *routes, const char *method, const char *path, route_match *out) {
    out->route = NULL;
    out->path_known = false;
    for (; routes->method != NULL; routes++) {
        if (matches(routes->path, path, out->parts)) {
            out->path_known = true;
            if (strcmp(routes->method, method) == 0) {
                out->route = routes;
                return;
            }
        }
    }
}
