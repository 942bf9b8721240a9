#include "streams/worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "http/refusal.h"
#include "parts/clock.h"
#include "streams/schedule.h"
#include "streams/sharing.h"

#define LOOK_SECONDS 0.1    /* how often idle clients are looked after */
#define COMMIT_SECONDS 0.02 /* how long drawn tokens wait to be written down */

struct server_worker {
    const weir_model *model;
    server_settings settings;
    server_metrics *metrics;
    weir_batch *batch;
    weir_batch_plan sizes;
    server_registry registry;
    server_keeper *keeper;
    double committed;
    server_schedule schedule;
    server_task *tasks; /* those that had a turn last come last */
    int64_t task_count;
    server_job *waiting; /* ran once and found no room, in order */
    double looked;
    pthread_t thread;
    bool started;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    bool news; /* something came since the worker last looked */
    server_job *queue, *queue_end;
    int64_t queued; /* those that wait included */
    bool closing;   /* no more jobs */
    double end_at;  /* when closing: work that is not done by then is broken off */
};

server_registry *worker_registry(server_worker *worker) { return &worker->registry; }
server_metrics *worker_metrics(server_worker *worker) { return worker->metrics; }

weir_stream_options worker_stream_options(const server_worker *worker) {
    weir_stream_options options = worker->settings.stream;
    options.batch = worker->batch;
    return options;
}

bool worker_has_room(const server_worker *worker) {
    return worker->task_count < worker->sizes.streams;
}

/* ---- the queue ------------------------------------------------------------------------------- */

static void drop_job(server_job *job, int status, const char *code, const char *message) {
    refuse(job->reply, status, code, message);
    job->free(job);
}

void worker_submit(server_worker *worker, server_job *job) {
    pthread_mutex_lock(&worker->lock);
    bool closing = worker->closing;
    bool full = worker->queued >= worker->settings.queue;
    if (!closing && !full) {
        job->next = NULL;
        *(worker->queue_end != NULL ? &worker->queue_end->next : &worker->queue) = job;
        worker->queue_end = job;
        atomic_store(&worker->metrics->queue, ++worker->queued);
        worker->news = true;
        pthread_cond_signal(&worker->changed);
    }
    pthread_mutex_unlock(&worker->lock);
    if (closing) {
        drop_job(job, 503, "closing", "the server is about to end: it takes no more requests");
    } else if (full) {
        drop_job(job, 429, "queue_full", "too many requests wait already: try again in a moment");
    }
}

