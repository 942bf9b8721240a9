/* What clients ask of the server: read as it is meant, or refused with a sentence that names it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "requests/embed_request.h"
#include "requests/openai_request.h"
#include "requests/streams_request.h"

#define VOCABULARY 512
#define MOST 1000

static json_t *object_of(const char *text) {
    weir_error error;
    json_t *object = json_object_of(text, strlen(text), &error);
    if (object == NULL) fail_msg("%s: %s", text, error.message);
    return object;
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static void refuse_body(const char *text, size_t size, const char *words) {
    weir_error error = {0};
    assert_null(json_object_of(text, size, &error));
    assert_int_equal(error.status, WEIR_USAGE);
    assert_non_null(strstr(error.message, words));
}

static void bodies_that_are_none(void **state) {
    (void)state;
    char *deep = malloc(200001);
    memset(deep, '[', 200000);
    deep[200000] = '\0';
    refuse_body("", 0, "not JSON");
    refuse_body("{", 1, "not JSON");
    refuse_body("[1]", 3, "object");
    refuse_body("{} x", 4, "not JSON");
    refuse_body("{\"a\":1,\"a\":2}", 13, "not JSON");
    refuse_body("{\"a\":\"\xff\"}", 9, "not JSON");
    refuse_body("{\"a\":\"\\ud800\"}", 14, "not JSON");
    refuse_body("{\"a\":\"\\u0000\"}", 14, "not JSON");
    refuse_body("{\"a\":1e999}", 11, "not JSON");
    refuse_body(deep, 200000, "nested");
    free(deep);
}

static void brackets_in_strings_are_not_nesting(void **state) {
    (void)state;
    char body[300] = "{\"a\":\"";
    for (int i = 0; i < 100; i++) strcat(body, "[");
    strcat(body, "\\\"[[\"}");
    json_t *object = object_of(body);
    json_decref(object);
}

/* ---- making text ----------------------------------------------------------------------------- */

static weir_status completion(const char *text, openai_request *out, weir_error *error) {
    json_t *object = object_of(text);
    error->status = WEIR_OK;
    weir_status status = openai_read_completion(object, VOCABULARY, MOST, out, error);
    json_decref(object); /* the tests below look at nothing borrowed */
    return status;
}

static void refuse_completion(const char *text, const char *words) {
    openai_request made;
    weir_error error;
    weir_status status = completion(text, &made, &error);
    openai_request_free(&made);
    if (status == WEIR_OK) fail_msg("%s was accepted", text);
    if (strstr(error.message, words) == NULL) fail_msg("%s: %s", text, error.message);
}

static void sampling_is_read(void **state) {
    (void)state;
    openai_request made;
    weir_error error;
    assert_int_equal(
        completion("{\"prompt\":\"x\",\"temperature\":0.5,\"top_p\":0.25,\"top_k\":7,\"seed\":9,"
                   "\"presence_penalty\":1,\"frequency_penalty\":-1,\"max_tokens\":12,\"n\":3,"
                   "\"stop\":[\"a\",\"bc\"],\"logit_bias\":{\"5\":2.5,\"6\":-100}}",
                   &made, &error),
        WEIR_OK);
    const weir_sampling *rules = &made.generate.sampling;
    assert_true(rules->temperature == 0.5f && rules->top_p == 0.25f && rules->top_k == 7);
    assert_true(rules->presence_penalty == 1.0f && rules->frequency_penalty == -1.0f);
    assert_int_equal(rules->seed, 9);
    assert_int_equal(made.generate.max_tokens, 12);
    assert_int_equal(made.generate.n, 3);
    assert_int_equal(made.generate.stop_count, 2);
    assert_string_equal(made.generate.stops[1], "bc");
    assert_int_equal(rules->bias_count, 2);
    assert_int_equal(rules->bias[0].token, 5);
    assert_true(rules->bias[0].bias == 2.5f);
    assert_true(isinf(rules->bias[1].bias));
    openai_request_free(&made);
}

