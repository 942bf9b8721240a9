#include "common/stream_options.h"

#include <stdio.h>
#include <string.h>

#include "common/input.h"
#include "common/progress.h"

#define AT(field) offsetof(retention_arguments, field)
const cli_option retention_options[] = {
    {"--policy", OPTION_WORD, "POLICY", .at = AT(policy), .words = POLICY_WORDS, .begins = true,
     .help = "what a token may attend: sink, window, dense or recompute (default sink)"},
    {"--sinks", OPTION_COUNT, "N", .at = AT(sinks), .range = "[0,inf)", .policies = ONLY_SINK,
     .begins = true,
     .help = "first tokens kept for ever (default 4, or 1 where the model has a sink token)"},
    {"--window", OPTION_COUNT, "N", .at = AT(window), .range = "[1,inf)", .begins = true,
     .policies = ONLY_WINDOWS,
     .help = "most recent tokens kept (default: what --cache leaves beside the sinks)"},
    {"--cache", OPTION_COUNT, "N", .at = AT(cache), .range = "[1,inf)", .begins = true,
     .policies = ONLY_WINDOWS,
     .help = "sinks and window together, instead of --window (default: the trained context)"},
    {"--context", OPTION_COUNT, "N", .at = AT(context), .range = "[1,inf)", .begins = true,
     .policies = ONLY_DENSE, .help = "dense: tokens it can hold (default: the trained context)"},
    {"--beyond", OPTION_FLAG, NULL, .at = AT(beyond), .policies = ONLY_DENSE, .begins = true,
     .help = "dense: allow more than the model was trained for"},
    {0},
};
#undef AT

#define AT(field) offsetof(engine_arguments, field)
const cli_option engine_options[] = {
    {"--cache-type", OPTION_WORD, "TYPE", .at = AT(cache_type), .words = CACHE_TYPE_WORDS,
     .begins = true, .help = "of cached keys and values: f16, f32 or q8_0 (default f16)"},
    {"--chunk", OPTION_COUNT, "N", .at = AT(chunk), .range = "[1,65536]",
     .help = "tokens computed together at most; never changes a bit (default 128)"},
    {"--threads", OPTION_COUNT, "N", .at = AT(threads), .range = "[1,256]",
     .help = "worker threads; never changes a bit (default: one per CPU)"},
    {0},
};

const cli_option rope_options[] = {
    {"--rope-scaling", OPTION_WORD, "HOW", .at = AT(rope_scaling), .words = ROPE_SCALING_WORDS,
     .begins = true,
     .help = "a longer context than the trained one: none, linear, dynamic, yarn, llama3 or\n"
             "longrope (default: file, what the model's file says)"},
    {"--rope-factor", OPTION_REAL, "X", .at = AT(rope_factor), .range = "[1,1e6]", .begins = true,
     .help = "how much longer than the original context (default: the file's)"},
    {"--rope-base", OPTION_REAL, "X", .at = AT(rope_base), .range = "[1,1e15]", .begins = true,
     .help = "base of the frequencies (default: the file's)"},
    {"--rope-context", OPTION_COUNT, "N", .at = AT(rope_context), .range = "[1,inf)",
     .begins = true, .help = "the original context, before any scaling (default: the file's)"},
    {0},
};

const cli_option loading_options[] = {
    {"--cpu", OPTION_TEXT, "LEVEL", .at = AT(cpu),
     .help = "kernels to use: scalar, avx2, avx512, avx512vnni, avx512bf16, amx (default: the best "
             "this machine has)"},
    {"--no-repack", OPTION_FLAG, NULL, .at = AT(no_repack),
     .help = "compute from the file as it is: opens at once, runs slower; never changes a bit"},
    {0},
};
#undef AT

static const char *const policies[] = {"sink", "window", "dense", "recompute"};
static const char *const cache_types[] = {"f16", "f32", "q8_0"};

const char *policy_name(weir_policy policy) { return policies[policy]; }

const char *cache_type_name(weir_cache_type type) { return cache_types[type]; }

/* "sink or window": the policies of a set, in words. */
static void list_policies(unsigned set, const char *join, char *out, size_t capacity) {
    out[0] = '\0';
    for (unsigned i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        if ((set >> i & 1) != 0) {
            size_t used = strlen(out);
            snprintf(out + used, capacity - used, "%s%s", used > 0 ? join : "", policies[i]);
        }
    }
}

weir_status check_policies(const cli_group *groups, const void *arguments, unsigned set,
                           weir_error *error) {
    cli_cursor cursor = {0};
    while (option_next(groups, &cursor)) {
        unsigned applies = cursor.option->policies;
        if (applies != 0 && (applies & set) == 0 && option_given(&cursor, arguments) > 0) {
            char chosen[64], wanted[64];
            list_policies(set, ",", chosen, sizeof chosen);
            list_policies(applies, " or ", wanted, sizeof wanted);
            return weir_error_set(error, WEIR_USAGE,
                                  "%s does not apply to --policy %s: leave it out, or choose "
                                  "--policy %s",
                                  cursor.option->name, chosen, wanted);
        }
    }
    return WEIR_OK;
}

weir_status check_loaded(const cli_group *groups, const void *arguments, weir_error *error) {
    cli_cursor cursor = {0};
    while (option_next(groups, &cursor)) {
        if (cursor.option->begins && option_given(&cursor, arguments) > 0) {
            return weir_error_set(error, WEIR_USAGE,
                                  "%s does not apply with --load, which continues the stream as "
                                  "it was saved: leave one of them out",
                                  cursor.option->name);
        }
    }
    return WEIR_OK;
}

