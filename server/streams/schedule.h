/*
 * The schedule: who has a turn in the next step, and what comes of it.
 *
 * Everybody who draws a token has a turn, one row each. Prompts share the rows that are left; while
 * somebody draws, no more than one chunk of them, so that a long prompt delays no token by more
 * than that. Tasks that had a turn go to the end of the list, and a place is kept for whoever has
 * waited longest: nobody is forgotten, even where there are more tasks than places.
 */
#ifndef WEIR_SERVER_SCHEDULE_H
#define WEIR_SERVER_SCHEDULE_H

#include "streams/task.h"

typedef struct server_schedule {
    int64_t rows;
    int32_t streams;
    weir_turn *turns;    /* [streams] */
    server_task **tasks; /* [streams] whose turns those are */
    int32_t count;
} server_schedule;

weir_status schedule_open(server_schedule *schedule, const weir_batch_plan *sizes,
                          weir_error *error);
void schedule_close(server_schedule *schedule);

/* Returns the number of turns. */
int32_t schedule_plan(server_schedule *schedule, server_task *tasks);
/* Step, and tell every task what has come of its turn. */
void schedule_step(server_schedule *schedule, weir_batch *batch);
/* The list with those that had a turn at its end. */
server_task *schedule_rotate(server_task *tasks);

#endif
