/*
 * Worker threads.
 *
 * Each thread owns a share of a loop's runs, neighbours in memory as a rule, and computes them in
 * order, so that it reads on where it has just read; when it has none left it takes the last ones
 * of others' shares. What is left of a share is one word:
 *
 *     63            32 31       16 15        0
 *     [ loop's number ][ first run ][ run end ]
 *
 * A thread claims a run by narrowing the word with compare-and-swap. The number makes the swap fail
 * when the loop it read of has ended, so a thread that comes late does nothing and nobody waits for
 * it; and the caller returns only when every claimed run is finished, so whoever holds a claim may
 * read the loop's fields. Idle workers watch the number of the loop for a while, then sleep: in a
 * token loop that is under way nobody makes a system call.
 *
 * On a machine that others use too, a worker may lose its processor in the middle of a run, and the
 * caller waits for a time slice of the system's, many loops long. So the caller keeps an account of
 * what its loops took and of what they would have taken it alone. What company saves is its credit,
 * up to a limit, and pays for an interruption now and then; when it has cost more than that the
 * caller computes alone, and tries again from time to time.
 */
#include "base/threads.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/cpu.h"

enum {
    MAX_THREADS = 256,
    MAX_RUNS = 65535,
    RELAX_BATCH = 32,
    MAX_FAILURES = 5,
    ASK_BYTES = 512,      /* between two looks for work */
    ASK_MOST = 256 * 1024 /* of what is expected: much less than a second cache */
};

/* Idle workers watch so long: longer than what a token does between two loops, too short to be felt
 * when nothing comes. */
static const double idle_seconds = 1e-3;
/* The caller watches so long for the last runs of others, then gives up its processor: whoever has
 * the run may be waiting for this very one. */
static const double wait_seconds = 100e-6;
/* Whoever loses the processor for so long while watching knows that others want it; then nobody
 * watches longer than `polite_seconds`, for so long. Sleepers are woken with a turn to come; who
 * burns his slice watching is interrupted when there is work. */
static const double gap_seconds = 50e-6;
static const double polite_seconds = 50e-6;
static const double crowd_seconds = 0.1;
/* Company is judged after so many seconds of loops, or when it has lost so many. */
static const double trial_seconds = 4e-3;
static const double loss_seconds = 1e-3;
/* Company pays while it takes less than this part of what the caller would take alone; the rest is
 * for what the account does not see, such as slower runs while another thread reads memory too. */
static const double worth_of_alone = 0.9;
/* Of what it has saved so much is held for it: longer than a time slice or a host's pause. */
static const double credit_seconds = 0.1;
/* A spell alone is so many times as long as the loss beyond the credit, twice as long after each
 * trial that fails until the credit is full again: so trials cost little where others keep a
 * processor busy. */
static const double spell_of_loss = 32.0;
/* And at most so long: then company that pays again is soon seen. */
static const double spell_seconds = 2.0;

/* The caller's account. */
typedef struct account {
    double together;    /* seconds that loops took since the last judgement */
    double alone;       /* that the caller would have needed for them by itself */
    double credit;      /* seconds that company may cost */
    int failures;       /* trials since the credit was full */
    double alone_until; /* on the clock: compute alone before */
} account;

typedef struct worker {
    pthread_t thread;
    wr_threads *pool;
    int number; /* 1 ... count-1; 0 is the caller of wr_threads_run */
} worker;

/* A share on a line of its own: its owner is seldom disturbed. */
typedef struct share {
    _Atomic uint64_t claim;
    _Atomic(const uint8_t *) expected; /* what its owner will read in the loop after this one */
    _Atomic size_t expected_bytes;
    const uint8_t *asked; /* its owner's: what it has begun to ask for, and how far it is */
    size_t asked_bytes;
    uint8_t apart[88];
} share;

struct wr_threads {
    weir_allocator allocator;
    bool own_allocator; /* allocator was given; otherwise the system's */
    int count;
    bool spin; /* every thread can have a CPU of its own */
    atomic_int references;

    pthread_mutex_t turn; /* held by the caller whose loop this is */
    wr_task task;         /* the loop: written by the caller before the claims, read under one */
    void *context;
    int64_t items;
    int64_t grain;
    uint32_t runs;
    _Atomic uint32_t loop;       /* its number, written last */
    _Atomic uint32_t unfinished; /* runs of this loop not finished yet */
    account account;             /* of whose turn it is */
    _Atomic double crowded;      /* on the clock: others want the processors until then */

