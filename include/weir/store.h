/*
 * A store: streams that survive. Everything that a stream was given is written down, in order,
 * before it is acknowledged; now and then the whole stream is kept beside it. After a crash at any
 * moment a stream is its newest snapshot and what was written since, fed again: the same bits as if
 * nothing had happened, because a stream's bits depend on what it was fed and on nothing else
 * (STREAMING, "A chunk equals its tokens").
 *
 *     weir_store *store;
 *     weir_store_open("streams", model, NULL, &store, &error);
 *     weir_store_add(store, "river", NULL, stream, &error);              from here on it is kept
 *     weir_store_write(store, "river", &entry, &error);                  what is fed, before it is
 * fed weir_store_commit(store, &error);                                  now it is on disk:
 * acknowledge it weir_stream_feed_text(stream, entry.data, entry.size, &error);
 *     ...
 *     weir_store_restore(store, "river", NULL, NULL, &stream, NULL, &error);   after a crash
 *     weir_store_close(store);
 *
 * A store is a folder: `streams.db`, an SQLite database in WAL mode, and a file for each snapshot
 * and each mark.
 * It belongs to one model and to one process at a time. One thread at a time uses a weir_store.
 */
#ifndef WEIR_STORE_H
#define WEIR_STORE_H

#include "weir/stream.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_store weir_store;

typedef struct weir_store_options {
    /* A commit also survives a loss of power (fsync for each). Without it a commit survives the
     * death of the process, and a loss of power may take the last ones, never the order. */
    bool power_safe;
} weir_store_options;

/*
 * Open the store in `folder`, made when absent (its parent must exist). `options` may be NULL.
 * WEIR_MISMATCH: it belongs to another model. WEIR_DAMAGED: it is no store, or a damaged one.
 * WEIR_UNSUPPORTED: a newer weir made it. WEIR_USAGE: another process has it open. In all these
 * cases nothing in the folder is changed.
 */
WEIR_API weir_status weir_store_open(const char *folder, const weir_model *model,
                                     const weir_store_options *options, weir_store **out,
                                     weir_error *error);

/* What was written and not committed is dropped. NULL is allowed. */
WEIR_API void weir_store_close(weir_store *store);

/* --- Streams of a store ----------------------------------------------------------------------- */

#define WEIR_STORE_NAME_MAX 128   /* bytes of a stream's name, NUL excluded */
#define WEIR_STORE_NOTE_MAX 65536 /* bytes of a note */

/* Keep `stream` under `name` (1 ... WEIR_STORE_NAME_MAX bytes, any but NUL), as it is now: a
 * snapshot is taken. `note`: NUL-terminated words of the caller, kept with it; NULL: none. Commits.
 * WEIR_USAGE: the name is taken or out of range. */
WEIR_API weir_status weir_store_add(weir_store *store, const char *name, const char *note,
                                    weir_stream *stream, weir_error *error);

/* Forget it, with its snapshots. Commits. WEIR_USAGE: there is none of this name. */
WEIR_API weir_status weir_store_remove(weir_store *store, const char *name, weir_error *error);

/* Replace its note. Takes part in the transaction, as weir_store_write does. */
WEIR_API weir_status weir_store_set_note(weir_store *store, const char *name, const char *note,
                                         weir_error *error);

typedef struct weir_store_stream {
    const char *name;
    const char *note;       /* "" without one */
    int64_t entries;        /* written and committed */
    int64_t index;          /* tokens that it had been fed before the last of them */
    int64_t snapshot_entry; /* entries that the newest snapshot contains */
    int64_t snapshot_index; /* tokens that it contains */
    int64_t made, changed;  /* seconds since 1970 */
} weir_store_stream;

/* Every stream, in the order of their names; `fn` must not use the store. Anything but WEIR_OK ends
 * the call and is passed on. */
typedef weir_status (*weir_store_stream_fn)(void *context, const weir_store_stream *stream);
WEIR_API weir_status weir_store_list(weir_store *store, weir_store_stream_fn fn, void *context,
                                     weir_error *error);

/* The one of this name. WEIR_USAGE: there is none. */
WEIR_API weir_status weir_store_look(weir_store *store, const char *name, weir_store_stream_fn fn,
                                     void *context, weir_error *error);

/* --- What a stream is given ------------------------------------------------------------------- */

/* name, number in the file, what it stands for */
#define WEIR_ENTRY_MAP(X)                                                                          \
    X(TEXT, 1, "weir_stream_feed_text with these bytes")                                           \
    X(TOKENS, 2, "weir_stream_feed_tokens with these int32_t")                                     \
    X(DRAWN, 3, "tokens that the stream drew itself, int32_t: fed")                                \
    X(FLUSH, 4, "weir_stream_flush")                                                               \
    X(BORDER, 5, "weir_stream_border")                                                             \
    X(PIN, 6, "weir_stream_pin with this one int64_t")                                             \
    X(REWIND, 7, "weir_stream_rewind to this one int64_t")                                         \
    X(NOTE, 8, "nothing: words of the caller between the others")

