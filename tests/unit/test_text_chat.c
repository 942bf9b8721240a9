/* Which format a file's chat template is taken for, what that makes of its vocabulary, and the
 * sentences where there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/chat_model.h"
#include "support/scratch.h"
#include "support/small_vocabulary.h"
#include "support/token_list.h"
#include "text/chat_format.h"
#include "weir/weir.h"

#define CHATML "{{'<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n'}}"
#define UNKNOWN "{% for m in messages %}~~{{ m['role'] }}~~ {{ m['content'] }}{% endfor %}"

static weir_model *open_sample(chat_sample sample, const char *base, const char *name,
                               weir_error *error) {
    char path[1024];
    const char *made = scratch_path("chat.gguf");
    weir_model_options options = {.metadata_only = true, .chat_template = name};
    weir_model *model = NULL;
    sample.base = small_path(base, "gguf", path);
    chat_model_write(made, &sample);
    weir_model_open(made, &options, &model, error);
    return model;
}

static const chat_sample chatml = {
    .chat_template = CHATML, .named = "'[INST] ' <<SYS>>", .bos = "<s>", .eos = "</s>"};

static const char *format_of(const weir_model *model) {
    return weir_model_get_info(model)->chat_format;
}

static const char *recognised(const char *chat_template) {
    const wr_chat_format *format =
        wr_chat_format_of((wr_string){chat_template, strlen(chat_template)});
    return format ? format->name : "none";
}

static void templates_are_told_apart(void **state) {
    (void)state;
    assert_string_equal(recognised(""), "none");
    assert_string_equal(recognised(UNKNOWN), "none");
    assert_string_equal(recognised("[gMASK]<sop><|user|> <|assistant|> eos_token"), "none");
    assert_string_equal(recognised("<|start_header_id|> <|end_header_id|> >>>all"), "none");
    assert_string_equal(recognised("<|user|>\\n{{ m }}{{ '<|assistant|>' }}"), "none");
    assert_string_equal(recognised("'<|' + role + '|>' + '\\n' <|end|> '<|assistant|>'"), "phi-3");
    assert_string_equal(recognised("\"[INST]\" \"[/INST]\""), "mistral-v3-tekken");
    assert_string_equal(recognised("\"[INST] \" \"[/INST]\""), "mistral-v3");
    assert_string_equal(recognised("bos_token + '[INST] ' ' [/INST]'"), "llama-2");
    assert_string_equal(recognised("<|im_start|>"), "chatml");
}

/* A template may be anything: the longest runs of beginnings too. */
static void nothing_is_read_behind_a_template(void **state) {
    (void)state;
    static const char *const ends[] = {"<|im_start|>system",
                                       "<|im_start|>system\\",
                                       "<|im_start|>system\\n",
                                       "<|im_start|>system\nyou",
                                       "<|im_start|>system\n<|im_end|>",
                                       "<|user|>",
                                       "'[INST] "};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        size_t size = strlen(ends[i]);
        char *exact = malloc(size); /* no byte more: a sanitizer sees the next one */
        assert_non_null(exact);
        memcpy(exact, ends[i], size);
        wr_chat_format_of((wr_string){exact, size});
        assert_int_equal(wr_chat_default_system((wr_string){exact, size}).size, 0);
        free(exact);
    }
    wr_string said = wr_chat_default_system(
        (wr_string){"'<|im_start|>system\\n' + s '<|im_start|>system\\nBe kind.<|im_end|>'", 66});
    assert_true(wr_string_is(said, "Be kind."));
}

static void formats_are_chosen(void **state) {
    (void)state;
    weir_error error = {0};
    weir_model *model = open_sample(chatml, "qwen2", NULL, &error);
    assert_string_equal(format_of(model), "chatml");
    weir_model_close(model);
    model = open_sample(chatml, "qwen2", "gemma", &error); /* weir's */
    assert_string_equal(format_of(model), "gemma");
    weir_model_close(model);
    model = open_sample(chatml, "qwen2", "named", &error); /* the file's second one */
    assert_string_equal(format_of(model), "llama-2");
    weir_model_close(model);
    model = open_sample(chatml, "qwen2", "alpaca", &error);
    assert_null(model);
    assert_int_equal(error.status, WEIR_USAGE);
    assert_non_null(strstr(error.message, "no chat template alpaca"));
    assert_non_null(strstr(error.message, "deepseek-v3"));
}

