/* What a session is besides its stream, as words in the store. */
#ifndef WEIR_SERVER_KEEPER_NOTE_H
#define WEIR_SERVER_KEEPER_NOTE_H

#include "streams/keeper.h"

/* A new string, or NULL: no memory. */
char *keeper_note(const server_session *session);
/* `id`: whose, for the sentence of what is damaged. */
weir_status keeper_read_note(const char *id, const char *text, keeper_record *out,
                             weir_error *error);

#endif
