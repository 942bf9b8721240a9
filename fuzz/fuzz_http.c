/*
 * Any bytes as what stands before the body of a request, as far as it is ours to read: the path,
 * who may ask, and from where; and as the address to listen on. libmicrohttpd parses HTTP itself,
 * and hands over strings without NUL.
 *
 *   byte 0   what the rest is
 *   rest     strings, each ended by NUL or the end: method and path | Origin and Host |
 * Authorization | an address | an origin that is allowed
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http/address.h"
#include "http/auth.h"
#include "http/origin.h"
#include "http/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth) {
    if (!truth) abort();
}

static const http_route routes[] = {
    {.method = "GET", .path = "/"},
    {.method = "GET", .path = "/web/:"},
    {.method = "POST", .path = "/v1/streams"},
    {.method = "GET", .path = "/v1/streams/:"},
    {.method = "DELETE", .path = "/v1/streams/:"},
    {.method = "POST", .path = "/v1/streams/:/append"},
    {.method = "DELETE", .path = "/v1/streams/:/marks/:"},
    {.method = NULL},
};

/* A part is one part: it can name no other folder. And put together again they are the path. */
static void read_path(const char *method, const char *path) {
    route_match match = {.parts = {"", ""}};
    char again[400] = "";
    size_t used = 0;
    int part = 0;
    route_find(routes, method, path, &match);
    if (match.route == NULL) return;
    require(match.path_known && strcmp(match.route->method, method) == 0);
    for (const char *at = match.route->path; *at != '\0'; at++) {
        if (*at == ':') {
            const char *is = match.parts[part++];
            require(is[0] != '\0' && strpbrk(is, "/\\%") == NULL && strlen(is) < ROUTE_PART);
            used += (size_t)snprintf(again + used, sizeof again - used, "%s", is);
        } else {
            again[used++] = *at;
            again[used] = '\0';
        }
    }
    require(strcmp(again, path) == 0);
}

/* Whoever names a foreign page is refused, whatever else is said. */
static void read_origin(const char *origin, const char *host) {
    const server_origin open = {NULL, false}, local = {NULL, true},
                        named = {"https://weir.example.org", true};
    bool allowed = origin_allows(&open, origin, host);
    if (allowed) require(strstr(origin, "://") != NULL);
    if (origin_allows(&local, origin, host)) require(allowed);
    if (origin_allows(&local, NULL, host))
        require(strncasecmp(host, "localhost", 9) == 0 || strncmp(host, "127.", 4) == 0 ||
                strncmp(host, "[::1]", 5) == 0);
    origin_allows(&named, origin, host);
    require(!origin_allows(&local, NULL, "evil.example"));
}

static server_auth *keys(void) {
    static server_auth *made;
    char path[] = "/tmp/weir-fuzz-XXXXXX";
    weir_error error;
    int fd = made == NULL ? mkstemp(path) : -1;
    if (fd >= 0) {
        require(write(fd, "# two\nriver-key\nmill-key\n", 25) == 25);
        close(fd);
        require(auth_open(path, &made, &error) == WEIR_OK);
        unlink(path);
    }
    return made;
}

static void read_key(const char *value) {
    bool is = strcmp(value, "Bearer river-key") == 0 || strcmp(value, "Bearer mill-key") == 0;
    require(auth_allows(keys(), value) == is);
}

static void read_address(const char *text) {
    server_address at;
    weir_error error = {0};
    weir_status status = address_parse(text, &at, &error);
    require(status == WEIR_OK || (error.status == status && error.message[0] != '\0'));
    if (status == WEIR_OK && at.loopback)
        require(strncmp(text, "127.", 4) == 0 || strncmp(text, "localhost:", 10) == 0 ||
                text[0] == '[');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    char *text = calloc(size + 2, 1);
    if (text == NULL) return 0;
    memcpy(text, data + 1, size - 1);
    const char *second = text + strlen(text) + (strlen(text) < size - 1 ? 1 : 0);
    switch (data[0] % 5) {
    case 0:
        read_path(text, second);
        break;
    case 1:
        read_origin(text, second);
        break;
    case 2:
        read_key(text);
        break;
    case 3:
        read_address(text);
        break;
    default:
        origin_is_one(text);
        break;
    }
    free(text);
    return 0;
}
