#include "requests/stream_request.h"

#include <string.h>

#define MOST 1e9
#define AT(field) offsetof(stream_request, field)
const json_field stream_fields[] = {
    {"policy", FIELD_TEXT, AT(policy), 0, 0},         {"sinks", FIELD_COUNT, AT(sinks), 0, MOST},
    {"window", FIELD_COUNT, AT(window), 1, MOST},     {"cache", FIELD_COUNT, AT(cache), 1, MOST},
    {"context", FIELD_COUNT, AT(context), 1, MOST},   {"beyond", FIELD_BOOL, AT(beyond), 0, 0},
    {"cache_type", FIELD_TEXT, AT(cache_type), 0, 0}, {"evict", FIELD_TEXT, AT(evict), 0, 0},
    {"system", FIELD_TEXT, AT(system), 0, 0},         {0},
};
#undef AT

void stream_request_init(stream_request *request) { *request = (stream_request){.sinks = -1}; }

/* The place of a word in a list that ends with NULL. */
static weir_status find_word(const char *name, const char *word, const char *const *words, int *at,
                             weir_error *error) {
    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], word) == 0) {
            *at = i;
            return WEIR_OK;
        }
    }
    return weir_error_set(error, WEIR_USAGE, "%s must be %s, %s%s%s, not \"%.40s\"", name, words[0],
                          words[1], words[2] != NULL ? " or " : "",
                          words[2] != NULL ? words[2] : "", word);
}

static weir_status apply_words(const stream_request *request, weir_stream_options *options,
                               weir_error *error) {
    static const char *const policies[] = {"sink", "window", "dense", NULL};
    static const char *const types[] = {"f16", "f32", "q8_0", NULL};
    static const char *const evictions[] = {"token", "message", NULL};
    weir_status status = WEIR_OK;
    int at;
    if (request->policy != NULL) {
        status = find_word("policy", request->policy, policies, &at, error);
        if (status == WEIR_OK) {
            options->policy = (weir_policy)at;
        }
    }
    if (status == WEIR_OK && request->cache_type != NULL) {
        status = find_word("cache_type", request->cache_type, types, &at, error);
        if (status == WEIR_OK) {
            options->cache_type = (weir_cache_type)at;
        }
    }
    if (status == WEIR_OK && request->evict != NULL) {
        status = find_word("evict", request->evict, evictions, &at, error);
        if (status == WEIR_OK) {
            options->eviction = (weir_eviction)at;
        }
    }
    return status;
}

/* Sizes that do not belong to the policy are refused, never ignored. */
static weir_status check_sizes(const stream_request *request, const weir_stream_options *options,
                               weir_error *error) {
    const char *wrong = NULL;
    bool dense = options->policy == WEIR_DENSE;
    if (dense && (request->window > 0 || request->cache > 0)) {
        wrong = "window and cache do not apply to the dense policy: give context";
    } else if (!dense && (request->context > 0 || request->beyond)) {
        wrong = "context and beyond apply to the dense policy only: give cache or window";
    } else if (options->policy != WEIR_SINK && request->sinks >= 0) {
        wrong = "sinks apply to the sink policy only";
    } else if (request->window > 0 && request->cache > 0) {
        wrong = "window and cache say the same thing twice (cache = sinks + window): keep one";
    }
    return wrong == NULL ? WEIR_OK : weir_error_set(error, WEIR_USAGE, "%s", wrong);
}

weir_status stream_request_apply(const stream_request *request, weir_stream_options *options,
                                 weir_error *error) {
    weir_policy before = options->policy;
    weir_status status = apply_words(request, options, error);
    if (status == WEIR_OK) {
        status = check_sizes(request, options, error);
    }
    if (status != WEIR_OK) {
        return status;
    }
    if (options->policy != before) {
        options->sinks = -1;
        options->window = options->cache = options->context = 0;
        options->beyond = false;
    }
    if (request->window > 0 || request->cache > 0) {
        options->window = request->window;
        options->cache = request->cache;
    }
    if (request->context > 0) {
        options->context = request->context;
    }
    options->beyond |= request->beyond;
    if (request->sinks >= 0) {
        options->sinks = request->sinks;
    }
    return WEIR_OK;
}

weir_status stream_request_pin(const weir_model *model, weir_stream_options *options, int64_t count,
                               weir_error *error) {
    weir_plan plan;
    weir_status status = weir_stream_plan(model, options, &plan, error);
    if (status != WEIR_OK || options->policy != WEIR_SINK || count <= plan.sinks) {
        return status;
    }
    if (count >= plan.slots) {
        return weir_error_set(
            error, WEIR_LIMIT,
            "the system message has %lld tokens: no window is left beside them in "
            "a cache of %lld",
            (long long)count, (long long)plan.slots);
    }
    options->sinks = count;
    options->window = plan.slots - count;
    options->cache = 0;
    return WEIR_OK;
}
