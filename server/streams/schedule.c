#include "streams/schedule.h"

#include <stdlib.h>
#include <string.h>

weir_status schedule_open(server_schedule *schedule, const weir_batch_plan *sizes,
                          weir_error *error) {
    schedule->rows = sizes->rows;
    schedule->streams = sizes->streams;
    schedule->turns = calloc((size_t)sizes->streams, sizeof *schedule->turns);
    schedule->tasks = calloc((size_t)sizes->streams, sizeof *schedule->tasks);
    return schedule->turns != NULL && schedule->tasks != NULL
               ? WEIR_OK
               : weir_error_set(error, WEIR_MEMORY, "no memory for a schedule");
}

void schedule_close(server_schedule *schedule) {
    free(schedule->turns);
    free(schedule->tasks);
}

/* What the next token is drawn from: kept for its logprobs. */
static weir_status keep_row(void *context, int64_t index, const float *logits, int32_t count) {
    server_task *task = context;
    (void)index;
    memcpy(task->row, logits, (size_t)count * sizeof *logits);
    return WEIR_OK;
}

static void add_turn(server_schedule *schedule, server_task *task, const int32_t *tokens,
                     int64_t count) {
    task->had_turn = true;
    schedule->tasks[schedule->count] = task;
    schedule->turns[schedule->count++] =
        (weir_turn){.stream = task->session->stream,
                    .tokens = tokens,
                    .count = count,
                    .draws_from = task->row != NULL ? keep_row : NULL,
                    .draws_context = task,
                    .holds = task->session->held};
}

static bool may_go(server_task *task, bool drawing) {
    bool draws = false;
    return task->session->owner == task && task_wants(task, &draws) && draws == drawing;
}

static int64_t chunk_of(const server_schedule *schedule, const server_task *task) {
    int64_t chunk = task->session->options.chunk > 0 ? task->session->options.chunk : 128;
    return chunk < schedule->rows ? chunk : schedule->rows;
}

static void add_feed(server_schedule *schedule, server_task *task, int64_t *left) {
    const int32_t *tokens;
    weir_error error = {0};
    int64_t chunk = chunk_of(schedule, task);
    int64_t count = session_next(task->session, &tokens, *left < chunk ? *left : chunk, &error);
    if (error.status != WEIR_OK) {
        task_fail(task, &error);
    } else if (count > 0) {
        add_turn(schedule, task, tokens, count);
        *left -= count;
    }
}

/* Of those who can go, the one who has waited longest feeds: a place is kept for it, or those who
 * draw would take all of them for as long as they like. */
static bool feeder_is_first(server_task *tasks) {
    for (server_task *task = tasks; task != NULL; task = task->next) {
        if (may_go(task, true)) {
            return false;
        }
        if (may_go(task, false)) {
            return true;
        }
    }
    return false;
}

int32_t schedule_plan(server_schedule *schedule, server_task *tasks) {
    schedule->count = 0;
    const int32_t places = schedule->streams - (feeder_is_first(tasks) ? 1 : 0);
    for (server_task *task = tasks; task != NULL; task = task->next) {
        task->had_turn = false;
        bool room = schedule->count < places && schedule->count < schedule->rows;
        if (room && may_go(task, true)) {
            add_turn(schedule, task, NULL, 0);
        }
    }
    int64_t left = schedule->rows - schedule->count;
    for (server_task *task = tasks; task != NULL; task = task->next) {
        int64_t chunk = chunk_of(schedule, task);
        if (schedule->count > 0 && schedule->turns[0].count == 0 && left > chunk) {
            left = chunk; /* somebody draws */
        }
        if (schedule->count < schedule->streams && left > 0 && may_go(task, false)) {
            add_feed(schedule, task, &left);
        }
    }
    return schedule->count;
}

static void tell(server_task *task, const weir_turn *turn) {
    if (turn->error.status != WEIR_OK) {
        task_fail(task, &turn->error);
    } else if (turn->count > 0) {
        session_fed(task->session, turn->count);
    } else {
        session_drew(task->session, turn->token);
        task->generated = turn->generated;
        task->over |= turn->done;
    }
}

void schedule_step(server_schedule *schedule, weir_batch *batch) {
    weir_error error = {0};
    weir_status status = weir_batch_step(batch, schedule->turns, schedule->count, &error);
    for (int32_t i = 0; i < schedule->count; i++) {
        if (status != WEIR_OK) {
            task_fail(schedule->tasks[i], &error);
        } else {
            tell(schedule->tasks[i], &schedule->turns[i]);
        }
    }
}

server_task *schedule_rotate(server_task *tasks) {
    server_task *waited = NULL, *went = NULL;
    server_task **waited_end = &waited, **went_end = &went;
    for (server_task *next; tasks != NULL; tasks = next) {
        next = tasks->next;
        server_task ***end = tasks->had_turn ? &went_end : &waited_end;
        tasks->next = NULL;
        **end = tasks;
        *end = &tasks->next;
    }
    *waited_end = went;
    return waited;
}
