/* Who may ask: API keys from a file, one a line, compared in a time that tells nothing about them.
 */
#ifndef WEIR_SERVER_AUTH_H
#define WEIR_SERVER_AUTH_H

#include <stdbool.h>

#include "weir/status.h"

typedef struct server_auth server_auth;

/* `path` NULL: nobody is asked for a key. Lines that are empty or begin with # are no keys; a file
 * without any is refused. */
weir_status auth_open(const char *path, server_auth **out, weir_error *error);
void auth_close(server_auth *auth);

/* Read the file again; after a failure the old keys hold. */
weir_status auth_reload(server_auth *auth, weir_error *error);

/* Whether the value of an Authorization header ("Bearer KEY"; NULL: none) opens the door. */
bool auth_allows(server_auth *auth, const char *authorization);

#endif
