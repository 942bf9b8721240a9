/* Signals: only what a handler may do. */
#include "common/interrupt.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

static _Atomic(weir_stream *) watched;
static volatile sig_atomic_t noted, final, impatient;

static void on_signal(int number) {
    if (noted && impatient) {
        _exit(130);
    }
    noted = 1;
    if (number != SIGINT) {
        final = 1;
    }
    weir_stream *stream = atomic_load(&watched);
    if (stream != NULL) {
        weir_stream_cancel(stream);
    }
}

void interrupt_catch(bool patient) {
    impatient = !patient;
    struct sigaction action = {.sa_handler = on_signal}; /* without SA_RESTART: reads return */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct sigaction before; /* nohup: the terminal may go */
    if (sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN) {
        sigaction(SIGHUP, &action, NULL);
    }
}

weir_stream *interrupt_watch(weir_stream *stream) { return atomic_exchange(&watched, stream); }

bool interrupted(void) { return noted != 0; }

void interrupt_forget(void) { noted = 0; }

bool interrupted_for_good(void) { return final != 0; }

int interrupt_wait(int fd, double seconds) {
    /* the signals are blocked between the look at the note and the wait, so none falls between */
    sigset_t block, before;
    sigemptyset(&block);
    sigaddset(&block, SIGINT);
    sigaddset(&block, SIGTERM);
    sigaddset(&block, SIGHUP);
    sigprocmask(SIG_BLOCK, &block, &before);
    int ready = -1;
    if (!noted) {
        struct pollfd poll = {.fd = fd, .events = POLLIN};
        struct timespec time = {0};
        if (seconds > 0) {
            time.tv_sec = (time_t)seconds;
            time.tv_nsec = (long)((seconds - (double)time.tv_sec) * 1e9);
        }
        ready = ppoll(&poll, 1, seconds < 0 ? NULL : &time, &before);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return ready > 0 ? 1 : ready;
}
