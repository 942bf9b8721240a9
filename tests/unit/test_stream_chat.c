/* Turns of a conversation in a stream: the tokens of the whole conversation, whoever wrote what of
 * them, and borders at which what remains is a conversation again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/chat_model.h"
#include "support/random_model.h"
#include "support/scratch.h"
#include "support/token_list.h"

static const char *base;

static int set_up(void **state) {
    weir_random_model shape = random_tiny();
    shape.vocabulary = 512;
    if (scratch_make(state) != 0) return 1;
    base = scratch_path("base.gguf");
    return weir_make_random(base, &shape, NULL) != WEIR_OK;
}

static weir_model *open_format(const char *name, const char *eos) {
    weir_error error;
    weir_model *model;
    chat_sample sample = {.base = base, .chat_template = "", .bos = "<s>", .eos = eos};
    weir_model_options options = {.chat_template = name};
    chat_model_write(scratch_path("chat.gguf"), &sample);
    must(weir_model_open(scratch_path("chat.gguf"), &options, &model, &error), &error);
    return model;
}

static int32_t mark(const weir_model *model, const char *name) {
    return chat_mark((int32_t)weir_model_get_info(model)->pieces - CHAT_MARKS, name);
}

typedef struct whole {
    token_list tokens;
    int64_t borders[16];
    int count;
} whole;

static weir_status add_spoken(void *context, const int32_t *tokens, int64_t count, bool border) {
    whole *to = context;
    if (border) to->borders[to->count++] = to->tokens.count;
    for (int64_t i = 0; i < count; i++) token_list_add(&to->tokens, tokens[i]);
    return WEIR_OK;
}

static void speak(const weir_model *model, const weir_message *messages, int64_t count,
                  whole *out) {
    weir_error error;
    *out = (whole){.count = 0};
    must(weir_chat_tokenize(model, messages, count, true, add_spoken, out, &error), &error);
}

/* The stream has exactly these tokens: the logits behind them are the same to the bit. */
static void assert_fed(weir_stream *stream, const token_list *tokens) {
    weir_error error;
    weir_stream_state state;
    weir_stream_options options = stream_options(WEIR_SINK, 4, 240);
    const weir_model *model = weir_stream_get_model(stream);
    weir_stream *other = stream_make(model, &options);
    const float *have, *want;
    weir_stream_get_state(stream, &state);
    assert_int_equal(state.index, tokens->count);
    must(weir_stream_feed_tokens(other, tokens->ids, tokens->count, &error), &error);
    must(weir_stream_logits(other, &want, &error), &error);
    must(weir_stream_logits(stream, &have, &error), &error);
    size_t bytes = (size_t)weir_model_get_info(model)->vocabulary * sizeof *have;
    assert_memory_equal(have, want, bytes);
    weir_stream_destroy(other);
}

static void feed(weir_stream *stream, const weir_message *messages, int64_t count) {
    weir_error error;
    must(weir_stream_feed_chat(stream, messages, count, &error), &error);
}

static const weir_message talk[] = {{WEIR_ROLE_SYSTEM, "be kind", 7},
                                    {WEIR_ROLE_USER, "how deep", 8},
                                    {WEIR_ROLE_ASSISTANT, "deep", 4},
                                    {WEIR_ROLE_USER, "and now", 7}};

/* However the model ended its answer, the next message stands where it does in the whole talk.
 * `written` are the tokens by which it did. */
static void check_continued(const char *name, const char *eos, const char *const *written,
                            const char *text) {
    weir_model *model = open_format(name, eos);
    weir_stream_options options = stream_options(WEIR_SINK, 4, 240);
    weir_stream *stream = stream_make(model, &options);
    weir_error error;
    whole first, all;
    feed(stream, talk, 2);
    speak(model, talk, 2, &first);
    speak(model, talk, 4, &all);
    assert_fed(stream, &first.tokens);
    const int32_t *answer = all.tokens.ids + first.tokens.count; /* d, ee, p */
    must(weir_stream_feed_tokens(stream, answer, 3, &error), &error);
    must(weir_stream_feed_text(stream, text, strlen(text), &error), &error);
    must(weir_stream_flush(stream, &error), &error);
    for (; *written; written++) {
        int32_t token = mark(model, *written);
        must(weir_stream_feed_tokens(stream, &token, 1, &error), &error);
    }
    feed(stream, talk + 3, 1);
    assert_fed(stream, &all.tokens);
    token_list_free(&first.tokens);
    token_list_free(&all.tokens);
    weir_stream_destroy(stream);
    weir_model_close(model);
}

