/* Making a probe, and giving it samples. The room is laid out twice: measured, then handed out. */
#include <stdlib.h>
#include <string.h>

#include "probe/probe_private.h"

#define MAP_BYTES_MAX ((double)((int64_t)2 << 30))
#define ALIGNMENT 64

/* --- Memory ----------------------------------------------------------------------------------- */

static void *system_allocate(void *context, size_t size) {
    (void)context;
    return aligned_alloc(ALIGNMENT, (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
}

static void system_release(void *context, void *memory, size_t size) {
    (void)context;
    (void)size;
    free(memory);
}

/* `count` items of `size` bytes at *at, which moves on; NULL while measuring. */
static void *take(char *block, size_t *at, int64_t count, size_t size) {
    size_t begin = *at;
    *at += ((size_t)count * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return block != NULL ? block + begin : NULL;
}

/* Returns the bytes that the arrays take behind the struct; `block` NULL only measures. */
static size_t lay_out(weir_probe *probe, char *block) {
    size_t at = 0;
    take(block, &at, 1, sizeof *probe);
    int64_t cells = probe->kept_layers * probe->rows * probe->stride;
    probe->layer_place = take(block, &at, probe->layers, sizeof *probe->layer_place);
    probe->head_place = take(block, &at, probe->heads, sizeof *probe->head_place);
    probe->maps = take(block, &at, cells * probe->kept_heads, sizeof *probe->maps);
    probe->map_seen = take(block, &at, cells, sizeof *probe->map_seen);
    probe->first = take(block, &at, (int64_t)probe->layers * probe->heads * WEIR_PROBE_FIRST,
                        sizeof *probe->first);
    probe->first_seen =
        take(block, &at, (int64_t)probe->layers * WEIR_PROBE_FIRST, sizeof *probe->first_seen);
    probe->lasts = take(block, &at, (int64_t)probe->layers * probe->heads, sizeof *probe->lasts);
    probe->terms = take(block, &at, (int64_t)probe->layers * probe->heads, sizeof *probe->terms);
    probe->term_seen = take(block, &at, probe->layers, sizeof *probe->term_seen);
    probe->tokens = take(block, &at, probe->layers * probe->rows, sizeof *probe->tokens);
    int64_t keys = probe->sinks + probe->window;
    probe->probabilities = take(block, &at, keys, sizeof *probe->probabilities);
    return at;
}

/* --- What is wanted --------------------------------------------------------------------------- */

static weir_status check_list(const char *what, const int32_t *list, int32_t count, int32_t have,
                              weir_error *error) {
    for (int32_t i = 0; list != NULL && i < count; i++) {
        if (list[i] < 0 || list[i] >= have) {
            return weir_error_set(error, WEIR_USAGE,
                                  "there is no %s %d: the model has %d of them, 0 to %d", what,
                                  list[i], have, have - 1);
        }
    }
    return WEIR_OK;
}

static weir_status check_size(const weir_probe *probe, weir_error *error) {
    double maps = (double)probe->kept_layers * (double)probe->kept_heads;
    double bytes = maps * (double)probe->rows * (double)probe->stride * sizeof(double);
    if (bytes <= MAP_BYTES_MAX) {
        return WEIR_OK;
    }
    return weir_error_set(
        error, WEIR_LIMIT,
        "%.0f maps of %lld x %lld cells take %.1f GiB, and at most 2 are allowed: "
        "choose fewer layers and heads, or shorter samples",
        maps, (long long)probe->rows, (long long)probe->columns, bytes / (1 << 30));
}

static weir_status check(const weir_probe *probe, weir_error *error) {
    const weir_probe_options *options = &probe->options;
    if (options->length < 1 || options->length > INT32_MAX || options->from < 0) {
        return weir_error_set(error, WEIR_USAGE,
                              "a sample of %lld tokens, counted from %lld on, cannot be probed",
                              (long long)options->length, (long long)options->from);
    }
    if (probe->recompute && options->length > probe->window) {
        return weir_error_set(
            error, WEIR_USAGE,
            "the recompute policy keeps no cache that could be looked into beyond "
            "its window of %lld: give samples of at most that many tokens, or "
            "choose the window policy",
            (long long)probe->window);
    }
    weir_status status =
        check_list("layer", options->layers, options->layer_count, probe->layers, error);
    if (status == WEIR_OK) {
        status = check_list("head", options->heads, options->head_count, probe->heads, error);
    }
    return status == WEIR_OK ? check_size(probe, error) : status;
}

/* How many different ones a list names; place[i]: which of them, or -1. `place` may be NULL. */
static int32_t place(const int32_t *list, int32_t count, int32_t have, int32_t *places) {
    int32_t kept = 0;
    for (int32_t i = 0; i < have; i++) {
        bool wanted = list == NULL;
        for (int32_t k = 0; k < count && !wanted; k++) {
            wanted = list[k] == i;
        }
        if (places != NULL) {
            places[i] = wanted ? kept : -1;
        }
        kept += wanted;
    }
    return kept;
}

static void describe(weir_probe *probe, const weir_model *model, const weir_plan *plan) {
    const weir_model_info *info = weir_model_get_info(model);
    const weir_probe_options *options = &probe->options;
    probe->layers = (int32_t)info->layers;
    probe->heads = (int32_t)info->heads;
    probe->kv_heads = (int32_t)info->kv_heads;
    probe->value_dim = info->value_dim;
    probe->sinks = plan->sinks;
    probe->window = plan->window;
    probe->recompute = plan->policy == WEIR_RECOMPUTE;
    probe->rows = options->length;
    probe->columns = options->length;
    if (options->columns == WEIR_PROBE_POSITION && plan->slots < options->length) {
        probe->columns = plan->slots;
    }
    probe->sink_term = strcmp(info->sink_term, "none") != 0;
    probe->stride = probe->columns + probe->sink_term;
    if (options->maps) {
        probe->kept_layers = place(options->layers, options->layer_count, probe->layers, NULL);
        probe->kept_heads = place(options->heads, options->head_count, probe->heads, NULL);
    }
}

/* --- Creating --------------------------------------------------------------------------------- */

/* An encoder reads samples whole, one by one. */
static weir_status start_embedder(weir_probe *probe, const weir_model *model,
                                  const weir_stream_options *stream, weir_error *error) {
    weir_embed_options embed = weir_embed_options_default();
    embed.tokens = probe->rows;
    embed.threads = stream->threads;
    embed.allocator = &probe->allocator;
    weir_status status = weir_embedder_create(model, &embed, &probe->embedder, error);
    if (status != WEIR_OK) {
        return status;
    }
    weir_embedder_observe(probe->embedder, wr_probe_take_rows, probe);
    return weir_embedder_observe_scores(probe->embedder, wr_probe_take_scores, probe, error);
}

static weir_status start_stream(weir_probe *probe, const weir_model *model,
                                const weir_stream_options *stream, weir_error *error) {
    if (weir_model_get_info(model)->encoder) {
        return start_embedder(probe, model, stream, error);
    }
    weir_status status = weir_stream_create(model, stream, &probe->stream, error);
    if (status != WEIR_OK) {
        return status;
    }
    weir_stream_observe(probe->stream, wr_probe_take_rows, probe);
    return weir_stream_observe_scores(probe->stream, wr_probe_take_scores, probe, error);
}

/* An encoder's token sees its whole sample. */
static weir_status plan_of(const weir_model *model, const weir_stream_options *stream,
                           const weir_probe_options *options, weir_plan *out, weir_error *error) {
    if (!weir_model_get_info(model)->encoder) {
        return weir_stream_plan(model, stream, out, error);
    }
    *out = (weir_plan){.policy = WEIR_DENSE, .window = options->length, .slots = options->length};
    return WEIR_OK;
}

weir_status weir_probe_create(const weir_model *model, const weir_stream_options *stream,
                              const weir_probe_options *options, weir_probe **out,
                              weir_error *error) {
    static const weir_allocator system = {system_allocate, system_release, NULL};
    weir_plan plan;
    weir_probe plain = {.options = *options,
                        .allocator = options->allocator != NULL ? *options->allocator : system};
    *out = NULL;
    weir_status status = plan_of(model, stream, options, &plan, error);
    if (status == WEIR_OK) {
        describe(&plain, model, &plan);
        status = check(&plain, error);
    }
    if (status != WEIR_OK) {
        return status;
    }
    plain.bytes = lay_out(&plain, NULL);
    weir_probe *probe = plain.allocator.allocate(plain.allocator.context, plain.bytes);
    if (probe == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for the maps: %zu bytes", plain.bytes);
    }
    memset(probe, 0, plain.bytes);
    *probe = plain;
    lay_out(probe, (char *)probe);
    place(options->layers, options->layer_count, probe->layers, probe->layer_place);
    place(options->heads, options->head_count, probe->heads, probe->head_place);
    status = start_stream(probe, model, stream, error);
    if (status != WEIR_OK) {
        weir_probe_destroy(probe);
        return status;
    }
    *out = probe;
    return WEIR_OK;
}

void weir_probe_destroy(weir_probe *probe) {
    if (probe == NULL) {
        return;
    }
    weir_allocator allocator = probe->allocator;
    weir_stream_destroy(probe->stream);
    weir_embedder_destroy(probe->embedder);
    allocator.release(allocator.context, probe, probe->bytes);
}

weir_stream *weir_probe_get_stream(weir_probe *probe) { return probe->stream; }

/* --- Adding ----------------------------------------------------------------------------------- */

static weir_status feed_sample(weir_probe *probe, const int32_t *tokens, int64_t count,
                               weir_error *error) {
    weir_status status = weir_stream_rewind(probe->stream, 0, error);
    if (status == WEIR_OK) {
        status = weir_stream_feed_tokens(probe->stream, tokens, count, error);
    }
    if (status == WEIR_OK && probe->recompute) { /* which only computes when somebody looks */
        const float *logits;
        status = weir_stream_logits(probe->stream, &logits, error);
    }
    return status;
}

weir_status weir_probe_add(weir_probe *probe, const int32_t *tokens, int64_t count,
                           weir_error *error) {
    if (count < 1 || count > probe->rows) {
        return weir_error_set(error, WEIR_USAGE, "a sample of %lld tokens, where 1 to %lld fit",
                              (long long)count, (long long)probe->rows);
    }
    probe->broken = false;
    weir_status status = probe->embedder != NULL
                             ? weir_embed_tokens(probe->embedder, tokens, count, NULL, NULL, error)
                             : feed_sample(probe, tokens, count, error);
    if (status == WEIR_OK && probe->broken) {
        status = weir_error_set(error, WEIR_NAN,
                                "the attention scores of sample %lld are not all numbers: the "
                                "model's weights are damaged",
                                (long long)probe->samples);
    }
    probe->samples += status == WEIR_OK;
    return status;
}