    pthread_mutex_t lock; /* for sleeping only */
    pthread_cond_t work;  /* there are runs to claim, or it is time to stop */
    pthread_cond_t done;  /* unfinished is 0 */
    atomic_int sleepers;
    atomic_bool waiting; /* the caller sleeps on `done` */
    atomic_bool stop;

    share *shares;    /* [count], behind the workers */
    worker workers[]; /* count-1 */
};

static uint32_t first_run(uint64_t claim) { return (uint32_t)(claim >> 16) & 0xffff; }
static uint32_t run_end(uint64_t claim) { return (uint32_t)claim & 0xffff; }

static uint64_t claim_of(uint32_t loop, uint32_t first, uint32_t end) {
    return (uint64_t)loop << 32 | (uint64_t)first << 16 | end;
}

/* Claim the first run of a share, or the last for whoever does not own it; false: none is left. */
static bool claim_run_of(share *from, bool own, uint32_t *run) {
    uint64_t seen = atomic_load_explicit(&from->claim, memory_order_acquire);
    while (first_run(seen) < run_end(seen)) {
        uint64_t left = own ? seen + (1 << 16) : seen - 1;
        if (atomic_compare_exchange_weak_explicit(&from->claim, &seen, left, memory_order_acq_rel,
                                                  memory_order_acquire)) {
            *run = own ? first_run(seen) : run_end(left);
            return true;
        }
    }
    return false;
}

static bool claim_run(wr_threads *pool, int number, uint32_t *run) {
    for (int i = 0; i < pool->count; i++) {
        int owner = number + i < pool->count ? number + i : number + i - pool->count;
        if (claim_run_of(&pool->shares[owner], i == 0, run)) return true;
    }
    return false;
}

static void finish_runs(wr_threads *pool, uint32_t runs) {
    if (runs == 0 || atomic_fetch_sub(&pool->unfinished, runs) != runs) return;
    if (!atomic_load(&pool->waiting)) return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_signal(&pool->done);
    pthread_mutex_unlock(&pool->lock);
}

static void compute_run(const wr_threads *pool, uint32_t run, int worker_number) {
    int64_t begin = (int64_t)run * pool->grain;
    int64_t end = pool->items - begin > pool->grain ? begin + pool->grain : pool->items;
    pool->task(pool->context, begin, end, worker_number);
}

static void work_until_none_left(wr_threads *pool, int worker_number) {
    uint32_t run, runs = 0;
    for (; claim_run(pool, worker_number, &run); runs++) compute_run(pool, run, worker_number);
    finish_runs(pool, runs);
}

/* What the caller's part of a loop took, interruptions left out. */
typedef struct measured {
    uint32_t runs;
    double seconds;
} measured;

/* The same for the caller. No run counts for more than twice the shortest: it was interrupted, as
 * the first is when a worker that wakes takes the caller's processor. */
static measured work_and_measure(wr_threads *pool) {
    measured own = {0};
    double before = wr_clock_seconds(), shortest = HUGE_VAL, first = 0.0;
    for (uint32_t run; claim_run(pool, 0, &run); own.runs++) {
        compute_run(pool, run, 0);
        double now = wr_clock_seconds(), spent = now - before;
        before = now;
        shortest = fmin(shortest, spent);
        if (own.runs == 0)
            first = spent;
        else
            own.seconds += fmin(spent, 2 * shortest);
    }
    own.seconds += fmin(first, 2 * shortest);
    finish_runs(pool, own.runs);
    return own;
}

/* There is another loop than the one with the number `seen`, in which there was nothing left. */
static bool has_work(wr_threads *pool, uint32_t seen) {
    return atomic_load(&pool->loop) != seen || atomic_load(&pool->stop);
}

static bool all_finished(wr_threads *pool, uint32_t unused) {
    (void)unused;
    return atomic_load(&pool->unfinished) == 0;
}

