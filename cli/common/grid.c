/* Every combination of what was listed: see grid.h. */
#include "common/grid.h"

#include <stddef.h>

#define AT(member) offsetof(grid_arguments, member)
const cli_option grid_options[] = {
    {"--policy", OPTION_WORDS, "P,P,...", .at = AT(policy), .words = POLICY_WORDS,
     .help = "one run each: sink, window, dense, recompute (default sink)"},
    {"--sinks", OPTION_COUNTS, "N,N,...", .at = AT(sinks), .range = "[0,inf)",
     .policies = ONLY_SINK,
     .help = "first tokens kept for ever (default 4, or 1 where the model has a sink token)"},
    {"--window", OPTION_COUNTS, "N,N,...", .at = AT(window), .range = "[1,inf)",
     .policies = ONLY_WINDOWS, .help = "most recent tokens kept"},
    {"--cache", OPTION_COUNTS, "N,N,...", .at = AT(cache), .range = "[1,inf)",
     .policies = ONLY_WINDOWS,
     .help = "sinks and window together, instead of --window (default: the trained context)"},
    {"--context", OPTION_COUNT, "N", .at = AT(context), .range = "[1,inf)", .policies = ONLY_DENSE,
     .help = "dense: tokens it can hold (default: as many as are fed)"},
    {"--beyond", OPTION_FLAG, NULL, .at = AT(beyond), .policies = ONLY_DENSE,
     .help = "dense: allow more than the model was trained for"},
    {0},
};
#undef AT

unsigned grid_policies(const grid_arguments *grid) {
    unsigned policies = grid->policy.given ? 0 : ONLY_SINK;
    for (int i = 0; i < grid->policy.size; i++) policies |= 1u << grid->policy.items[i];
    return policies;
}

weir_status grid_check(const grid_arguments *grid, const cli_group *groups, const void *arguments,
                       weir_error *error) {
    if (grid->window.given && grid->cache.given) return window_and_cache(error);
    return check_policies(groups, arguments, grid_policies(grid), error);
}

typedef struct walk {
    const grid_arguments *grid;
    const engine_arguments *engine;
    grid_add add;
    void *context;
} walk;

/* The runs of one policy with one number of sinks: one for each window or cache. */
static weir_status walk_sizes(const walk *w, weir_stream_options *options, weir_error *error) {
    const cli_list *sizes = w->grid->cache.given ? &w->grid->cache : &w->grid->window;
    if (sizes->size == 0 || options->policy == WEIR_DENSE) {
        return w->add(w->context, options, error);
    }
    weir_status status = WEIR_OK;
    for (int i = 0; i < sizes->size && status == WEIR_OK; i++) {
        *(w->grid->cache.given ? &options->cache : &options->window) = sizes->items[i];
        status = w->add(w->context, options, error);
    }
    return status;
}

static weir_status walk_policy(const walk *w, weir_policy policy, weir_error *error) {
    const cli_list *sinks = &w->grid->sinks;
    weir_stream_options options = weir_stream_options_default();
    options.policy = policy;
    engine_apply(w->engine, &options);
    if (policy == WEIR_DENSE) {
        options.context = w->grid->context.count;
        options.beyond = w->grid->beyond.given > 0;
    }
    if (policy != WEIR_SINK || sinks->size == 0) return walk_sizes(w, &options, error);
    weir_status status = WEIR_OK;
    for (int i = 0; i < sinks->size && status == WEIR_OK; i++) {
        options.sinks = sinks->items[i];
        status = walk_sizes(w, &options, error);
    }
    return status;
}

weir_status grid_walk(const grid_arguments *grid, const engine_arguments *engine, grid_add add,
                      void *context, weir_error *error) {
    const walk w = {.grid = grid, .engine = engine, .add = add, .context = context};
    if (grid->policy.size == 0) return walk_policy(&w, WEIR_SINK, error);
    weir_status status = WEIR_OK;
    for (int i = 0; i < grid->policy.size && status == WEIR_OK; i++) {
        status = walk_policy(&w, (weir_policy)grid->policy.items[i], error);
    }
    return status;
}

weir_status grid_plan(weir_stream_options *options, const weir_model *model, int64_t tokens,
                      weir_plan *plan, weir_error *error) {
    weir_status status = dense_length(options, model, tokens, error);
    if (status == WEIR_OK && options->policy == WEIR_DENSE && options->context == 0) {
        options->context = tokens;
    }
    return status == WEIR_OK ? weir_stream_plan(model, options, plan, error) : status;
}
