#include "killed_client.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MOST 600
#define JSON "application/json"

static const char *const prompts[] = {"\nand so the mill ", "\nwhat the river said: ", " once "};
static int64_t prompt_tokens[3];

bool client_twins;

/* ---- the server, as its clients know it ------------------------------------------------------ */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int port, generation; /* port 0: it is dead */

void client_announce(int new_port) {
    pthread_mutex_lock(&lock);
    port = new_port;
    generation += new_port > 0;
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

void client_wrong(client *c, const char *format, ...) {
    va_list words;
    va_start(words, format);
    fprintf(stderr, "stream %d (%s), request %lld: ", c->number, c->id, (long long)c->done);
    vfprintf(stderr, format, words);
    fputc('\n', stderr);
    va_end(words);
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
    if (c->lost_one && client_twins) client_wrong(c, "%s %s got no answer", method, whole);
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
        client_wrong(c, "answered %d, not %d: %.300s", c->answer.status, status, c->answer.body);
}

static json_t *answered(client *c) {
    json_t *object = json_loads(c->answer.body, JSON_ALLOW_NUL, NULL);
    if (object == NULL) client_wrong(c, "no JSON: %.300s", c->answer.body);
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
    if (!at.exists) client_wrong(c, "the stream is lost");
    if (at.index < c->at.index)
        client_wrong(c, "%lld tokens were acknowledged, and %lld are there", (long long)c->at.index,
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

uint64_t client_next(uint64_t *random) {
    uint64_t z = *random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static size_t below(client *c, size_t most) { return (size_t)(client_next(&c->random) % most); }

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
    c->mark = -1;
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
    c->mark = -1; /* a fork has none */
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
    if (at >= d->count) client_wrong(c, "more than %d tokens", d->count);
    if (d->token[at] >= 0 && d->token[at] != token)
        client_wrong(c, "deed %d: token %d of %d was %d, and after the restart it is %d", d->kind,
                     at, d->count, d->token[at], token);
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
    if ((int)i + from != d->count) client_wrong(c, "%d tokens of %d", (int)i + from, d->count);
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
        if (made < 0 || made > d->count)
            client_wrong(c, "%d tokens were drawn of %d", made, d->count);
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
    c->mark = -1;
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
    if (!client_twins) {
        int64_t most = c->at.index - c->at.reachable;
        d->target = c->at.index - ((int64_t)back < most ? (int64_t)back : most);
    }
    snprintf(body, sizeof body, "{\"index\": %lld}", (long long)d->target);
    while (!ask(c, "/rewind", body)) {
        c->at.index = d->target; /* not before that, at least */
        place at = look(c);
        if (!at.exists || at.index < d->target) client_wrong(c, "acknowledged tokens are lost");
    }
    expect_status(c, 200);
    take_place(c);
}

static void set_mark(client *c) {
    while (!ask(c, "/marks", "{\"name\": \"here\"}")) {
        bool nothing;
        look_after_loss(c, &nothing);
    }
    expect_status(c, 201);
    take_place(c);
    c->mark = c->at.index;
}

static void return_to_mark(client *c) {
    while (!ask(c, "/rewind", "{\"mark\": \"here\"}")) {
        place at = look(c);
        if (!at.exists || (at.index != c->at.index && at.index != c->mark))
            client_wrong(c, "stands at %lld", (long long)at.index);
    }
    expect_status(c, 200);
    take_place(c);
    if (c->at.index != c->mark) client_wrong(c, "the mark was at %lld", (long long)c->mark);
}

deed_kind client_choose(client *c, int64_t k, bool held) {
    static const deed_kind often[] = {
        APPEND,   APPEND,          APPEND_HALF, APPEND_BODY, MESSAGES,        GENERATE,
        GENERATE, GENERATE_EVENTS, GENERATE,    ASK,         GENERATE_EVENTS, GENERATE_AFTER,
        FORK,     REWIND,          MARK,        MARK,        RETURN,          RETURN};
    deed_kind kind = often[below(c, sizeof often / sizeof often[0])];
    return k == 0 ? CREATE : k == 1 || held ? APPEND : kind;
}

void client_act(client *c, deed *d) {
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
    case MARK:
        set_mark(c);
        break;
    case RETURN:
        if (c->mark >= 0) return_to_mark(c);
        break;
    }
    d->index = c->at.index;
    d->evicted = c->at.evicted;
}

/* How many tokens each prompt has. */
void client_count_prompts(void) {
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
