#include "http/reply.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "parts/text_buffer.h"

struct server_reply {
    pthread_mutex_t lock;
    int owners;
    reply_head head;
    text_buffer bytes; /* written and not read yet */
    size_t at;         /* of them, read */
    size_t sent;
    bool begun, ended, gone;
    bool sleeping;
    reply_reader reader;
};

server_reply *reply_create(void) {
    server_reply *made = calloc(1, sizeof *made);
    if (made != NULL) {
        pthread_mutex_init(&made->lock, NULL);
        made->owners = 1;
        made->reader.fd = -1;
    }
    return made;
}

server_reply *reply_share(server_reply *reply) {
    pthread_mutex_lock(&reply->lock);
    reply->owners++;
    pthread_mutex_unlock(&reply->lock);
    return reply;
}

void reply_release(server_reply *reply) {
    if (reply == NULL) {
        return;
    }
    pthread_mutex_lock(&reply->lock);
    bool last = --reply->owners == 0;
    pthread_mutex_unlock(&reply->lock);
    if (last) {
        pthread_mutex_destroy(&reply->lock);
        text_free(&reply->bytes);
        free(reply);
    }
}

/* Under the lock: whoever sleeps is called. */
static void wake(server_reply *reply) {
    if (reply->sleeping) {
        reply->sleeping = false;
        reply->reader.wake(reply->reader.context);
    }
}

static void sleep_until_woken(server_reply *reply) {
    if (reply->reader.pause != NULL && !reply->sleeping) {
        reply->sleeping = true;
        reply->reader.pause(reply->reader.context);
    }
}

/* ---- the writer ------------------------------------------------------------------------------ */

void reply_header(server_reply *reply, const char *name, const char *value) {
    pthread_mutex_lock(&reply->lock);
    reply_head *head = &reply->head;
    if (!reply->begun && head->headers < REPLY_HEADERS) {
        int at = head->headers++;
        snprintf(head->header[at].name, sizeof head->header[at].name, "%s", name);
        snprintf(head->header[at].value, sizeof head->header[at].value, "%s", value);
    }
    pthread_mutex_unlock(&reply->lock);
}

/* A body that could not be made has no bytes. */
static void begin(server_reply *reply, int status, const char *type) {
    reply->begun = true;
    reply->head.status = status;
    reply->head.type = type;
}

void reply_whole(server_reply *reply, int status, const char *type, char *body, size_t size) {
    pthread_mutex_lock(&reply->lock);
    if (reply->begun) {
        free(body);
    } else {
        begin(reply, body != NULL ? status : 500, type);
        reply->bytes = (text_buffer){.data = body, .size = body != NULL ? size : 0};
        reply->bytes.capacity = reply->bytes.size;
        reply->head.whole = true;
        reply->head.size = reply->bytes.size;
        reply->ended = true;
        wake(reply);
    }
    pthread_mutex_unlock(&reply->lock);
}

void reply_begin(server_reply *reply, int status, const char *type) {
    pthread_mutex_lock(&reply->lock);
    if (!reply->begun) {
        begin(reply, status, type);
        wake(reply);
    }
    pthread_mutex_unlock(&reply->lock);
}

void reply_write(server_reply *reply, const char *data, size_t size) {
    pthread_mutex_lock(&reply->lock);
    if (reply->begun && !reply->ended && !reply->gone) {
        if (!text_add(&reply->bytes, data, size)) {
            reply->gone = true; /* no memory: broken off, never a text with a hole */
        }
        wake(reply);
    }
    pthread_mutex_unlock(&reply->lock);
}

void reply_end(server_reply *reply) {
    pthread_mutex_lock(&reply->lock);
    reply->ended = reply->begun = true;
    wake(reply);
    pthread_mutex_unlock(&reply->lock);
}

size_t reply_waiting(server_reply *reply) {
    pthread_mutex_lock(&reply->lock);
    size_t size = reply->gone ? 0 : reply->bytes.size - reply->at;
    pthread_mutex_unlock(&reply->lock);
    return size;
}

bool reply_gone(server_reply *reply) {
    pthread_mutex_lock(&reply->lock);
    bool gone = reply->gone;
    pthread_mutex_unlock(&reply->lock);
    return gone;
}

bool reply_has_begun(server_reply *reply) {
    pthread_mutex_lock(&reply->lock);
    bool begun = reply->begun;
    pthread_mutex_unlock(&reply->lock);
    return begun;
}

int reply_status(server_reply *reply) {
    pthread_mutex_lock(&reply->lock);
    int status = reply->head.status;
    pthread_mutex_unlock(&reply->lock);
    return status;
}

size_t reply_sent(server_reply *reply) {
    pthread_mutex_lock(&reply->lock);
    size_t sent = reply->sent;
    pthread_mutex_unlock(&reply->lock);
    return sent;
}

/* ---- the reader ------------------------------------------------------------------------------ */

void reply_attach(server_reply *reply, const reply_reader *reader) {
    pthread_mutex_lock(&reply->lock);
    reply->reader = *reader;
    pthread_mutex_unlock(&reply->lock);
}

bool reply_begun(server_reply *reply, reply_head *head) {
    pthread_mutex_lock(&reply->lock);
    bool begun = reply->begun || reply->gone;
    if (begun) {
        *head = reply->head;
    } else {
        sleep_until_woken(reply);
    }
    pthread_mutex_unlock(&reply->lock);
    return begun;
}

long reply_read(server_reply *reply, char *out, size_t capacity) {
    pthread_mutex_lock(&reply->lock);
    text_buffer *bytes = &reply->bytes;
    size_t size = bytes->size - reply->at;
    long result = 0;
    if (reply->gone) {
        result = -2;
    } else if (size > 0) {
        size = size < capacity ? size : capacity;
        for (size_t i = 0; i < size; i++) {
            out[i] = bytes->data[reply->at + i];
        }
        reply->at += size;
        reply->sent += size;
        if (reply->at == bytes->size) {
            bytes->size = reply->at = 0;
        } else if (reply->at > bytes->capacity / 2) {
            text_drop(bytes, reply->at);
            reply->at = 0;
        }
        result = (long)size;
    } else if (reply->ended) {
        result = -1;
    } else {
        sleep_until_woken(reply);
    }
    pthread_mutex_unlock(&reply->lock);
    return result;
}

void reply_leave(server_reply *reply) {
    pthread_mutex_lock(&reply->lock);
    reply->gone = true;
    wake(reply);
    pthread_mutex_unlock(&reply->lock);
}

void reply_detach(server_reply *reply) {
    pthread_mutex_lock(&reply->lock);
    reply->gone = true;
    reply->sleeping = false;
    reply->reader = (reply_reader){.fd = -1};
    pthread_mutex_unlock(&reply->lock);
}

bool reply_client_left(server_reply *reply) {
    pthread_mutex_lock(&reply->lock);
    struct pollfd ask = {.fd = reply->reader.fd, .events = POLLRDHUP};
    bool left = ask.fd >= 0 && !reply->gone && poll(&ask, 1, 0) > 0 &&
                (ask.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0;
    if (left) {
        reply->gone = true;
        wake(reply);
    }
    left = reply->gone;
    pthread_mutex_unlock(&reply->lock);
    return left;
}