weir_status window_and_cache(weir_error *error) {
    return weir_error_set(error, WEIR_USAGE,
                          "--window and --cache say the same thing twice (cache = sinks + "
                          "window): keep one");
}

weir_status retention_apply(const retention_arguments *from, weir_stream_options *to,
                            weir_error *error) {
    if (from->window.given && from->cache.given) {
        return window_and_cache(error);
    }
    to->policy = (weir_policy)from->policy.count;
    to->sinks = from->sinks.given ? from->sinks.count : -1;
    to->window = from->window.count;
    to->cache = from->cache.count;
    to->context = from->context.count;
    to->beyond = from->beyond.given > 0;
    return WEIR_OK;
}

weir_status dense_length(weir_stream_options *options, const weir_model *model, int64_t tokens,
                         weir_error *error) {
    if (options->policy != WEIR_DENSE) {
        return WEIR_OK;
    }
    weir_plan plan;
    weir_status status = weir_stream_plan(model, options, &plan, error);
    if (status != WEIR_OK) {
        return status;
    }
    if (options->context > 0 && tokens > options->context) {
        return weir_error_set(error, WEIR_LIMIT,
                              "%lld tokens do not fit --context %lld: raise it, or choose "
                              "--policy sink, which takes any number",
                              (long long)tokens, (long long)options->context);
    }
    if (options->context == 0 && tokens > plan.context && !options->beyond) {
        return weir_error_set(error, WEIR_LIMIT,
                              "%lld tokens are more than the %lld that the model was trained "
                              "for%s: choose --policy sink, which takes any number, or --beyond to "
                              "try all the same",
                              (long long)tokens, (long long)plan.context,
                              options->rope.scaling == WEIR_ROPE_FILE ? "" : " or scaled to");
    }
    if (options->context == 0 && options->beyond) {
        options->context = tokens;
    }
    return WEIR_OK;
}

weir_status keep_first(weir_stream_options *options, const weir_model *model, const char *system,
                       int64_t pin, weir_error *error) {
    int64_t tokens = 0;
    weir_status status = WEIR_OK;
    if (system[0] != '\0') {
        status = input_count_tokens(model, system, strlen(system), &tokens, error);
    }
    if (status != WEIR_OK) {
        return status;
    }
    return tokens > pin ? keep_tokens(options, model, tokens, "--system", error)
                        : keep_tokens(options, model, pin, "--pin", error);
}

weir_status keep_tokens(weir_stream_options *options, const weir_model *model, int64_t pins,
                        const char *what, weir_error *error) {
    weir_plan plan;
    weir_status status = weir_stream_plan(model, options, &plan, error);
    if (status != WEIR_OK || pins <= plan.sinks) {
        return status;
    }
    if (pins >= plan.slots) {
        return weir_error_set(error, WEIR_USAGE,
                              "%s: %lld tokens leave no window in a cache of %lld: at most %lld "
                              "can be kept for ever, or raise --cache",
                              what, (long long)pins, (long long)plan.slots,
                              (long long)plan.slots - 1);
    }
    options->sinks = pins;
    options->window = plan.slots - pins;
    options->cache = 0;
    return WEIR_OK;
}

void engine_apply(const engine_arguments *from, weir_stream_options *to) {
    to->cache_type = (weir_cache_type)from->cache_type.count;
    to->chunk = from->chunk.count;
    to->threads = (int32_t)from->threads.count;
    to->rope = (weir_rope_options){.scaling = (weir_rope_scaling)from->rope_scaling.count,
                                   .factor = from->rope_factor.real,
                                   .base = from->rope_base.real,
                                   .original_context = from->rope_context.count};
}

weir_status lookup_check(const cli_value *lookup, const engine_arguments *engine,
                         weir_error *error) {
    if (lookup->count > 0 && engine->chunk.given && engine->chunk.count == 1) {
        return weir_error_set(error, WEIR_USAGE,
                              "--lookup does not apply with --chunk 1: a draft is computed in one "
                              "chunk with the token before it");
    }
    return WEIR_OK;
}

static void show_packing(void *context, int64_t done, int64_t total) {
    progress_show(context, done >> 20, total >> 20, "MiB");
}

static weir_status open_with(const char *path, const engine_arguments *engine,
                             weir_model_options *options, weir_model **out, weir_error *error) {
    cli_progress progress;
    options->cpu = engine != NULL && engine->cpu.given ? engine->cpu.text : NULL;
    options->no_repack = engine != NULL && engine->no_repack.given;
    options->progress = show_packing;
    options->progress_context = &progress;
    progress_begin(&progress, "loading");
    weir_status status = weir_model_open(path, options, out, error);
    progress_clear(&progress);
    return status;
}

weir_status open_model(const char *path, const engine_arguments *engine, bool metadata_only,
                       weir_model **out, weir_error *error) {
    weir_model_options options = {.metadata_only = metadata_only};
    return open_with(path, engine, &options, out, error);
}

weir_status open_chat_model(const char *path, const engine_arguments *engine,
                            const char *chat_template, weir_model **out, weir_error *error) {
    weir_model_options options = {.chat_template = chat_template};
    return open_with(path, engine, &options, out, error);
}
