/*
 * The options that shape a stream, shared by every command that makes one: as tables, as the
 * structs that the tables fill, and from there to weir_stream_options.
 */
#ifndef WEIR_CLI_STREAM_OPTIONS_H
#define WEIR_CLI_STREAM_OPTIONS_H

#include "common/option.h"
#include "weir/stream.h"

/* The places of these words are the values of weir_policy, weir_cache_type, weir_eviction and
 * weir_rope_scaling. */
#define POLICY_WORDS "sink|window|dense|recompute"
#define CACHE_TYPE_WORDS "f16|f32|q8_0"
#define EVICTION_WORDS "token|message"
#define ROPE_SCALING_WORDS "file|none|linear|dynamic|yarn|llama3|longrope"

#define ONLY_SINK (1u << WEIR_SINK)
#define ONLY_WINDOWS (1u << WEIR_SINK | 1u << WEIR_WINDOW | 1u << WEIR_RECOMPUTE)
#define ONLY_DENSE (1u << WEIR_DENSE)
#define ONLY_EVICTING (1u << WEIR_SINK | 1u << WEIR_WINDOW)

/* `--lookup N` of the commands that make text. */
#define LOOKUP_POLICIES (ONLY_EVICTING | ONLY_DENSE)
#define LOOKUP_RANGE "[0,31]"
#define LOOKUP_HELP                                                                                \
    "draft up to N tokens from what was said before: faster where text repeats, same text"
_Static_assert(WEIR_MAX_LOOKUP == 31, "LOOKUP_RANGE is another");

/* What a token may attend. */
typedef struct retention_arguments {
    cli_value policy, sinks, window, cache, context, beyond;
} retention_arguments;
extern const cli_option retention_options[];

/* How it is held and computed. */
typedef struct engine_arguments {
    cli_value cache_type, chunk, threads, cpu, no_repack;
    cli_value rope_scaling, rope_factor, rope_base, rope_context;
} engine_arguments;
extern const cli_option engine_options[]; /* of the stream */
extern const cli_option rope_options[];   /* of the stream: a longer context by other frequencies */
extern const cli_option loading_options[]; /* of the model: for commands that load its weights */

/* The groups of a command's options whose engine_arguments stand at `at`; and of one that loads
 * weights. */
#define ENGINE_GROUPS(at)                                                                          \
    {"Rotary positions", rope_options, at}, { "The engine", engine_options, at }
#define LOADED_ENGINE_GROUPS(at)                                                                   \
    ENGINE_GROUPS(at), { "Loading", loading_options, at }

const char *policy_name(weir_policy policy);
const char *cache_type_name(weir_cache_type type);

/* An option that was given but applies to none of `policies` (bits 1 << weir_policy) is an error
 * that names the remedy. */
weir_status check_policies(const cli_group *groups, const void *arguments, unsigned policies,
                           weir_error *error);

/* Options that begin a stream do not apply to one that is loaded from a file. */
weir_status check_loaded(const cli_group *groups, const void *arguments, weir_error *error);

weir_status retention_apply(const retention_arguments *from, weir_stream_options *to,
                            weir_error *error);
/* A dense stream of a known length: its capacity, or why it cannot be (before any work). Does
 * nothing for other policies. */
weir_status dense_length(weir_stream_options *options, const weir_model *model, int64_t tokens,
                         weir_error *error);
/* Sink policy: what is to be pinned, a system text ("" for none) or the first `pin` tokens, counts
 * as sinks from the start; S + W stays. */
weir_status keep_first(weir_stream_options *options, const weir_model *model, const char *system,
                       int64_t pin, weir_error *error);
/* The same for tokens that were counted already; `what` says whose they are. */
weir_status keep_tokens(weir_stream_options *options, const weir_model *model, int64_t tokens,
                        const char *what, weir_error *error);
void engine_apply(const engine_arguments *from, weir_stream_options *to);
/* Drafts need chunks of more than one token. */
weir_status lookup_check(const cli_value *lookup, const engine_arguments *engine,
                         weir_error *error);

/* `engine` may be NULL: no option for the CPU. */
weir_status open_model(const char *path, const engine_arguments *engine, bool metadata_only,
                       weir_model **out, weir_error *error);

/* For a talk: `chat_template` NULL is the file's own. */
weir_status open_chat_model(const char *path, const engine_arguments *engine,
                            const char *chat_template, weir_model **out, weir_error *error);

/* What every command says when --window and --cache come together. */
weir_status window_and_cache(weir_error *error);

#endif
