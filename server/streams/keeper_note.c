#include "streams/keeper_note.h"

#include <stdlib.h>
#include <string.h>

#define SAMPLING_NUMBERS 10

static json_t *sampling_note(const weir_sampling *s) {
    return json_pack("[f,i,f,f,f,f,f,f,i,I]", (double)s->temperature, (int)s->top_k,
                     (double)s->top_p, (double)s->min_p, (double)s->typical,
                     (double)s->repetition_penalty, (double)s->presence_penalty,
                     (double)s->frequency_penalty, (int)s->penalty_window, (json_int_t)s->seed);
}

static bool read_sampling(json_t *list, weir_sampling *out) {
    double number[SAMPLING_NUMBERS];
    if (!json_is_array(list) || json_array_size(list) != SAMPLING_NUMBERS) {
        return false;
    }
    for (size_t i = 0; i < SAMPLING_NUMBERS; i++) {
        json_t *value = json_array_get(list, i);
        if (!json_is_number(value)) {
            return false;
        }
        number[i] = json_number_value(value);
    }
    *out = weir_sampling_default();
    out->temperature = (float)number[0];
    out->top_k = (int32_t)number[1];
    out->top_p = (float)number[2];
    out->min_p = (float)number[3];
    out->typical = (float)number[4];
    out->repetition_penalty = (float)number[5];
    out->presence_penalty = (float)number[6];
    out->frequency_penalty = (float)number[7];
    out->penalty_window = (int32_t)number[8];
    out->seed = (uint64_t)json_integer_value(json_array_get(list, 9));
    return true;
}

char *keeper_note(const server_session *session) {
    const weir_stream_options *o = &session->options;
    json_t *note = json_pack(
        "{s:i,s:I,s:I,s:I,s:I,s:b,s:i,s:i,s:I,s:I,s:I,s:o,s:b,s:s*}", "policy", (int)o->policy,
        "sinks", (json_int_t)session->plan.sinks, "window", (json_int_t)o->window, "cache",
        (json_int_t)o->cache, "context", (json_int_t)o->context, "beyond", o->beyond, "cache_type",
        (int)o->cache_type, "eviction", (int)o->eviction, "chunk", (json_int_t)o->chunk, "created",
        (json_int_t)session->created, "made", (json_int_t)session->made, "sampling",
        sampling_note(&session->sampling), "seeded", session->seeded, "system", session->system);
    char *text = note != NULL ? json_dumps(note, JSON_COMPACT) : NULL;
    json_decref(note);
    return text;
}

weir_status keeper_read_note(const char *id, const char *text, keeper_record *out,
                             weir_error *error) {
    json_error_t where;
    json_t *note = json_loads(text, JSON_REJECT_DUPLICATES, &where);
    json_t *sampling = NULL;
    json_int_t sinks, window, cache, context, chunk, created, made;
    int policy, cache_type, eviction, beyond, seeded = 0;
    const char *system = NULL;
    *out = (keeper_record){.options = weir_stream_options_default()};
    bool good =
        note != NULL &&
        json_unpack(note, "{s:i,s:I,s:I,s:I,s:I,s:b,s:i,s:i,s:I,s:I,s:I,s:o,s?b,s?s}", "policy",
                    &policy, "sinks", &sinks, "window", &window, "cache", &cache, "context",
                    &context, "beyond", &beyond, "cache_type", &cache_type, "eviction", &eviction,
                    "chunk", &chunk, "created", &created, "made", &made, "sampling", &sampling,
                    "seeded", &seeded, "system", &system) == 0 &&
        policy >= WEIR_SINK && policy < WEIR_RECOMPUTE && cache_type >= 0 &&
        cache_type <= WEIR_CACHE_Q8_0 && eviction >= 0 && eviction <= WEIR_EVICT_MESSAGE &&
        read_sampling(sampling, &out->sampling);
    if (good) {
        weir_stream_options *o = &out->options;
        o->policy = (weir_policy)policy;
        o->sinks = policy == WEIR_SINK ? sinks : -1;
        o->window = window;
        o->cache = cache;
        o->context = context;
        o->beyond = beyond != 0;
        o->cache_type = (weir_cache_type)cache_type;
        o->eviction = (weir_eviction)eviction;
        o->chunk = chunk;
        out->created = created;
        out->made = made;
        out->seeded = seeded != 0;
        out->system = system != NULL ? strdup(system) : NULL;
    }
    json_decref(note);
    return good ? WEIR_OK
                : weir_error_set(error, WEIR_DAMAGED,
                                 "the store's note on the stream %s is damaged", id);
}
