#include "requests/embed_request.h"

#include <stdlib.h>
#include <string.h>

typedef struct raw {
    const char *model, *user, *format;
    json_t *input;
    int64_t dimensions;
} raw;

static weir_status wrong_input(weir_error *error) {
    return weir_error_set(error, WEIR_USAGE,
                          "input must be a string, a list of tokens, or a list of at most %d of "
                          "either, none of them empty",
                          EMBED_INPUTS);
}

static weir_status read_tokens(json_t *list, int32_t vocabulary, embed_input *out,
                               weir_error *error) {
    out->size = json_array_size(list);
    out->tokens = calloc(out->size + 1, sizeof *out->tokens);
    if (out->tokens == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for tokens");
    }
    for (size_t i = 0; i < out->size; i++) {
        json_t *token = json_array_get(list, i);
        json_int_t number = json_integer_value(token);
        if (!json_is_integer(token) || number < 0 || number >= vocabulary) {
            return weir_error_set(error, WEIR_USAGE, "input: tokens must be from 0 to %d",
                                  (int)vocabulary - 1);
        }
        out->tokens[i] = (int32_t)number;
    }
    return WEIR_OK;
}

static weir_status read_one(json_t *value, int32_t vocabulary, embed_input *out,
                            weir_error *error) {
    if (json_is_string(value) && json_string_length(value) > 0) {
        out->text = json_string_value(value);
        out->size = json_string_length(value);
        return WEIR_OK;
    }
    return json_array_size(value) > 0 ? read_tokens(value, vocabulary, out, error)
                                      : wrong_input(error);
}

static weir_status read_inputs(json_t *input, int32_t vocabulary, embed_request *out,
                               weir_error *error) {
    bool one = json_is_string(input) || json_is_integer(json_array_get(input, 0));
    size_t count = one ? 1 : json_array_size(input);
    if (count == 0 || count > EMBED_INPUTS) {
        return wrong_input(error);
    }
    out->inputs = calloc(count, sizeof *out->inputs);
    if (out->inputs == NULL) {
        return weir_error_set(error, WEIR_MEMORY, "no memory for inputs");
    }
    weir_status status = WEIR_OK;
    for (size_t i = 0; i < count && status == WEIR_OK; i++) {
        out->count++;
        status =
            read_one(one ? input : json_array_get(input, i), vocabulary, &out->inputs[i], error);
    }
    return status;
}

weir_status embed_request_read(json_t *object, int32_t vocabulary, int64_t width,
                               embed_request *out, weir_error *error) {
    static const json_field fields[] = {
        {"model", FIELD_TEXT, offsetof(raw, model), 0, 0},
        {"user", FIELD_TEXT, offsetof(raw, user), 0, 0},
        {"encoding_format", FIELD_TEXT, offsetof(raw, format), 0, 0},
        {"input", FIELD_ANY, offsetof(raw, input), 0, 0},
        {"dimensions", FIELD_COUNT, offsetof(raw, dimensions), 1, 1e9},
        {0},
    };
    raw found = {.dimensions = width};
    *out = (embed_request){.count = 0};
    weir_status status = json_read_fields(object, fields, &found, error);
    out->model = found.model;
    out->base64 = found.format != NULL && strcmp(found.format, "base64") == 0;
    if (status == WEIR_OK && found.format != NULL && !out->base64 &&
        strcmp(found.format, "float") != 0) {
        status = weir_error_set(error, WEIR_USAGE, "encoding_format must be float or base64");
    }
    if (status == WEIR_OK && found.dimensions != width) {
        status = weir_error_set(error, WEIR_USAGE,
                                "dimensions must be %lld: the vectors of this model are not cut",
                                (long long)width);
    }
    return status == WEIR_OK ? read_inputs(found.input, vocabulary, out, error) : status;
}

void embed_request_free(embed_request *request) {
    for (int64_t i = 0; i < request->count; i++) {
        free(request->inputs[i].tokens);
    }
    free(request->inputs);
    request->inputs = NULL;
    request->count = 0;
}

char *base64_encode(const void *data, size_t size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *bytes = data;
    char *text = malloc((size + 2) / 3 * 4 + 1), *to = text;
    for (size_t i = 0; i < size && text != NULL; i += 3) {
        size_t left = size - i;
        unsigned group = (unsigned)bytes[i] << 16;
        group |= left > 1 ? (unsigned)bytes[i + 1] << 8 : 0;
        group |= left > 2 ? (unsigned)bytes[i + 2] : 0;
        *to++ = digits[group >> 18];
        *to++ = digits[group >> 12 & 63];
        *to++ = left > 1 ? digits[group >> 6 & 63] : '=';
        *to++ = left > 2 ? digits[group & 63] : '=';
    }
    if (text != NULL) {
        *to = '\0';
    }
    return text;
}
