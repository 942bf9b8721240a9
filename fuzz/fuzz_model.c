/*
 * Any bytes as a model file: when it opens, a few tokens are computed, and whatever they come to,
 * it is logits or one sentence. The corpus has families of different kinds, damaged by whoever
 * searches.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "weir/weir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WINDOW = 4, TOKENS = 9, MOST = 64 << 20 };

static void require(bool truth) {
    if (!truth) abort();
}

static void require_sentence(const weir_error *error) {
    require(error->message[0] != '\0' && strchr(error->message, '\n') == NULL);
}

static void compute(const weir_model *model, weir_policy policy) {
    weir_error error = {0};
    weir_plan plan;
    weir_stream *stream;
    weir_stream_options options = weir_stream_options_default();
    const int32_t vocabulary = (int32_t)weir_model_get_info(model)->vocabulary;
    options.policy = policy;
    options.window = WINDOW;
    options.sinks = policy == WEIR_SINK ? 2 : -1;
    options.chunk = 3;
    options.threads = 1;
    if (weir_stream_plan(model, &options, &plan, &error) != WEIR_OK) {
        require_sentence(&error);
        return;
    }
    if (plan.reserved_bytes > MOST) return;
    require(weir_stream_create(model, &options, &stream, &error) == WEIR_OK);
    for (int32_t i = 0; i < TOKENS; i++) {
        const int32_t token = i * 31 % vocabulary;
        const float *logits;
        require(weir_stream_feed_tokens(stream, &token, 1, &error) == WEIR_OK);
        if (weir_stream_logits(stream, &logits, &error) != WEIR_OK) {
            require_sentence(&error); /* not a number */
            break;
        }
    }
    weir_stream_destroy(stream);
}

/* An encoder has vectors instead. */
static void embed(const weir_model *model) {
    weir_error error = {0};
    weir_embedder *embedder;
    int32_t tokens[TOKENS];
    const weir_model_info *info = weir_model_get_info(model);
    weir_embed_options options = {.threads = 1, .tokens = 1};
    if (info->trained_context >= TOKENS) options.tokens = TOKENS;
    float *vector = calloc((size_t)info->width, sizeof *vector);
    require(vector != NULL);
    for (int32_t i = 0; i < TOKENS; i++) tokens[i] = (int32_t)(i * 31 % info->vocabulary);
    if (weir_embedder_create(model, &options, &embedder, &error) != WEIR_OK) {
        require_sentence(&error);
    } else {
        if (weir_embed_tokens(embedder, tokens, options.tokens, vector, NULL, &error) != WEIR_OK)
            require_sentence(&error);
        weir_embedder_destroy(embedder);
    }
    free(vector);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64];
    weir_error error = {0};
    weir_model *model = NULL;
    const int file = memfd_create("model", 0);
    require(file >= 0 && write(file, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (weir_model_open(path, NULL, &model, &error) != WEIR_OK) {
        require(model == NULL);
        require_sentence(&error);
    } else if (weir_model_get_info(model)->encoder) {
        embed(model);
    } else {
        compute(model, WEIR_SINK);
        compute(model, WEIR_RECOMPUTE);
    }
    weir_model_close(model);
    close(file);
    return 0;
}
