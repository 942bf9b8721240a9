/*
 * Conversations: messages as the tokens that a model was trained to read them in.
 *
 *     weir_message messages[] = {{WEIR_ROLE_SYSTEM, "Be brief.", 9}, {WEIR_ROLE_USER, "Hello", 5}};
 *     weir_stream_feed_chat(stream, messages, 2, &error);
 *     weir_stream_generate(stream, &generate, print, NULL, NULL, &error);
 *     weir_message next = {WEIR_ROLE_USER, "And now?", 8};
 *     weir_stream_feed_chat(stream, &next, 1, &error);              closes the answer by itself
 *
 * A format is recognised by what the file's chat template contains, or chosen by its name
 * (weir_model_options.chat_template); templates are never run. Control tokens come from the format
 * and never from the text of a message, whatever that says. BOS comes once where the template or
 * the vocabulary has it.
 *
 * What a stream pins is the conversation up to its first border: BOS, the system message and what
 * opens the first user's turn. Every later user's turn has its border at the same place. So under
 * WEIR_EVICT_MESSAGE the pinned tokens and what follows any border are a conversation again, with
 * a later message in place of the first.
 */
#ifndef WEIR_CHAT_H
#define WEIR_CHAT_H

#include "weir/message.h"
#include "weir/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The name of format i that weir knows, from 0; NULL behind the last. weir_model_info has that of a
 * model. */
WEIR_API const char *weir_chat_format_name(int i);

/* WEIR_OK, or why messages cannot be fed: the file's template is none that weir knows
 * (WEIR_UNSUPPORTED; the sentence names the formats to choose from), or no text can be. */
WEIR_API weir_status weir_chat_usable(const weir_model *model, weir_error *error);

/* Receives the text of a conversation, in pieces; anything but WEIR_OK ends the call. */
typedef weir_status (*weir_chat_text_fn)(void *context, const char *text, size_t size);

/* A whole conversation as text, control tokens by their names. `invites`: with what makes the model
 * answer behind it. WEIR_USAGE: a system message where the format has no place for one. */
WEIR_API weir_status weir_chat_render(const weir_model *model, const weir_message *messages,
                                      int64_t count, bool invites, weir_chat_text_fn fn,
                                      void *context, weir_error *error);

/* Receives its tokens in order. `border`: those that come next begin a message from which the rest
 * is a valid conversation (weir_stream_border in weir/stream.h); `count` is 0 then. */
typedef weir_status (*weir_chat_token_fn)(void *context, const int32_t *tokens, int64_t count,
                                          bool border);

WEIR_API weir_status weir_chat_tokenize(const weir_model *model, const weir_message *messages,
                                        int64_t count, bool invites, weir_chat_token_fn fn,
                                        void *context, weir_error *error);

/* How many tokens a conversation has before its first border: what is to be pinned. `system` NULL:
 * no system message. */
WEIR_API weir_status weir_chat_count_pinned(const weir_model *model, const weir_message *system,
                                            int64_t *count, weir_error *error);

/* A text that begins the user's next turn, where the format has no control token for that: a stop
 * string of answers. NULL: not needed. */
WEIR_API const char *weir_chat_stop(const weir_model *model);

/* What a generated token belongs to, in formats where the model thinks aloud in channels. Begin
 * with {0} for every answer, and ask token by token. */
typedef enum weir_answer_part {
    WEIR_ANSWER_TEXT,    /* the answer itself */
    WEIR_ANSWER_THOUGHT, /* what is not meant for the reader */
    WEIR_ANSWER_MARK     /* what the format itself writes between them */
} weir_answer_part;

typedef struct weir_answer_reader {
    int state;
    size_t size;
    char channel[24];
} weir_answer_reader;

WEIR_API weir_answer_part weir_chat_part(const weir_model *model, weir_answer_reader *reader,
                                         int32_t token);

#ifdef __cplusplus
}
#endif
#endif
