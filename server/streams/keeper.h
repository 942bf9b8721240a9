/*
 * What is written down: the streams of a server in a store on disk (weir/store.h), so that a crash
 * at any moment loses none of them, and so that idle ones can leave memory and come back.
 *
 * session.c tells everything that a stream is given, before it is fed; tokens that it draws are
 * gathered a little. keeper_commit puts it all on disk, and the worker calls it before an answer is
 * ended. When the disk fails the streams go on in memory, and `keeper_has` says so.
 *
 * Sessions without an id, and servers without a store, have no keeper: then nothing here does
 * anything. All of it belongs to the worker's thread.
 */
#ifndef WEIR_SERVER_KEEPER_H
#define WEIR_SERVER_KEEPER_H

#include "streams/session.h"

typedef struct server_keeper server_keeper;

#define KEEPER_CHAT "chat"   /* the label of tokens that messages were made of */
#define KEEPER_MOVED "moved" /* of a note: where the stream is now, int64_t */

/* `folder` NULL: *out is NULL, and nothing is kept. */
weir_status keeper_open(const char *folder, bool power_safe, const weir_model *model,
                        server_metrics *metrics, server_keeper **out, weir_error *error);
void keeper_close(server_keeper *keeper); /* NULL is allowed */
struct weir_store *keeper_store(server_keeper *keeper);

/* --- What a session is given --- */

/* From now on the session is kept, as it is; what waits for its stream is written down besides. */
void keeper_add(server_keeper *keeper, server_session *session);
void keeper_text(server_session *session, const char *text, size_t size, bool flush);
void keeper_flush(server_session *session);
/* `label`: KEEPER_CHAT where they say what messages say; or NULL. */
void keeper_tokens(server_session *session, const int32_t *tokens, int64_t count,
                   const char *label);
/* What was said, for whoever reads it; the tokens follow. */
void keeper_messages(server_session *session, const weir_message *messages, int64_t count);
void keeper_border(server_session *session);
void keeper_drew(server_session *session, int32_t token);
void keeper_rewind(server_session *session, int64_t index);
/* The stream is elsewhere than the words above say: a snapshot follows. */
void keeper_moved(server_session *session, int64_t index);
/* What the words above cannot say: the stream as it is now. */
void keeper_snapshot(server_session *session);
/* It was deleted: the store forgets it. */
void keeper_remove(server_session *session);

/* Whether all that the session was given is, or will be at the next commit, on disk. */
bool keeper_has(const server_session *session);

/* --- Marks --- */

/* A mark of this name, which `stream` is at. False: it is not on disk. */
bool keeper_mark(server_session *session, const char *name, weir_stream *stream);
weir_status keeper_unmark(server_session *session, const char *name, weir_error *error);
/* A stream of its own. */
weir_status keeper_load_mark(server_session *session, const char *name, weir_stream **out,
                             weir_error *error);

/* --- The disk --- */

/* Everything since the last commit. `drawn`: the gathered tokens of these sessions too. */
void keeper_commit(server_keeper *keeper, server_session *sessions, bool drawn);
/* Now and then: long logs are cut short by snapshots, and what could not be stored is tried again.
 */
void keeper_tend(server_keeper *keeper, server_session *sessions, double now);

/* --- Streams that are on disk alone --- */

/* What a stored stream is like, without its past: its options, and what its session remembers. */
typedef struct keeper_record {
    weir_stream_options options;
    weir_sampling sampling;
    bool seeded;
    int64_t created, made;
    char *system; /* free() it; NULL: none */
} keeper_record;

/* WEIR_USAGE: none is stored under this id. */
weir_status keeper_look(server_keeper *keeper, const char *id, keeper_record *out,
                        weir_error *error);
/* Its stream, fed again; the memory must have been promised. */
weir_status keeper_restore(server_keeper *keeper, const char *id, const keeper_record *record,
                           server_session **out, weir_error *error);
/* All that are stored, each as an object with `id`, `index`, `created` and `loaded`: false; those
 * that `skip` says are left out. */
json_t *keeper_list(server_keeper *keeper, bool (*skip)(void *context, const char *id),
                    void *context);

#endif
