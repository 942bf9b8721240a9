/*
 * killed_server KILLS STREAMS SEED FOLDER WEIR serve MODEL OPTION...: a server with a store in
 * FOLDER is killed (SIGKILL) KILLS times, whenever, while so many clients at once append to their
 * streams, make text, fork, rewind, ask, delete and create. Whatever an answer acknowledged must be
 * there after each restart. When the last restart has been lived through, twins of all streams are
 * made by a server that has no store and that nobody kills: the same requests must have given the
 * same tokens, and streams that stand at the same place. A line of figures on stdout; exit 1 and a
 * sentence when something differs.
 *
 * A request whose answer was lost was carried out, or not, or in part. The state of the stream says
 * which, and the client asks for what is missing.
 */
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "test_client.h"
#include "test_server.h"

#define LIFE 40      /* requests of a stream before it is deleted */
#define MADE_MOST 24 /* tokens of a request */
#define TEXT_MOST 600
#define JSON "application/json"

typedef enum deed_kind {
    CREATE,
    APPEND,
    APPEND_HALF, /* a part of it is held back, and the next one goes on from there */
    APPEND_BODY, /* text that is fed as it arrives */
    MESSAGES,
    GENERATE,
    GENERATE_EVENTS,
    GENERATE_AFTER, /* a text */
    ASK,
    FORK, /* and go on with the fork */
    REWIND
} deed_kind;

/* What one request did: the twin must do the same. */
typedef struct deed {
    deed_kind kind;
    int64_t target;         /* of a rewind */
    int64_t index, evicted; /* where the stream stood then */
    int count;
    int token[MADE_MOST]; /* those of an answer that was lost: -1 */
} deed;

typedef struct place {
    bool exists;
    int64_t index, held, evicted, reachable;
} place;

typedef struct client {
    pthread_t thread;
    int number;
    uint64_t random;
    char id[64];
    place at; /* as last acknowledged */
    deed *deeds;
    int64_t done, room;
    int64_t lost, repeated, finished; /* answers; of them: not carried out, carried out in part */
    int generation;                   /* of the server that was asked last */
    bool lost_one;                    /* and which died of it */
    client_answer answer;
} client;

static const char *const prompts[] = {"\nand so the mill ", "\nwhat the river said: ", " once "};
static int64_t prompt_tokens[3];

static uint64_t seed;
static bool twins; /* nobody is killed, and deeds are compared */
static bool bad;

/* ---- the server, as its clients know it ------------------------------------------------------ */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int port, generation; /* port 0: it is dead */
static bool ending;

