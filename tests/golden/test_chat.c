/* Conversations of every chat format against what its template writes (tests/golden/chat.json, made
 * by tools/reference/golden_chat.py), as text and as tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>

#include "support/chat_model.h"
#include "support/scratch.h"
#include "support/small_vocabulary.h"
#include "support/token_list.h"
#include "weir/chat.h"

static json_t *formats;

static int read_formats(void **state) {
    const char *root = getenv("WEIR_ROOT");
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/golden/chat.json", root ? root : ".");
    formats = json_load_file(path, 0, NULL);
    return formats == NULL || scratch_make(state);
}

static int forget_formats(void **state) {
    json_decref(formats);
    return scratch_remove(state);
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    assert_non_null(text);
    return text;
}

static weir_model *open_format(const json_t *format, const char *base, bool user_defined) {
    char path[1024];
    chat_sample sample = {.base = small_path(base, "gguf", path),
                          .chat_template = text_of(format, "template"),
                          .bos = text_of(format, "bos"),
                          .eos = text_of(format, "eos"),
                          .user_defined = user_defined};
    weir_model_options options = {.metadata_only = true};
    weir_model *model;
    weir_error error;
    const char *made = scratch_path("chat.gguf");
    chat_model_write(made, &sample);
    if (weir_model_open(made, &options, &model, &error) != WEIR_OK) fail_msg("%s", error.message);
    return model;
}

enum { MESSAGES = 8 };

static int64_t read_talk(const json_t *talk, weir_message messages[MESSAGES]) {
    const json_t *rows = json_object_get(talk, "messages");
    int64_t count = (int64_t)json_array_size(rows);
    assert_in_range(count, 1, MESSAGES);
    for (int64_t i = 0; i < count; i++) {
        const json_t *row = json_array_get(rows, (size_t)i), *text = json_array_get(row, 1);
        const char *role = json_string_value(json_array_get(row, 0));
        messages[i] = (weir_message){strcmp(role, "system") == 0 ? WEIR_ROLE_SYSTEM
                                     : strcmp(role, "user") == 0 ? WEIR_ROLE_USER
                                                                 : WEIR_ROLE_ASSISTANT,
                                     json_string_value(text), json_string_length(text)};
    }
    return count;
}

static weir_status add_text(void *context, const char *text, size_t size) {
    wr_write_bytes(context, text, size);
    return WEIR_OK;
}

static void check_text(const weir_model *model, const weir_message *messages, int64_t count,
                       const json_t *want) {
    wr_writer text = {0};
    weir_error error;
    if (weir_chat_render(model, messages, count, true, add_text, &text, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    wr_write_u8(&text, 0);
    assert_string_equal((const char *)text.data, json_string_value(want));
    wr_writer_release(&text);
}

typedef struct spoken {
    token_list list;
    int borders;
} spoken;

static weir_status add_spoken(void *context, const int32_t *tokens, int64_t count, bool border) {
    spoken *to = context;
    to->borders += border;
    for (int64_t i = 0; i < count; i++) token_list_add(&to->list, tokens[i]);
    return WEIR_OK;
}

static weir_status add_tokens(void *context, const int32_t *tokens, int64_t count) {
    for (int64_t i = 0; i < count; i++) token_list_add(context, tokens[i]);
    return WEIR_OK;
}

static void speak(const weir_model *model, const weir_message *messages, int64_t count,
                  spoken *out) {
    weir_error error;
    if (weir_chat_tokenize(model, messages, count, true, add_spoken, out, &error) != WEIR_OK)
        fail_msg("%s", error.message);
}

static int64_t users(const weir_message *messages, int64_t count) {
    int64_t sum = 0;
    for (int64_t i = 0; i < count; i++) sum += messages[i].role == WEIR_ROLE_USER;
    return sum;
}

/* The tokens are those of the text, whose control tokens are all the format's. */
static void check_tokens(const weir_model *model, const weir_message *messages, int64_t count,
                         const json_t *want) {
    spoken have = {0};
    token_list whole = {0};
    speak(model, messages, count, &have);
    weir_model_tokenize_special(model, json_string_value(want), json_string_length(want), false,
                                add_tokens, &whole, NULL);
    assert_int_equal(have.borders, users(messages, count));
    if (!token_list_equal(&have.list, &whole)) fail_msg("%s", json_string_value(want));
    token_list_free(&have.list);
    token_list_free(&whole);
}

static int64_t count_token(const token_list *list, int32_t token) {
    int64_t sum = 0;
    for (int64_t i = 0; i < list->count; i++) sum += list->ids[i] == token;
    return sum;
}

/* Whatever a message says, there are as many marks as in a talk of harmless words. */
static void check_marks(const weir_model *model, const weir_message *messages, int64_t count) {
    weir_message harmless[MESSAGES];
    spoken have = {0}, want = {0};
    for (int64_t i = 0; i < count; i++) harmless[i] = (weir_message){messages[i].role, "word", 4};
    speak(model, messages, count, &have);
    speak(model, harmless, count, &want);
    int32_t first = (int32_t)weir_model_get_info(model)->pieces - CHAT_MARKS;
    for (int32_t i = first; i < first + CHAT_MARKS; i++) /* other formats' may be mere text here */
        if (count_token(&want.list, i) > 0)
            assert_int_equal(count_token(&have.list, i), count_token(&want.list, i));
    assert_int_equal(have.borders, want.borders);
    token_list_free(&have.list);
    token_list_free(&want.list);
}

static void check_format(const json_t *format, const char *base, bool user_defined) {
    weir_model *model = open_format(format, base, user_defined);
    assert_string_equal(weir_model_get_info(model)->chat_format, text_of(format, "name"));
    const json_t *talks = json_object_get(format, "talks");
    size_t talk_count = json_array_size(talks);
    assert_true(talk_count >= 6);
    for (size_t i = 0; i < talk_count; i++) {
        const json_t *talk = json_array_get(talks, i), *want = json_object_get(talk, "text");
        weir_message messages[MESSAGES];
        int64_t count = read_talk(talk, messages);
        bool hostile = i + 1 == talk_count;
        check_text(model, messages, count, want);
        check_marks(model, messages, count);
        if (!hostile && !weir_model_get_info(model)->adds_bos)
            check_tokens(model, messages, count, want);
    }
    weir_model_close(model);
}

static void every_format(void **state) {
    (void)state;
    assert_true(json_array_size(formats) >= 23);
    for (size_t i = 0; i < json_array_size(formats); i++) {
        const json_t *format = json_array_get(formats, i);
        check_format(format, "qwen2", false);
        check_format(format, "llama-bpe", true);
    }
}

/* The golden file has every format that weir offers but the plain one. */
static void none_is_missing(void **state) {
    (void)state;
    const char *name;
    for (int i = 0; (name = weir_chat_format_name(i)) != NULL; i++) {
        bool found = strcmp(name, "plain") == 0;
        for (size_t row = 0; row < json_array_size(formats); row++)
            found |= strcmp(text_of(json_array_get(formats, row), "name"), name) == 0;
        if (!found) fail_msg("%s", name);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format),
        cmocka_unit_test(none_is_missing),
    };
    return cmocka_run_group_tests_name("golden chat", tests, read_formats, forget_formats);
}
