/*
 * serve_endless MINUTES STREAMS ALONE WEIR serve MODEL OPTION...: so many streams at once make text
 * through the server, each far past its window, for so many minutes. On stdout: the memory of the
 * server's process (RssAnon) over that time, the tokens of a second beside those of a prompt that
 * the same server read before and after, by the clock and by the server's processor time. Then a
 * fresh server makes the text of ALONE of the streams again, one at a time: the same tokens.
 * Exit 1 when an answer was an error, a text differs, or memory grew after the first fifth.
 */
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../tests/support/test_client.h"
#include "../tests/support/test_server.h"

#define TURN 500            /* tokens of one request */
#define PROMPT (64 << 10)   /* bytes of the text whose reading is the measure */
#define SAMPLES 30          /* of memory */
#define GROWTH_KB (2 << 10) /* of memory, after the first fifth: noise of the allocator */
#define JSON "application/json"

typedef struct stream {
    pthread_t thread;
    int number;
    char id[64];
    uint64_t print; /* of all its tokens, in order */
    int64_t made;
    client_answer answer;
} stream;

static int port;
static double end_at;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void give_up(const stream *s, const char *what) {
    fprintf(stderr, "serve_endless: stream %d: %s: status %d, %.300s\n", s->number, what,
            s->answer.status, s->answer.body != NULL ? s->answer.body : "no answer");
    exit(1);
}

/* ---- one stream ------------------------------------------------------------------------------ */

static json_t *ask(stream *s, const char *path, const char *type, const char *body, int status) {
    if (!client_ask(port, "POST", path, type, body, strlen(body), NULL, NULL, &s->answer) ||
        s->answer.status != status)
        give_up(s, path);
    json_t *object = json_loadb(s->answer.body, s->answer.size, JSON_ALLOW_NUL, NULL);
    if (object == NULL) give_up(s, "no JSON");
    return object;
}

static json_t *ask_stream(stream *s, const char *act, const char *type, const char *body) {
    char path[128];
    snprintf(path, sizeof path, "/v1/streams/%s%s", s->id, act);
    return ask(s, path, type, body, 200);
}

static void begin(stream *s) {
    char body[160];
    snprintf(body, sizeof body, "{\"seed\": %d, \"temperature\": 1}", s->number);
    json_t *state = ask(s, "/v1/streams", JSON, body, 201);
    snprintf(s->id, sizeof s->id, "%s", json_string_value(json_object_get(state, "id")));
    json_decref(state);
    snprintf(body, sizeof body, "{\"text\": \"Once upon a time there were %d mills.\"}", s->number);
    json_decref(ask_stream(s, "/append", JSON, body));
    s->print = 14695981039346656037u;
    s->made = 0;
}

static void make_turn(stream *s) {
    char body[100];
    size_t i;
    json_t *token;
    snprintf(body, sizeof body, "{\"max_tokens\": %d, \"ignore_eos\": true}", TURN);
    json_t *answer = ask_stream(s, "/generate", JSON, body);
    json_array_foreach(json_object_get(answer, "tokens"), i, token) {
        s->print = (s->print ^ (uint64_t)json_integer_value(token)) * 1099511628211u;
    }
    if (i != TURN) give_up(s, "too few tokens");
    s->made += TURN;
    json_decref(answer);
}

static void *make_much(void *context) {
    stream *s = context;
    while (now() < end_at) make_turn(s);
    return NULL;
}

static void end_stream(stream *s) {
    char path[128];
    snprintf(path, sizeof path, "/v1/streams/%s", s->id);
    client_ask(port, "DELETE", path, NULL, NULL, 0, NULL, NULL, &s->answer);
    client_free(&s->answer);
}

/* ---- what is measured ------------------------------------------------------------------------ */

static long rss_anon(pid_t pid) {
    char path[64], line[256];
    long kilobytes = -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "RssAnon: %ld", &kilobytes) == 1) break;
    if (file != NULL) fclose(file);
    return kilobytes;
}

/* Seconds of the processor that the server has had. */
static double cpu_seconds(pid_t pid) {
    char path[64];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL) return 0;
    if (fscanf(file, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
               &system) != 2)
        user = system = 0;
    fclose(file);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

typedef struct rate {
    double tokens, seconds, cpu;
} rate;

/* A stream that nobody else disturbs reads a long prompt. */
static rate read_prompt(pid_t pid) {
    static const char sentence[] = "The miller opened the gate and the river ran over the weir. ";
    static char text[PROMPT + sizeof sentence];
    stream s = {.number = -1};
    begin(&s);
    for (size_t used = 0; used < PROMPT; used += sizeof sentence - 1)
        memcpy(text + used, sentence, sizeof sentence);
    rate made = {.seconds = now(), .cpu = cpu_seconds(pid)};
    json_t *state = ask_stream(&s, "/append", "text/plain", text);
    made.seconds = now() - made.seconds;
    made.cpu = cpu_seconds(pid) - made.cpu;
    made.tokens = (double)json_integer_value(json_object_get(state, "appended"));
    json_decref(state);
    end_stream(&s);
    return made;
}

