#include "test_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PATIENCE 300 /* seconds without a byte */

int client_dial(int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval patience = {.tv_sec = PATIENCE};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) return fd;
    close(fd);
    return -1;
}

static bool send_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        data += sent;
        size -= (size_t)sent;
    }
    return true;
}

static bool send_request(int fd, const char *method, const char *path, const char *type,
                         const char *body, size_t size) {
    char head[1024], length[128] = "";
    if (body != NULL)
        snprintf(length, sizeof length, "Content-Type: %s\r\nContent-Length: %zu\r\n", type, size);
    int used = snprintf(head, sizeof head, "%s %s HTTP/1.0\r\nHost: localhost\r\n%s\r\n", method,
                        path, length);
    return used < (int)sizeof head && send_all(fd, head, (size_t)used) &&
           (body == NULL || send_all(fd, body, size));
}

/* -1: not said. */
static long long said_length(const client_answer *answer) {
    const char *line = answer->data;
    while ((line = strstr(line, "\r\n")) != NULL && line + 4 <= answer->body) {
        line += 2;
        if (strncasecmp(line, "content-length:", 15) == 0) return atoll(line + 15);
    }
    return -1;
}

static void look_at(client_answer *answer, size_t used) {
    const char *end = answer->body != NULL ? answer->body - 4 : strstr(answer->data, "\r\n\r\n");
    if (end == NULL || sscanf(answer->data, "HTTP/%*d.%*d %d", &answer->status) != 1) return;
    answer->body = end + 4;
    answer->size = used - (size_t)(answer->body - answer->data);
}

static bool take_answer(int fd, client_watch *watch, void *context, client_answer *answer) {
    size_t used = 0, capacity = 4096;
    ssize_t got = 0;
    answer->data = malloc(capacity);
    while (answer->data != NULL &&
           (got = recv(fd, answer->data + used, capacity - used - 1, 0)) > 0) {
        used += (size_t)got;
        answer->data[used] = '\0';
        look_at(answer, used);
        if (watch != NULL && answer->body != NULL && !watch(context, answer)) return false;
        if (capacity - used < 1024) {
            size_t at = answer->body != NULL ? (size_t)(answer->body - answer->data) : 0;
            char *more = realloc(answer->data, capacity *= 2);
            if (more == NULL) return false;
            answer->data = more;
            if (at > 0) answer->body = more + at;
        }
    }
    if (got < 0 || answer->body == NULL) return false;
    long long length = said_length(answer);
    return length < 0 || (size_t)length == answer->size;
}

bool client_ask(int port, const char *method, const char *path, const char *type, const char *body,
                size_t size, client_watch *watch, void *context, client_answer *answer) {
    client_free(answer);
    int fd = client_dial(port);
    if (fd < 0) return false;
    if (send_request(fd, method, path, type, body, size))
        answer->whole = take_answer(fd, watch, context, answer);
    close(fd);
    return answer->whole;
}

void client_free(client_answer *answer) {
    free(answer->data);
    *answer = (client_answer){0};
}
