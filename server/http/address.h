/* Where to listen: "127.0.0.1:8080", "[::1]:8080", "localhost:0". */
#ifndef WEIR_SERVER_ADDRESS_H
#define WEIR_SERVER_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "weir/status.h"

typedef struct server_address {
    struct sockaddr_storage socket;
    bool loopback; /* nobody else can reach it */
    bool ipv6;
} server_address;

weir_status address_parse(const char *text, server_address *out, weir_error *error);

#endif
