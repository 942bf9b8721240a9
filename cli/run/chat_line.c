/*
 * Lines of a talk: typed at a terminal, with libedit's editing and a history that survives, or
 * piped in as they are.
 */
#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/interrupt.h"
#include "run/chat_session.h"

#define HISTORY_LINES 1000

struct chat_lines {
    EditLine *edit; /* NULL: piped */
    History *history;
    char *history_path; /* NULL: nowhere to keep it */
    char *line;         /* piped */
    size_t capacity;
    char *typed;
    bool dropped; /* Ctrl-C was pressed */
};

/* $XDG_STATE_HOME/weir/history, by default ~/.local/state/weir/history; folders are made. */
static char *find_history(void) {
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char *path = NULL;
    int size = -1;
    if (state != NULL && state[0] == '/') {
        size = asprintf(&path, "%s/weir/history", state);
    } else if (home != NULL && home[0] == '/') {
        size = asprintf(&path, "%s/.local/state/weir/history", home);
    }
    if (size < 0) {
        return NULL;
    }
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700); /* there already, as a rule; opening the file tells what matters */
        *slash = '/';
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        free(path);
        return NULL;
    }
    close(fd);
    return path;
}

static const char *prompt(EditLine *edit) {
    (void)edit;
    return "> ";
}

/* Ctrl-C drops the line. It comes as a key, since signals are off while a line is edited. */
static unsigned char drop_line(EditLine *edit, int key) {
    chat_lines *lines;
    (void)key;
    el_get(edit, EL_CLIENTDATA, &lines);
    lines->dropped = true;
    return CC_EOF;
}

static bool open_editor(chat_lines *lines) {
    HistEvent event;
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) {
        setlocale(LC_CTYPE, "C.UTF-8"); /* text is UTF-8 here whatever the locale says */
    }
    lines->edit = el_init("weir", stdin, stderr, stderr);
    lines->history = history_init();
    if (lines->edit == NULL || lines->history == NULL) {
        return false;
    }
    history(lines->history, &event, H_SETSIZE, HISTORY_LINES);
    history(lines->history, &event, H_SETUNIQUE, 1);
    lines->history_path = find_history();
    if (lines->history_path != NULL) {
        history(lines->history, &event, H_LOAD, lines->history_path);
    }
    el_set(lines->edit, EL_CLIENTDATA, lines);
    el_set(lines->edit, EL_PROMPT, prompt);
    el_set(lines->edit, EL_EDITOR, "emacs");
    el_set(lines->edit, EL_HIST, history, lines->history);
    el_set(lines->edit, EL_ADDFN, "weir-drop-line", "drop the line", drop_line);
    el_set(lines->edit, EL_BIND, "^C", "weir-drop-line", NULL);
    el_set(lines->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_set(lines->edit, EL_SETTY, "-d", "-isig", NULL);
    el_source(lines->edit, NULL); /* ~/.editrc */
    return true;
}

chat_lines *chat_lines_open(void) {
    chat_lines *lines = calloc(1, sizeof *lines);
    if (lines == NULL) {
        return NULL;
    }
    if (isatty(STDIN_FILENO) && isatty(STDERR_FILENO) && !open_editor(lines)) {
        chat_lines_close(lines);
        return NULL;
    }
    return lines;
}

static line_kind read_typed(chat_lines *lines, const char **out) {
    int size = 0;
    HistEvent event;
    lines->dropped = false;
    const char *line = el_gets(lines->edit, &size);
    if (lines->dropped) {
        fputs("^C\n", stderr);
        return LINE_DROPPED;
    }
    if (line == NULL || size <= 0) {
        fputc('\n', stderr);
        return LINE_END;
    }
    if (line[0] != '\n') {
        history(lines->history, &event, H_ENTER, line);
    }
    free(lines->typed);
    lines->typed = strndup(line, (size_t)size - (line[size - 1] == '\n'));
    *out = lines->typed;
    return lines->typed != NULL ? LINE_TEXT : LINE_END;
}

static line_kind read_piped(chat_lines *lines, const char **out) {
    errno = 0;
    ssize_t size = getline(&lines->line, &lines->capacity, stdin);
    if (size < 0) {
        bool signal = errno == EINTR && interrupted();
        clearerr(stdin);
        return signal ? LINE_DROPPED : LINE_END;
    }
    if (size > 0 && lines->line[size - 1] == '\n') {
        lines->line[size - 1] = '\0';
    }
    *out = lines->line;
    return LINE_TEXT;
}

line_kind chat_lines_read(chat_lines *lines, const char **line) {
    return lines->edit != NULL ? read_typed(lines, line) : read_piped(lines, line);
}

void chat_lines_close(chat_lines *lines) {
    if (lines == NULL) {
        return;
    }
    if (lines->history != NULL) {
        HistEvent event;
        if (lines->history_path != NULL) {
            history(lines->history, &event, H_SAVE, lines->history_path);
        }
        history_end(lines->history);
    }
    if (lines->edit != NULL) {
        el_end(lines->edit);
    }
    free(lines->history_path);
    free(lines->typed);
    free(lines->line);
    free(lines);
}
