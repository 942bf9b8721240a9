/* weir serve: one model, many streams, over HTTP. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/command.h"
#include "common/stream_options.h"
#include "server/parts/log.h"
#include "server/server.h"

typedef struct serve_arguments {
    cli_value listen, origin, api_key_file, tls_certificate, tls_key;
    cli_value streams, rows, memory, kept, queue, connections, max_body, max_tokens, timeout, drain;
    cli_value store, power_safe, idle;
    cli_value evict, chat_template, quiet;
    retention_arguments retention;
    engine_arguments engine;
} serve_arguments;

#define AT(field) offsetof(serve_arguments, field)
static const cli_option options[] = {
    {"--listen", OPTION_TEXT, "HOST:PORT", .at = AT(listen),
     .help = "where (default 127.0.0.1:8080); port 0: any that is free, said on stdout"},
    {"--api-key-file", OPTION_TEXT, "FILE", .at = AT(api_key_file),
     .help = "keys that open the door, one a line; needed for addresses that others can reach"},
    {"--origin", OPTION_TEXT, "URL", .at = AT(origin),
     .help = "pages from there may use the server too: https://weir.example.org"},
    {"--tls-certificate", OPTION_TEXT, "FILE", .at = AT(tls_certificate),
     .help = "serve HTTPS with this PEM certificate (chain)"},
    {"--tls-key", OPTION_TEXT, "FILE", .at = AT(tls_key), .help = "and its PEM key"},
    {"--quiet", OPTION_FLAG, NULL, .at = AT(quiet), .help = "no log on stderr"},
    {0},
};

static const cli_option limit_options[] = {
    {"--streams", OPTION_COUNT, "N", .at = AT(streams), .range = "[1,4096]",
     .help = "requests whose text is made at once (default 64)"},
    {"--rows", OPTION_COUNT, "N", .at = AT(rows), .range = "[1,65536]",
     .help = "tokens of a step (default 256)"},
    {"--memory", OPTION_BYTES, "BYTES", .at = AT(memory), .range = "[1,inf)",
     .help = "of all streams and the batch (default three quarters of what is free)"},
    {"--kept", OPTION_COUNT, "N", .at = AT(kept), .range = "[0,4096]",
     .help = "streams of ended requests, for others that begin alike (default 16); 0: no sharing"},
    {"--queue", OPTION_COUNT, "N", .at = AT(queue), .range = "[1,65536]",
     .help = "requests that may wait (default 64); more are refused with 429"},
    {"--connections", OPTION_COUNT, "N", .at = AT(connections), .range = "[1,65536]",
     .help = "at once (default 256)"},
    {"--max-body", OPTION_BYTES, "BYTES", .at = AT(max_body), .range = "[1024,1073741824]",
     .help = "of a JSON body (default 4M); text that is appended as text has no limit"},
    {"--max-tokens", OPTION_COUNT, "N", .at = AT(max_tokens), .range = "[1,inf)",
     .help = "that one request may make (default 65536)"},
    {"--timeout", OPTION_COUNT, "SECONDS", .at = AT(timeout), .range = "[1,86400]",
     .help = "of silence on a connection, and of waiting for a turn (default 60)"},
    {"--drain", OPTION_COUNT, "SECONDS", .at = AT(drain), .range = "[0,86400]",
     .help = "that work under way has after SIGTERM (default 30)"},
    {0},
};

static const cli_option store_options[] = {
    {"--store", OPTION_TEXT, "DIR", .at = AT(store),
     .help = "keep streams in this folder: they survive a crash, and leave memory while idle"},
    {"--power-safe", OPTION_FLAG, NULL, .at = AT(power_safe),
     .help = "what was acknowledged survives a loss of power as well (slower)"},
    {"--idle", OPTION_COUNT, "SECONDS", .at = AT(idle), .range = "[1,inf)",
     .help = "after which a stored stream leaves memory (default 600)"},
    {0},
};

static const cli_option chat_options[] = {
    {"--evict", OPTION_WORD, "HOW", .at = AT(evict), .words = EVICTION_WORDS,
     .policies = ONLY_EVICTING, .help = "forget by token, or whole messages (default token)"},
    {"--template", OPTION_TEXT, "NAME", .at = AT(chat_template),
     .help = "the format of messages, as with `weir chat` (default the file's)"},
    {0},
};

static const cli_group groups[] = {
    {"Options", options, 0},
    {"Limits", limit_options, 0},
    {"The store", store_options, 0},
    {"Streams of requests that do not say it", retention_options, AT(retention)},
    {"Conversations", chat_options, 0},
    {"The engine", engine_options, AT(engine)},
    {"Loading", loading_options, AT(engine)},
    {0}};
#undef AT

static void take_count(int64_t *to, const cli_value *value) {
    if (value->given) {
        *to = value->count;
    }
}

static weir_status check_together(const serve_arguments *arguments, const server_settings *settings,
                                  weir_error *error) {
    if ((settings->power_safe || arguments->idle.given) && settings->store == NULL) {
        return weir_error_set(error, WEIR_USAGE, "%s belongs to --store DIR",
                              settings->power_safe ? "--power-safe" : "--idle");
    }
    if (arguments->rows.given && settings->rows < settings->streams) {
        return weir_error_set(error, WEIR_USAGE,
                              "--rows %lld is too few for --streams %d: each takes one at least",
                              (long long)settings->rows, (int)settings->streams);
    }
    if (arguments->retention.policy.count == WEIR_RECOMPUTE) {
        return weir_error_set(error, WEIR_USAGE,
                              "--policy recompute computes a whole window for each token, and "
                              "cannot be stepped with others: choose sink, window or dense");
    }
    return WEIR_OK;
}

static weir_status read_settings(const serve_arguments *arguments, server_settings *settings,
                                 weir_error *error) {
    int64_t streams = settings->streams;
    take_count(&streams, &arguments->streams);
    take_count(&settings->rows, &arguments->rows);
    take_count(&settings->memory, &arguments->memory);
    take_count(&settings->kept, &arguments->kept);
    take_count(&settings->queue, &arguments->queue);
    take_count(&settings->connections, &arguments->connections);
    take_count(&settings->body, &arguments->max_body);
    take_count(&settings->most_tokens, &arguments->max_tokens);
    take_count(&settings->timeout, &arguments->timeout);
    take_count(&settings->drain, &arguments->drain);
    take_count(&settings->idle, &arguments->idle);
    settings->streams = (int32_t)streams;
    settings->listen = arguments->listen.given ? arguments->listen.text : settings->listen;
    settings->api_key_file = arguments->api_key_file.text;
    settings->origin = arguments->origin.text;
    settings->tls_certificate = arguments->tls_certificate.text;
    settings->tls_key = arguments->tls_key.text;
    settings->store = arguments->store.text;
    settings->power_safe = arguments->power_safe.given > 0;
    settings->quiet = arguments->quiet.given > 0;
    weir_status status =
        check_policies(groups, arguments, 1u << arguments->retention.policy.count, error);
    if (status == WEIR_OK) {
        status = check_together(arguments, settings, error);
    }
    if (status == WEIR_OK) {
        status = retention_apply(&arguments->retention, &settings->stream, error);
    }
    engine_apply(&arguments->engine, &settings->stream);
    settings->threads = settings->stream.threads; /* the batch's, not a stream's */
    settings->stream.threads = 0;
    settings->stream.eviction = (weir_eviction)arguments->evict.count;
    return status;
}

