#include "requests/openai_request.h"

#include <stdlib.h>
#include <string.h>

#define COMPLETION_TOKENS 16 /* what OpenAI's completions make when nothing is said */
#define CHAT_TOKENS 1024

/* Fields of both kinds, as they stand in the body. */
typedef struct raw {
    const char *model, *stream_id, *user, *suffix;
    json_t *prompt, *messages, *response_format, *logprobs, *metadata, *modalities;
    json_t *tools, *tool_choice, *functions, *function_call, *parallel_tool_calls, *audio;
    int64_t top_logprobs, best_of;
    bool echo, store;
} raw;

#define AT(field) offsetof(raw, field)
static const json_field common_fields[] = {
    {"model", FIELD_TEXT, AT(model), 0, 0},      {"stream_id", FIELD_TEXT, AT(stream_id), 0, 0},
    {"user", FIELD_TEXT, AT(user), 0, 0}, /* a name for whoever counts: nobody here does */
    {"logprobs", FIELD_ANY, AT(logprobs), 0, 0}, {0},
};
static const json_field completion_fields[] = {
    {"prompt", FIELD_ANY, AT(prompt), 0, 0},
    {"suffix", FIELD_TEXT, AT(suffix), 0, 0},
    {"echo", FIELD_BOOL, AT(echo), 0, 0},
    {"best_of", FIELD_COUNT, AT(best_of), 1, 1},
    {0},
};
static const json_field chat_fields[] = {
    {"messages", FIELD_ANY, AT(messages), 0, 0},
    {"top_logprobs", FIELD_COUNT, AT(top_logprobs), 0, REQUEST_TOP},
    {"response_format", FIELD_ANY, AT(response_format), 0, 0},
    {"metadata", FIELD_ANY, AT(metadata), 0, 0}, /* of OpenAI's own records */
    {"store", FIELD_BOOL, AT(store), 0, 0},
    {"modalities", FIELD_ANY, AT(modalities), 0, 0},
    {"tools", FIELD_ANY, AT(tools), 0, 0},
    {"tool_choice", FIELD_ANY, AT(tool_choice), 0, 0},
    {"functions", FIELD_ANY, AT(functions), 0, 0},
    {"function_call", FIELD_ANY, AT(function_call), 0, 0},
    {"parallel_tool_calls", FIELD_ANY, AT(parallel_tool_calls), 0, 0},
    {"audio", FIELD_ANY, AT(audio), 0, 0},
    {0},
};
#undef AT

static weir_status refuse_field(const char *name, const char *why, weir_error *error) {
    return weir_error_set(error, WEIR_UNSUPPORTED, "%s is not supported: %s", name, why);
}

static weir_status read(json_t *object, const json_field *fields, int64_t tokens,
                        int32_t vocabulary, int64_t most_tokens, raw *found, openai_request *out,
                        weir_error *error) {
    *out = (openai_request){.logprobs = -1};
    *found = (raw){.top_logprobs = -1};
    generate_request_init(&out->generate, tokens < most_tokens ? tokens : most_tokens);
    stream_request_init(&out->stream);
    json_part parts[] = {{common_fields, found},
                         {fields, found},
                         {sampling_fields, &out->generate},
                         {generate_fields, &out->generate},
                         {stream_fields, &out->stream}};
    weir_status status = json_read_parts(object, parts, 5, error);
    if (status == WEIR_OK) {
        status = generate_request_finish(&out->generate, object, vocabulary, most_tokens, error);
    }
    if (status == WEIR_OK && out->stream.system != NULL) {
        status = refuse_field("system",
                              "write the system message into the prompt, or among the "
                              "messages of a chat",
                              error);
    }
    if (status == WEIR_OK && found->stream_id != NULL && out->generate.n > 1) {
        status = weir_error_set(error, WEIR_USAGE,
                                "n must be 1 with stream_id: a stream goes on in one way only");
    }
    out->model = found->model;
    out->stream_id = found->stream_id;
    return status;
}

/* ---- completions ----------------------------------------------------------------------------- */

static weir_status read_tokens(json_t *list, int32_t vocabulary, openai_request *out,
                               weir_error *error) {
    size_t count = json_array_size(list);
    out->tokens = calloc(count, sizeof *out->tokens);
    if (out->tokens == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for a prompt");
    }
    for (size_t i = 0; i < count; i++) {
        json_t *token = json_array_get(list, i);
        json_int_t number = json_integer_value(token);
        if (!json_is_integer(token) || number < 0 || number >= vocabulary) {
            return weir_error_set(error, WEIR_USAGE, "prompt[%zu] must be a token from 0 to %d", i,
                                  (int)vocabulary - 1);
        }
        out->tokens[i] = (int32_t)number;
    }
    out->token_count = (int64_t)count;
    return WEIR_OK;
}

