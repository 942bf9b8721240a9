#include "http/inlet.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct server_inlet {
    pthread_mutex_t lock;
    int owners;
    char bytes[INLET_BYTES];
    size_t at, size; /* a ring: `size` bytes from `at` on */
    bool ended, whole, closed, sleeping;
    inlet_source source;
    void (*arrived)(void *context);
    void *context;
};

server_inlet *inlet_create(void (*arrived)(void *context), void *context) {
    server_inlet *made = calloc(1, sizeof *made);
    if (made != NULL) {
        pthread_mutex_init(&made->lock, NULL);
        made->owners = 1;
        made->arrived = arrived;
        made->context = context;
    }
    return made;
}

server_inlet *inlet_share(server_inlet *inlet) {
    pthread_mutex_lock(&inlet->lock);
    inlet->owners++;
    pthread_mutex_unlock(&inlet->lock);
    return inlet;
}

void inlet_release(server_inlet *inlet) {
    if (inlet == NULL) {
        return;
    }
    pthread_mutex_lock(&inlet->lock);
    bool last = --inlet->owners == 0;
    pthread_mutex_unlock(&inlet->lock);
    if (last) {
        pthread_mutex_destroy(&inlet->lock);
        free(inlet);
    }
}

void inlet_attach(server_inlet *inlet, const inlet_source *source) {
    pthread_mutex_lock(&inlet->lock);
    inlet->source = *source;
    pthread_mutex_unlock(&inlet->lock);
}

void inlet_detach(server_inlet *inlet) {
    pthread_mutex_lock(&inlet->lock);
    inlet->source = (inlet_source){0};
    inlet->sleeping = false;
    pthread_mutex_unlock(&inlet->lock);
}

static void wake(server_inlet *inlet) {
    if (inlet->sleeping) {
        inlet->sleeping = false;
        inlet->source.wake(inlet->source.context);
    }
}

static void copy_in(server_inlet *inlet, const char *data, size_t size) {
    size_t end = (inlet->at + inlet->size) % INLET_BYTES;
    size_t first = size < INLET_BYTES - end ? size : INLET_BYTES - end;
    memcpy(inlet->bytes + end, data, first);
    memcpy(inlet->bytes, data + first, size - first);
    inlet->size += size;
}

size_t inlet_put(server_inlet *inlet, const char *data, size_t size) {
    pthread_mutex_lock(&inlet->lock);
    size_t room = INLET_BYTES - inlet->size;
    size_t taken = size < room ? size : room;
    if (inlet->closed) {
        taken = size;
    } else {
        copy_in(inlet, data, taken);
    }
    if (taken < size && inlet->source.pause != NULL && !inlet->sleeping) {
        inlet->sleeping = true;
        inlet->source.pause(inlet->source.context);
    }
    pthread_mutex_unlock(&inlet->lock);
    inlet->arrived(inlet->context);
    return taken;
}

void inlet_finish(server_inlet *inlet, bool whole) {
    pthread_mutex_lock(&inlet->lock);
    if (!inlet->ended) {
        inlet->ended = true;
        inlet->whole = whole;
    }
    pthread_mutex_unlock(&inlet->lock);
    inlet->arrived(inlet->context);
}

size_t inlet_take(server_inlet *inlet, char *out, size_t capacity, bool *ended, bool *whole) {
    pthread_mutex_lock(&inlet->lock);
    size_t size = inlet->size < capacity ? inlet->size : capacity;
    size_t first = size < INLET_BYTES - inlet->at ? size : INLET_BYTES - inlet->at;
    memcpy(out, inlet->bytes + inlet->at, first);
    memcpy(out + first, inlet->bytes, size - first);
    inlet->at = (inlet->at + size) % INLET_BYTES;
    inlet->size -= size;
    *ended = inlet->ended && inlet->size == 0;
    *whole = inlet->whole;
    if (inlet->size <= INLET_BYTES / 2) {
        wake(inlet);
    }
    pthread_mutex_unlock(&inlet->lock);
    return size;
}

bool inlet_has_news(server_inlet *inlet) {
    pthread_mutex_lock(&inlet->lock);
    bool news = inlet->size > 0 || inlet->ended;
    pthread_mutex_unlock(&inlet->lock);
    return news;
}

void inlet_close(server_inlet *inlet) {
    pthread_mutex_lock(&inlet->lock);
    inlet->closed = true;
    inlet->size = 0;
    wake(inlet);
    pthread_mutex_unlock(&inlet->lock);
}