static void announce(int new_port, bool last) {
    pthread_mutex_lock(&lock);
    port = new_port;
    generation += new_port > 0;
    ending = ending || last;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* The port of a server younger than `after`. */
static int wait_for_server(int after, int *found) {
    pthread_mutex_lock(&lock);
    while (port == 0 || generation <= after) pthread_cond_wait(&changed, &lock);
    *found = generation;
    int at = port;
    pthread_mutex_unlock(&lock);
    return at;
}

static bool is_ending(void) {
    pthread_mutex_lock(&lock);
    bool is = ending;
    pthread_mutex_unlock(&lock);
    return is;
}

static void wrong(client *c, const char *format, ...) {
    va_list words;
    va_start(words, format);
    fprintf(stderr, "stream %d (%s), request %lld: ", c->number, c->id, (long long)c->done);
    vfprintf(stderr, format, words);
    fputc('\n', stderr);
    va_end(words);
    bad = true;
    exit(1);
}

/* ---- requests -------------------------------------------------------------------------------- */

/* The end of a connection does not say whether its server lives. */
static bool has_end(const client_answer *answer) {
    return strstr(answer->data, "text/event-stream") == NULL ||
           strstr(answer->body, "event: end\n") != NULL;
}

/* False: the answer was lost, and the server with it. */
static bool ask_with(client *c, const char *method, const char *path, const char *type,
                     const char *body) {
    char whole[200];
    snprintf(whole, sizeof whole, "/v1/streams%s", path);
    do {
        int at = wait_for_server(c->lost_one ? c->generation : 0, &c->generation);
        c->lost_one = !client_ask(at, method, whole, type, body, body != NULL ? strlen(body) : 0,
                                  NULL, NULL, &c->answer) ||
                      !has_end(&c->answer);
        if (c->answer.status == 503) usleep(2000); /* no room: nothing was done */
    } while (!c->lost_one && c->answer.status == 503);
    if (c->lost_one && twins) wrong(c, "%s %s got no answer", method, whole);
    c->lost += c->lost_one;
    return !c->lost_one;
}

static bool ask(client *c, const char *act, const char *body) {
    char path[160];
    snprintf(path, sizeof path, "/%s%s", c->id, act);
    return ask_with(c, body != NULL ? "POST" : "GET", path, JSON, body);
}

static void expect_status(client *c, int status) {
    if (c->answer.status != status)
        wrong(c, "answered %d, not %d: %.300s", c->answer.status, status, c->answer.body);
}

static json_t *answered(client *c) {
    json_t *object = json_loads(c->answer.body, JSON_ALLOW_NUL, NULL);
    if (object == NULL) wrong(c, "no JSON: %.300s", c->answer.body);
    return object;
}

static int64_t number_at(json_t *object, const char *name) {
    return json_integer_value(json_object_get(object, name));
}

static place place_in(json_t *state) {
    return (place){true, number_at(state, "index"), number_at(state, "held_bytes"),
                   number_at(state, "evicted"), number_at(state, "reachable")};
}

/* The state of the stream, however often that takes. What was acknowledged is there. */
static place look(client *c) {
    while (!ask(c, "", NULL)) {
    }
    if (c->answer.status == 404) return (place){.exists = false};
    expect_status(c, 200);
    json_t *state = answered(c);
    place at = place_in(state);
    json_decref(state);
    return at;
}

/* After an answer that was lost: where the stream stands, which must not be before what was
 * acknowledged. *nothing: the request was not carried out. */
static place look_after_loss(client *c, bool *nothing) {
    place at = look(c);
    if (!at.exists) wrong(c, "the stream is lost");
    if (at.index < c->at.index)
        wrong(c, "%lld tokens were acknowledged, and %lld are there", (long long)c->at.index,
              (long long)at.index);
    *nothing = at.index == c->at.index && at.held == c->at.held;
    c->repeated += *nothing;
    c->finished += !*nothing;
    return at;
}

static void take_place(client *c) {
    json_t *state = answered(c);
    c->at = place_in(state);
    json_decref(state);
}

static void remove_stream(client *c, const char *id) {
    char path[80];
    snprintf(path, sizeof path, "/%s", id);
    while (!ask_with(c, "DELETE", path, NULL, NULL)) {
    }
    if (c->answer.status != 404) expect_status(c, 200); /* 404: the first try was carried out */
}

/* ---- what is asked --------------------------------------------------------------------------- */

static uint64_t next(uint64_t *random) {
    uint64_t z = *random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static size_t below(client *c, size_t most) { return (size_t)(next(&c->random) % most); }

/* Words; `size` bytes or a few more. */
static void make_text(client *c, size_t size, char *out) {
    static const char *const words[] = {"river ", "the ",  "mill ",  "runs ", "on, ", "and ",
                                        "hums ",  "weir ", "stone ", "42 ",   "é ",   "rain.\\n"};
    size_t used = 0;
    while (used < size) {
        const char *word = words[below(c, sizeof words / sizeof words[0])];
        used += (size_t)sprintf(out + used, "%s", word);
    }
}

static void create(client *c) {
    char body[100], *to = c->id;
    snprintf(body, sizeof body, "{\"seed\": %d, \"temperature\": 1}", (int)below(c, 1000));
    strcpy(c->id, "");
    while (!ask_with(c, "POST", "", JSON, body)) {
    }
    expect_status(c, 201);
    json_t *state = answered(c);
    snprintf(to, sizeof c->id, "%s", json_string_value(json_object_get(state, "id")));
    c->at = place_in(state);
    json_decref(state);
}

/* A text of one piece is fed whole or not at all; its flush may be missing. */
static void append(client *c, bool flush) {
    char text[TEXT_MOST + 16], body[TEXT_MOST + 100];
    bool nothing = true;
    make_text(c, 60 + below(c, TEXT_MOST - 60), text);
    snprintf(body, sizeof body, "{\"text\": \"%s\", \"flush\": %s}", text,
             flush ? "true" : "false");
    while (!ask(c, "/append", body)) {
        place at = look_after_loss(c, &nothing);
        if (!nothing && !flush) {
            c->at = at;
            return;
        }
        if (!nothing) strcpy(body, "{\"text\": \"\", \"flush\": true}");
    }
    expect_status(c, 200);
    take_place(c);
}

/* How much of a body had arrived cannot be seen from outside: a fork that was made before has none
 * of it, and goes on instead. */
static char *fork_of(client *c) {
    while (!ask(c, "/fork", "{}")) {
    }
    expect_status(c, 201);
    json_t *state = answered(c);
    char *id = strdup(json_string_value(json_object_get(state, "id")));
    json_decref(state);
    return id;
}

static void append_body(client *c) {
    char text[TEXT_MOST + 16], path[160];
    make_text(c, 60 + below(c, TEXT_MOST - 60), text);
    for (;;) {
        char *spare = fork_of(c);
        snprintf(path, sizeof path, "/%s/append", c->id);
        bool lost = !ask_with(c, "POST", path, "text/plain", text);
        if (lost) {
            c->repeated++;
            remove_stream(c, c->id);
            snprintf(c->id, sizeof c->id, "%s", spare);
            free(spare);
            continue;
        }
        expect_status(c, 200);
        take_place(c);
        remove_stream(c, spare);
        free(spare);
        break;
    }
    bool nothing;
    while (!ask(c, "/append", "{\"text\": \"\", \"flush\": true}")) look_after_loss(c, &nothing);
    expect_status(c, 200);
    take_place(c);
}

static void append_messages(client *c) {
    char text[200], body[400];
    bool nothing = true;
    make_text(c, 20 + below(c, 150), text);
    snprintf(body, sizeof body, "{\"messages\": [{\"role\": \"user\", \"content\": \"%s\"}]}",
             text);
    while (!ask(c, "/append", body)) {
        place at = look_after_loss(c, &nothing);
        if (!nothing) {
            c->at = at;
            return;
        }
    }
    expect_status(c, 200);
    take_place(c);
}

/* ---- text that is made ----------------------------------------------------------------------- */

static void put_token(client *c, deed *d, int at, int token) {
    if (at >= d->count) wrong(c, "more than %d tokens", d->count);
    if (d->token[at] >= 0 && d->token[at] != token)
        wrong(c, "deed %d: token %d of %d was %d, and after the restart it is %d", d->kind, at,
              d->count, d->token[at], token);
    d->token[at] = token;
}

/* The events that have come, the last one perhaps in part. Returns how many tokens. */
static int take_events(client *c, deed *d, int from) {
    int count = 0;
    const char *event = c->answer.body;
    while (event != NULL && (event = strstr(event, "event: token\ndata: ")) != NULL) {
        const char *end = strstr(event, "\n\n");
        json_t *data =
            end != NULL ? json_loadb(event + 19, (size_t)(end - event - 19), JSON_ALLOW_NUL, NULL)
                        : NULL;
        json_t *token = json_object_get(data, "token");
        if (json_is_integer(token) && json_integer_value(token) >= 0)
            put_token(c, d, from + count++, (int)json_integer_value(token));
        json_decref(data);
        event = end;
    }
    return count;
}

static void take_tokens(client *c, deed *d, int from) {
    json_t *object = answered(c), *value;
    size_t i;
    json_array_foreach(json_object_get(object, "tokens"), i, value)
        put_token(c, d, from + (int)i, (int)json_integer_value(value));
    if ((int)i + from != d->count) wrong(c, "%d tokens of %d", (int)i + from, d->count);
    json_decref(object);
}

/* `prompt` -1: none. What was drawn before the server died is not drawn again. */
static void generate(client *c, deed *d, bool events, int prompt) {
    char body[300], text[100] = "";
    int made = 0;
    d->count = 1 + (int)below(c, MADE_MOST);
    for (int i = 0; i < d->count; i++) d->token[i] = -1;
    const int64_t fed = prompt >= 0 ? prompt_tokens[prompt] : 0;
    if (prompt >= 0)
        snprintf(text, sizeof text, "\"text\": \"%s%s\", ", prompts[prompt][0] == '\n' ? "\\n" : "",
                 prompts[prompt] + (prompts[prompt][0] == '\n'));
    while (made < d->count) {
        bool nothing;
        snprintf(body, sizeof body, "{%s\"max_tokens\": %d, \"ignore_eos\": true, \"stream\": %s}",
                 text, d->count - made, events ? "true" : "false");
        bool whole = ask(c, "/generate", body);
        if (c->answer.status != 0) expect_status(c, 200);
        if (events && c->answer.body != NULL) take_events(c, d, made);
        if (whole && !events) take_tokens(c, d, made);
        if (whole) break;
        place at = look_after_loss(c, &nothing);
        if (nothing) continue;
        text[0] = '\0';
        made = at.held > 0 ? 0 : (int)(at.index - c->at.index - fed);
        if (made < 0 || made > d->count) wrong(c, "%d tokens were drawn of %d", made, d->count);
    }
    c->at = look(c);
}

static void ask_aside(client *c, deed *d) {
    char body[200];
    d->count = 1 + (int)below(c, MADE_MOST);
    for (int i = 0; i < d->count; i++) d->token[i] = -1;
    snprintf(body, sizeof body, "{\"text\": \"%s\", \"max_tokens\": %d, \"ignore_eos\": true}",
             "why? ", d->count);
    while (!ask(c, "/ask", body)) {
    }
    expect_status(c, 200);
    take_tokens(c, d, 0);
}

/* ---- branches -------------------------------------------------------------------------------- */

static void go_on_with_fork(client *c) {
    char old[64];
    char *id = fork_of(c);
    strcpy(old, c->id);
    snprintf(c->id, sizeof c->id, "%s", id);
    free(id);
    remove_stream(c, old);
    c->at = look(c);
}

static void rewind_some(client *c, deed *d) {
    char body[100];
    size_t back = 1 + below(c, 12);
    if (!twins) {
        int64_t most = c->at.index - c->at.reachable;
        d->target = c->at.index - ((int64_t)back < most ? (int64_t)back : most);
    }
    snprintf(body, sizeof body, "{\"index\": %lld}", (long long)d->target);
    while (!ask(c, "/rewind", body)) {
        c->at.index = d->target; /* not before that, at least */
        place at = look(c);
        if (!at.exists || at.index < d->target) wrong(c, "acknowledged tokens are lost");
    }
    expect_status(c, 200);
    take_place(c);
}

static deed_kind choose(client *c, int64_t k, bool held) {
    static const deed_kind often[] = {
        APPEND,          APPEND,   APPEND_HALF, APPEND_BODY,     MESSAGES,       GENERATE, GENERATE,
        GENERATE_EVENTS, GENERATE, ASK,         GENERATE_EVENTS, GENERATE_AFTER, FORK,     REWIND};
    deed_kind kind = often[below(c, sizeof often / sizeof often[0])];
    return k == 0 ? CREATE : k == 1 || held ? APPEND : kind;
}

static void act(client *c, deed *d) {
    switch (d->kind) {
    case CREATE:
        if (c->id[0] != '\0') remove_stream(c, c->id);
        create(c);
        break;
    case APPEND:
        append(c, true);
        break;
    case APPEND_HALF:
        append(c, false);
        break;
    case APPEND_BODY:
        append_body(c);
        break;
    case MESSAGES:
        append_messages(c);
        break;
    case GENERATE:
        generate(c, d, false, -1);
        break;
    case GENERATE_EVENTS:
        generate(c, d, true, -1);
        break;
    case GENERATE_AFTER:
        generate(c, d, c->done % 2 == 0, (int)below(c, 3));
        break;
    case ASK:
        ask_aside(c, d);
        break;
    case FORK:
        go_on_with_fork(c);
        break;
    case REWIND:
        rewind_some(c, d);
        break;
    }
    d->index = c->at.index;
    d->evicted = c->at.evicted;
}

/* ---- a life, and that of its twin ------------------------------------------------------------ */

static void compare(client *c, const deed *before, const deed *now) {
    if (before->index != now->index || before->evicted != now->evicted)
        wrong(c, "deed %d: stood at %lld (%lld evicted), its twin at %lld (%lld)", now->kind,
              (long long)before->index, (long long)before->evicted, (long long)now->index,
              (long long)now->evicted);
    for (int i = 0; i < now->count; i++)
        if (before->token[i] >= 0 && before->token[i] != now->token[i])
            wrong(c, "deed %d: token %d of %d was %d, its twin's %d", now->kind, i, now->count,
                  before->token[i], now->token[i]);
}

static void *live(void *context) {
    client *c = context;
    bool held = false;
    int64_t last = c->done; /* of the twin */
    c->random = seed + (uint64_t)c->number * 1000003u;
    for (c->done = 0; twins ? c->done < last : !is_ending(); c->done++) {
        deed d = {.kind = choose(c, c->done % LIFE, held)};
        if (!twins && c->done == c->room) {
            c->room = 2 * c->room + 256;
            c->deeds = realloc(c->deeds, (size_t)c->room * sizeof *c->deeds);
        }
        if (twins) d.target = c->deeds[c->done].target;
        act(c, &d);
        held = d.kind == APPEND_HALF;
        if (twins)
            compare(c, &c->deeds[c->done], &d);
        else
            c->deeds[c->done] = d;
    }
    client_free(&c->answer);
    return NULL;
}

static void start_all(client *clients, int count) {
    for (int i = 0; i < count; i++) {
        clients[i].number = i;
        clients[i].id[0] = '\0';
        clients[i].generation = 0;
        pthread_create(&clients[i].thread, NULL, live, &clients[i]);
    }
}

static void join_all(client *clients, int count) {
    for (int i = 0; i < count; i++) pthread_join(clients[i].thread, NULL);
}

/* How many tokens each prompt has. */
static void count_prompts(void) {
    client c = {.random = 1};
    create(&c);
    append(&c, true);
    for (int i = 0; i < 3; i++) {
        const int64_t before = c.at.index;
        deed d = {.kind = GENERATE_AFTER};
        generate(&c, &d, false, i);
        prompt_tokens[i] = c.at.index - before - d.count;
    }
    remove_stream(&c, c.id);
    client_free(&c.answer);
}

static bool begin(test_server *server) {
    if (server_begin(server) && server_ready(server)) return true;
    fprintf(stderr, "killed_server: the server does not start\n");
    return false;
}

/* Mostly under load; now and then while it starts. */
static bool kill_often(test_server *server, int kills, int *starting) {
    uint64_t random = seed;
    for (int i = 0; i < kills; i++) {
        uint64_t draw = next(&random);
        bool early = draw % 10 == 0;
        if (early) {
            usleep((useconds_t)(next(&random) % 20000));
            announce(0, false);
            server_end(server, SIGKILL);
            if (!server_begin(server)) return false;
            usleep((useconds_t)(next(&random) % 15000));
            ++*starting;
        } else {
            usleep((useconds_t)(10000 + next(&random) % 1000000));
            announce(0, false);
        }
        server_end(server, SIGKILL);
        if (!begin(server)) return false;
        announce(server->port, false);
    }
    usleep(500000);
    announce(server->port, true);
    return true;
}

static void report(const client *clients, int count, int kills, int starting, double seconds) {
    int64_t deeds = 0, tokens = 0, lost = 0, repeated = 0, finished = 0;
    for (int i = 0; i < count; i++) {
        deeds += clients[i].done;
        lost += clients[i].lost;
        repeated += clients[i].repeated;
        finished += clients[i].finished;
        for (int64_t k = 0; k < clients[i].done; k++) tokens += clients[i].deeds[k].count;
    }
    printf(
        "%d kills (and %d more while it started) in %.0f s under %d streams: %lld requests, %lld "
        "tokens made; %lld answers lost, of them %lld not carried out and %lld completed; all "
        "twins alike\n",
        kills, starting, seconds, count, (long long)deeds, (long long)tokens, (long long)lost,
        (long long)repeated, (long long)finished);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* The command with or without its store. */
static void make_command(char **argv, int count, char *folder, char **out) {
    int used = 0;
    for (int i = 0; i < count; i++) out[used++] = argv[i];
    if (folder != NULL) {
        out[used++] = "--store";
        out[used++] = folder;
    }
    out[used] = NULL;
}

int main(int argc, char **argv) {
    int kills = argc > 1 ? atoi(argv[1]) : 0, count = argc > 2 ? atoi(argv[2]) : 0, starting = 0;
    if (argc < 8 || kills < 1 || count < 1) {
        fprintf(stderr,
                "usage: killed_server KILLS STREAMS SEED FOLDER WEIR serve MODEL OPTION...\n");
        return 2;
    }
    seed = strtoull(argv[3], NULL, 10);
    char **command = calloc((size_t)argc, sizeof *command);
    client *clients = calloc((size_t)count, sizeof *clients);
    char log[300];
    snprintf(log, sizeof log, "%s.log", argv[4]);
    test_server server = {.command = command, .log = log};
    double begun = now();

    make_command(argv + 5, argc - 5, argv[4], command);
    if (!begin(&server)) return 1;
    announce(server.port, false);
    count_prompts();
    start_all(clients, count);
    bool good = kill_often(&server, kills, &starting);
    join_all(clients, count);
    double seconds = now() - begun;
    if (!good || server_end(&server, SIGTERM) != 0) {
        fprintf(stderr, "killed_server: the server did not end in order\n");
        return 1;
    }

    twins = true;
    make_command(argv + 5, argc - 5, NULL, command);
    if (!begin(&server)) return 1;
    announce(server.port, false);
    start_all(clients, count);
    join_all(clients, count);
    report(clients, count, kills, starting, seconds);
    server_end(&server, SIGTERM);
    for (int i = 0; i < count; i++) free(clients[i].deeds);
    free(clients);
    free(command);
    return bad;
}