static weir_status read_prompt(json_t *prompt, int32_t vocabulary, openai_request *out,
                               weir_error *error) {
    if (json_array_size(prompt) == 1 && !json_is_integer(json_array_get(prompt, 0))) {
        prompt = json_array_get(prompt, 0);
    }
    if (json_is_string(prompt)) {
        out->text = json_string_value(prompt);
        out->text_size = json_string_length(prompt);
        return WEIR_OK;
    }
    if (json_array_size(prompt) > 0 && json_is_integer(json_array_get(prompt, 0))) {
        return read_tokens(prompt, vocabulary, out, error);
    }
    return weir_error_set(error, WEIR_USAGE,
                          "prompt must be a string or a list of tokens, one prompt for a request");
}

weir_status openai_read_completion(json_t *object, int32_t vocabulary, int64_t most_tokens,
                                   openai_request *out, weir_error *error) {
    raw found;
    weir_status status = read(object, completion_fields, COMPLETION_TOKENS, vocabulary, most_tokens,
                              &found, out, error);
    if (status == WEIR_OK && found.echo) {
        status = refuse_field("echo", "the prompt is yours already", error);
    }
    if (status == WEIR_OK && found.suffix != NULL && found.suffix[0] != '\0') {
        status = refuse_field("suffix", "text is made from left to right", error);
    }
    if (status == WEIR_OK && found.logprobs != NULL) {
        json_int_t top = json_integer_value(found.logprobs);
        out->logprobs = (int)top;
        if (!json_is_integer(found.logprobs) || top < 0 || top > REQUEST_TOP) {
            out->logprobs = -1;
            status = weir_error_set(error, WEIR_USAGE,
                                    "logprobs must be a whole number from 0 to %d", REQUEST_TOP);
        }
    }
    return status == WEIR_OK ? read_prompt(found.prompt, vocabulary, out, error) : status;
}

/* ---- chat ------------------------------------------------------------------------------------ */

static weir_status check_unsupported(const raw *found, weir_error *error) {
    const char *format = json_string_value(json_object_get(found->response_format, "type"));
    if (found->response_format != NULL && (format == NULL || strcmp(format, "text") != 0)) {
        return refuse_field("response_format", "this server makes {\"type\":\"text\"} only", error);
    }
    const char *modality = json_string_value(json_array_get(found->modalities, 0));
    if (found->audio != NULL ||
        (found->modalities != NULL && (json_array_size(found->modalities) != 1 ||
                                       modality == NULL || strcmp(modality, "text") != 0))) {
        return refuse_field("modalities", "this server makes text only", error);
    }
    const char *choice = json_string_value(found->tool_choice);
    bool no_tools = json_array_size(found->tools) == 0 && found->functions == NULL &&
                    found->function_call == NULL &&
                    (found->tool_choice == NULL || (choice != NULL && strcmp(choice, "none") == 0));
    if (!no_tools) {
        return refuse_field("tools", "the model is not asked to call functions", error);
    }
    if (found->store) {
        return refuse_field("store", "nothing is kept for OpenAI's records", error);
    }
    return WEIR_OK;
}

weir_status openai_read_chat(json_t *object, int32_t vocabulary, int64_t most_tokens,
                             openai_request *out, weir_error *error) {
    raw found;
    weir_status status =
        read(object, chat_fields, CHAT_TOKENS, vocabulary, most_tokens, &found, out, error);
    if (status == WEIR_OK) {
        status = check_unsupported(&found, error);
    }
    if (status == WEIR_OK && found.logprobs != NULL && !json_is_boolean(found.logprobs)) {
        status = weir_error_set(error, WEIR_USAGE, "logprobs must be true or false");
    }
    if (status == WEIR_OK && found.top_logprobs >= 0 && !json_is_true(found.logprobs)) {
        status = weir_error_set(error, WEIR_USAGE, "top_logprobs needs \"logprobs\": true");
    }
    if (status != WEIR_OK) {
        return status;
    }
    if (json_is_true(found.logprobs)) {
        out->logprobs = found.top_logprobs >= 0 ? (int)found.top_logprobs : 0;
    }
    return conversation_read(found.messages, &out->conversation, error);
}

void openai_request_free(openai_request *request) {
    generate_request_free(&request->generate);
    conversation_free(&request->conversation);
    free(request->tokens);
    request->tokens = NULL;
}
