#include "api/logprob.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "requests/generate_request.h"
#include "weir/detokenize.h"

/* The bytes of a token by itself; a byte token ("<0xE2>") is its byte. */
static size_t token_bytes(const weir_model *model, int32_t token, char *out) {
    char piece[16];
    unsigned byte;
    weir_detokenizer state = {.begun = true};
    size_t size = weir_model_token_piece(model, token, piece, sizeof piece - 1);
    piece[size] = '\0';
    if (size == 6 && sscanf(piece, "<0x%2X>", &byte) == 1) {
        out[0] = (char)byte;
        return 1;
    }
    size = weir_detokenize(model, &state, token, out);
    return size + weir_detokenize_end(&state, out + size);
}

/* Without its top_logprobs. */
static json_t *describe(const weir_model *model, const float *row, int32_t token) {
    char *text = malloc(weir_detokenize_room(model) + 4);
    if (text == NULL) {
        return NULL;
    }
    size_t size = token_bytes(model, token, text);
    json_t *bytes = json_array();
    for (size_t i = 0; i < size; i++) {
        json_array_append_new(bytes, json_integer((unsigned char)text[i]));
    }
    json_t *string = json_stringn(text, size);
    if (string == NULL) {
        string = json_string("\xef\xbf\xbd"); /* part of a character */
    }
    free(text);
    return json_pack("{s:o,s:o,s:o,s:i}", "token", string, "logprob",
                     json_finite(-weir_model_nll(model, row, token)), "bytes", bytes, "id",
                     (int)token);
}

/* The `top` largest of the row, largest first, the lower number among equals. */
static int find_top(const float *row, int64_t vocabulary, int top, int32_t *best) {
    int count = 0;
    for (int32_t i = 0; i < vocabulary; i++) {
        if (count == top && !(row[i] > row[best[count - 1]])) {
            continue;
        }
        int at = count < top ? count++ : count - 1;
        while (at > 0 && row[i] > row[best[at - 1]]) {
            best[at] = best[at - 1];
            at--;
        }
        best[at] = i;
    }
    return count;
}

json_t *logprob_json(const weir_model *model, const float *row, int32_t token, int top) {
    int32_t best[REQUEST_TOP];
    json_t *made = describe(model, row, token);
    json_t *list = json_array();
    int64_t vocabulary = weir_model_get_info(model)->vocabulary;
    int count = top > 0 ? find_top(row, vocabulary, top, best) : 0;
    for (int i = 0; i < count; i++) {
        json_array_append_new(list, describe(model, row, best[i]));
    }
    json_object_set_new(made, "top_logprobs", list);
    return made;
}
