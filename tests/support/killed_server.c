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
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "killed_client.h"
#include "test_server.h"

#define LIFE 40 /* requests of a stream before it is deleted */

static uint64_t seed;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool ending; /* the last restart was lived through */

static void set_ending(void) {
    pthread_mutex_lock(&lock);
    ending = true;
    pthread_mutex_unlock(&lock);
}

static bool is_ending(void) {
    pthread_mutex_lock(&lock);
    bool is = ending;
    pthread_mutex_unlock(&lock);
    return is;
}

/* ---- a life, and that of its twin ------------------------------------------------------------ */

/* The requests of this stream that led here. */
static void tell_history(const client *c) {
    for (int64_t k = c->done - c->done % LIFE; k <= c->done; k++) {
        const deed *d = &c->deeds[k];
        fprintf(stderr, "request %lld: deed %d, %lld answers lost, then at %lld\n", (long long)k,
                (int)d->kind, (long long)d->lost, (long long)d->index);
    }
}

static void compare(client *c, const deed *before, const deed *now) {
    /* a restored stream may hold back more of half a text; the next request feeds all of it */
    const bool all_fed = now->kind != APPEND_HALF;
    if (all_fed && (before->index != now->index || before->evicted != now->evicted)) {
        tell_history(c);
        client_wrong(c, "deed %d: stood at %lld (%lld evicted), its twin at %lld (%lld)", now->kind,
                     (long long)before->index, (long long)before->evicted, (long long)now->index,
                     (long long)now->evicted);
    }
    for (int i = 0; i < now->count; i++)
        if (before->token[i] >= 0 && before->token[i] != now->token[i])
            client_wrong(c, "deed %d: token %d of %d was %d, its twin's %d", now->kind, i,
                         now->count, before->token[i], now->token[i]);
}

static void *live(void *context) {
    client *c = context;
    bool held = false;
    int64_t last = c->done; /* of the twin */
    c->random = seed + (uint64_t)c->number * 1000003u;
    for (c->done = 0; client_twins ? c->done < last : !is_ending(); c->done++) {
        deed d = {.kind = client_choose(c, c->done % LIFE, held)};
        if (!client_twins && c->done == c->room) {
            c->room = 2 * c->room + 256;
            c->deeds = realloc(c->deeds, (size_t)c->room * sizeof *c->deeds);
        }
        if (client_twins) d.target = c->deeds[c->done].target;
        d.lost = c->lost;
        client_act(c, &d);
        d.lost = c->lost - d.lost;
        held = d.kind == APPEND_HALF;
        if (client_twins)
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

static bool begin(test_server *server) {
    if (server_begin(server) && server_ready(server)) return true;
    fprintf(stderr, "killed_server: the server does not start\n");
    return false;
}

/* Mostly under load; now and then while it starts. */
static bool kill_often(test_server *server, int kills, int *starting) {
    uint64_t random = seed;
    for (int i = 0; i < kills; i++) {
        uint64_t draw = client_next(&random);
        bool early = draw % 10 == 0;
        if (early) {
            usleep((useconds_t)(client_next(&random) % 20000));
            client_announce(0);
            server_end(server, SIGKILL);
            if (!server_begin(server)) return false;
            usleep((useconds_t)(client_next(&random) % 15000));
            ++*starting;
        } else {
            usleep((useconds_t)(10000 + client_next(&random) % 1000000));
            client_announce(0);
        }
        server_end(server, SIGKILL);
        if (!begin(server)) return false;
        client_announce(server->port);
    }
    usleep(500000);
    set_ending();
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
    client_announce(server.port);
    client_count_prompts();
    start_all(clients, count);
    if (!kill_often(&server, kills, &starting)) return 1; /* and its clients with it */
    join_all(clients, count);
    double seconds = now() - begun;
    if (server_end(&server, SIGTERM) != 0) {
        fprintf(stderr, "killed_server: the server did not end in order\n");
        return 1;
    }

    client_twins = true;
    make_command(argv + 5, argc - 5, NULL, command);
    if (!begin(&server)) return 1;
    client_announce(server.port);
    start_all(clients, count);
    join_all(clients, count);
    report(clients, count, kills, starting, seconds);
    server_end(&server, SIGTERM);
    for (int i = 0; i < count; i++) free(clients[i].deeds);
    free(clients);
    free(command);
    return 0;
}