static void unsaid_is_the_default(void **state) {
    (void)state;
    openai_request made;
    weir_error error;
    weir_sampling defaults = weir_sampling_default();
    assert_int_equal(completion("{\"prompt\":[1,2],\"temperature\":null}", &made, &error), WEIR_OK);
    assert_true(made.generate.sampling.temperature == defaults.temperature);
    assert_int_equal(made.generate.sampling.top_k, defaults.top_k);
    assert_int_equal(made.generate.max_tokens, 16);
    assert_int_equal(made.logprobs, -1);
    assert_int_equal(made.token_count, 2);
    assert_int_equal(made.tokens[1], 2);
    assert_false(made.generate.stream);
    openai_request_free(&made);
}

static void wrong_values_are_named(void **state) {
    (void)state;
    refuse_completion("{}", "prompt must be");
    refuse_completion("{\"prompt\":5}", "prompt must be");
    refuse_completion("{\"prompt\":[\"a\",\"b\"]}", "one prompt");
    refuse_completion("{\"prompt\":[1,512]}", "prompt[1]");
    refuse_completion("{\"prompt\":[1,-1]}", "prompt[1]");
    refuse_completion("{\"prompt\":[1,[]]}", "prompt[1]");
    refuse_completion("{\"prompt\":\"x\",\"max_tokens\":1001}", "at most 1000");
    refuse_completion("{\"prompt\":\"x\",\"max_tokens\":-1}", "max_tokens");
    refuse_completion("{\"prompt\":\"x\",\"max_tokens\":1.5}", "max_tokens");
    refuse_completion("{\"prompt\":\"x\",\"max_tokens\":\"5\"}", "max_tokens");
    refuse_completion("{\"prompt\":\"x\",\"temperature\":-1}", "temperature");
    refuse_completion("{\"prompt\":\"x\",\"top_p\":0}", "top_p");
    refuse_completion("{\"prompt\":\"x\",\"n\":0}", "n must be");
    refuse_completion("{\"prompt\":\"x\",\"n\":17}", "n must be");
    refuse_completion("{\"prompt\":\"x\",\"stop\":5}", "stop must be");
    refuse_completion("{\"prompt\":\"x\",\"stop\":[\"\"]}", "a stop string");
    refuse_completion("{\"prompt\":\"x\",\"stop\":[1]}", "stop must be");
    refuse_completion("{\"prompt\":\"x\",\"logit_bias\":{\"512\":1}}", "logit_bias");
    refuse_completion("{\"prompt\":\"x\",\"logit_bias\":{\"-1\":1}}", "logit_bias");
    refuse_completion("{\"prompt\":\"x\",\"logit_bias\":{\"1x\":1}}", "logit_bias");
    refuse_completion("{\"prompt\":\"x\",\"logit_bias\":{\"1\":\"a\"}}", "logit_bias");
    refuse_completion("{\"prompt\":\"x\",\"logit_bias\":{\"1\":1e300}}", "logit_bias");
    refuse_completion("{\"prompt\":\"x\",\"logprobs\":21}", "logprobs");
    refuse_completion("{\"prompt\":\"x\",\"logprobs\":true}", "logprobs");
    refuse_completion("{\"prompt\":\"x\",\"stream\":1}", "stream must be");
    refuse_completion("{\"prompt\":\"x\",\"stream_options\":{\"include_usage\":true}}", "stream");
    refuse_completion("{\"prompt\":\"x\",\"echo\":true}", "echo");
    refuse_completion("{\"prompt\":\"x\",\"suffix\":\"y\"}", "suffix");
    refuse_completion("{\"prompt\":\"x\",\"best_of\":2}", "best_of");
    refuse_completion("{\"prompt\":\"x\",\"system\":\"y\"}", "system");
    refuse_completion("{\"prompt\":\"x\",\"messages\":[]}", "\"messages\"");
    refuse_completion("{\"prompt\":\"x\",\"stream_id\":\"a\",\"n\":2}", "stream_id");
}

/* ---- chats ----------------------------------------------------------------------------------- */

static weir_status chat(const char *text, openai_request *out, weir_error *error) {
    json_t *object = object_of(text);
    weir_status status = openai_read_chat(object, VOCABULARY, MOST, out, error);
    json_decref(object);
    return status;
}

