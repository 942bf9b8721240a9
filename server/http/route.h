/* From a method and a path to a row of the table of routes. */
#ifndef WEIR_SERVER_ROUTE_H
#define WEIR_SERVER_ROUTE_H

#include "http/http.h"

#define ROUTE_PART 80

typedef struct route_match {
    const http_route *route; /* NULL: none */
    bool path_known;         /* with another method */
    char parts[HTTP_PARTS][ROUTE_PART];
} route_match;

void route_find(const http_route *routes, const char *method, const char *path, route_match *out);

#endif
