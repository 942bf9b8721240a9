#include "test_server.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

bool server_begin(test_server *server) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return false;
    int log = server->log != NULL
                  ? open(server->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)
                  : STDERR_FILENO;
    server->pid = fork();
    if (server->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* it does not outlive a test that gives up */
        dup2(ends[1], STDOUT_FILENO);
        dup2(log, STDERR_FILENO);
        execv(server->command[0], server->command);
        _exit(127);
    }
    close(ends[1]);
    if (server->log != NULL) close(log);
    server->out = ends[0];
    server->port = 0;
    return server->pid > 0;
}

bool server_ready(test_server *server) {
    char line[256];
    size_t used = 0;
    ssize_t got;
    while (used < sizeof line - 1 &&
           (got = read(server->out, line + used, sizeof line - 1 - used)) > 0) {
        used += (size_t)got;
        line[used] = '\0';
        if (strchr(line, '\n') != NULL) break;
    }
    line[used] = '\0';
    const char *colon = strrchr(line, ':');
    server->port = colon != NULL ? atoi(colon + 1) : 0;
    return server->port > 0;
}

int server_end(test_server *server, int signal) {
    int status = 0;
    kill(server->pid, signal);
    waitpid(server->pid, &status, 0);
    close(server->out);
    server->pid = 0;
    return status;
}
