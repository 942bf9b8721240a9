/* The parts of the server that know no model: replies, inlets, routes, addresses, keys, figures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/address.h"
#include "http/auth.h"
#include "http/inlet.h"
#include "http/origin.h"
#include "http/refusal.h"
#include "http/route.h"
#include "http/sse.h"
#include "parts/metrics.h"

/* ---- a reader that counts how often it sleeps and wakes ---------------------------------------
 */

typedef struct sleeper {
    int slept, woken;
} sleeper;

static void fall_asleep(void *context) { ((sleeper *)context)->slept++; }
static void wake_up(void *context) { ((sleeper *)context)->woken++; }

static char *copy(const char *text) { return strdup(text); }

/* ---- replies --------------------------------------------------------------------------------- */

static void a_whole_reply_comes_once(void **state) {
    (void)state;
    char out[64];
    reply_head head;
    server_reply *reply = reply_create();
    reply_header(reply, "A", "b");
    reply_whole(reply, 201, REPLY_JSON, copy("{}"), 2);
    reply_whole(reply, 500, REPLY_TEXT, copy("again"), 5);
    reply_header(reply, "C", "too late");
    reply_write(reply, "more", 4);
    assert_true(reply_begun(reply, &head));
    assert_int_equal(head.status, 201);
    assert_int_equal(head.size, 2);
    assert_int_equal(head.headers, 1);
    assert_string_equal(head.header[0].name, "A");
    assert_int_equal(reply_read(reply, out, 1), 1);
    assert_int_equal(reply_read(reply, out + 1, 60), 1);
    assert_memory_equal(out, "{}", 2);
    assert_int_equal(reply_read(reply, out, 60), -1);
    reply_release(reply);
}

static void a_reader_sleeps_until_there_is_something(void **state) {
    (void)state;
    char out[8];
    reply_head head;
    sleeper who = {0};
    server_reply *reply = reply_create();
    reply_attach(reply, &(reply_reader){fall_asleep, wake_up, &who, -1});
    assert_false(reply_begun(reply, &head));
    assert_false(reply_begun(reply, &head)); /* sleeps already */
    assert_int_equal(who.slept, 1);
    reply_begin(reply, 200, REPLY_TEXT);
    reply_begin(reply, 404, REPLY_TEXT);
    assert_int_equal(who.woken, 1);
    assert_true(reply_begun(reply, &head));
    assert_false(head.whole);
    assert_int_equal(head.status, 200);
    assert_int_equal(reply_read(reply, out, 8), 0);
    reply_write(reply, "abcdefghij", 10);
    reply_write(reply, "k", 1); /* awake: nobody is called */
    assert_int_equal(who.woken, 2);
    assert_int_equal(reply_waiting(reply), 11);
    assert_int_equal(reply_read(reply, out, 8), 8);
    assert_memory_equal(out, "abcdefgh", 8);
    assert_int_equal(reply_read(reply, out, 8), 3);
    assert_memory_equal(out, "ijk", 3);
    assert_int_equal(reply_read(reply, out, 8), 0);
    reply_end(reply);
    assert_int_equal(who.slept, 3);
    assert_int_equal(who.woken, 3);
    assert_int_equal(reply_read(reply, out, 8), -1);
    assert_int_equal(reply_sent(reply), 11);
    reply_release(reply);
}

static void whoever_leaves_is_told_of(void **state) {
    (void)state;
    char out[8];
    sleeper who = {0};
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    server_reply *reply = reply_create();
    server_reply *other = reply_share(reply);
    reply_attach(reply, &(reply_reader){fall_asleep, wake_up, &who, pair[0]});
    reply_begin(reply, 200, REPLY_TEXT);
    assert_int_equal(reply_read(reply, out, 8), 0);
    assert_false(reply_client_left(reply));
    close(pair[1]);
    assert_true(reply_client_left(reply));
    assert_true(reply_gone(reply));
    assert_int_equal(who.woken, 1);
    assert_int_equal(reply_read(reply, out, 8), -2);
    reply_write(reply, "lost", 4);
    assert_int_equal(reply_waiting(reply), 0);
    reply_detach(reply);
    reply_end(reply);
    assert_int_equal(who.woken, 1); /* never called again */
    reply_release(reply);
    reply_release(other);
    close(pair[0]);
}

