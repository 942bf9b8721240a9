#include "streams/task.h"
#include "parts/clock.h"

#include <stdlib.h>
#include <string.h>

/* Text that is tokenized at once: tokens that wait for a stream are bounded by it. The first piece
 * is longer: it may be what another stream begins with too. */
#define PIECE 2048
#define FIRST_PIECE (256 << 10)

server_task *task_create(const task_kind *kind, void *context, server_session *session,
                         server_reply *reply) {
    server_task *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return NULL;
    }
    made->kind = kind;
    made->context = context;
    made->session = session;
    made->reply = reply_share(reply);
    made->logprobs = -1;
    made->begun = clock_now();
    made->first_index = session->index;
    session->users++;
    return made;
}

void task_free(server_task *task) {
    if (task == NULL) {
        return;
    }
    if (task->inlet != NULL) {
        inlet_close(task->inlet);
        inlet_release(task->inlet);
    }
    conversation_free(&task->conversation);
    reply_release(task->reply);
    free(task->tokens);
    free(task->text);
    free(task->row);
    free(task);
}

void task_fail(server_task *task, const weir_error *error) {
    if (!task->over) {
        task->over = true;
        task->error = *error;
        if (task->session->owner == task) { /* what waits is its own */
            session_drop_pending(task->session);
        }
    }
}

/* ---- input ----------------------------------------------------------------------------------- */

static weir_status put_piece(server_task *task, weir_error *error) {
    size_t left = task->text_size - task->text_at;
    size_t most = task->session->index == 0 && task->text_at == 0 ? FIRST_PIECE : PIECE;
    size_t size = left < most ? left : most;
    bool flush = size == left && task->inlet == NULL && (task->makes || task->flush);
    weir_status status =
        session_put_text(task->session, task->text + task->text_at, size, flush, error);
    task->text_at += size;
    return status;
}

static weir_status put_arrived(server_task *task, weir_error *error) {
    char piece[PIECE];
    bool ended, whole;
    size_t size = inlet_take(task->inlet, piece, sizeof piece, &ended, &whole);
    weir_status status =
        size > 0 ? session_put_text(task->session, piece, size, false, error) : WEIR_OK;
    if (ended) {
        task->input_over = true;
        if (status == WEIR_OK && !whole) {
            status = weir_error_set(error, WEIR_CANCELLED, "the body broke off");
        }
    }
    return status;
}

/* Text that is held back goes before what follows. */
static weir_status put_held(server_task *task, weir_error *error) {
    return task->session->held ? session_put_text(task->session, "", 0, true, error) : WEIR_OK;
}

static weir_status put_border(server_task *task, weir_error *error) {
    task->border = false;
    weir_status status = put_held(task, error);
    return status == WEIR_OK ? session_put_border(task->session, error) : status;
}

/* All at once: the messages of a request are bounded. */
static weir_status put_messages(server_task *task, weir_error *error) {
    if (task->session->held) {
        return put_held(task, error);
    }
    weir_status status = session_put_messages(task->session, &task->conversation, error);
    conversation_free(&task->conversation);
    return status;
}

static weir_status put_tokens(server_task *task, weir_error *error) {
    if (task->session->held) {
        return put_held(task, error);
    }
    weir_status status = session_put_tokens(task->session, task->tokens, task->token_count, error);
    task->token_count = 0;
    return status;
}

/* The next of the input, when nothing waits any more. */
static weir_status put_more(server_task *task, weir_error *error) {
    if (task->token_count > 0) {
        return put_tokens(task, error);
    }
    if (task->border) {
        return put_border(task, error);
    }
    if (task->conversation.count > 0) {
        return put_messages(task, error);
    }
    if (task->text_at < task->text_size) {
        return put_piece(task, error);
    }
    if (task->inlet != NULL) {
        return inlet_has_news(task->inlet) ? put_arrived(task, error) : WEIR_OK;
    }
    task->input_over = true;
    /* what is still held back counts before a token is drawn */
    if ((task->makes || task->flush) && (task->session->held || task->session->index == 0)) {
        return session_put_text(task->session, "", 0, true, error);
    }
    return WEIR_OK;
}

/* ---- the order of things --------------------------------------------------------------------- */

static bool take_text(void *context, int32_t token, const char *text, size_t size) {
    server_task *task = context;
    if (token >= 0 && session_has_listeners(task->session)) {
        session_tell(task->session, "token",
                     json_pack("{s:I,s:i,s:s%}", "index", (json_int_t)task->session->index, "token",
                               (int)token, "text", size > 0 ? text : "", size));
    }
    task->kind->text(task, token, text, size);
    return true;
}

static weir_status begin_drawing(struct server_worker *worker, server_task *task,
                                 weir_error *error) {
    weir_status status = task->kind->fed(worker, task, error);
    if (status == WEIR_OK) {
        status = weir_stream_set_sampling(task->session->stream, &task->sampling, error);
    }
    if (status == WEIR_OK) {
        status =
            weir_batch_generate(task->session->stream, &task->generate, take_text, task, error);
    }
    task->drawing = true;
    task->over = status == WEIR_OK && task->generate.tokens == 0;
    return status;
}

void task_advance(struct server_worker *worker, server_task *task) {
    weir_error error = {0};
    weir_status status = WEIR_OK;
    while (status == WEIR_OK && !task->over && !task->input_over &&
           session_waiting(task->session) == 0) {
        bool blocked = task->inlet != NULL && !task->border && task->text_at == task->text_size &&
                       !inlet_has_news(task->inlet);
        if (blocked) {
            return;
        }
        status = put_more(task, &error);
    }
    if (status == WEIR_OK && !task->over && task->input_over && !task->drawing &&
        session_waiting(task->session) == 0) {
        if (task->makes) {
            status = begin_drawing(worker, task, &error);
        } else {
            task->over = true;
        }
    }
    if (status != WEIR_OK) {
        task_fail(task, &error);
    }
}

bool task_wants(server_task *task, bool *draws) {
    *draws = task->drawing;
    if (task->over) {
        return false;
    }
    if (task->drawing) {
        return task->kind->ready == NULL || task->kind->ready(task);
    }
    return session_waiting(task->session) > 0 && task->session->waits_for == NULL;
}