typedef enum weir_entry_kind {
#define WEIR_ENTRY_ENUM(name, value, text) WEIR_ENTRY_##name = value,
    WEIR_ENTRY_MAP(WEIR_ENTRY_ENUM)
#undef WEIR_ENTRY_ENUM
} weir_entry_kind;

#define WEIR_STORE_ENTRY_MAX                                                                       \
    (1 << 20) /* bytes of an entry's data; longer texts are several entries */

typedef struct weir_entry {
    weir_entry_kind kind;
    const void *data; /* [size], borrowed during the call */
    size_t size;
    const char *label; /* the caller's word for it ("user"); NULL: none. At most 64 bytes */
    int64_t index;     /* tokens that the stream has been fed so far: where this begins */
    int64_t number;    /* reading: 0 for the stream's first entry. Writing: ignored */
} weir_entry;

/*
 * Write an entry into the transaction at hand. It counts once weir_store_commit has returned
 * WEIR_OK. What an entry does is done by the caller, before or after; when it fails or is cancelled
 * half-way, a snapshot says how far it came.
 *
 * WEIR_IO (the disk is full, say): nothing of the transaction is stored, and its streams are
 * `behind`: they go on in memory, every later entry of them is refused with WEIR_IO, and a snapshot
 * that succeeds lets them catch up. What had been committed is untouched.
 */
WEIR_API weir_status weir_store_write(weir_store *store, const char *name, const weir_entry *entry,
                                      weir_error *error);
WEIR_API weir_status weir_store_commit(weir_store *store, weir_error *error);
WEIR_API bool weir_store_is_behind(const weir_store *store, const char *name);

/* Entries from `first` on, in order, committed or not; those of a removed stream are gone. */
typedef weir_status (*weir_entry_fn)(void *context, const weir_entry *entry);
WEIR_API weir_status weir_store_read(weir_store *store, const char *name, int64_t first,
                                     weir_entry_fn fn, void *context, weir_error *error);

/* --- Snapshots and restoring ------------------------------------------------------------------ */

/* Keep the stream as it is now, with all entries written so far; the one before the last goes. It
 * shortens what restoring feeds again. Commits. */
WEIR_API weir_status weir_store_snapshot(weir_store *store, const char *name, weir_stream *stream,
                                         weir_error *error);

typedef struct weir_restore {
    bool without_replay; /* as it was at the newest snapshot; what came after is forgotten for good
                          */
    /* Asked between entries; false ends the call with WEIR_CANCELLED. May be NULL. */
    bool (*progress)(void *context, int64_t entries, int64_t of);
    void *progress_context;
} weir_restore;

typedef struct weir_restored {
    int64_t snapshot_index; /* tokens that came from the snapshot */
    int64_t index;          /* tokens of the stream now */
    int64_t replayed;       /* entries fed again */
    int64_t dropped;        /* entries forgotten by without_replay */
    bool older_snapshot;    /* the newest was damaged, and the one before it was taken */
} weir_restored;

/*
 * The stream as it was when its last entry had been done. Of `options` count what counts for
 * weir_stream_load (chunk, threads, batch, evicted, allocator); NULL: defaults. `how` and `result`
 * may be NULL. WEIR_DAMAGED: no snapshot is readable, or an entry's checksum fails: the sentence
 * says which.
 */
WEIR_API weir_status weir_store_restore(weir_store *store, const char *name,
                                        const weir_stream_options *options, const weir_restore *how,
                                        weir_stream **out, weir_restored *result,
                                        weir_error *error);

/* --- Marks ------------------------------------------------------------------------------------ */

/* Keep the stream as it is now under `mark` (1 ... WEIR_STORE_NAME_MAX bytes) besides, in place of
 * the one of this name. It stays whatever the stream is given later, and goes with it. Commits. */
WEIR_API weir_status weir_store_mark(weir_store *store, const char *name, const char *mark,
                                     weir_stream *stream, weir_error *error);
/* Commits. WEIR_USAGE: there is none of this name. */
WEIR_API weir_status weir_store_unmark(weir_store *store, const char *name, const char *mark,
                                       weir_error *error);
/* The stream as it was then, to go on from there: a stream of its own. A stream that goes back to
 * it takes a snapshot. Of `options` count those of weir_stream_load. */
WEIR_API weir_status weir_store_load_mark(weir_store *store, const char *name, const char *mark,
                                          const weir_stream_options *options, weir_stream **out,
                                          weir_error *error);
/* Every mark of a stream, with the tokens that it had been fed, oldest first; `fn` must not use the
 * store. Anything but WEIR_OK ends the call and is passed on. */
typedef weir_status (*weir_store_mark_fn)(void *context, const char *mark, int64_t index);
WEIR_API weir_status weir_store_list_marks(weir_store *store, const char *name,
                                           weir_store_mark_fn fn, void *context, weir_error *error);

#ifdef __cplusplus
}
#endif
#endif