static void messages_are_read(void **state) {
    (void)state;
    openai_request made;
    weir_error error;
    assert_int_equal(
        chat("{\"messages\":[{\"role\":\"developer\",\"content\":\"a\"},"
             "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"b\"},"
             "{\"type\":\"text\",\"text\":\"c\"}],\"name\":\"me\"},"
             "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":null}],"
             "\"logprobs\":true,\"max_completion_tokens\":5,\"tools\":[],\"tool_choice\":\"none\"}",
             &made, &error),
        WEIR_OK);
    assert_int_equal(made.conversation.count, 3);
    assert_int_equal(made.conversation.messages[0].role, WEIR_ROLE_SYSTEM);
    assert_int_equal(made.conversation.messages[1].size, 2);
    assert_memory_equal(made.conversation.messages[1].text, "bc", 2);
    assert_int_equal(made.conversation.messages[2].size, 0);
    assert_ptr_equal(conversation_system(&made.conversation), made.conversation.messages);
    assert_int_equal(made.logprobs, 0);
    assert_int_equal(made.generate.max_tokens, 5);
    openai_request_free(&made);
}

static void refuse_chat(const char *rest, const char *words) {
    char text[400];
    openai_request made;
    weir_error error = {0};
    snprintf(text, sizeof text, "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],%s}", rest);
    weir_status status = chat(text, &made, &error);
    openai_request_free(&made);
    if (status == WEIR_OK) fail_msg("%s was accepted", text);
    if (strstr(error.message, words) == NULL) fail_msg("%s: %s", text, error.message);
}

static void what_is_not_supported_is_refused(void **state) {
    (void)state;
    refuse_chat("\"response_format\":{\"type\":\"json_object\"}", "response_format");
    refuse_chat("\"response_format\":5", "response_format");
    refuse_chat("\"tools\":[{}]", "tools");
    refuse_chat("\"tool_choice\":\"auto\"", "tools");
    refuse_chat("\"functions\":[]", "tools");
    refuse_chat("\"modalities\":[\"audio\"]", "modalities");
    refuse_chat("\"audio\":{}", "modalities");
    refuse_chat("\"store\":true", "store");
    refuse_chat("\"logprobs\":1", "logprobs");
    refuse_chat("\"top_logprobs\":2", "top_logprobs");
    refuse_chat("\"reasoning_effort\":\"high\"", "reasoning_effort");
}

static void refuse_messages(const char *list, const char *words) {
    weir_error error = {0};
    server_conversation made;
    json_t *value = json_loads(list, JSON_DECODE_ANY, NULL);
    assert_int_equal(conversation_read(value, &made, &error), WEIR_USAGE);
    if (strstr(error.message, words) == NULL) fail_msg("%s: %s", list, error.message);
    assert_int_equal(made.count, 0);
    conversation_free(&made);
    json_decref(value);
}

static void wrong_messages_are_named(void **state) {
    (void)state;
    refuse_messages("[]", "messages must be");
    refuse_messages("\"x\"", "messages must be");
    refuse_messages("[5]", "messages[0]: role");
    refuse_messages("[{\"role\":\"user\"}]", "messages[0]: content");
    refuse_messages("[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"tool\",\"content\":\"b\"}]",
                    "messages[1]: role");
    refuse_messages("[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]", "text only");
    refuse_messages("[{\"role\":\"user\",\"content\":\"a\",\"tool_calls\":[]}]", "tool_calls");
}

/* ---- streams --------------------------------------------------------------------------------- */

static weir_status apply(const char *text, weir_stream_options *options, weir_error *error) {
    create_request made;
    json_t *object = object_of(text);
    *options = weir_stream_options_default();
    options->cache = 64;
    weir_status status = create_request_read(object, VOCABULARY, &made, error);
    if (status == WEIR_OK) status = stream_request_apply(&made.stream, options, error);
    create_request_free(&made);
    json_decref(object);
    return status;
}

