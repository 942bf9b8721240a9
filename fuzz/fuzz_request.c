/*
 * Any bytes as the body of a request to the server: read, or refused with a sentence.
 *
 *   byte 0   which request: a completion, a chat, a stream, text, a mark, a place, inputs to embed
 *   rest     the body
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "requests/embed_request.h"
#include "requests/openai_request.h"
#include "requests/streams_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define VOCABULARY 512
#define MOST_TOKENS 1000

static void require(bool truth) {
    if (!truth) abort();
}

/* What was read keeps every promise that the rest of the server relies on. */
static void check_generate(const generate_request *made) {
    require(made->max_tokens >= 0 && made->max_tokens <= MOST_TOKENS);
    require(made->n >= 1 && made->n <= REQUEST_CHOICES);
    require(made->stop_count <= REQUEST_STOPS);
    require(weir_sampling_check(&made->sampling, VOCABULARY, NULL) == WEIR_OK);
    for (int i = 0; i < made->stop_count; i++) {
        size_t length = strlen(made->stops[i]);
        require(length > 0 && length <= REQUEST_STOP_BYTES);
    }
}

static void check_conversation(const server_conversation *made) {
    for (int64_t i = 0; i < made->count; i++) require(made->messages[i].text != NULL);
}

static weir_status read_openai(json_t *object, bool chat, weir_error *error) {
    openai_request made;
    weir_status status =
        chat ? openai_read_chat(object, VOCABULARY, MOST_TOKENS, &made, error)
             : openai_read_completion(object, VOCABULARY, MOST_TOKENS, &made, error);
    if (status == WEIR_OK) {
        check_generate(&made.generate);
        check_conversation(&made.conversation);
        require(made.logprobs >= -1 && made.logprobs <= REQUEST_TOP);
        require(!chat || made.conversation.count > 0);
        for (int64_t i = 0; i < made.token_count; i++)
            require(made.tokens[i] >= 0 && made.tokens[i] < VOCABULARY);
    }
    openai_request_free(&made);
    return status;
}

static weir_status read_stream(json_t *object, weir_error *error) {
    create_request made;
    weir_stream_options options = weir_stream_options_default();
    weir_status status = create_request_read(object, VOCABULARY, &made, error);
    if (status == WEIR_OK) {
        check_generate(&made.sampling);
        status = stream_request_apply(&made.stream, &options, error);
        require(options.policy != WEIR_RECOMPUTE && options.window >= 0 && options.sinks >= -1);
    }
    create_request_free(&made);
    return status;
}

static weir_status read_text(json_t *object, bool makes, weir_error *error) {
    text_request made;
    weir_sampling rules = weir_sampling_default();
    weir_status status = text_request_read(object, makes, VOCABULARY, MOST_TOKENS, &made, error);
    if (status == WEIR_OK) {
        if (makes) check_generate(&made.generate);
        generate_request_inherit(&made.generate, &rules, false);
        if (makes) check_generate(&made.generate);
        check_conversation(&made.conversation);
        require(made.text == NULL || made.conversation.count == 0);
    }
    text_request_free(&made);
    return status;
}

static weir_status read_place(json_t *object, bool rewinds, weir_error *error) {
    place_request made;
    weir_status status = rewinds ? rewind_request_read(object, &made, error)
                                 : mark_request_read(object, &made, error);
    if (status == WEIR_OK) require((made.name != NULL) != (rewinds && made.index >= 0));
    return status;
}

static weir_status read_inputs(json_t *object, weir_error *error) {
    embed_request made;
    weir_status status = embed_request_read(object, VOCABULARY, 64, &made, error);
    if (status == WEIR_OK) {
        require(made.count > 0 && made.count <= EMBED_INPUTS);
        for (int64_t i = 0; i < made.count; i++) {
            require(made.inputs[i].size > 0);
            require((made.inputs[i].text == NULL) == (made.inputs[i].tokens != NULL));
        }
    }
    embed_request_free(&made);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    weir_error error = {0};
    if (size == 0) return 0;
    json_t *object = json_object_of((const char *)data + 1, size - 1, &error);
    weir_status status = object != NULL ? WEIR_OK : error.status;
    if (object != NULL) {
        int which = data[0] % 8;
        status = which < 2    ? read_openai(object, which == 1, &error)
                 : which == 2 ? read_stream(object, &error)
                 : which < 5  ? read_text(object, which == 4, &error)
                 : which == 7 ? read_inputs(object, &error)
                              : read_place(object, which == 6, &error);
    }
    if (status != WEIR_OK) {
        require(error.status == status && strlen(error.message) > 0);
    }
    json_decref(object);
    return 0;
}
