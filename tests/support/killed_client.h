/*
 * A client of a server that is killed now and then: it knows what was acknowledged, asks for what
 * got lost with an answer, and remembers what every request did. The first thing that is wrong ends
 * the process with a sentence.
 */
#ifndef WEIR_TESTS_KILLED_CLIENT_H
#define WEIR_TESTS_KILLED_CLIENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "test_client.h"

#define MADE_MOST 24 /* tokens of a request */

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
    REWIND,
    MARK,
    RETURN /* to the mark, if there is one */
} deed_kind;

/* What one request did: the twin must do the same. */
typedef struct deed {
    deed_kind kind;
    int64_t target;         /* of a rewind */
    int64_t index, evicted; /* where the stream stood then */
    int64_t lost;           /* answers, while it was asked for */
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
    place at;     /* as last acknowledged */
    int64_t mark; /* index of a mark; -1: none */
    deed *deeds;
    int64_t done, room;
    int64_t lost, repeated, finished; /* answers; of them: not carried out, carried out in part */
    int generation;                   /* of the server that was asked last */
    bool lost_one;                    /* and which died of it */
    client_answer answer;
} client;

/* For all clients: nobody is killed, and no answer may be lost. */
extern bool client_twins;

/* Where the server listens; 0: it is dead. */
void client_announce(int port);

/* What a client asks for next; `k`: requests of its stream so far, `held`: the last was half a
 * text. */
deed_kind client_choose(client *c, int64_t k, bool held);
/* Ask it. Twins read deed->target, others write it. */
void client_act(client *c, deed *d);

/* Before all else: how many tokens each of its prompts has. */
void client_count_prompts(void);

_Noreturn void client_wrong(client *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
uint64_t client_next(uint64_t *random);

#endif
