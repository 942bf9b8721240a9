/*
 * From SMALL tokens on a larger window never takes fewer bytes, so the largest that fits is found
 * by halving. Below, recompute holds several windows side by side, fewer of the larger ones: there
 * every size is tried.
 */
#include "models/plan_fit.h"

/* A dense cache beyond the trained context ends somewhere: here, when the memory is not smaller. */
#define MOST_TOKENS ((int64_t)1 << 40)

#define SMALL 128

typedef struct fitting {
    const weir_model *model;
    weir_stream_options options;
    int64_t each; /* bytes for one stream */
} fitting;

static void set_window(weir_stream_options *options, int64_t window) {
    options->cache = 0;
    options->window = options->policy == WEIR_DENSE ? 0 : window;
    options->context = options->policy == WEIR_DENSE ? window : 0;
}

static bool fits(fitting *now, int64_t window, weir_plan *plan) {
    weir_error ignored;
    set_window(&now->options, window);
    return weir_stream_plan(now->model, &now->options, plan, &ignored) == WEIR_OK &&
           plan->reserved_bytes <= now->each;
}

weir_status plan_largest(const weir_model *model, const weir_stream_options *options,
                         int64_t memory, int64_t streams, weir_plan *out, weir_error *error) {
    fitting now = {model, *options, memory / streams};
    weir_plan tried;
    bool beyond = options->policy == WEIR_DENSE && options->beyond;
    set_window(&now.options, 1);
    weir_status status = weir_stream_plan(model, &now.options, out, error);
    if (status != WEIR_OK) {
        return status;
    }
    int64_t most = out->context - out->sinks;
    int64_t good = beyond || most > SMALL ? SMALL : most;
    weir_plan least = *out;
    while (good > 0 && !fits(&now, good, out)) {
        least = out->reserved_bytes < least.reserved_bytes ? *out : least;
        good--;
    }
    if (good == 0) {
        return weir_error_set(error, WEIR_LIMIT,
                              "--memory %lld is too little: even with a window of %lld a stream "
                              "takes %lld bytes: raise it, or lower --chunk",
                              (long long)memory, (long long)least.window,
                              (long long)least.reserved_bytes);
    }
    if (good < SMALL) {
        return WEIR_OK;
    }
    int64_t bad = (beyond ? (now.each < MOST_TOKENS ? now.each : MOST_TOKENS) : most) + 1;
    while (bad - good > 1) {
        int64_t middle = good + (bad - good) / 2;
        if (fits(&now, middle, &tried)) {
            good = middle;
            *out = tried;
        } else {
            bad = middle;
        }
    }
    return WEIR_OK;
}