static void streams_are_shaped(void **state) {
    (void)state;
    weir_stream_options options;
    weir_error error;
    assert_int_equal(apply("{}", &options, &error), WEIR_OK);
    assert_int_equal(options.cache, 64);
    assert_int_equal(apply("{\"window\":28,\"sinks\":2,\"evict\":\"message\"}", &options, &error),
                     WEIR_OK);
    assert_true(options.window == 28 && options.cache == 0 && options.sinks == 2);
    assert_int_equal(options.eviction, WEIR_EVICT_MESSAGE);
    /* another policy leaves nothing of the sizes before */
    assert_int_equal(
        apply("{\"policy\":\"dense\",\"context\":99,\"beyond\":true,\"cache_type\":\"q8_0\"}",
              &options, &error),
        WEIR_OK);
    assert_true(options.policy == WEIR_DENSE && options.context == 99 && options.cache == 0);
    assert_true(options.beyond && options.cache_type == WEIR_CACHE_Q8_0);
}

static void sizes_that_do_not_apply_are_refused(void **state) {
    static const char *const bodies[] = {"{\"policy\":\"dense\",\"window\":5}",
                                         "{\"policy\":\"window\",\"sinks\":5}",
                                         "{\"context\":5}",
                                         "{\"window\":5,\"cache\":9}",
                                         "{\"policy\":\"recompute\"}",
                                         "{\"policy\":\"\"}",
                                         "{\"cache_type\":\"f64\"}",
                                         "{\"evict\":\"all\"}",
                                         "{\"beyond\":true}",
                                         "{\"sinks\":-1}",
                                         "{\"window\":0}",
                                         "{\"window\":1e30}",
                                         "{\"system\":\"a\",\"chat_system\":\"b\"}",
                                         "{\"max_tokens\":5}"};
    weir_stream_options options;
    weir_error error;
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        if (apply(bodies[i], &options, &error) != WEIR_USAGE)
            fail_msg("%s was accepted", bodies[i]);
}

static void texts_are_read(void **state) {
    (void)state;
    text_request made;
    weir_error error;
    json_t *object = object_of("{\"text\":\"ab\",\"max_tokens\":3,\"logprobs\":2}");
    assert_int_equal(text_request_read(object, true, VOCABULARY, MOST, &made, &error), WEIR_OK);
    assert_int_equal(made.text_size, 2);
    assert_int_equal(made.logprobs, 2);
    text_request_free(&made);
    /* what only makes text is no field of an append */
    assert_int_equal(text_request_read(object, false, VOCABULARY, MOST, &made, &error), WEIR_USAGE);
    text_request_free(&made);
    json_decref(object);
    object = object_of("{}");
    assert_int_equal(text_request_read(object, true, VOCABULARY, MOST, &made, &error), WEIR_OK);
    text_request_free(&made);
    assert_int_equal(text_request_read(object, false, VOCABULARY, MOST, &made, &error), WEIR_USAGE);
    text_request_free(&made);
    json_decref(object);
}

/* Every rule of another stream's own, unlike the defaults. */
static const weir_sampling rules = {.temperature = 0.25f,
                                    .top_k = 7,
                                    .top_p = 0.5f,
                                    .min_p = 0.125f,
                                    .typical = 0.75f,
                                    .repetition_penalty = 1.5f,
                                    .presence_penalty = 0.5f,
                                    .frequency_penalty = 0.375f,
                                    .penalty_window = 17,
                                    .seed = 4};

static void unsaid_rules_are_the_streams(void **state) {
    (void)state;
    text_request made;
    weir_error error;
    json_t *object = object_of("{\"top_k\":3,\"min_p\":0,\"temperature\":null,"
                               "\"logit_bias\":{\"5\":-100}}");
    assert_int_equal(text_request_read(object, true, VOCABULARY, MOST, &made, &error), WEIR_OK);
    const uint64_t drawn = made.generate.seed;
    weir_sampling *is = &made.generate.sampling;
    for (int seeded = 0; seeded < 2; seeded++) {
        generate_request_inherit(&made.generate, &rules, seeded);
        assert_true(is->top_k == 3 && is->min_p == 0);
        assert_true(is->temperature == rules.temperature && is->top_p == rules.top_p);
        assert_true(is->typical == rules.typical && is->penalty_window == rules.penalty_window);
        assert_true(is->repetition_penalty == rules.repetition_penalty);
        assert_true(is->presence_penalty == rules.presence_penalty);
        assert_true(is->frequency_penalty == rules.frequency_penalty);
        assert_int_equal(is->bias_count, 1);
        assert_true(is->seed == (seeded ? rules.seed : drawn) && made.generate.seed == is->seed);
    }
    text_request_free(&made);
    json_decref(object);
    object = object_of("{\"seed\":9}");
    assert_int_equal(text_request_read(object, true, VOCABULARY, MOST, &made, &error), WEIR_OK);
    generate_request_inherit(&made.generate, &rules, true);
    assert_int_equal(made.generate.sampling.seed, 9);
    text_request_free(&made);
    json_decref(object);
}