static void answers_are_closed(void **state) {
    (void)state;
    static const char *const nothing[] = {NULL}, *const its_end[] = {"<|im_end|>", NULL};
    static const char *const other_end[] = {"</s>", NULL}, *const eot[] = {"<|eot_id|>", NULL};
    check_continued("chatml", "</s>", nothing, "");
    check_continued("chatml", "</s>", its_end, "");
    check_continued("chatml", "</s>", other_end, "");
    check_continued("llama-3", "<|end_of_text|>", eot, "");
    check_continued("llama-3.1", "<|end_of_text|>", nothing, "");
    check_continued("mistral-v3-tekken", "</s>", other_end, "");
    check_continued("falcon", "</s>", nothing, "");
    check_continued("falcon", "</s>", nothing, "\nUser:");
    check_continued("falcon", "</s>", other_end, "");
    check_continued("deepseek-v3", "</s>", other_end, "");
}

static weir_status add_tokens(void *context, const int32_t *tokens, int64_t count) {
    for (int64_t i = 0; i < count; i++) token_list_add(context, tokens[i]);
    return WEIR_OK;
}

/* Marks by their names, and between them texts that begin as texts do. */
static void add_parts(const weir_model *model, const char *const *parts, token_list *out) {
    for (; *parts; parts++) {
        if (mark(model, *parts) >= 0 && (*parts)[0] == '<')
            token_list_add(out, mark(model, *parts));
        else
            weir_model_tokenize(model, *parts, strlen(*parts), false, add_tokens, out, NULL);
    }
}

/* What ended the answer is taken back, and becomes what ends a message. */
static void channels_are_closed(void **state) {
    (void)state;
    static const char *const second[] = {"<|end|>",     "<|start|>", "user",
                                         "<|message|>", "and now",   "<|end|>",
                                         "<|start|>",   "assistant", NULL};
    weir_model *model = open_format("gpt-oss", "<|return|>");
    weir_stream_options options = stream_options(WEIR_SINK, 4, 240);
    weir_stream *stream = stream_make(model, &options);
    weir_error error;
    int32_t end = mark(model, "<|return|>");
    whole all;
    feed(stream, talk + 1, 1);
    must(weir_stream_feed_tokens(stream, &end, 1, &error), &error);
    feed(stream, talk + 3, 1);
    speak(model, talk + 1, 1, &all);
    add_parts(model, second, &all.tokens);
    assert_fed(stream, &all.tokens);
    token_list_free(&all.tokens);
    weir_stream_destroy(stream);
    weir_model_close(model);
}

/* What is forgotten is whole turns: the oldest token that is seen stands at a border, behind which
 * a user's message begins as it does behind the pinned tokens. */
static void whole_turns_are_forgotten(void **state) {
    (void)state;
    static const char *const names[] = {"chatml", "llama-2", "gemma", "zephyr", "falcon"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        weir_model *model = open_format(names[i], "</s>");
        weir_error error;
        int64_t pinned;
        must(weir_chat_count_pinned(model, &talk[0], &pinned, &error), &error);
        weir_stream_options options = stream_options(WEIR_SINK, pinned, 120);
        options.eviction = WEIR_EVICT_MESSAGE;
        weir_stream *stream = stream_make(model, &options);
        int64_t borders[16], count = 0;
        weir_stream_state at;
        for (int turn = 0; turn < 12; turn++) {
            weir_stream_get_state(stream, &at);
            int64_t before = at.index;
            whole one;
            speak(model, talk, 2, &one);
            assert_int_equal(one.borders[0], pinned);
            feed(stream, turn == 0 ? talk : talk + 1, turn == 0 ? 2 : 1);
            must(weir_stream_feed_text(stream, "deep", 4, &error), &error);
            must(weir_stream_flush(stream, &error), &error);
            weir_stream_get_state(stream, &at);
            borders[count++] = before;
            assert_true(at.index > before);
            bool whole_turn = at.evicted == 0;
            for (int64_t b = 0; b < count; b++) /* a turn's border is within its first tokens */
                whole_turn |= at.oldest >= borders[b] && at.oldest < borders[b] + 12;
            assert_true(whole_turn);
            token_list_free(&one.tokens);
        }
        assert_true(at.evicted > 0);
        weir_stream_destroy(stream);
        weir_model_close(model);
    }
}

static void refusals(void **state) {
    (void)state;
    weir_error error;
    weir_model *model = open_format("gemma", "<eos>");
    weir_stream_options options = stream_options(WEIR_SINK, 4, 240);
    weir_stream *stream = stream_make(model, &options);
    feed(stream, talk, 2);
    assert_refused(weir_stream_feed_chat(stream, talk, 2, &error), WEIR_USAGE, &error,
                   "a system message stands first");
    weir_stream_destroy(stream);
    options = stream_options(WEIR_DENSE, 0, 16);
    stream = stream_make(model, &options);
    assert_refused(weir_stream_feed_chat(stream, talk, 2, &error), WEIR_LIMIT, &error,
                   "more tokens do not fit");
    weir_stream_destroy(stream);
    weir_model_close(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_closed),
        cmocka_unit_test(channels_are_closed),
        cmocka_unit_test(whole_turns_are_forgotten),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests_name("chat in a stream", tests, set_up, scratch_remove);
}