/* Watch for `ready` a little while; true when it came. */
static bool watch(wr_threads *pool, bool (*ready)(wr_threads *, uint32_t), uint32_t seen,
                  double seconds) {
    if (ready(pool, seen)) return true;
    if (!pool->spin) return false;
    double start = wr_clock_seconds();
    double now = start;
    bool crowded = now < atomic_load_explicit(&pool->crowded, memory_order_relaxed);
    if (crowded && seconds > polite_seconds) seconds = polite_seconds;
    do {
        for (int i = 0; i < RELAX_BATCH; i++) {
            wr_cpu_relax();
            if (ready(pool, seen)) return true;
        }
        double before = now;
        now = wr_clock_seconds();
        if (now - before > gap_seconds) {
            atomic_store_explicit(&pool->crowded, now + crowd_seconds, memory_order_relaxed);
            return ready(pool, seen);
        }
    } while (now - start < seconds);
    return false;
}

/* Until there is work, ask for what is expected after it. Meanwhile others still compute, or the
 * caller does what only one can do, and memory would idle. */
static void ask_ahead(wr_threads *pool, int number, bool (*ready)(wr_threads *, uint32_t),
                      uint32_t seen) {
    share *own = &pool->shares[number];
    const uint8_t *expected = atomic_load_explicit(&own->expected, memory_order_relaxed);
    const size_t bytes = atomic_load_explicit(&own->expected_bytes, memory_order_relaxed);
    if (own->asked != expected) {
        own->asked = expected;
        own->asked_bytes = 0;
    }
    while (own->asked_bytes < bytes && !ready(pool, seen)) {
        for (size_t i = 0; i < ASK_BYTES; i += 64)
            __builtin_prefetch((const void *)((uintptr_t)expected + own->asked_bytes + i), 0, 2);
        own->asked_bytes += ASK_BYTES;
    }
}

/* No wake-up is lost: a sleeper is counted before it looks at the loop for the last time, and the
 * caller publishes the loop before it looks at the count. */
static void sleep_until_work(wr_threads *pool, uint32_t seen) {
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleepers, 1);
    while (!has_work(pool, seen)) pthread_cond_wait(&pool->work, &pool->lock);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->lock);
}

static void wake_workers(wr_threads *pool) {
    if (atomic_load(&pool->sleepers) == 0) return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
}

static void wait_until_finished(wr_threads *pool) {
    ask_ahead(pool, 0, all_finished, 0);
    if (watch(pool, all_finished, 0, wait_seconds)) return;
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->waiting, true);
    while (!all_finished(pool, 0)) pthread_cond_wait(&pool->done, &pool->lock);
    atomic_store(&pool->waiting, false);
    pthread_mutex_unlock(&pool->lock);
}

static void *worker_main(void *argument) {
    worker *self = argument;
    wr_threads *pool = self->pool;
    while (!atomic_load(&pool->stop)) {
        uint32_t loop = atomic_load(&pool->loop);
        work_until_none_left(pool, self->number);
        ask_ahead(pool, self->number, has_work, loop);
        if (!watch(pool, has_work, loop, idle_seconds)) sleep_until_work(pool, loop);
    }
    return NULL;
}

/* What the caller would have needed alone for a loop that took `seconds`. */
static double alone_for(measured own, uint32_t runs, double seconds) {
    if (own.runs == 0 || (own.runs == 1 && own.seconds > loss_seconds))
        return seconds; /* nothing to tell an interruption by */
    return own.seconds / (double)own.runs * (double)runs;
}

/* Note a loop: its interruptions count against company, as it may be a worker that takes the
 * caller's processor. */
static void judge(account *a, double together, double alone, double now) {
    a->together += together;
    a->alone += alone;
    double loss = a->together - worth_of_alone * a->alone;
    if (loss < loss_seconds && a->together < trial_seconds) return;
    a->together = a->alone = 0.0;
    a->credit -= loss;
    if (a->credit >= credit_seconds) {
        a->credit = credit_seconds;
        a->failures = 0;
    }
    if (a->credit >= 0.0) return;
    a->alone_until = now + fmin(ldexp(-a->credit * spell_of_loss, a->failures), spell_seconds);
    a->credit = 0.0;
    if (a->failures < MAX_FAILURES) a->failures++;
}