static void print_rate(const char *what, const rate *made) {
    printf("%-28s %9.0f tokens  %8.0f tokens/s  %8.0f for a second of the processor\n", what,
           made->tokens, made->tokens / made->seconds, made->tokens / made->cpu);
    fflush(stdout);
}

/* Until the end; returns how much memory grew after the first fifth, in kilobytes. */
static long watch_memory(pid_t pid, double begun) {
    long lowest = 0, last = 0;
    for (int i = 1; i <= SAMPLES; i++) {
        double at = begun + (end_at - begun) * i / SAMPLES;
        while (now() < at) usleep(50000);
        last = rss_anon(pid);
        printf("RssAnon %ld kB after %.0f s\n", last, now() - begun);
        fflush(stdout);
        if (i == SAMPLES / 5) lowest = last;
    }
    return last - lowest;
}

static rate run_together(stream *streams, int count, pid_t pid, double minutes, long *growth) {
    for (int i = 0; i < count; i++) {
        streams[i].number = i;
        begin(&streams[i]);
    }
    const double begun = now();
    rate made = {.seconds = begun, .cpu = cpu_seconds(pid)};
    end_at = begun + 60 * minutes;
    for (int i = 0; i < count; i++)
        pthread_create(&streams[i].thread, NULL, make_much, &streams[i]);
    *growth = watch_memory(pid, begun);
    for (int i = 0; i < count; i++) pthread_join(streams[i].thread, NULL);
    made.seconds = now() - made.seconds;
    made.cpu = cpu_seconds(pid) - made.cpu;
    for (int i = 0; i < count; i++) made.tokens += (double)streams[i].made;
    return made;
}

/* Streams spread over all of them. */
static int compare_alone(const stream *streams, int count, int alone) {
    int different = 0;
    for (int i = 0; i < alone; i++) {
        const stream *first = &streams[(int64_t)i * count / alone];
        stream again = {.number = first->number};
        begin(&again);
        while (again.made < first->made) make_turn(&again);
        end_stream(&again);
        bool same = again.print == first->print;
        different += !same;
        printf("stream %d alone: %lld tokens, %s\n", first->number, (long long)again.made,
               same ? "the same" : "DIFFERENT");
        fflush(stdout);
    }
    return different;
}

static bool start(test_server *server) {
    if (!server_begin(server) || !server_ready(server)) {
        fprintf(stderr, "serve_endless: the server does not start\n");
        return false;
    }
    port = server->port;
    return true;
}

/* The command, asked to listen anywhere and to say little. */
static char **command_of(char **argv, int count) {
    char **command = calloc((size_t)count + 4, sizeof *command);
    if (command == NULL) exit(1);
    for (int i = 0; i < count; i++) command[i] = argv[i];
    command[count] = "--listen";
    command[count + 1] = "127.0.0.1:0";
    command[count + 2] = "--quiet";
    return command;
}

int main(int argc, char **argv) {
    const double minutes = argc > 1 ? atof(argv[1]) : 0;
    const int count = argc > 2 ? atoi(argv[2]) : 0, alone = argc > 3 ? atoi(argv[3]) : 0;
    if (argc < 7 || minutes <= 0 || count < 1 || alone < 0 || alone > count) {
        fprintf(stderr, "usage: serve_endless MINUTES STREAMS ALONE WEIR serve MODEL OPTION...\n");
        return 2;
    }
    char **command = command_of(argv + 4, argc - 4);
    stream *streams = calloc((size_t)count, sizeof *streams);
    test_server server = {.command = command};
    long growth;
    if (streams == NULL || !start(&server)) return 1;
    const rate before = read_prompt(server.pid);
    print_rate("a prompt, before", &before);
    const rate made = run_together(streams, count, server.pid, minutes, &growth);
    const rate after = read_prompt(server.pid);
    print_rate("all streams together", &made);
    print_rate("a prompt, after", &after);
    printf("share of the prompt's rate: %.0f%% by the clock, %.0f%% by the processor\n",
           200 * made.tokens / made.seconds /
               (before.tokens / before.seconds + after.tokens / after.seconds),
           200 * made.tokens / made.cpu / (before.tokens / before.cpu + after.tokens / after.cpu));
    printf("memory grew by %ld kB after the first fifth\n", growth);
    for (int i = 0; i < count; i++) end_stream(&streams[i]);
    bool good = server_end(&server, SIGTERM) == 0 && growth <= GROWTH_KB;
    if (alone > 0) {
        good = start(&server) && compare_alone(streams, count, alone) == 0 && good;
        server_end(&server, SIGTERM);
    }
    free(streams);
    free(command);
    return !good;
}
