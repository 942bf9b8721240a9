/*
 * Any bytes as a chat template and as messages: the format is recognised or not, the conversation
 * is written, and no message ever gives a control token.
 *
 *   byte 0   which vocabulary; 4: marks are user-defined there; 8: the template is recognised,
 *            else chosen by byte 1
 *   byte 1   bytes of the template, or the number of the format
 *   rest     the template where it is recognised, then messages: a byte for the role and the size
 *            of its text, and the text
 */
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "../tests/support/chat_model.h"
#include "../tests/support/small_vocabulary.h"
#include "../tests/support/token_list.h"
#include "text/chat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MESSAGES 16

static void require(bool truth) {
    if (!truth) abort();
}

typedef struct opened {
    wr_gguf *gguf;
    wr_vocab *vocab;
} opened;

/* A vocabulary with marks. A format may change their types, so each input has a fresh one. */
static opened open_marks(uint8_t which) {
    static const char *const names[] = {"qwen2", "bpe-fallback", "unigram", "wordpiece-uncased"};
    static wr_gguf *made[8]; /* kept */
    opened o = {.gguf = made[which % 8]};
    if (!o.gguf) {
        char small[1024], path[64];
        chat_sample sample = {.base = small_path(names[which % 4], "gguf", small),
                              .chat_template = "",
                              .bos = "<s>",
                              .eos = "</s>",
                              .user_defined = which % 8 >= 4,
                              .adds_bos = which % 2};
        snprintf(path, sizeof path, "/tmp/weir-fuzz-chat-%d-%d", (int)getpid(), which % 8);
        chat_model_write(path, &sample);
        require(wr_gguf_open(path, NULL, &o.gguf, NULL) == WEIR_OK);
        unlink(path);
        made[which % 8] = o.gguf;
    }
    require(wr_vocab_open(o.gguf, NULL, &o.vocab, NULL) == WEIR_OK);
    return o;
}

typedef struct listener {
    const wr_vocab *vocab;
    int64_t controls, borders;
} listener;

static weir_status count_controls(void *context, const int32_t *tokens, int64_t count,
                                  weir_error *error) {
    listener *to = context;
    (void)error;
    for (int64_t i = 0; i < count; i++)
        to->controls += wr_vocab_type(to->vocab, tokens[i]) == WR_TOKEN_CONTROL;
    return WEIR_OK;
}

static weir_status count_border(void *context, weir_error *error) {
    listener *to = context;
    (void)error;
    to->borders++;
    return WEIR_OK;
}

static weir_status speak(const wr_chat *chat, const wr_vocab *vocab, const weir_message *messages,
                         int64_t count, listener *out) {
    wr_arena arena = {0};
    *out = (listener){.vocab = vocab};
    wr_chat_speaker speaker = {.chat = chat,
                               .vocab = vocab,
                               .tokenizer = token_list_tokenizer(&arena, vocab),
                               .emit = count_controls,
                               .border = count_border,
                               .context = out,
                               .behind_a_mark = true};
    weir_status status = wr_chat_write(chat, messages, count, (wr_chat_turn){true, true},
                                       wr_chat_speak, &speaker, NULL);
    if (status == WEIR_OK)
        status = wr_tokenizer_flush(speaker.tokenizer, count_controls, out, NULL);
    wr_arena_release(&arena, NULL);
    return status;
}

static int64_t read_messages(const uint8_t *data, size_t size, weir_message *messages) {
    int64_t count = 0;
    while (size > 0 && count < MESSAGES) {
        size_t text = data[0] / 4 < size - 1 ? data[0] / 4 : size - 1;
        messages[count++] = (weir_message){(weir_role)(data[0] % 4), (const char *)data + 1, text};
        data += 1 + text;
        size -= 1 + text;
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    weir_message messages[MESSAGES], silent[MESSAGES];
    wr_chat chat;
    if (size < 2) return 0;
    size_t template_size = data[0] & 8 ? data[1] : 0;
    if (template_size > size - 2) template_size = size - 2;
    wr_string chat_template = {(const char *)data + 2, template_size};
    int formats = 0;
    while (wr_chat_rows[formats].name) formats++;
    const char *name = data[0] & 8 ? NULL : wr_chat_rows[data[1] % formats].name;
    opened o = open_marks(data[0]);
    require(wr_chat_choose(chat_template, name, o.vocab, &chat, NULL) == WEIR_OK);
    require(wr_chat_take_marks(&chat, o.vocab, NULL) == WEIR_OK);
    int64_t count = read_messages(data + 2 + template_size, size - 2 - template_size, messages);
    for (int64_t i = 0; i < count; i++) silent[i] = (weir_message){messages[i].role, "", 0};
    listener have, want;
    weir_status status = speak(&chat, o.vocab, messages, count, &have);
    require(status == speak(&chat, o.vocab, silent, count, &want));
    require(status != WEIR_OK || (have.controls == want.controls && have.borders == want.borders));
    wr_vocab_close(o.vocab);
    return 0;
}