static void run_together(wr_threads *threads, uint32_t runs, double start) {
    uint32_t loop = atomic_load(&threads->loop) + 1, count = (uint32_t)threads->count;
    atomic_store(&threads->unfinished, runs);
    for (uint32_t i = 0; i < count; i++)
        atomic_store_explicit(&threads->shares[i].claim,
                              claim_of(loop, runs * i / count, runs * (i + 1) / count),
                              memory_order_release);
    atomic_store(&threads->loop, loop);
    wake_workers(threads);
    measured own = work_and_measure(threads);
    wait_until_finished(threads);
    double end = wr_clock_seconds(), together = end - start;
    judge(&threads->account, together, alone_for(own, runs, together), end);
}

void wr_threads_run(wr_threads *threads, int64_t items, int64_t grain, wr_task task,
                    void *context) {
    assert(items >= 0 && grain >= 1);
    if (items == 0) return;
    if (threads == NULL) {
        task(context, 0, items, 0);
        return;
    }
    while ((items - 1) / grain >= MAX_RUNS) grain *= 2;
    uint32_t runs = (uint32_t)((items - 1) / grain + 1);

    pthread_mutex_lock(&threads->turn);
    threads->task = task;
    threads->context = context;
    threads->items = items;
    threads->grain = grain;
    threads->runs = runs;
    bool several = runs > 1 && threads->count > 1;
    double start = several ? wr_clock_seconds() : 0.0;
    if (several && start >= threads->account.alone_until)
        run_together(threads, runs, start);
    else
        for (uint32_t run = 0; run < runs; run++) compute_run(threads, run, 0);
    pthread_mutex_unlock(&threads->turn);
}

void wr_threads_expect(wr_threads *threads, int number, const void *at, size_t bytes) {
    share *of = &threads->shares[number];
    atomic_store_explicit(&of->expected, at, memory_order_relaxed);
    atomic_store_explicit(&of->expected_bytes, bytes < ASK_MOST ? bytes : ASK_MOST,
                          memory_order_relaxed);
}

static size_t shares_offset(int count) {
    return (sizeof(wr_threads) + (size_t)(count - 1) * sizeof(worker) + 127) / 128 * 128;
}

static size_t pool_bytes(int count) { return shares_offset(count) + (size_t)count * sizeof(share); }

/* Stop and join the first `started` workers, then give the memory back. */
static void destroy(wr_threads *pool, int started) {
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->stop, true);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < started; i++) pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->turn);
    weir_allocator allocator = pool->allocator;
    wr_release(pool->own_allocator ? &allocator : NULL, pool, pool_bytes(pool->count));
}

/* Workers take no signals: those are the program's. Returns how many started. */
static int start_workers(wr_threads *pool) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int started = 0;
    while (started < pool->count - 1) {
        worker *next = &pool->workers[started];
        *next = (worker){.pool = pool, .number = started + 1};
        if (pthread_create(&next->thread, NULL, worker_main, next) != 0) break;
        started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

weir_status wr_threads_create(int count, const weir_allocator *allocator, wr_threads **out,
                              weir_error *error) {
    *out = NULL;
    if (count < 1 || count > MAX_THREADS) {
        return weir_error_set(error, WEIR_USAGE, "%d threads: give a number from 1 to %d", count,
                              MAX_THREADS);
    }
    wr_threads *pool = wr_allocate(allocator, pool_bytes(count));
    if (pool == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "out of memory for %d threads", count);
    }
    memset(pool, 0, pool_bytes(count));
    if (allocator != NULL) pool->allocator = *allocator;
    pool->own_allocator = allocator != NULL;
    pool->count = count;
    pool->shares = (share *)(void *)((uint8_t *)pool + shares_offset(count));
    pool->spin = count <= wr_cpu_count();
    pool->account.credit = credit_seconds;
    atomic_init(&pool->references, 1);
    pthread_mutex_init(&pool->turn, NULL);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);

    int started = start_workers(pool);
    if (started < count - 1) {
        destroy(pool, started);
        return weir_error_set(error, WEIR_LIMIT,
                              "the system starts only %d of %d threads; ask for fewer", started + 1,
                              count);
    }
    *out = pool;
    return WEIR_OK;
}

wr_threads *wr_threads_share(wr_threads *threads) {
    atomic_fetch_add(&threads->references, 1);
    return threads;
}

void wr_threads_release(wr_threads *threads) {
    if (threads == NULL) return;
    if (atomic_fetch_sub(&threads->references, 1) == 1) destroy(threads, threads->count - 1);
}

int wr_threads_count(const wr_threads *threads) { return threads == NULL ? 1 : threads->count; }
