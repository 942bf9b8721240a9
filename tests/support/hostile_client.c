/*
 * hostile_client PORT WHAT: a client of the server that does not behave, for tests/cli.
 *
 *   half       a body that breaks off, in requests of every kind; repeatedly
 *   slow       a hundred connections whose headers never end
 *   trickle    headers that come a byte at a time, for ever: until the server cuts it off
 *   garbage    bytes that are no HTTP, headers too long, lengths that are no numbers
 *   pipeline   three requests in one write: three answers in their order
 *   flood      ten thousand connections that ask for nothing yet, or half of something, until
 *              standard input ends; says when all were tried, and how many were made
 *   deaf       asks for endless text and never reads it, until standard input ends
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int port;

static void give_up(const char *what) {
    fprintf(stderr, "hostile_client: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* -1: refused. */
static int dial(void) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval patience = {.tv_sec = 30};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0) give_up("socket");
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) return fd;
    close(fd);
    return -1;
}

static void send_text(int fd, const char *text) {
    if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
        give_up("send");
}

#define POST(path, length)                                                                         \
    "POST " path                                                                                   \
    " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " length    \
    "\r\n\r\n"

static void send_halves(void) {
    static const char *const halves[] = {
        POST("/v1/completions", "100") "{\"prompt\":",
        POST("/v1/chat/completions", "100000") "{",
        POST("/v1/streams", "5") "",
        "POST /v1/streams/st_none/append HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
        "100\r\n\r\nhalf",
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"pro",
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n",
        "GET",
    };
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < sizeof halves / sizeof halves[0]; i++) {
            int fd = dial();
            if (fd < 0) give_up("connect");
            send_text(fd, halves[i]);
            if (round % 2 == 0) usleep(1000);
            close(fd);
        }
    }
}

static void send_slowly(void) {
    int fds[100];
    for (int i = 0; i < 100; i++) {
        fds[i] = dial();
        if (fds[i] >= 0) send_text(fds[i], "GET /health HTTP/1.1\r\nX: ");
    }
    for (int round = 0; round < 5; round++) {
        usleep(100000);
        for (int i = 0; i < 100; i++)
            if (fds[i] >= 0) send_text(fds[i], "x");
    }
    for (int i = 0; i < 100; i++)
        if (fds[i] >= 0) close(fds[i]);
}

static void send_trickle(void) {
    struct timeval moment = {.tv_usec = 200000};
    char byte;
    int fd = dial();
    if (fd < 0) give_up("connect");
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &moment, sizeof moment);
    send_text(fd, "GET /health HTTP/1.1\r\nX: ");
    for (int i = 0; i < 300; i++) {
        ssize_t got = recv(fd, &byte, 1, 0);
        if (got >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) {
            close(fd);
            return;
        }
        send_text(fd, "x");
    }
    fprintf(stderr, "hostile_client: nobody cuts off a request that never ends\n");
    exit(1);
}

/* Whatever comes back, the connection ends. */
static void send_garbage(void) {
    static const char *const lines[] = {
        "\r\n\r\n\r\n",
        "\xff\xfe\x01\x02\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /%00%ff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "GET /v1/streams/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
        "99999999999999999999999999\r\n\r\n",
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4294967297\r\n"
        "Connection: close\r\n\r\n{}",
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        "ffffffffffffffff\r\n{}",
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
        "chunked\r\n\r\n-5\r\n{}",
    };
    char answer[4096], *longest = malloc(200001);
    if (longest == NULL) give_up("malloc");
    memset(longest, 'x', 200000);
    longest[200000] = '\0';
    memcpy(longest, "GET /", 5);
    size_t count = sizeof lines / sizeof lines[0];
    for (size_t i = 0; i <= count; i++) {
        int fd = dial();
        if (fd < 0) give_up("connect");
        send_text(fd, i < count ? lines[i] : longest);
        shutdown(fd, SHUT_WR);
        while (recv(fd, answer, sizeof answer, 0) > 0) {
        }
        close(fd);
    }
    free(longest);
}

static int count_answers(const char *text) {
    int count = 0;
    for (; (text = strstr(text, "HTTP/1.1 ")) != NULL; text++) count++;
    return count;
}

static void send_pipeline(void) {
    char answer[65536];
    size_t size = 0;
    int fd = dial();
    if (fd < 0) give_up("connect");
    send_text(fd, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" POST(
                      "/v1/completions", "29") "{\"prompt\":\"x\",\"max_tokens\":2}"
                                               "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n"
                                               "Connection: close\r\n\r\n");
    for (ssize_t got; size < sizeof answer - 1 &&
                      (got = recv(fd, answer + size, sizeof answer - 1 - size, 0)) > 0;)
        size += (size_t)got;
    answer[size] = '\0';
    close(fd);
    char *health = strstr(answer, "\"ok\""), *text = strstr(answer, "text_completion");
    char *models = strstr(answer, "\"list\"");
    if (count_answers(answer) != 3 || !health || !text || !models || health > text ||
        text > models) {
        fprintf(stderr, "hostile_client: not three answers in order: %s\n", answer);
        exit(1);
    }
}

/* From several addresses, as one has not ports enough; -1: it cannot be. The connection is made
 * later. */
static int begin_dial(int i) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (unsigned)i / 2000);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((uint16_t)port);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&from, sizeof from) == 0 &&
        (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 || errno == EINPROGRESS))
        return fd;
    if (fd >= 0) close(fd);
    return -1;
}

static void flood(void) {
    static const char *const beginnings[] = {"", "GET /hea",
                                             "GET /health HTTP/1.1\r\nHost: localhost\r\nX: ",
                                             POST("/v1/completions", "100") "{\"prompt\":"};
    enum { MANY = 10000 };
    static int fds[MANY];
    struct rlimit files;
    char byte;
    int opened = 0;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    for (int i = 0; i < MANY; i++) fds[i] = begin_dial(i);
    sleep(1);
    for (int i = 0; i < MANY; i++) {
        const char *text = beginnings[i % 4];
        opened += fds[i] >= 0 && send(fds[i], text, strlen(text), MSG_NOSIGNAL) >= 0;
    }
    printf("%d\n", opened);
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
}

static void be_deaf(void) {
    static const char body[] =
        "{\"prompt\":\"x\",\"max_tokens\":60000,\"ignore_eos\":true,\"stream\":true}";
    char request[400], byte;
    int small = 4096, fd = dial();
    if (fd < 0) give_up("connect");
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    snprintf(request, sizeof request, POST("/v1/completions", "%zu") "%s", sizeof body - 1, body);
    send_text(fd, request);
    printf("asked\n");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    close(fd);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*act)(void);
    } acts[] = {{"half", send_halves},     {"slow", send_slowly},       {"trickle", send_trickle},
                {"garbage", send_garbage}, {"pipeline", send_pipeline}, {"flood", flood},
                {"deaf", be_deaf}};
    port = argc == 3 ? atoi(argv[1]) : 0;
    for (size_t i = 0; i < sizeof acts / sizeof acts[0] && argc == 3; i++) {
        if (strcmp(acts[i].name, argv[2]) == 0) {
            acts[i].act();
            return 0;
        }
    }
    fprintf(stderr, "usage: hostile_client PORT half|slow|trickle|garbage|pipeline|flood|deaf\n");
    return 2;
}