void worker_wake(void *context) {
    server_worker *worker = context;
    if (worker == NULL) {
        return;
    }
    pthread_mutex_lock(&worker->lock);
    worker->news = true;
    pthread_cond_signal(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
}

static server_job *take_queue(server_worker *worker) {
    pthread_mutex_lock(&worker->lock);
    server_job *jobs = worker->queue;
    worker->queue = worker->queue_end = NULL;
    worker->news = false;
    pthread_mutex_unlock(&worker->lock);
    return jobs;
}

static void leave_queue(server_worker *worker) {
    pthread_mutex_lock(&worker->lock);
    atomic_store(&worker->metrics->queue, --worker->queued);
    pthread_mutex_unlock(&worker->lock);
}

static bool is_closing(server_worker *worker, double *end_at) {
    pthread_mutex_lock(&worker->lock);
    bool closing = worker->closing;
    *end_at = worker->end_at;
    pthread_mutex_unlock(&worker->lock);
    return closing;
}

/* True: the job is done with, and freed. */
static bool run_job(server_worker *worker, server_job *job, double now) {
    weir_error error = {0};
    if (reply_client_left(job->reply)) {
        atomic_fetch_add(&worker->metrics->clients_gone, 1);
    } else if (job->run(worker, job, &error) == JOB_WAITS) {
        /* nobody will make room: it is said at once */
        bool hopeless = worker->task_count == 0;
        if (!hopeless && now < job->deadline) {
            return false;
        }
        refuse(job->reply, 503, "no_room", error.message);
    }
    job->free(job);
    leave_queue(worker);
    return true;
}

/* Those that wait first, then those that came. Behind one that waits, all others of its kind wait
 * too; what needs no room passes. */
static void run_jobs(server_worker *worker) {
    server_job *jobs = worker->waiting;
    server_job *came = take_queue(worker);
    server_job **end = &jobs;
    double now = clock_now();
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = came;
    worker->waiting = NULL;
    end = &worker->waiting;
    while (jobs != NULL) {
        server_job *next = jobs->next;
        jobs->next = NULL;
        if (!run_job(worker, jobs, now)) {
            *end = jobs;
            end = &jobs->next;
        }
        jobs = next;
    }
}

static void drop_waiting(server_worker *worker) {
    while (worker->waiting != NULL) {
        server_job *next = worker->waiting->next;
        drop_job(worker->waiting, 503, "closing", "the server is about to end");
        leave_queue(worker);
        worker->waiting = next;
    }
}

/* ---- tasks ----------------------------------------------------------------------------------- */

void worker_add(server_worker *worker, server_task *task) {
    struct server_task **end = &worker->tasks;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    task->next = NULL;
    *end = task;
    atomic_store(&worker->metrics->tasks, ++worker->task_count);
}

void worker_let_go(server_worker *worker, server_session *session) {
    if (session->users == 0 && (session->deleted || session->id[0] == '\0') &&
        !sharing_keep(&worker->registry, session)) {
        registry_close(&worker->registry, session);
    }
}

static void end_task(server_worker *worker, server_task *task) {
    server_session *session = task->session;
    if (task->error.status == WEIR_OK && task->generated.tokens > 0) {
        session->held = false;
    }
    if (session->owner == task) {
        session->owner = NULL;
    }
    task->kind->finish(worker, task);
    task_free(task);
    session->users--;
    worker_let_go(worker, session);
    atomic_store(&worker->metrics->tasks, --worker->task_count);
}

static void end_tasks(server_worker *worker) {
    server_task **at = &worker->tasks;
    while (*at != NULL) {
        server_task *task = *at;
        if (task->over) {
            *at = task->next;
            end_task(worker, task);
            at = &worker->tasks; /* the end of one may have added others */
        } else {
            at = &task->next;
        }
    }
}

static void check_task(server_worker *worker, server_task *task) {
    weir_error error = {0};
    if (reply_client_left(task->reply)) {
        atomic_fetch_add(&worker->metrics->clients_gone, task->over ? 0 : 1);
        weir_error_set(&error, WEIR_CANCELLED, "the client went away");
        task_fail(task, &error);
    } else if (task->session->deleted) {
        weir_error_set(&error, WEIR_CANCELLED, "the stream was deleted");
        task_fail(task, &error);
    }
}

static void advance_tasks(server_worker *worker) {
    for (server_task *task = worker->tasks; task != NULL; task = task->next) {
        check_task(worker, task);
        if (task->session->owner == NULL && !task->over) {
            task->session->owner = task;
            task->first_index = task->session->index;
        }
        if (task->session->owner == task && !task->over) {
            task_advance(worker, task);
            if (sharing_begin(&worker->registry, task->session, task->generate.tokens)) {
                task_advance(worker, task); /* perhaps nothing waits any more */
            }
        }
    }
}

/* What was written down is on disk before an answer ends. Drawn tokens alone wait a little: until
 * then a crash takes them, and they are drawn again, the same ones. */
static void commit(server_worker *worker) {
    double now = clock_now();
    bool ends = now - worker->committed > COMMIT_SECONDS;
    for (server_task *task = worker->tasks; task != NULL && !ends; task = task->next) {
        ends = task->over;
    }
    keeper_commit(worker->keeper, worker->registry.first, ends);
    if (ends) {
        worker->committed = now;
    }
}

static void tend_sessions(server_worker *worker) {
    double now = clock_now();
    if (now - worker->looked < LOOK_SECONDS) {
        return;
    }
    worker->looked = now;
    for (server_session *at = worker->registry.first; at != NULL; at = at->next) {
        session_tend_listeners(at, now);
    }
    keeper_tend(worker->keeper, worker->registry.first, now);
    registry_unload_idle(&worker->registry, now, (double)worker->settings.idle);
}

static void break_off(server_worker *worker) {
    weir_error error;
    weir_error_set(&error, WEIR_CANCELLED, "the server ends");
    for (server_task *task = worker->tasks; task != NULL; task = task->next) {
        task_fail(task, &error);
    }
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* Until something comes, or it is time to look after the clients. */
static void wait_for_news(server_worker *worker) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(LOOK_SECONDS * 1e9);
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&worker->lock);
    if (!worker->news) {
        pthread_cond_timedwait(&worker->changed, &worker->lock, &until);
    }
    pthread_mutex_unlock(&worker->lock);
}

static void step(server_worker *worker) {
    double begun = clock_now();
    int32_t turns = schedule_plan(&worker->schedule, worker->tasks);
    if (turns == 0) {
        wait_for_news(worker);
        return;
    }
    schedule_step(&worker->schedule, worker->batch);
    worker->tasks = schedule_rotate(worker->tasks);
    atomic_fetch_add(&worker->metrics->steps, 1);
    atomic_fetch_add(&worker->metrics->turns, turns);
    metrics_observe(&worker->metrics->step_seconds, clock_now() - begun);
}

