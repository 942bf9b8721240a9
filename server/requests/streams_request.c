#include "requests/streams_request.h"

#define GENERATE_TOKENS 256

/* ---- create ---------------------------------------------------------------------------------- */

weir_status create_request_read(json_t *object, int32_t vocabulary, create_request *out,
                                weir_error *error) {
    static const json_field own[] = {
        {"chat_system", FIELD_TEXT, offsetof(create_request, chat_system), 0, 0}, {0}};
    *out = (create_request){.chat_system = NULL};
    stream_request_init(&out->stream);
    generate_request_init(&out->sampling, 0);
    json_part parts[] = {
        {own, out}, {stream_fields, &out->stream}, {sampling_fields, &out->sampling}};
    weir_status status = json_read_parts(object, parts, 3, error);
    if (status == WEIR_OK && out->chat_system != NULL && out->stream.system != NULL) {
        status = weir_error_set(error, WEIR_USAGE,
                                "system is plain text and chat_system a conversation's: keep one");
    }
    if (status == WEIR_OK && out->sampling.logit_bias != NULL) {
        status =
            weir_error_set(error, WEIR_USAGE, "logit_bias belongs to the requests that make text");
    }
    return status == WEIR_OK ? generate_request_finish(&out->sampling, object, vocabulary, 0, error)
                             : status;
}

void create_request_free(create_request *request) { generate_request_free(&request->sampling); }

/* ---- append, generate, ask ------------------------------------------------------------------- */

#define AT(field) offsetof(text_request, field)
static const json_field input_fields[] = {
    {"text", FIELD_ANY, AT(text_field), 0, 0},
    {"messages", FIELD_ANY, AT(messages), 0, 0},
    {"border", FIELD_BOOL, AT(border), 0, 0},
    {0},
};
static const json_field append_fields[] = {{"flush", FIELD_BOOL, AT(flush), 0, 0}, {0}};
static const json_field output_fields[] = {
    {"logprobs", FIELD_COUNT, AT(logprobs), 0, REQUEST_TOP},
    {0},
};
#undef AT

static weir_status read_input(text_request *request, weir_error *error) {
    json_t *text = request->text_field;
    if (text != NULL && request->messages != NULL) {
        return weir_error_set(error, WEIR_USAGE, "text and messages both say what comes: keep one");
    }
    if (text != NULL && !json_is_string(text)) {
        return weir_error_set(error, WEIR_USAGE, "text must be a string");
    }
    if (text == NULL && (request->border || request->flush)) {
        return weir_error_set(error, WEIR_USAGE,
                              "border and flush belong to a text: messages have theirs anyway");
    }
    if (text != NULL) {
        request->text = json_string_value(text);
        request->text_size = json_string_length(text);
    }
    return request->messages != NULL
               ? conversation_read(request->messages, &request->conversation, error)
               : WEIR_OK;
}

weir_status text_request_read(json_t *object, bool makes, int32_t vocabulary, int64_t most_tokens,
                              text_request *out, weir_error *error) {
    *out = (text_request){.logprobs = -1};
    int64_t tokens = GENERATE_TOKENS < most_tokens ? GENERATE_TOKENS : most_tokens;
    generate_request_init(&out->generate, tokens);
    json_part parts[] = {{input_fields, out},
                         {makes ? output_fields : append_fields, out},
                         {sampling_fields, &out->generate},
                         {generate_fields, &out->generate}};
    weir_status status = json_read_parts(object, parts, makes ? 4 : 2, error);
    if (status == WEIR_OK && makes) {
        status = generate_request_finish(&out->generate, object, vocabulary, most_tokens, error);
    }
    if (status == WEIR_OK && out->generate.n != 1) {
        status = weir_error_set(error, WEIR_USAGE, "n must be 1: ask several times instead");
    }
    if (status == WEIR_OK && out->generate.usage) {
        status = weir_error_set(error, WEIR_USAGE, "the usage stands in the last event anyway");
    }
    if (status == WEIR_OK) {
        status = read_input(out, error);
    }
    if (status == WEIR_OK && !makes && out->text == NULL && out->messages == NULL) {
        status = weir_error_set(error, WEIR_USAGE,
                                "what is to be appended? Give text or messages, or send the text "
                                "itself as text/plain");
    }
    return status;
}

void text_request_free(text_request *request) {
    generate_request_free(&request->generate);
    conversation_free(&request->conversation);
}

/* ---- marks ----------------------------------------------------------------------------------- */

weir_status mark_request_read(json_t *object, place_request *out, weir_error *error) {
    static const json_field fields[] = {{"name", FIELD_TEXT, offsetof(place_request, name), 0, 0},
                                        {0}};
    *out = (place_request){.index = -1};
    weir_status status = json_read_fields(object, fields, out, error);
    return status == WEIR_OK && out->name == NULL
               ? weir_error_set(error, WEIR_USAGE, "a mark needs a name")
               : status;
}

weir_status rewind_request_read(json_t *object, place_request *out, weir_error *error) {
    static const json_field fields[] = {
        {"mark", FIELD_TEXT, offsetof(place_request, name), 0, 0},
        {"index", FIELD_COUNT, offsetof(place_request, index), 0, 9e15},
        {0}};
    *out = (place_request){.index = -1};
    weir_status status = json_read_fields(object, fields, out, error);
    return status == WEIR_OK && (out->name == NULL) == (out->index < 0)
               ? weir_error_set(error, WEIR_USAGE, "where to? Give a mark or an index")
               : status;
}
