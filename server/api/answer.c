#include "api/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "api/logprob.h"
#include "http/refusal.h"
#include "http/reply_json.h"
#include "http/sse.h"
#include "parts/clock.h"
#include "streams/worker.h"

#define MOST_WAITING (64u << 10) /* bytes that a slow reader may have before the work pauses */

/* ---- life ------------------------------------------------------------------------------------ */

server_answer *answer_create(const answer_shape *shape, const char *prefix, server_reply *to,
                             generate_request *request) {
    unsigned char random[12] = {0};
    server_answer *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return NULL;
    }
    made->shape = shape;
    made->reply = reply_share(to);
    made->request = *request;
    *request = (generate_request){.n = 0};
    made->choices = (int)made->request.n;
    made->logprobs = -1;
    made->created = (int64_t)time(NULL);
    made->received = clock_now();
    ssize_t got = getrandom(random, sizeof random, 0);
    (void)got; /* 12 bytes are never cut short */
    size_t used = (size_t)snprintf(made->id, sizeof made->id, "%s", prefix);
    for (size_t i = 0; i < sizeof random && used < sizeof made->id - 3; i++) {
        used += (size_t)snprintf(made->id + used, sizeof made->id - used, "%02x", random[i]);
    }
    return made;
}

void answer_free(server_answer *answer) {
    if (answer == NULL) {
        return;
    }
    for (int i = 0; i < REQUEST_CHOICES; i++) {
        text_free(&answer->choice[i].text);
        text_free(&answer->choice[i].thoughts);
        json_decref(answer->choice[i].tokens);
        json_decref(answer->choice[i].logprobs);
    }
    generate_request_free(&answer->request);
    reply_release(answer->reply);
    free(answer);
}

const char *answer_reason(const answer_choice *choice) {
    return choice->generated.reason == WEIR_STOP_LENGTH ? "length" : "stop";
}

int64_t answer_tokens(const server_answer *answer) {
    int64_t sum = 0;
    for (int i = 0; i < answer->choices; i++) {
        sum += answer->choice[i].generated.tokens;
    }
    return sum;
}

json_t *answer_usage(const server_answer *answer) {
    json_int_t prompt = answer->prompt_tokens, made = answer_tokens(answer);
    return json_pack("{s:I,s:I,s:I,s:{s:I}}", "prompt_tokens", prompt, "completion_tokens", made,
                     "total_tokens", prompt + made, "prompt_tokens_details", "cached_tokens",
                     (json_int_t)answer->cached_tokens);
}

/* ---- the prompt has been fed ----------------------------------------------------------------- */

static void set_up(server_task *task, server_answer *answer, int choice) {
    task->choice = choice;
    task->makes = true;
    task->logprobs = answer->logprobs;
    task->sampling = answer->request.sampling;
    task->sampling.seed += (uint64_t)choice;
    task->generate = weir_generate_default();
    task->generate.tokens = answer->request.max_tokens;
    task->generate.stop_at_end = !answer->request.ignore_eos;
    task->generate.stop = (const char *const *)answer->request.stops;
    task->generate.stop_count = answer->request.stop_count;
}

static weir_status give_row(server_task *task, weir_error *error) {
    if (task->logprobs < 0) {
        return WEIR_OK;
    }
    int64_t vocabulary = weir_model_get_info(task->session->model)->vocabulary;
    task->row = calloc((size_t)vocabulary, sizeof *task->row);
    return task->row != NULL ? WEIR_OK
                             : weir_error_set(error, WEIR_MEMORY, "no memory for logprobs");
}

static const task_kind answer_kind;

/* Choices 1, 2, ... begin where the prompt ends, each in a fork with a seed of its own. */
static weir_status add_choice(struct server_worker *worker, server_task *first, int choice,
                              weir_error *error) {
    server_answer *answer = first->context;
    server_session *fork;
    weir_status status =
        registry_fork(worker_registry(worker), first->session, false, &fork, error);
    if (status != WEIR_OK) {
        return status;
    }
    server_task *made = task_create(&answer_kind, answer, fork, answer->reply);
    if (made == NULL) {
        worker_let_go(worker, fork);
        return weir_error_set(error, WEIR_MEMORY, "no memory for another choice");
    }
    set_up(made, answer, choice);
    made->input_over = true;
    made->temporary = true;
    answer->open++;
    worker_add(worker, made);
    return WEIR_OK;
}

static void begin_events(server_answer *answer) {
    char forgotten[24];
    snprintf(forgotten, sizeof forgotten, "%lld", (long long)answer->state.evicted);
    reply_header(answer->reply, "Weir-Forgotten-Tokens", forgotten);
    sse_begin(answer->reply);
    for (int i = 0; i < answer->choices && answer->shape->begin != NULL; i++) {
        json_t *first = answer->shape->begin(answer, i);
        if (first != NULL) {
            sse_event(answer->reply, answer->shape->piece_event, first);
        }
    }
}