static void places_are_read(void **state) {
    (void)state;
    place_request made;
    weir_error error;
    json_t *object = object_of("{\"index\":5}");
    assert_int_equal(rewind_request_read(object, &made, &error), WEIR_OK);
    assert_int_equal(made.index, 5);
    assert_int_equal(mark_request_read(object, &made, &error), WEIR_USAGE);
    json_decref(object);
    object = object_of("{\"index\":5,\"mark\":\"a\"}");
    assert_int_equal(rewind_request_read(object, &made, &error), WEIR_USAGE);
    json_decref(object);
}

/* ---- embeddings ------------------------------------------------------------------------------ */

static void refuse_inputs(const char *text, const char *words) {
    embed_request made;
    weir_error error = {0};
    json_t *object = object_of(text);
    assert_int_equal(embed_request_read(object, VOCABULARY, 64, &made, &error), WEIR_USAGE);
    if (strstr(error.message, words) == NULL) fail_msg("%s: %s", text, error.message);
    embed_request_free(&made);
    json_decref(object);
}

static void inputs_are_read(void **state) {
    (void)state;
    embed_request made;
    weir_error error;
    json_t *object = object_of("{\"input\":[\"ab\",[1,2,3],\"c\"],\"encoding_format\":\"base64\","
                               "\"dimensions\":64}");
    assert_int_equal(embed_request_read(object, VOCABULARY, 64, &made, &error), WEIR_OK);
    assert_int_equal(made.count, 3);
    assert_true(made.base64);
    assert_memory_equal(made.inputs[0].text, "ab", 2);
    assert_int_equal(made.inputs[1].size, 3);
    assert_int_equal(made.inputs[1].tokens[2], 3);
    embed_request_free(&made);
    json_decref(object);
    refuse_inputs("{}", "input must be");
    refuse_inputs("{\"input\":[]}", "input must be");
    refuse_inputs("{\"input\":\"\"}", "input must be");
    refuse_inputs("{\"input\":[\"a\",\"\"]}", "input must be");
    refuse_inputs("{\"input\":[[]]}", "input must be");
    refuse_inputs("{\"input\":[1,512]}", "tokens");
    refuse_inputs("{\"input\":[[1],[-1]]}", "tokens");
    refuse_inputs("{\"input\":\"a\",\"dimensions\":32}", "dimensions");
    refuse_inputs("{\"input\":\"a\",\"encoding_format\":\"int8\"}", "encoding_format");
}

static void bytes_become_base64(void **state) {
    static const char *const wanted[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE="};
    (void)state;
    for (size_t size = 0; size < 6; size++) {
        char *text = base64_encode("fooba", size);
        assert_string_equal(text, wanted[size]);
        free(text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_that_are_none),
        cmocka_unit_test(brackets_in_strings_are_not_nesting),
        cmocka_unit_test(sampling_is_read),
        cmocka_unit_test(unsaid_is_the_default),
        cmocka_unit_test(wrong_values_are_named),
        cmocka_unit_test(messages_are_read),
        cmocka_unit_test(what_is_not_supported_is_refused),
        cmocka_unit_test(wrong_messages_are_named),
        cmocka_unit_test(streams_are_shaped),
        cmocka_unit_test(sizes_that_do_not_apply_are_refused),
        cmocka_unit_test(texts_are_read),
        cmocka_unit_test(unsaid_rules_are_the_streams),
        cmocka_unit_test(places_are_read),
        cmocka_unit_test(inputs_are_read),
        cmocka_unit_test(bytes_become_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
