#include "http/deadline.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

struct deadline {
    deadline *next, *before;
    server_deadlines *all;
    int fd;
    double since; /* 0: its time does not run */
};

#define LOOK_NANOSECONDS 250000000
#define CROWDED_SECONDS 1.0 /* to arrive, for a request, while others find no place */

struct server_deadlines {
    double seconds;
    int64_t most; /* connections */
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* of what follows, and of every deadline */
    pthread_cond_t changed;
    deadline *first;
    int64_t count;
    bool closing;
};

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* Under the lock, so the sockets are still open. The connection's own thread sees the end. */
static void cut_late_ones(server_deadlines *deadlines) {
    const bool crowded = deadlines->count >= deadlines->most;
    const double seconds =
        crowded && deadlines->seconds > CROWDED_SECONDS ? CROWDED_SECONDS : deadlines->seconds;
    double late = now() - seconds;
    for (deadline *at = deadlines->first; at != NULL; at = at->next) {
        if (at->since > 0 && at->since < late) {
            shutdown(at->fd, SHUT_RDWR);
            at->since = 0;
        }
    }
}

static void *watch(void *context) {
    server_deadlines *deadlines = context;
    pthread_mutex_lock(&deadlines->lock);
    while (!deadlines->closing) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += LOOK_NANOSECONDS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&deadlines->changed, &deadlines->lock, &until);
        cut_late_ones(deadlines);
    }
    pthread_mutex_unlock(&deadlines->lock);
    return NULL;
}

weir_status deadlines_create(double seconds, int64_t most, server_deadlines **out,
                             weir_error *error) {
    server_deadlines *made = calloc(1, sizeof *made);
    pthread_condattr_t monotonic;
    *out = NULL;
    if (made == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for deadlines");
    }
    made->seconds = seconds;
    made->most = most;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&made->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&made->lock, NULL);
    int failed = pthread_create(&made->thread, NULL, watch, made);
    made->started = failed == 0;
    if (failed != 0) {
        deadlines_destroy(made);
        return weir_error_set(error, WEIR_IO, "a thread cannot start: %s", strerror(failed));
    }
    *out = made;
    return WEIR_OK;
}

void deadlines_destroy(server_deadlines *deadlines) {
    if (deadlines == NULL) {
        return;
    }
    pthread_mutex_lock(&deadlines->lock);
    deadlines->closing = true;
    pthread_cond_signal(&deadlines->changed);
    pthread_mutex_unlock(&deadlines->lock);
    if (deadlines->started) {
        pthread_join(deadlines->thread, NULL);
    }
    pthread_cond_destroy(&deadlines->changed);
    pthread_mutex_destroy(&deadlines->lock);
    free(deadlines);
}

deadline *deadline_begin(server_deadlines *deadlines, int fd) {
    deadline *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return NULL;
    }
    *made = (deadline){.all = deadlines, .fd = fd, .since = now()};
    pthread_mutex_lock(&deadlines->lock);
    made->next = deadlines->first;
    if (made->next != NULL) {
        made->next->before = made;
    }
    deadlines->first = made;
    deadlines->count++;
    pthread_mutex_unlock(&deadlines->lock);
    return made;
}

static void set(deadline *line, double since) {
    if (line != NULL) {
        pthread_mutex_lock(&line->all->lock);
        line->since = since;
        pthread_mutex_unlock(&line->all->lock);
    }
}

void deadline_stop(deadline *line) { set(line, 0); }

void deadline_start(deadline *line) { set(line, now()); }

void deadline_end(deadline *line) {
    if (line == NULL) {
        return;
    }
    server_deadlines *all = line->all;
    pthread_mutex_lock(&all->lock);
    if (line->next != NULL) {
        line->next->before = line->before;
    }
    *(line->before != NULL ? &line->before->next : &all->first) = line->next;
    all->count--;
    pthread_mutex_unlock(&all->lock);
    free(line);
}
