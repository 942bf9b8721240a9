/*
 * What training computes is what the exported model computes in a stream: the likelihood of every
 * token, and the attention on the first token and on the sink in the softmax, for every sink and
 * both position schemes. So training, export, binding, attention and probe have one meaning.
 */
#include "support/train_sample.h"

#include <math.h>

#include "support/random_model.h"
#include "train/export.h"
#include "weir/probe.h"

enum { LAYERS = 2, HEADS = 6, CONTEXT = 70 };

static const weir_train_sink sinks[] = {WEIR_TRAIN_SINK_NONE, WEIR_TRAIN_SINK_ZERO,
                                        WEIR_TRAIN_SINK_LOGIT, WEIR_TRAIN_SINK_TOKEN};

static weir_train_shape shape_of(weir_train_sink sink, weir_train_positions positions, bool tied) {
    return (weir_train_shape){.layers = LAYERS,
                              .width = 48,
                              .heads = HEADS, /* no power of two: slopes of two kinds */
                              .kv_heads = 3,
                              .feed_forward = 80,
                              .context = CONTEXT,
                              .vocabulary = RANDOM_VOCABULARY,
                              .tied = tied,
                              .sink = sink,
                              .positions = positions,
                              .rope_base = 500, /* not the usual one */
                              .norm_epsilon = 1e-4};
}

static weir_model *export_and_open(const wr_core *core, const weir_train_shape *shape) {
    weir_error error;
    weir_model *model;
    char path[64];
    const wr_export export = {.shape = *shape,
                              .parameters = wr_core_parameters((wr_core *)(uintptr_t)core),
                              .vocabulary = tiny.path,
                              .format = "F32",
                              .name = "trained"};
    snprintf(path, sizeof path, "/tmp/weir-trained-%d.gguf", (int)getpid());
    must(wr_export_write(path, &export, NULL, &error), &error);
    must(weir_model_open(path, NULL, &model, &error), &error);
    unlink(path);
    return model;
}

typedef struct scored {
    const weir_model *model;
    const int32_t *tokens;
    double nll[CONTEXT];
} scored;

static weir_status score(void *context, int64_t index, const float *logits, int32_t n_vocab) {
    scored *to = context;
    (void)n_vocab;
    to->nll[index] = weir_model_nll(to->model, logits, to->tokens[index + 1]);
    return WEIR_OK;
}

static void check_likelihoods(wr_core *core, const weir_model *model, const int32_t *tokens) {
    weir_error error;
    float trained[CONTEXT];
    double sum = 0, ours = 0;
    int64_t count = 0;
    scored streamed = {.model = model, .tokens = tokens};
    weir_stream_options options = stream_options(WEIR_DENSE, 0, CONTEXT);
    must(wr_core_score(core, tokens, 1, &sum, &count, trained, &error), &error);
    assert_int_equal(count, CONTEXT);
    weir_stream *stream = stream_make(model, &options);
    must(weir_stream_feed_scored(stream, tokens, CONTEXT, score, &streamed, &error), &error);
    for (int i = 0; i < CONTEXT; i++) {
        ours += streamed.nll[i];
        if (!(fabs(streamed.nll[i] - (double)trained[i]) <= 2e-4 * (1 + (double)trained[i])))
            fail_msg("token %d: %.7g nats in training, %.7g in a stream", i, (double)trained[i],
                     streamed.nll[i]);
    }
    assert_true(fabs(ours - sum) <= 2e-6 * sum);
    weir_stream_destroy(stream);
}

static void check_attention(wr_core *core, const weir_model *model, const int32_t *tokens) {
    weir_error error;
    double trained[LAYERS][HEADS][2];
    weir_probe *probe;
    weir_stream_options options = stream_options(WEIR_DENSE, 0, CONTEXT);
    const weir_probe_options wanted = {.length = CONTEXT, .from = 1};
    must(wr_core_sinks(core, tokens, 1, &trained[0][0][0], &error), &error);
    must(weir_probe_create(model, &options, &wanted, &probe, &error), &error);
    must(weir_probe_add(probe, tokens, CONTEXT, &error), &error);
    for (int32_t layer = 0; layer < LAYERS; layer++)
        for (int32_t head = 0; head < HEADS; head++) {
            double first[WEIR_PROBE_FIRST];
            double term = weir_probe_sink_term(probe, layer, head);
            weir_probe_first(probe, WEIR_PROBE_PROBABILITY, layer, head, first);
            assert_true(fabs(first[0] - trained[layer][head][0]) < 1e-5);
            assert_true(fabs((isnan(term) ? 0 : term) - trained[layer][head][1]) < 1e-5);
        }
    weir_probe_destroy(probe);
}

static void a_stream_computes_what_training_did(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof sinks / sizeof sinks[0]; i++)
        for (int positions = WEIR_TRAIN_ROPE; positions <= WEIR_TRAIN_ALIBI; positions++) {
            weir_train_shape shape =
                shape_of(sinks[i], (weir_train_positions)positions, (i + (size_t)positions) % 2);
            wr_core *core = open_core(&shape, 1, 2);
            disturb(core, &shape, 20 + i);
            int32_t *tokens = draw_tokens(&shape, 1, 30 + i);
            weir_model *model = export_and_open(core, &shape);
            check_likelihoods(core, model, tokens);
            check_attention(core, model, tokens);
            weir_model_close(model);
            free(tokens);
            wr_core_destroy(core);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_stream_computes_what_training_did)};
    return cmocka_run_group_tests_name("training and inference", tests, tiny_set_up,
                                       tiny_tear_down);
}
