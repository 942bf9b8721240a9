/*
 * Conversations to text and to tokens.
 *
 * A conversation is written as parts: the format's own text, the messages' text, borders. To tokens
 * the format's text goes piece by piece: what is a control token of the vocabulary becomes that
 * token, the rest is ordinary text, joined with the message beside it as if both were one string.
 * The text of a message is ordinary text whatever it says.
 *
 * Where a vocabulary has a space prefix (SentencePiece), it stands behind every control token too,
 * as the models' own tokenizers have it, unless a space stands there already.
 */
#ifndef WR_CHAT_H
#define WR_CHAT_H

#include "text/chat_format.h"
#include "text/tokenizer.h"
#include "weir/message.h"

/* A format, with what the file's template adds to it. */
typedef struct wr_chat {
    const wr_chat_format *format; /* NULL: unknown */
    wr_string default_system;     /* data NULL: the format's */
    bool bos;                     /* the conversation begins with BOS */
} wr_chat;

/* The format of a template, or the one called `name`; WEIR_USAGE when there is none of that name.
 * A model without a template has the format "plain". */
weir_status wr_chat_choose(wr_string chat_template, const char *name, const wr_vocab *vocab,
                           wr_chat *out, weir_error *error);

/* WEIR_OK, or WEIR_UNSUPPORTED and which formats there are to choose from. */
weir_status wr_chat_known(const wr_chat *chat, weir_error *error);

/* The tokens that a format writes as marks become control tokens of the vocabulary, if they are not
 * yet, so that no text gives them; and its end of an answer ends text. Before any tokenizer. */
weir_status wr_chat_take_marks(const wr_chat *chat, wr_vocab *vocab, weir_error *error);

typedef enum wr_chat_part {
    WR_PART_FORMAT, /* text of the format */
    WR_PART_TEXT,   /* text of a message */
    WR_PART_BOS,    /* no text; so for the next two */
    WR_PART_EOS,
    WR_PART_BORDER
} wr_chat_part;

typedef weir_status (*wr_chat_take)(void *context, wr_chat_part part, wr_string text,
                                    weir_error *error);

/* Where a conversation is continued. */
typedef struct wr_chat_turn {
    bool begins;  /* nothing stands before it; else an answer does, which is closed first */
    bool invites; /* the model is to answer behind it */
} wr_chat_turn;

weir_status wr_chat_write(const wr_chat *chat, const weir_message *messages, int64_t count,
                          wr_chat_turn turn, wr_chat_take take, void *context, weir_error *error);

/* Parts to tokens: give wr_chat_speak to wr_chat_write. */
typedef struct wr_chat_speaker {
    const wr_chat *chat;
    const wr_vocab *vocab;
    wr_tokenizer *tokenizer; /* holds nothing before and after */
    wr_token_emit emit;
    weir_status (*border)(void *context, weir_error *error); /* or NULL */
    void *context;                                           /* of both */
    bool behind_a_mark; /* the last token was a control token, or there was none */
    bool swallowing;    /* white space that comes is none */
} wr_chat_speaker;

weir_status wr_chat_speak(void *speaker, wr_chat_part part, wr_string text, weir_error *error);

#endif