/* Until SIGTERM or SIGINT; SIGHUP reads the keys again. The signals were blocked before any thread
 * began. */
static void serve_until_told(server_state *server, const sigset_t *signals) {
    for (;;) {
        int number = 0;
        weir_error error;
        if (sigwait(signals, &number) != 0 || number != SIGHUP) {
            log_event("ending", "no new requests; work under way is finished");
            return;
        }
        if (server_reload(server, &error) == WEIR_OK) {
            log_event("reloaded", "the keys were read again");
        } else {
            log_event("reload_failed", "%s", error.message);
        }
    }
}

static weir_status serve(const cli_call *call, const serve_arguments *arguments,
                         weir_error *error) {
    server_settings settings = server_settings_default();
    weir_model *model = NULL;
    server_state *server = NULL;
    sigset_t signals, before;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, &before);
    weir_status status = read_settings(arguments, &settings, error);
    if (status == WEIR_OK) {
        status = open_chat_model(call->model, &arguments->engine, arguments->chat_template.text,
                                 &model, error);
    }
    if (status == WEIR_OK) {
        status = server_open(model, &settings, &server, error);
    }
    if (status == WEIR_OK) {
        const char *scheme = settings.tls_key != NULL ? "https" : "http";
        const char *colon = strrchr(settings.listen, ':');
        printf("%s://%.*s:%d\n", scheme, (int)(colon - settings.listen), settings.listen,
               server_port(server));
        fflush(stdout);
        log_event("listening", "port %d, model %s", server_port(server), call->model);
        serve_until_told(server, &signals);
    }
    server_close(server);
    if (server != NULL) {
        log_event("ended", "all work is done");
    }
    weir_model_close(model);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

static int run(cli_call *call, void *arguments) {
    weir_error error = {0};
    return serve(call, arguments, &error) == WEIR_OK ? EXIT_DONE : report(call, &error);
}

const cli_command serve_command = {
    .name = "serve",
    .synopsis = "MODEL.gguf [--listen HOST:PORT] [options]",
    .summary = "many endless streams over HTTP, and OpenAI's API",
    .notes =
        "Listens on 127.0.0.1:8080 unless told otherwise. The address stands on stdout when "
        "requests\n"
        "are taken, the log on stderr. SIGTERM and Ctrl-C end it in order; SIGHUP reads the keys "
        "again.\n"
        "    curl http://127.0.0.1:8080/v1/chat/completions -d '{\"messages\":[{\"role\":\"user\","
        "\"content\":\"Hello\"}]}' -H 'Content-Type: application/json'",
    .groups = groups,
    .arguments_size = sizeof(serve_arguments),
    .run = run,
    .takes_model = true,
};
