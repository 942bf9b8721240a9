#include "http/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static bool parse_ipv4(const char *host, int port, server_address *out) {
    struct sockaddr_in *in = (struct sockaddr_in *)&out->socket;
    if (inet_pton(AF_INET, host, &in->sin_addr) != 1) {
        return false;
    }
    in->sin_family = AF_INET;
    in->sin_port = htons((uint16_t)port);
    out->loopback = ntohl(in->sin_addr.s_addr) >> 24 == 127;
    return true;
}

static bool parse_ipv6(const char *host, int port, server_address *out) {
    struct sockaddr_in6 *in = (struct sockaddr_in6 *)&out->socket;
    if (inet_pton(AF_INET6, host, &in->sin6_addr) != 1) {
        return false;
    }
    in->sin6_family = AF_INET6;
    in->sin6_port = htons((uint16_t)port);
    out->loopback = IN6_IS_ADDR_LOOPBACK(&in->sin6_addr);
    out->ipv6 = true;
    return true;
}

weir_status address_parse(const char *text, server_address *out, weir_error *error) {
    char host[64] = "";
    const char *colon = strrchr(text, ':');
    size_t size = colon != NULL ? (size_t)(colon - text) : 0;
    bool bracketed = size > 2 && text[0] == '[' && text[size - 1] == ']';
    char *end = NULL;
    long port = colon != NULL ? strtol(colon + 1, &end, 10) : -1;
    bool numbered = colon != NULL && end != colon + 1 && *end == '\0' && port >= 0 && port < 65536;
    *out = (server_address){.loopback = false};
    if (numbered && size > 0 && size < sizeof host) {
        memcpy(host, text + bracketed, size - 2 * (size_t)bracketed);
        const char *name = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
        if (bracketed ? parse_ipv6(host, (int)port, out) : parse_ipv4(name, (int)port, out)) {
            return WEIR_OK;
        }
    }
    return weir_error_set(error, WEIR_USAGE,
                          "--listen wants an address and a port, as in 127.0.0.1:8080 or "
                          "[::1]:8080, not \"%.80s\"",
                          text);
}
