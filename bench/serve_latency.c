/*
 * serve_latency PORT STREAMS SECONDS BYTES LABEL: so many clients of a server that speaks OpenAI's
 * API draw text as events, for so many seconds; then one more brings a prompt of BYTES bytes, and
 * the others go on beside it, and as long again afterwards. One line of JSON on stdout: the time
 * between two tokens of a client without the prompt and beside it, tokens of a second, and what the
 * prompt took. LABEL stands before every prompt, so that no server has seen it before.
 */
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../tests/support/test_client.h"

#define TEXT_TOKENS 16000 /* more than is waited for */

typedef struct reader {
    pthread_t thread;
    int number;
    size_t seen; /* bytes of the answer that were looked at */
    double *at;  /* [count] when each token came */
    size_t count, room;
    client_answer answer;
} reader;

static int port;
static const char *label;
static volatile bool over;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of over, and of every count */

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* ---- those who draw -------------------------------------------------------------------------- */

static void note_token(reader *r, double time) {
    if (r->count == r->room) {
        r->room = 2 * r->room + 1024;
        r->at = realloc(r->at, r->room * sizeof *r->at);
        if (r->at == NULL) exit(1);
    }
    r->at[r->count++] = time;
}

static bool look_at_events(void *context, const client_answer *answer) {
    reader *r = context;
    const char *event = answer->body + r->seen, *end;
    double time = now();
    pthread_mutex_lock(&lock);
    while ((event = strstr(event, "data: {")) != NULL && (end = strstr(event, "\n\n")) != NULL) {
        note_token(r, time);
        event = end;
        r->seen = (size_t)(end - answer->body);
    }
    bool go_on = !over;
    pthread_mutex_unlock(&lock);
    return go_on;
}

static void *draw(void *context) {
    reader *r = context;
    char body[400];
    snprintf(body, sizeof body,
             "{\"prompt\": \"%s %d: once upon a time\", \"max_tokens\": %d, \"stream\": true, "
             "\"temperature\": 1, \"seed\": %d, \"ignore_eos\": true}",
             label, r->number, TEXT_TOKENS, r->number);
    client_ask(port, "POST", "/v1/completions", "application/json", body, strlen(body),
               look_at_events, r, &r->answer);
    pthread_mutex_lock(&lock);
    if (!over) {
        fprintf(stderr, "serve_latency: a text ended early: status %d, %.300s\n", r->answer.status,
                r->answer.body != NULL ? r->answer.body : "");
        exit(1);
    }
    pthread_mutex_unlock(&lock);
    client_free(&r->answer);
    return NULL;
}

/* ---- the one who brings a prompt ------------------------------------------------------------- */

/* Tokens of the prompt. */
static double bring_prompt(size_t bytes) {
    static const char sentence[] = "The miller opened the gate and the river ran over the weir. ";
    char *body = malloc(bytes + 1000);
    client_answer answer = {0};
    if (body == NULL) exit(1);
    size_t used = (size_t)sprintf(body, "{\"prompt\": \"%s ", label);
    for (size_t end = used + bytes; used < end; used += sizeof sentence - 1)
        memcpy(body + used, sentence, sizeof sentence);
    strcpy(body + used, "\", \"max_tokens\": 1}");
    if (!client_ask(port, "POST", "/v1/completions", "application/json", body, strlen(body), NULL,
                    NULL, &answer) ||
        answer.status != 200) {
        fprintf(stderr, "serve_latency: the prompt: status %d, %.300s\n", answer.status,
                answer.body != NULL ? answer.body : "no answer");
        exit(1);
    }
    json_t *object = json_loadb(answer.body, answer.size, JSON_ALLOW_NUL, NULL);
    double tokens =
        json_number_value(json_object_get(json_object_get(object, "usage"), "prompt_tokens"));
    json_decref(object);
    client_free(&answer);
    free(body);
    return tokens;
}

/* ---- figures --------------------------------------------------------------------------------- */

typedef struct gaps {
    double *gap;
    size_t count, tokens;
    double seconds;
} gaps;

static int by_size(const void *a, const void *b) {
    double difference = *(const double *)a - *(const double *)b;
    return difference < 0 ? -1 : difference > 0;
}

/* The times between tokens that touch a span; tokens that came inside it. */
static void collect(const reader *readers, int count, double from, double to, gaps *out) {
    out->seconds += to - from;
    for (int i = 0; i < count; i++) {
        const reader *r = &readers[i];
        for (size_t k = 1; k < r->count; k++) {
            out->tokens += r->at[k] > from && r->at[k] <= to;
            if (r->at[k] > from && r->at[k - 1] < to) {
                out->gap = realloc(out->gap, (out->count + 1) * sizeof *out->gap);
                if (out->gap == NULL) exit(1);
                out->gap[out->count++] = r->at[k] - r->at[k - 1];
            }
        }
    }
}

static void print_gaps(const char *name, gaps *g) {
    qsort(g->gap, g->count, sizeof *g->gap, by_size);
    printf("\"%s_p50\": %.2f, \"%s_p99\": %.2f, \"%s_max\": %.2f, \"%s_rate\": %.1f, ", name,
           1e3 * g->gap[g->count / 2], name, 1e3 * g->gap[g->count * 99 / 100], name,
           1e3 * g->gap[g->count - 1], name, (double)g->tokens / g->seconds);
    free(g->gap);
}

static bool all_draw(const reader *readers, int count) {
    bool all = true;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < count; i++) all = all && readers[i].count > 2;
    pthread_mutex_unlock(&lock);
    return all;
}

static void rest(double seconds) { usleep((useconds_t)(seconds * 1e6)); }

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: serve_latency PORT STREAMS SECONDS BYTES LABEL\n");
        return 2;
    }
    port = atoi(argv[1]);
    const int count = atoi(argv[2]);
    const double seconds = atof(argv[3]);
    label = argv[5];
    reader *readers = calloc((size_t)count, sizeof *readers);
    gaps without = {0}, beside = {0};
    if (readers == NULL) return 1;
    for (int i = 0; i < count; i++) {
        readers[i].number = i;
        pthread_create(&readers[i].thread, NULL, draw, &readers[i]);
    }
    while (!all_draw(readers, count)) rest(0.01);
    const double begun = now();
    rest(seconds);
    const double came = now();
    const double tokens = bring_prompt((size_t)atoll(argv[4]));
    const double went = now();
    rest(seconds);
    const double ended = now();
    pthread_mutex_lock(&lock);
    over = true;
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < count; i++) pthread_join(readers[i].thread, NULL);
    collect(readers, count, begun, came, &without);
    collect(readers, count, went, ended, &without);
    collect(readers, count, came, went, &beside);
    if (without.count == 0 || beside.count == 0) return 1;
    printf("{");
    print_gaps("without", &without);
    print_gaps("beside", &beside);
    printf("\"prompt_tokens\": %.0f, \"prompt_seconds\": %.3f}\n", tokens, went - came);
    for (int i = 0; i < count; i++) free(readers[i].at);
    free(readers);
    return 0;
}
