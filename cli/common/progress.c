#include "common/progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common/interrupt.h"
#include "common/words.h"

double now_seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

void progress_begin(cli_progress *progress, const char *title) {
    double now = now_seconds();
    /* what takes less than a moment shows nothing */
    *progress = (cli_progress){title, isatty(STDERR_FILENO) == 1, false, now, now + 0.2};
}

/* "2:05 left", as if the rest went as fast as what is done. */
static void show_time_left(const cli_progress *progress, int64_t done, int64_t total, double now) {
    double left = (now - progress->begun) * (double)(total - done) / (double)done;
    if (done > 0 && total >= done && left < 1e9) {
        long long seconds = (long long)(left + 0.5);
        if (seconds >= 3600) {
            fprintf(stderr, ", %lld:%02lld:%02lld left", seconds / 3600, seconds / 60 % 60,
                    seconds % 60);
        } else {
            fprintf(stderr, ", %lld:%02lld left", seconds / 60, seconds % 60);
        }
    }
}

void progress_show(cli_progress *progress, int64_t done, int64_t total, const char *unit) {
    double now = now_seconds();
    if (!progress->shown || now < progress->last + 0.1) {
        return;
    }
    progress->last = now;
    char count[WORD_MAX], of[WORD_MAX], speed[WORD_MAX];
    word_count(done, count);
    word_speed((double)done / (now - progress->begun), speed);
    if (total > 0) {
        fprintf(stderr, "\r\033[K%s: %s of %s %s, %.0f%%, %s/s", progress->title, count,
                word_count(total, of), unit, 100.0 * (double)done / (double)total, speed);
        show_time_left(progress, done, total, now);
    } else {
        fprintf(stderr, "\r\033[K%s: %s %s, %s/s", progress->title, count, unit, speed);
    }
    fflush(stderr);
    progress->on_screen = true;
}

bool progress_bytes(void *context, int64_t done, int64_t total) {
    progress_show(context, done, total, "bytes");
    return !interrupted();
}

bool progress_questions(void *context, int64_t done, int64_t total) {
    progress_show(context, done, total, "questions");
    return !interrupted();
}

void progress_clear(cli_progress *progress) {
    if (progress->on_screen) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
        progress->on_screen = false;
    }
}