static void without_a_template_it_is_plain(void **state) {
    (void)state;
    weir_error error = {0};
    chat_sample sample = chatml;
    sample.chat_template = "";
    weir_model *model = open_sample(sample, "qwen2", NULL, &error);
    assert_string_equal(format_of(model), "plain");
    assert_int_equal(weir_chat_usable(model, &error), WEIR_OK);
    weir_model_close(model);
}

static weir_status no_text(void *context, const char *text, size_t size) {
    (void)context, (void)text, (void)size;
    return WEIR_OK;
}

static void an_unknown_template_says_so(void **state) {
    (void)state;
    weir_error error = {0};
    chat_sample sample = chatml;
    sample.chat_template = UNKNOWN;
    weir_model *model = open_sample(sample, "qwen2", NULL, &error);
    weir_message message = {WEIR_ROLE_USER, "Hi", 2};
    assert_string_equal(format_of(model), "");
    assert_int_equal(weir_chat_usable(model, &error), WEIR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "--template NAME (llama-2, "));
    assert_non_null(strstr(error.message, "plain)"));
    assert_int_equal(weir_chat_render(model, &message, 1, true, no_text, NULL, &error),
                     WEIR_UNSUPPORTED);
    weir_model_close(model);
}

static void systems_have_their_place(void **state) {
    (void)state;
    weir_error error = {0};
    weir_model *model = open_sample(chatml, "qwen2", "llama-2", &error);
    weir_message late[] = {{WEIR_ROLE_USER, "Hi", 2}, {WEIR_ROLE_SYSTEM, "Be", 2}};
    weir_message alone[] = {{WEIR_ROLE_SYSTEM, "Be", 2}};
    weir_message none[] = {{(weir_role)7, "Be", 2}};
    assert_int_equal(weir_chat_render(model, late, 2, true, no_text, NULL, &error), WEIR_USAGE);
    assert_non_null(strstr(error.message, "llama-2 a system message stands first"));
    assert_int_equal(weir_chat_render(model, alone, 1, true, no_text, NULL, &error), WEIR_USAGE);
    assert_int_equal(weir_chat_render(model, none, 1, true, no_text, NULL, &error), WEIR_USAGE);
    weir_model_close(model);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static weir_status add_spoken(void *context, const int32_t *tokens, int64_t count, bool border) {
    for (int64_t i = 0; i < count && !border; i++) token_list_add(context, tokens[i]);
    return WEIR_OK;
}

static weir_status add_tokens(void *context, const int32_t *tokens, int64_t count) {
    for (int64_t i = 0; i < count; i++) token_list_add(context, tokens[i]);
    return WEIR_OK;
}

static void add_mark(const weir_model *model, const char *mark, token_list *out) {
    int32_t first = (int32_t)weir_model_get_info(model)->pieces - CHAT_MARKS;
    token_list_add(out, chat_mark(first, mark));
}

static void add_fresh(const weir_model *model, const char *text, token_list *out) {
    weir_model_tokenize(model, text, strlen(text), false, add_tokens, out, NULL);
}

/* Behind a control token a text begins as a text does, with the space prefix, and once. */
static void prefixes_stand_behind_marks(void **state) {
    (void)state;
    static const struct {
        const char *name, *marks[3], *texts[3]; /* in turn */
        const char *message;
    } rows[] = {
        {"chatml", {"<|im_start|>", "<|im_end|>"}, {"user\nHi", "\n"}, "Hi"},
        {"mistral-v3", {"<s>", "[INST]", "[/INST]"}, {"", "Hi", ""}, "Hi"},
        {"phi-3", {"<s>", "<|user|>", "<|end|>"}, {"", "Hi", ""}, " \n Hi"},
        {"zephyr", {"<|user|>", "</s>"}, {"\nHi", "\n"}, "Hi"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        weir_error error = {0};
        token_list have = {0}, want = {0};
        weir_model *model = open_sample(chatml, "bpe-fallback", rows[i].name, &error);
        weir_message message = {WEIR_ROLE_USER, rows[i].message, strlen(rows[i].message)};
        bool bos = strcmp(rows[i].name, "phi-3") == 0;
        if (weir_chat_tokenize(model, &message, 1, false, add_spoken, &have, &error) != WEIR_OK)
            fail_msg("%s", error.message);
        for (int at = bos ? 1 : 0; at < 3 && rows[i].marks[at]; at++) {
            add_mark(model, rows[i].marks[at], &want);
            add_fresh(model, rows[i].texts[at], &want);
        }
        if (!token_list_equal(&have, &want)) fail_msg("%s", rows[i].name);
        token_list_free(&have);
        token_list_free(&want);
        weir_model_close(model);
    }
}

/* What a format writes as a mark is none in a text, even where the file calls it text. */
static void marks_become_control_tokens(void **state) {
    (void)state;
    weir_error error = {0};
    chat_sample sample = chatml;
    sample.user_defined = true;
    static const char text[] = "a<|im_end|>b<start_of_turn>c";
    token_list have = {0};
    weir_model *model = open_sample(sample, "qwen2", NULL, &error);
    int32_t first = (int32_t)weir_model_get_info(model)->pieces - CHAT_MARKS;
    add_fresh(model, text, &have);
    bool mark = false, other = false;
    for (int64_t i = 0; i < have.count; i++) {
        mark |= have.ids[i] == chat_mark(first, "<|im_end|>");
        other |= have.ids[i] == chat_mark(first, "<start_of_turn>");
    }
    assert_true(!mark && other);
    token_list_free(&have);
    weir_model_close(model);
}

static void pinned_tokens_are_counted(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int64_t alone, added; /* without a system message; that it adds beside its text */
    } rows[] = {
        {"mistral-v3-tekken", 2, 1}, {"deepseek-v3", 2, 0}, {"phi-4", 3, 4}, {"plain", 0, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        weir_error error = {0};
        int64_t alone = -1, with = -1;
        token_list text = {0};
        weir_message system = {WEIR_ROLE_SYSTEM, "7", 1};
        weir_model *model = open_sample(chatml, "qwen2", rows[i].name, &error);
        assert_int_equal(weir_chat_count_pinned(model, NULL, &alone, &error), WEIR_OK);
        assert_int_equal(weir_chat_count_pinned(model, &system, &with, &error), WEIR_OK);
        add_fresh(model, strcmp(rows[i].name, "phi-4") == 0 ? "user" : "", &text);
        if (strcmp(rows[i].name, "phi-4") != 0) assert_int_equal(alone, rows[i].alone);
        assert_true(with > alone);
        if (strcmp(rows[i].name, "deepseek-v3") == 0) assert_int_equal(with, alone + 1);
        token_list_free(&text);
        weir_model_close(model);
    }
}

/* ---- channels -------------------------------------------------------------------------------- */

static void thoughts_are_told_from_answers(void **state) {
    (void)state;
    weir_error error = {0};
    weir_model *model = open_sample(chatml, "qwen2", "gpt-oss", &error);
    static const char answer[] = "<|channel|>analysis<|message|>hm<|end|><|start|>assistant"
                                 "<|channel|>final<|message|>ok<|return|>";
    token_list tokens = {0};
    weir_answer_reader reader = {0};
    char parts[256] = "";
    weir_model_tokenize_special(model, answer, sizeof answer - 1, false, add_tokens, &tokens, NULL);
    for (int64_t i = 0; i < tokens.count && i < 255; i++) {
        weir_answer_part part = weir_chat_part(model, &reader, tokens.ids[i]);
        char letter = part == WEIR_ANSWER_TEXT ? 'a' : part == WEIR_ANSWER_THOUGHT ? 't' : '.';
        size_t size = strlen(parts);
        if (size == 0 || parts[size - 1] != letter) parts[size] = letter;
    }
    assert_string_equal(parts, ".t.a.");
    token_list_free(&tokens);
    weir_model_close(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_are_told_apart),
        cmocka_unit_test(nothing_is_read_behind_a_template),
        cmocka_unit_test(formats_are_chosen),
        cmocka_unit_test(without_a_template_it_is_plain),
        cmocka_unit_test(an_unknown_template_says_so),
        cmocka_unit_test(systems_have_their_place),
        cmocka_unit_test(prefixes_stand_behind_marks),
        cmocka_unit_test(marks_become_control_tokens),
        cmocka_unit_test(pinned_tokens_are_counted),
        cmocka_unit_test(thoughts_are_told_from_answers),
    };
    return cmocka_run_group_tests_name("chat formats", tests, scratch_make, scratch_remove);
}
