#include "http/origin.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* What follows the scheme; NULL: it has none that browsers come from. */
static const char *host_of(const char *origin) {
    static const char *const schemes[] = {"http://", "https://"};
    for (int i = 0; i < 2; i++) {
        if (strncasecmp(origin, schemes[i], strlen(schemes[i])) == 0) {
            return origin + strlen(schemes[i]);
        }
    }
    return NULL;
}

/* The bytes of a host before its port. */
static size_t name_size(const char *host) {
    const char *end = host[0] == '[' ? strchr(host, ']') : NULL;
    const char *colon = strchr(end != NULL ? end : host, ':');
    return colon != NULL ? (size_t)(colon - host) : strlen(host);
}

static bool is_local(const char *host) {
    static const char *const names[] = {"localhost", "[::1]"};
    size_t size = name_size(host);
    for (int i = 0; i < 2; i++) {
        if (size == strlen(names[i]) && strncasecmp(host, names[i], size) == 0) {
            return true;
        }
    }
    /* an address, not a name that begins like one */
    return strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == size;
}

bool origin_allows(const server_origin *rules, const char *origin, const char *host) {
    const char *allowed = rules->allowed != NULL ? host_of(rules->allowed) : NULL;
    bool known = allowed != NULL && host != NULL && strcasecmp(allowed, host) == 0;
    if (rules->local && host != NULL && !known && !is_local(host)) {
        return false;
    }
    if (origin == NULL) {
        return true;
    }
    if (rules->allowed != NULL && strcasecmp(origin, rules->allowed) == 0) {
        return true;
    }
    const char *from = host_of(origin);
    return from != NULL && host != NULL && strcasecmp(from, host) == 0;
}

bool origin_is_one(const char *text) {
    const char *host = host_of(text);
    return host != NULL && host[0] != '\0' && strpbrk(host, "/?#@ ") == NULL;
}
