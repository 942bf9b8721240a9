/* Options become settings: every default and every refusal stands here. */
#include <limits.h>
#include <string.h>

#include "stream/stream_private.h"

#define MAX_CHUNK 65536
#define MAX_THREADS 256

weir_stream_options weir_stream_options_default(void) {
    return (weir_stream_options){.policy = WEIR_SINK, .sinks = -1};
}

weir_status wr_settings_machine(const weir_model *model, const weir_stream_options *options,
                                wr_settings *settings, weir_error *error) {
    int64_t chunk = options ? options->chunk : 0;
    int32_t threads = options ? options->threads : 0;
    settings->batch = options ? options->batch : NULL;
    if (chunk < 0 || chunk > MAX_CHUNK)
        return weir_error_set(error, WEIR_USAGE, "a chunk of %lld is out of range (1 to %d)",
                              (long long)chunk, MAX_CHUNK);
    if (threads < 0 || threads > MAX_THREADS)
        return weir_error_set(error, WEIR_USAGE, "%d threads are out of range (1 to %d)",
                              (int)threads, MAX_THREADS);
    settings->chunk = chunk > 0 ? chunk : 128;
    settings->threads = threads > 0 ? threads : wr_cpu_count();
    if (settings->batch && threads > 0)
        return weir_error_set(error, WEIR_USAGE,
                              "threads do not apply to a stream of a batch, which has its own");
    return settings->batch ? wr_batch_admit(model, settings, chunk == 0, error) : WEIR_OK;
}

static weir_status check_enums(const weir_stream_options *o, weir_error *error) {
    if ((unsigned)o->policy > WEIR_RECOMPUTE || (unsigned)o->cache_type > WEIR_CACHE_Q8_0 ||
        (unsigned)o->eviction > WEIR_EVICT_MESSAGE)
        return weir_error_set(error, WEIR_USAGE, "an unknown policy, cache type or eviction");
    return WEIR_OK;
}

/* Options that do not apply are errors, never ignored. */
static weir_status check_applicable(const weir_stream_options *o, weir_error *error) {
    const char *wrong = NULL;
    if (o->policy == WEIR_DENSE) {
        if (o->sinks > 0)
            wrong = "sinks do not apply to the dense policy, which keeps every token";
        else if (o->window != 0 || o->cache != 0)
            wrong = "a window does not apply to the dense policy: give its capacity as context";
    } else {
        if (o->context != 0)
            wrong = "context is the capacity of the dense policy: give a window or a cache size";
        else if (o->beyond)
            wrong = "beyond applies to the dense policy only";
        else if (o->policy != WEIR_SINK && o->sinks > 0)
            wrong = "sinks apply to the sink policy only: this policy drops every old token";
        else if (o->window != 0 && o->cache != 0)
            wrong = "give a window or a cache size, not both";
    }
    if (!wrong && o->eviction == WEIR_EVICT_MESSAGE && o->policy != WEIR_SINK &&
        o->policy != WEIR_WINDOW)
        wrong = "message eviction applies to the sink and window policies only";
    return wrong ? weir_error_set(error, WEIR_USAGE, "%s", wrong) : WEIR_OK;
}

/* What a context over out->context exceeds. */
static const char *reach(const weir_stream_options *o) {
    return o->rope.scaling == WEIR_ROPE_FILE ? "that the model was trained for"
                                             : "that the RoPE scaling reaches";
}

/* A learned position belongs to one place of the text: a cache that lets go of old tokens would
 * have to give those that stay other positions, and only recomputing them does. */
static weir_status check_learned(const weir_model *model, const weir_stream_options *o,
                                 weir_error *error) {
    const long long table = (long long)model->info.trained_context;
    if (model->positions != WR_POSITIONS_LEARNED) return WEIR_OK;
    if (o->policy == WEIR_SINK || o->policy == WEIR_WINDOW)
        return weir_error_set(error, WEIR_USAGE,
                              "the positions of the family %s are learned, one by one, so its "
                              "cache cannot stream: choose the policy recompute, or dense for up "
                              "to %lld tokens",
                              model->info.family, table);
    if (o->policy == WEIR_DENSE && o->context > table)
        return weir_error_set(error, WEIR_LIMIT,
                              "a context of %lld exceeds the %lld positions that the model has: "
                              "choose the policy recompute",
                              (long long)o->context, table);
    return WEIR_OK;
}

static weir_status resolve_dense(const weir_stream_options *o, wr_settings *out,
                                 weir_error *error) {
    if (o->context < 0)
        return weir_error_set(error, WEIR_USAGE,
                              "a context of %lld is out of range: give 1 or more",
                              (long long)o->context);
    out->sinks = 0;
    out->window = o->context > 0 ? o->context : out->context;
    if (out->window > out->context && !o->beyond)
        return weir_error_set(
            error, WEIR_LIMIT,
            "a context of %lld exceeds the %lld tokens %s: choose the sink policy, or allow it "
            "with --beyond",
            (long long)out->window, (long long)out->context, reach(o));
    if (out->window > INT32_MAX)
        return weir_error_set(error, WEIR_LIMIT, "a context of %lld is out of range (1 to %d)",
                              (long long)out->window, INT32_MAX);
    return WEIR_OK;
}

