/*
 * Worker threads: a loop over items, each item computed by exactly one thread.
 *
 * Each thread begins with a share of its own, items that follow one another, and claims it in runs
 * of `grain` items; who is done takes runs from the others (a busy core only claims fewer). The
 * order of sums inside an item never depends on who computes it: results have the same bits for any
 * number of threads.
 */
#ifndef WR_THREADS_H
#define WR_THREADS_H

#include "base/allocate.h"

typedef struct wr_threads wr_threads;

/* Work on items [begin, end). `worker` is 0 ... count-1, unique among threads running now. */
typedef void (*wr_task)(void *context, int64_t begin, int64_t end, int worker);

/* `count` threads in all, the caller's own included; 1 starts none. 1 <= count <= 256. */
weir_status wr_threads_create(int count, const weir_allocator *allocator, wr_threads **out,
                              weir_error *error);

/* A pool may be shared by streams: take another reference, drop with wr_threads_release. */
wr_threads *wr_threads_share(wr_threads *threads);
void wr_threads_release(wr_threads *threads); /* joins the workers with the last reference */

int wr_threads_count(const wr_threads *threads); /* 1 for NULL */

/* Run task over items [0, items), in runs of `grain` (>= 1), and return when all are done. Fewer
 * than two runs are computed by the caller alone, and so are all while others crowd the machine and
 * company costs more than it brings; NULL is the caller alone, as worker 0. No allocation; a
 * concurrent call from another thread on the same pool waits its turn. */
void wr_threads_run(wr_threads *threads, int64_t items, int64_t grain, wr_task task, void *context);

/* What thread `number` will read first in the loop after the next one, which is called before that
 * next one: `bytes` from `at`. Whoever has nothing to do asks for them meanwhile, as far as its
 * cache has room. Only a hint: nothing is read, so the memory may be gone by then. */
void wr_threads_expect(wr_threads *threads, int number, const void *at, size_t bytes);

#endif