static void events_and_refusals_have_their_shape(void **state) {
    (void)state;
    char out[400];
    reply_head head;
    server_reply *reply = reply_create();
    sse_begin(reply);
    sse_event(reply, "token", json_pack("{s:s}", "text", "a\nb"));
    sse_event(reply, NULL, json_pack("{}"));
    sse_word(reply, "[DONE]");
    sse_comment(reply);
    static const char wanted[] =
        "event: token\ndata: {\"text\":\"a\\nb\"}\n\ndata: {}\n\ndata: [DONE]\n\n:\n\n";
    assert_int_equal(reply_read(reply, out, sizeof out), sizeof wanted - 1);
    assert_memory_equal(out, wanted, sizeof wanted - 1);
    reply_release(reply);

    reply = reply_create();
    refuse(reply, 429, "full", "wait");
    assert_true(reply_begun(reply, &head));
    assert_int_equal(head.status, 429);
    assert_string_equal(head.header[0].name, "Retry-After");
    long size = reply_read(reply, out, sizeof out - 1);
    out[size] = '\0';
    assert_non_null(strstr(out, "\"type\":\"rate_limit_error\""));
    assert_non_null(strstr(out, "\"code\":\"full\""));
    reply_release(reply);
}

/* ---- inlets ---------------------------------------------------------------------------------- */

static void count_arrival(void *context) { ++*(int *)context; }

static void an_inlet_keeps_order_and_slows_down(void **state) {
    (void)state;
    int arrivals = 0;
    sleeper who = {0};
    bool ended, whole;
    server_inlet *inlet = inlet_create(count_arrival, &arrivals);
    inlet_attach(inlet, &(inlet_source){fall_asleep, wake_up, &who});
    unsigned char in[1000], out[999];
    size_t sent = 0, received = 0;
    for (int round = 0; round < 2000; round++) {
        for (size_t i = 0; i < sizeof in; i++) in[i] = (unsigned char)((sent + i) * 31 >> 3);
        sent += inlet_put(inlet, (const char *)in, sizeof in);
        if (round % 7 < 3) continue;
        size_t size = inlet_take(inlet, (char *)out, sizeof out, &ended, &whole);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(out[i], (unsigned char)((received + i) * 31 >> 3));
        received += size;
        assert_false(ended);
        assert_true(sent - received <= INLET_BYTES);
    }
    assert_true(who.slept > 0 && arrivals >= 2000);
    inlet_finish(inlet, true);
    inlet_finish(inlet, false); /* the first word counts */
    while (inlet_has_news(inlet) && received < sent)
        received += inlet_take(inlet, (char *)out, sizeof out, &ended, &whole);
    assert_true(ended && whole);
    assert_int_equal(sent, received);
    assert_int_equal(who.slept, who.woken);
    inlet_release(inlet);
}

static void a_closed_inlet_swallows(void **state) {
    (void)state;
    int arrivals = 0;
    sleeper who = {0};
    server_inlet *inlet = inlet_create(count_arrival, &arrivals);
    inlet_attach(inlet, &(inlet_source){fall_asleep, wake_up, &who});
    char *much = calloc(1, INLET_BYTES + 5);
    assert_int_equal(inlet_put(inlet, much, INLET_BYTES + 5), INLET_BYTES);
    assert_int_equal(who.slept, 1);
    inlet_close(inlet);
    assert_int_equal(who.woken, 1);
    assert_int_equal(inlet_put(inlet, much, INLET_BYTES + 5), INLET_BYTES + 5);
    free(much);
    inlet_release(inlet_share(inlet));
    inlet_release(inlet);
}

/* ---- routes and addresses -------------------------------------------------------------------- */

static const http_route routes[] = {
    {"GET", "/a", BODY_NONE, false, NULL},
    {"POST", "/a", BODY_NONE, false, NULL},
    {"GET", "/a/:", BODY_NONE, false, NULL},
    {"GET", "/a/:/b/:", BODY_NONE, false, NULL},
    {0},
};

