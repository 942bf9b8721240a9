#include "http/auth.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS 256
#define KEY_BYTES 256

typedef struct auth_key {
    size_t size;
    unsigned char bytes[KEY_BYTES];
} auth_key;

typedef struct auth_keys {
    int count;
    auth_key key[KEYS];
} auth_keys;

struct server_auth {
    char *path; /* NULL: open to everybody */
    pthread_rwlock_t lock;
    auth_keys *keys;
};

static weir_status add_key(auth_keys *to, const char *path, const char *line, size_t size,
                           weir_error *error) {
    if (to->count == KEYS || size > KEY_BYTES) {
        return weir_error_set(error, WEIR_USAGE, "%s: more than %d keys, or one over %d bytes",
                              path, KEYS, KEY_BYTES);
    }
    auth_key *made = &to->key[to->count++];
    made->size = size;
    memcpy(made->bytes, line, size);
    return WEIR_OK;
}

static weir_status read_lines(FILE *file, const char *path, auth_keys *to, weir_error *error) {
    char *line = NULL;
    size_t capacity = 0;
    weir_status status = WEIR_OK;
    for (ssize_t size; status == WEIR_OK && (size = getline(&line, &capacity, file)) >= 0;) {
        while (size > 0 && strchr("\r\n\t ", line[size - 1]) != NULL) {
            size--;
        }
        if (size > 0 && line[0] != '#') {
            status = add_key(to, path, line, (size_t)size, error);
        }
    }
    if (status == WEIR_OK && ferror(file)) {
        status = weir_error_set(error, WEIR_IO, "%s: cannot be read: %s", path, strerror(errno));
    }
    free(line);
    return status;
}

static weir_status read_keys(const char *path, auth_keys **out, weir_error *error) {
    *out = NULL;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return weir_error_set(error, WEIR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    }
    auth_keys *made = calloc(1, sizeof *made);
    weir_status status = made != NULL ? read_lines(file, path, made, error)
                                      : weir_error_set(error, WEIR_MEMORY, "no memory for keys");
    fclose(file);
    if (status == WEIR_OK && made->count == 0) {
        status = weir_error_set(error, WEIR_USAGE,
                                "%s: no key in it; write one a line, such as the output of "
                                "`openssl rand -hex 32`",
                                path);
    }
    if (status != WEIR_OK) {
        free(made);
        return status;
    }
    *out = made;
    return WEIR_OK;
}

weir_status auth_open(const char *path, server_auth **out, weir_error *error) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for keys");
    }
    pthread_rwlock_init(&(*out)->lock, NULL);
    if (path == NULL) {
        return WEIR_OK;
    }
    (*out)->path = strdup(path);
    weir_status status = read_keys(path, &(*out)->keys, error);
    if (status == WEIR_OK && (*out)->path == NULL) {
        status = weir_error_set(error, WEIR_MEMORY, "no memory for keys");
    }
    if (status != WEIR_OK) {
        auth_close(*out);
        *out = NULL;
    }
    return status;
}

void auth_close(server_auth *auth) {
    if (auth != NULL) {
        pthread_rwlock_destroy(&auth->lock);
        free(auth->path);
        free(auth->keys);
        free(auth);
    }
}

weir_status auth_reload(server_auth *auth, weir_error *error) {
    auth_keys *made;
    if (auth->path == NULL) {
        return WEIR_OK;
    }
    weir_status status = read_keys(auth->path, &made, error);
    if (status != WEIR_OK) {
        return status;
    }
    pthread_rwlock_wrlock(&auth->lock);
    free(auth->keys);
    auth->keys = made;
    pthread_rwlock_unlock(&auth->lock);
    return WEIR_OK;
}

/* Every byte of every key is looked at, whatever was given: the time depends on its length alone.
 */
static bool matches(const auth_key *key, const unsigned char *given, size_t size) {
    size_t difference = key->size ^ size;
    for (size_t i = 0; i < KEY_BYTES; i++) {
        unsigned char byte = i < size ? given[i] : 0;
        difference |= (size_t)(key->bytes[i] ^ byte);
    }
    return difference == 0;
}

bool auth_allows(server_auth *auth, const char *authorization) {
    static const char scheme[] = "Bearer ";
    if (auth->path == NULL) {
        return true;
    }
    if (authorization == NULL || strncmp(authorization, scheme, sizeof scheme - 1) != 0) {
        return false;
    }
    const char *given = authorization + sizeof scheme - 1;
    size_t size = strlen(given);
    int found = 0;
    pthread_rwlock_rdlock(&auth->lock);
    for (int i = 0; i < auth->keys->count; i++) {
        found |= matches(&auth->keys->key[i], (const unsigned char *)given, size);
    }
    pthread_rwlock_unlock(&auth->lock);
    return found != 0;
}