static void *work(void *context) {
    server_worker *worker = context;
    for (;;) {
        double end_at;
        bool closing = is_closing(worker, &end_at);
        run_jobs(worker);
        if (closing) {
            drop_waiting(worker);
            for (server_session *at = worker->registry.first; at != NULL; at = at->next) {
                session_end_listeners(at);
            }
            if (clock_now() >= end_at) {
                break_off(worker);
            }
        }
        advance_tasks(worker);
        commit(worker);
        end_tasks(worker);
        tend_sessions(worker);
        if (closing && worker->tasks == NULL) {
            return NULL;
        }
        if (worker->tasks != NULL) {
            step(worker);
            commit(worker);
            end_tasks(worker);
        } else {
            wait_for_news(worker);
        }
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

/* Three quarters of what is free, when nothing is said. */
static int64_t memory_of(const server_settings *settings) {
    if (settings->memory > 0) {
        return settings->memory;
    }
    int64_t pages = sysconf(_SC_AVPHYS_PAGES), size = sysconf(_SC_PAGE_SIZE);
    return pages > 0 && size > 0 ? pages / 4 * 3 * size : INT64_C(1) << 30;
}

static weir_status open_batch(server_worker *worker, weir_error *error) {
    weir_batch_options options = weir_batch_options_default();
    options.rows = worker->settings.rows;
    options.streams = worker->settings.streams;
    options.threads = worker->settings.threads;
    weir_status status = weir_batch_plan_sizes(worker->model, &options, &worker->sizes, error);
    if (status == WEIR_OK) {
        status = registry_reserve(&worker->registry, worker->sizes.reserved_bytes, error);
    }
    if (status == WEIR_OK) {
        status = weir_batch_create(worker->model, &options, &worker->batch, error);
    }
    /* the streams of requests that say nothing must fit, or nothing ever will */
    weir_plan plan;
    weir_stream_options stream = worker_stream_options(worker);
    if (status == WEIR_OK) {
        status = session_plan(worker->model, &stream, &plan, error);
    }
    if (status == WEIR_OK) {
        status = registry_reserve(&worker->registry, plan.reserved_bytes, error);
    }
    if (status == WEIR_OK) {
        registry_unreserve(&worker->registry, plan.reserved_bytes);
        status = schedule_open(&worker->schedule, &worker->sizes, error);
    }
    return status;
}

static void init_lock(server_worker *worker) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&worker->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&worker->lock, NULL);
}

weir_status worker_create(const weir_model *model, const server_settings *settings,
                          server_metrics *metrics, server_worker **out, weir_error *error) {
    server_worker *made = calloc(1, sizeof *made);
    *out = NULL;
    if (made == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for the worker");
    }
    made->model = model;
    made->settings = *settings;
    made->metrics = metrics;
    made->registry = (server_registry){
        .model = model, .metrics = metrics, .limit = memory_of(settings), .keep = settings->kept};
    atomic_store(&metrics->memory_limit_bytes, made->registry.limit);
    init_lock(made);
    weir_status status = open_batch(made, error);
    if (status == WEIR_OK) {
        status = keeper_open(settings->store, settings->power_safe, model, metrics, &made->keeper,
                             error);
        made->registry.keeper = made->keeper;
        made->registry.batch = made->batch;
    }
    if (status == WEIR_OK) {
        int failed = pthread_create(&made->thread, NULL, work, made);
        made->started = failed == 0;
        if (failed != 0) {
            status =
                weir_error_set(error, WEIR_IO, "the worker cannot start: %s", strerror(failed));
        }
    }
    if (status != WEIR_OK) {
        worker_destroy(made);
        return status;
    }
    *out = made;
    return WEIR_OK;
}

void worker_drain(server_worker *worker, double seconds) {
    if (worker == NULL || !worker->started) {
        return;
    }
    pthread_mutex_lock(&worker->lock);
    worker->closing = worker->news = true;
    worker->end_at = clock_now() + seconds;
    pthread_cond_signal(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
    pthread_join(worker->thread, NULL);
    worker->started = false;
}

void worker_destroy(server_worker *worker) {
    if (worker == NULL) {
        return;
    }
    worker_drain(worker, 0);
    while (worker->registry.first != NULL) {
        keeper_snapshot(worker->registry.first); /* so that a restart has nothing to feed again */
        registry_close(&worker->registry, worker->registry.first);
    }
    keeper_close(worker->keeper);
    schedule_close(&worker->schedule);
    weir_batch_destroy(worker->batch);
    pthread_cond_destroy(&worker->changed);
    pthread_mutex_destroy(&worker->lock);
    free(worker);
}