static weir_status resolve_window(const weir_model_info *info, const weir_stream_options *o,
                                  wr_settings *out, weir_error *error) {
    int64_t trained = out->context;
    if (o->sinks < -1)
        return weir_error_set(error, WEIR_USAGE, "%lld sinks are out of range: give 0 or more",
                              (long long)o->sinks);
    if (o->window < 0 || o->cache < 0)
        return weir_error_set(error, WEIR_USAGE, "a window of %lld is out of range: give 1 or more",
                              (long long)(o->window < 0 ? o->window : o->cache));
    out->sinks = 0;
    if (o->policy == WEIR_SINK) out->sinks = o->sinks >= 0 ? o->sinks : info->sink_token ? 1 : 4;
    int64_t slots = o->cache > 0 ? o->cache : trained;
    if (out->sinks >= trained)
        return weir_error_set(error, WEIR_LIMIT,
                              "%lld sinks leave no window in the %lld tokens %s: choose at most "
                              "%lld",
                              (long long)out->sinks, (long long)trained, reach(o),
                              (long long)(trained - 1));
    out->window = o->window > 0 ? o->window : slots - out->sinks;
    if (out->window < 1)
        return weir_error_set(error, WEIR_USAGE,
                              "a cache of %lld slots has no room for a window beside %lld sinks: "
                              "choose at least %lld",
                              (long long)slots, (long long)out->sinks, (long long)out->sinks + 1);
    if (out->window > trained - out->sinks)
        return weir_error_set(
            error, WEIR_LIMIT,
            "%lld sinks and a window of %lld exceed the %lld tokens %s: choose a window of at most "
            "%lld",
            (long long)out->sinks, (long long)out->window, (long long)trained, reach(o),
            (long long)(trained - out->sinks));
    return WEIR_OK;
}

/* Lists of factors are in the file's tensors: without them there are no frequencies yet. */
static weir_status resolve_ropes(const weir_model *model, const wr_rope_recipe *recipes,
                                 wr_settings *out, weir_error *error) {
    const int64_t slots = out->sinks + out->window;
    weir_error inner;
    for (int32_t i = 0; i < model->rope_count; i++)
        if (wr_rope_init(&out->ropes[i], model->family->pairing, &recipes[i], slots, &inner) !=
            WEIR_OK)
            return weir_error_set(error, WEIR_USAGE, "%s", inner.message);
    return WEIR_OK;
}

weir_status wr_settings_resolve(const weir_model *model, const weir_stream_options *options,
                                wr_settings *out, weir_error *error) {
    weir_stream_options o = options ? *options : weir_stream_options_default();
    wr_rope_recipe recipes[WR_ROPES];
    if (!model->described)
        return weir_error_set(error, model->flaw.status, "%s", model->flaw.message);
    if (model->info.encoder)
        return weir_error_set(error, WEIR_UNSUPPORTED,
                              "%s: the family %s is an encoder, which reads a whole text both ways "
                              "and has no stream: weir embed makes vectors of texts with it",
                              model->info.path, model->info.family);
    weir_status status = check_enums(&o, error);
    if (status == WEIR_OK) status = check_applicable(&o, error);
    if (status == WEIR_OK) status = check_learned(model, &o, error);
    if (status != WEIR_OK) return status;
    out->policy = o.policy;
    out->cache_type = o.cache_type;
    out->eviction = o.eviction;
    out->rope_options = o.rope;
    memset(out->ropes, 0, sizeof out->ropes);
    status = wr_model_choose_rope(model, &o.rope, recipes, &out->context, error);
    if (status != WEIR_OK) return status;
    status = o.policy == WEIR_DENSE ? resolve_dense(&o, out, error)
                                    : resolve_window(&model->info, &o, out, error);
    if (status == WEIR_OK && model->bound) status = resolve_ropes(model, recipes, out, error);
    return status == WEIR_OK ? wr_settings_machine(model, &o, out, error) : status;
}

static wr_kv_type kv_type(weir_cache_type type) {
    switch (type) {
    case WEIR_CACHE_F32:
        return WR_KV_F32;
    case WEIR_CACHE_Q8_0:
        return WR_KV_Q8_0;
    case WEIR_CACHE_F16:
        break;
    }
    return WR_KV_F16;
}

wr_cache_options wr_settings_cache(const weir_model *model, const wr_settings *settings) {
    return (wr_cache_options){.shape = {.layers = model->layers,
                                        .kv_heads = model->kv_heads,
                                        .key_dim = model->key_dim,
                                        .value_dim = model->value_dim,
                                        .layer_windows = model->layer_windows},
                              .pinned = settings->sinks,
                              .recent = settings->window,
                              .chunk = settings->chunk,
                              .type = kv_type(settings->cache_type),
                              .by_message = settings->eviction == WEIR_EVICT_MESSAGE,
                              .bounded = settings->policy == WEIR_DENSE ||
                                         settings->policy == WEIR_RECOMPUTE};
}
