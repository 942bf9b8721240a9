/*
 * Chat formats as rows of data: how a conversation is written for a model, and by what its template
 * is recognised. Templates are programs in a language of their own; weir never runs one, it knows
 * what the well-known ones write.
 *
 * A pattern is text in which one byte stands for something else:
 */
#ifndef WR_CHAT_FORMAT_H
#define WR_CHAT_FORMAT_H

#include <stdbool.h>

#include "base/bytes.h"

#define WR_CHAT_BOS "\1"
#define WR_CHAT_EOS "\2"
#define WR_CHAT_TEXT "\3"   /* the message, once in a pattern */
#define WR_CHAT_BORDER "\4" /* of a user's turn: what follows it may follow the pinned tokens */

/* White space around the text of a message. */
typedef enum wr_chat_trim {
    WR_TRIM_NOTHING,
    WR_TRIM_TEXT, /* of users and the model */
    WR_TRIM_ALL,  /* of the system too */
    WR_TRIM_TURN  /* of users and the model, but not between the system's and the user's text */
} wr_chat_trim;

typedef struct wr_chat_format {
    const char *name;
    const char *begin;          /* before the first message, behind BOS */
    const char *system;         /* pattern */
    const char *user;           /* pattern; without a border in it, it begins with one */
    const char *assistant;      /* pattern */
    const char *invitation;     /* what makes the model answer */
    const char *separator;      /* before every message but the first, and before the invitation */
    const char *end;            /* the token that ends an answer; NULL: EOS */
    const char *stop;           /* text by which a model goes on with the user's turn; NULL: none */
    const char *default_system; /* what it says where there is no system message; NULL: nothing */
    wr_chat_trim trim;
    bool bos;           /* the conversation begins with BOS, also where the vocabulary adds none */
    bool system_inside; /* the system message stands in the first user's turn, before its text */
    bool swallows;      /* SentencePiece: white space behind a control token is none */
    bool channels;      /* thoughts and answers in channels */
} wr_chat_format;

/* The rows, the last one with name NULL. To add one: a row there, and how it is recognised. */
extern const wr_chat_format wr_chat_rows[];

/* The row of that name, or NULL. */
const wr_chat_format *wr_chat_format_named(wr_string name);

/* The row whose conversations this template writes, or NULL. */
const wr_chat_format *wr_chat_format_of(wr_string chat_template);

/* What the template itself says for a missing system message (as it stands there, with \n for a
 * new line); size 0: nothing that can be read off. */
wr_string wr_chat_default_system(wr_string chat_template);

/* Whether a template writes BOS. */
bool wr_chat_writes_bos(wr_string chat_template);

#endif
