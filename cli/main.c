/*
 * weir COMMAND [MODEL.gguf] [options]: finds the command, reads its options, runs it.
 */
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/command.h"
#include "weir/weir.h"

/* In the order of the help. To add one: see common/command.h. */
static const cli_command *const commands[] = {
    &run_command,        &chat_command,        &serve_command,   &eval_command,
    &streameval_command, &cloze_command,       &probe_command,   &bench_command,
    &train_command,      &plot_command,        &convert_command, &quantize_command,
    &embed_command,      &tokenize_command,    &info_command,    &plan_command,
    &logits_command,     &make_random_command,
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(void) {
    puts("weir runs language models over endless text, in constant memory.\n\n"
         "usage: weir COMMAND [MODEL.gguf] [options]\n");
    for (int i = 0; i < COMMANDS; i++) {
        if (!commands[i]->hidden) {
            printf("  %-10s  %s\n", commands[i]->name, commands[i]->summary);
        }
    }
    puts("\n`weir COMMAND --help` lists a command's options; `weir --version` tells the version.\n"
         "4k and 1M mean 4000 and 1000000. Exit status: 0 done, 1 failed, 2 wrong usage, "
         "130 interrupted.");
}

static void print_command_help(const cli_command *command) {
    printf("usage: weir %s %s\n\n%s\n", command->name, command->synopsis, command->summary);
    if (command->notes != NULL) {
        printf("\n%s\n", command->notes);
    }
    options_print_help(command->groups);
}

static const cli_command *find_command(const char *name, weir_error *error) {
    char names[256] = "", near[64];
    for (int i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i]->name, name) == 0) {
            return commands[i];
        }
        if (!commands[i]->hidden) {
            size_t used = strlen(names);
            snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? "|" : "",
                     commands[i]->name);
        }
    }
    bool option = name[0] == '-';
    if (!option && nearest_word(name, names, near, sizeof near) != NULL) {
        weir_error_set(error, WEIR_USAGE, "there is no command \"%.40s\"; did you mean %s?", name,
                       near);
    } else {
        weir_error_set(error, WEIR_USAGE, "%s \"%.40s\"; `weir --help` lists the commands",
                       option ? "a command comes first, not" : "there is no command", name);
    }
    return NULL;
}

/* Whether a word stands among the options. */
static bool asks_for(int argc, char **argv, const char *word) {
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], word) == 0) {
            return true;
        }
    }
    return false;
}

static weir_status parse(cli_call *call, int argc, char **argv, void *arguments,
                         weir_error *error) {
    const cli_command *command = call->command;
    const char *words[2] = {NULL, NULL};
    weir_status status = options_parse(command->groups, argc, argv, arguments, words,
                                       command->takes_out     ? 2
                                       : command->takes_model ? 1
                                                              : 0,
                                       error);
    call->model = words[0];
    call->out = words[1];
    if (status == WEIR_OK && command->takes_model && call->model == NULL) {
        return weir_error_set(error, WEIR_USAGE, "%s needs a model, as in: weir %s %s",
                              command->name, command->name, command->synopsis);
    }
    return status;
}

static int run(cli_call *call, int argc, char **argv) {
    const cli_command *command = call->command;
    if (asks_for(argc, argv, "--help") || asks_for(argc, argv, "-h")) {
        print_command_help(command);
        return EXIT_DONE;
    }
    weir_error error = {0};
    void *arguments = calloc(1, command->arguments_size);
    if (arguments == NULL) {
        weir_error_set(&error, WEIR_MEMORY, "no memory for the options");
        return report(call, &error);
    }
    int status = parse(call, argc, argv, arguments, &error) == WEIR_OK
                     ? command->run(call, arguments)
                     : report(call, &error);
    free(arguments);
    return status;
}

/* A program that was started with a standard file closed must not find its model or its snapshot
 * under that number. */
static void hold_standard_files(void) {
    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFD) < 0) {
            /* the wrong way round, so that using it fails */
            int held = open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
            (void)held;
        }
    }
}

/* A mapped file that somebody shortens while it is read. Other faults end the program as they
 * would. */
static void mapping_lost(int number, siginfo_t *about, void *context) {
    static const char text[] =
        "weir: a file that is mapped, such as the model's, became shorter while it "
        "was in use: replace it by renaming another one to its name\n";
    (void)context;
    if (about->si_code == BUS_ADRERR) {
        ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
        (void)written;
        _exit(EXIT_FAILED);
    }
    signal(number, SIG_DFL);
    raise(number);
}

static void catch_lost_mappings(void) {
    struct sigaction action = {.sa_sigaction = mapping_lost, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}

int main(int argc, char **argv) {
    hold_standard_files();
    catch_lost_mappings();
    setlocale(LC_CTYPE, ""); /* for line editing; numbers keep their points */
    signal(SIGPIPE, SIG_IGN);
    int status = EXIT_DONE;
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help();
    } else if (strcmp(argv[1], "--version") == 0) {
        printf("weir %s\n", weir_version());
    } else {
        weir_error error = {0};
        cli_call call = {.json = asks_for(argc - 1, argv + 1, "--json")};
        call.command = find_command(argv[1], &error);
        status = call.command == NULL ? report(&call, &error) : run(&call, argc - 2, argv + 2);
    }
    bool written = fflush(stdout) == 0 && !ferror(stdout);
    return status == EXIT_DONE && !written ? EXIT_FAILED : status;
}