static weir_status fed(struct server_worker *worker, server_task *task, weir_error *error) {
    server_answer *answer = task->context;
    answer_choice *choice = &answer->choice[task->choice];
    choice->tokens = json_array();
    choice->logprobs = task->logprobs >= 0 ? json_array() : NULL;
    choice->begins = task->session->index;
    weir_status status = give_row(task, error);
    if (task->choice > 0 || status != WEIR_OK) {
        return status;
    }
    answer->prompt_tokens = task->session->index - task->first_index;
    answer->cached_tokens = task->first_index == 0 ? task->session->shared : 0;
    weir_stream_get_state(task->session->stream, &answer->state);
    for (int i = 1; i < answer->choices && status == WEIR_OK; i++) {
        status = add_choice(worker, task, i, error);
    }
    if (status == WEIR_OK && answer->request.stream) {
        begin_events(answer);
    }
    return status;
}

/* ---- its text -------------------------------------------------------------------------------- */

static void count_first(server_answer *answer) {
    if (!answer->first_told) {
        answer->first_told = true;
        metrics_observe(&answer->metrics->first_token_seconds, clock_now() - answer->received);
    }
}

static void take_text(server_task *task, int32_t token, const char *text, size_t size) {
    server_answer *answer = task->context;
    answer_choice *choice = &answer->choice[task->choice];
    json_t *logprob = NULL;
    count_first(answer);
    if (answer->chats && token >= 0) {
        choice->part = weir_chat_part(task->session->model, &choice->reader, token);
    }
    bool hidden = choice->part == WEIR_ANSWER_MARK;
    if (answer->failed) { /* another choice was: nobody reads this one */
        task_fail(task, &(weir_error){.status = WEIR_CANCELLED});
        return;
    }
    if (token >= 0 && choice->logprobs != NULL) {
        logprob = logprob_json(task->session->model, task->row, token, task->logprobs);
    }
    if (answer->request.stream) {
        json_t *piece =
            (size > 0 && !hidden) || logprob != NULL || answer->shape->piece_event != NULL
                ? answer->shape->piece(answer, task->choice, token, text, size, logprob)
                : NULL;
        if (piece != NULL) {
            sse_event(answer->reply, answer->shape->piece_event, piece);
        }
    } else {
        if (!hidden) {
            bool thought = choice->part == WEIR_ANSWER_THOUGHT;
            text_add(thought ? &choice->thoughts : &choice->text, text, size);
        }
        if (token >= 0) {
            json_array_append_new(choice->tokens, json_integer(token));
        }
        if (logprob != NULL) {
            json_array_append(choice->logprobs, logprob);
        }
    }
    json_decref(logprob);
}

static bool keeps_up(server_task *task) {
    server_answer *answer = task->context;
    return reply_waiting(answer->reply) < MOST_WAITING;
}

/* ---- its end --------------------------------------------------------------------------------- */

static void send_whole(server_answer *answer) {
    char forgotten[24];
    for (int i = 0; i < answer->choices; i++) {
        if (answer->choice[i].text.failed) {
            refuse(answer->reply, 503, "MEMORY", "no memory for the text");
            return;
        }
    }
    snprintf(forgotten, sizeof forgotten, "%lld", (long long)answer->state.evicted);
    reply_header(answer->reply, "Weir-Forgotten-Tokens", forgotten);
    reply_json(answer->reply, 200, answer->shape->whole(answer));
}

static void send_end(server_answer *answer) {
    if (!answer->request.stream) {
        send_whole(answer);
        return;
    }
    json_t *usage = answer->shape->usage != NULL ? answer->shape->usage(answer) : NULL;
    if (usage != NULL) {
        sse_event(answer->reply, NULL, usage);
    }
    if (answer->shape->says_done) {
        sse_word(answer->reply, "[DONE]");
    }
    reply_end(answer->reply);
}

static void send_failure(server_answer *answer, const weir_error *error) {
    if (reply_has_begun(answer->reply)) {
        sse_event(answer->reply, answer->shape->end_event != NULL ? "error" : NULL,
                  refusal_json(refusal_status(error->status), weir_status_name(error->status),
                               error->message));
        reply_end(answer->reply);
    } else {
        refuse_error(answer->reply, error);
    }
}

static void finish(struct server_worker *worker, server_task *task) {
    server_answer *answer = task->context;
    answer_choice *choice = &answer->choice[task->choice];
    (void)worker;
    choice->over = true;
    choice->generated = task->generated;
    weir_stream_get_state(task->session->stream, &answer->state);
    if (task->error.status != WEIR_OK && !answer->failed) {
        answer->failed = true;
        send_failure(answer, &task->error);
    } else if (!answer->failed && answer->request.stream) {
        json_t *end = answer->shape->end(answer, task->choice);
        sse_event(answer->reply, answer->shape->end_event, end);
    }
    if (--answer->open == 0) {
        if (!answer->failed) {
            send_end(answer);
        }
        answer_free(answer);
    }
}

static const task_kind answer_kind = {
    .name = "answer", .fed = fed, .text = take_text, .ready = keeps_up, .finish = finish};

server_task *answer_task(struct server_worker *worker, server_answer *answer,
                         server_session *session) {
    server_task *made = task_create(&answer_kind, answer, session, answer->reply);
    if (made == NULL) {
        return NULL;
    }
    answer->metrics = worker_metrics(worker);
    memcpy(answer->stream_id, session->id, sizeof answer->stream_id);
    set_up(made, answer, 0);
    answer->open = 1;
    return made;
}