static void paths_find_their_routes(void **state) {
    (void)state;
    route_match found;
    route_find(routes, "POST", "/a", &found);
    assert_ptr_equal(found.route, &routes[1]);
    route_find(routes, "GET", "/a/x-1", &found);
    assert_ptr_equal(found.route, &routes[2]);
    assert_string_equal(found.parts[0], "x-1");
    route_find(routes, "GET", "/a/x/b/y", &found);
    assert_ptr_equal(found.route, &routes[3]);
    assert_string_equal(found.parts[1], "y");
    route_find(routes, "PUT", "/a", &found);
    assert_true(found.route == NULL && found.path_known);
    static const char *const none[] = {"",       "/",        "/a/",    "/b",     "/a/x/",
                                       "/a/x/b", "/a/x/b//", "/a/%2e", "/a/x y", "/a/../a"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        route_find(routes, "GET", none[i], &found);
        assert_null(found.route);
    }
    char longest[200] = "/a/";
    memset(longest + 3, 'x', 150);
    route_find(routes, "GET", longest, &found);
    assert_null(found.route);
}

static void addresses_are_read(void **state) {
    (void)state;
    server_address at;
    weir_error error;
    assert_int_equal(address_parse("127.0.0.1:80", &at, &error), WEIR_OK);
    assert_true(at.loopback && !at.ipv6);
    assert_int_equal(address_parse("localhost:0", &at, &error), WEIR_OK);
    assert_true(at.loopback);
    assert_int_equal(address_parse("[::1]:80", &at, &error), WEIR_OK);
    assert_true(at.loopback && at.ipv6);
    assert_int_equal(address_parse("[::]:80", &at, &error), WEIR_OK);
    assert_false(at.loopback);
    assert_int_equal(address_parse("0.0.0.0:80", &at, &error), WEIR_OK);
    assert_false(at.loopback);
    static const char *const wrong[] = {"",           "80",           ":80",     "127.0.0.1",
                                        "127.0.0.1:", "127.0.0.1:x",  "1.2.3:4", "127.0.0.1:65536",
                                        "::1:80",     "127.0.0.1:-1", "[::1:80", "example.org:80"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(address_parse(wrong[i], &at, &error), WEIR_USAGE);
}

static void pages_from_elsewhere_are_refused(void **state) {
    (void)state;
    const server_origin local = {.local = true}, keyed = {.local = false};
    const server_origin known = {.allowed = "https://weir.example.org", .local = true};
    /* no browser */
    assert_true(origin_allows(&local, NULL, NULL));
    assert_true(origin_allows(&local, NULL, "127.0.0.1:8080"));
    assert_true(origin_allows(&local, NULL, "localhost"));
    assert_true(origin_allows(&local, NULL, "[::1]:8080"));
    assert_true(origin_allows(&keyed, NULL, "example.org"));
    /* our own page */
    assert_true(origin_allows(&local, "http://127.0.0.1:8080", "127.0.0.1:8080"));
    assert_true(origin_allows(&keyed, "https://example.org", "example.org"));
    assert_true(origin_allows(&known, "https://weir.example.org", "127.0.0.1:8080"));
    assert_true(origin_allows(&known, "https://weir.example.org", "weir.example.org"));
    /* others, and names that were made to lead here */
    assert_false(origin_allows(&local, "http://evil.example", "127.0.0.1:8080"));
    assert_false(origin_allows(&local, "http://127.0.0.1:9090", "127.0.0.1:8080"));
    assert_false(origin_allows(&local, "null", "127.0.0.1:8080"));
    assert_false(origin_allows(&local, "http://evil.example:8080", "evil.example:8080"));
    assert_false(origin_allows(&local, NULL, "evil.example:8080"));
    assert_false(origin_allows(&local, NULL, "127.0.0.1.evil.example"));
    assert_false(origin_allows(&local, NULL, "localhost.evil.example:8080"));
    assert_false(origin_allows(&keyed, "https://evil.example", "example.org"));
    assert_false(origin_allows(&known, "https://evil.example", "weir.example.org"));
    assert_true(origin_is_one("https://a:5") && origin_is_one("http://[::1]"));
    assert_false(origin_is_one("a") || origin_is_one("https://") || origin_is_one("https://a/"));
}

/* ---- keys and figures ------------------------------------------------------------------------ */

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void keys_open_and_others_do_not(void **state) {
    (void)state;
    char path[] = "/tmp/weir-keys-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    weir_error error;
    server_auth *auth;
    assert_int_equal(auth_open(path, &auth, &error), WEIR_USAGE); /* no key in it */
    write_file(path, "# comment\none\r\n\n two words \n");
    assert_int_equal(auth_open(path, &auth, &error), WEIR_OK);
    assert_true(auth_allows(auth, "Bearer one"));
    assert_true(auth_allows(auth, "Bearer  two words"));
    static const char *const wrong[] = {"Bearer on", "Bearer onee", "Bearer ",         "bearer one",
                                        "one",       "Basic one",   "Bearer # comment"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(auth_allows(auth, wrong[i]));
    assert_false(auth_allows(auth, NULL));
    char longest[2000] = "Bearer ";
    memset(longest + 7, 'x', 1900);
    assert_false(auth_allows(auth, longest));
    write_file(path, "# nothing\n");
    assert_int_equal(auth_reload(auth, &error), WEIR_USAGE);
    assert_true(auth_allows(auth, "Bearer one")); /* the old ones hold */
    write_file(path, "three\n");
    assert_int_equal(auth_reload(auth, &error), WEIR_OK);
    assert_false(auth_allows(auth, "Bearer one"));
    assert_true(auth_allows(auth, "Bearer three"));
    auth_close(auth);
    unlink(path);
    assert_int_equal(auth_open(path, &auth, &error), WEIR_IO);
    assert_int_equal(auth_open(NULL, &auth, &error), WEIR_OK);
    assert_true(auth_allows(auth, NULL));
    auth_close(auth);
}

static void figures_are_written(void **state) {
    (void)state;
    static server_metrics metrics;
    text_buffer out = {0};
    atomic_fetch_add(&metrics.tokens_made, 7);
    metrics_observe(&metrics.step_seconds, 0.004);
    metrics_observe(&metrics.step_seconds, 1000);
    metrics_write(&metrics, &out);
    assert_non_null(strstr(out.data, "# TYPE weir_tokens_made_total counter\n"
                                     "weir_tokens_made_total 7\n"));
    assert_non_null(strstr(out.data, "weir_step_seconds_bucket{le=\"0.0025\"} 0\n"));
    assert_non_null(strstr(out.data, "weir_step_seconds_bucket{le=\"0.005\"} 1\n"));
    assert_non_null(strstr(out.data, "weir_step_seconds_bucket{le=\"+Inf\"} 2\n"));
    assert_non_null(strstr(out.data, "weir_step_seconds_count 2\n"));
    text_free(&out);
}

static void files_are_added(void **state) {
    (void)state;
    text_buffer text = {.most = 1 << 20};
    weir_error error;
    char path[] = "/tmp/weir-text-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(text_add_file(&text, path, &error), WEIR_IO); /* empty */
    assert_int_equal(write(fd, "a key", 5), 5);
    assert_int_equal(text_add_file(&text, path, &error), WEIR_OK);
    assert_string_equal(text.data, "a key");
    text_free(&text);
    assert_int_equal(ftruncate(fd, (1 << 20) + 1), 0);
    assert_int_equal(text_add_file(&text, path, &error), WEIR_IO); /* too large */
    text_free(&text);
    close(fd);
    unlink(path);
    assert_int_equal(text_add_file(&text, path, &error), WEIR_IO); /* not there */
    assert_non_null(strstr(error.message, path));
    text_free(&text);
}

static void text_has_a_bound(void **state) {
    (void)state;
    text_buffer text = {.most = 10};
    assert_true(text_add(&text, "12345", 5));
    assert_false(text_add(&text, "123456", 6));
    assert_false(text_add(&text, "1", 1)); /* remembered */
    assert_string_equal(text.data, "12345");
    text_clear(&text);
    assert_true(text_print(&text, "%d", 1234567890));
    text_drop(&text, 4);
    assert_string_equal(text.data, "567890");
    text_free(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_reply_comes_once),
        cmocka_unit_test(a_reader_sleeps_until_there_is_something),
        cmocka_unit_test(whoever_leaves_is_told_of),
        cmocka_unit_test(events_and_refusals_have_their_shape),
        cmocka_unit_test(an_inlet_keeps_order_and_slows_down),
        cmocka_unit_test(a_closed_inlet_swallows),
        cmocka_unit_test(paths_find_their_routes),
        cmocka_unit_test(addresses_are_read),
        cmocka_unit_test(pages_from_elsewhere_are_refused),
        cmocka_unit_test(keys_open_and_others_do_not),
        cmocka_unit_test(figures_are_written),
        cmocka_unit_test(text_has_a_bound),
        cmocka_unit_test(files_are_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
