/* Opening a store, with everything that may be wrong with it; its streams. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "store/store_inside.h"

static const char tables[] =
    "CREATE TABLE store (fingerprint INTEGER NOT NULL, model TEXT NOT NULL);"
    "CREATE TABLE streams (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"
    " note TEXT NOT NULL, entries INTEGER NOT NULL DEFAULT 0,"
    " position INTEGER NOT NULL DEFAULT 0, made INTEGER NOT NULL, changed INTEGER NOT NULL);"
    "CREATE TABLE entries (stream INTEGER NOT NULL, number INTEGER NOT NULL,"
    " kind INTEGER NOT NULL, position INTEGER NOT NULL, label TEXT, data BLOB NOT NULL,"
    " checksum INTEGER NOT NULL, PRIMARY KEY (stream, number)) WITHOUT ROWID;"
    "CREATE TABLE snapshots (stream INTEGER NOT NULL, entries INTEGER NOT NULL,"
    " position INTEGER NOT NULL, PRIMARY KEY (stream, entries)) WITHOUT ROWID;";

/* Since version 2. */
static const char mark_table[] =
    "CREATE TABLE marks (id INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL,"
    " name TEXT NOT NULL, position INTEGER NOT NULL, UNIQUE (stream, name));";

/* ---- opening --------------------------------------------------------------------------------- */

static weir_status execute(weir_store *store, const char *sql, weir_error *error) {
    return sqlite3_exec(store->database, sql, NULL, NULL, NULL) == SQLITE_OK
               ? WEIR_OK
               : wr_store_failed(store, error);
}

/* The first column of the first row of a question; *found tells whether there is a row. */
static weir_status ask(weir_store *store, const char *sql, int64_t *out, bool *found,
                       weir_error *error) {
    sqlite3_stmt *statement = NULL;
    weir_status status = WEIR_OK;
    *found = false;
    int result = sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL);
    if (result == SQLITE_OK) result = sqlite3_step(statement);
    if (result == SQLITE_ROW) {
        *out = sqlite3_column_int64(statement, 0);
        *found = true;
    } else if (result != SQLITE_DONE) {
        status = wr_store_failed(store, error);
    }
    sqlite3_finalize(statement);
    return status;
}

/* Tables for a store that was just made, all or none. */
static weir_status create(weir_store *store, weir_error *error) {
    char sql[256];
    weir_status status = execute(store, "BEGIN EXCLUSIVE", error);
    if (status == WEIR_OK) status = execute(store, tables, error);
    if (status == WEIR_OK) status = execute(store, mark_table, error);
    snprintf(sql, sizeof sql, "PRAGMA application_id = %d; PRAGMA user_version = %d;",
             WR_STORE_APPLICATION, WR_STORE_VERSION);
    if (status == WEIR_OK) status = execute(store, sql, error);
    if (status == WEIR_OK) {
        sqlite3_stmt *insert = NULL;
        const char *path = weir_model_get_info(store->model)->path;
        if (sqlite3_prepare_v2(store->database, "INSERT INTO store VALUES (?1, ?2)", -1, &insert,
                               NULL) != SQLITE_OK ||
            sqlite3_bind_int64(insert, 1, (int64_t)weir_model_fingerprint(store->model)) !=
                SQLITE_OK ||
            sqlite3_bind_text(insert, 2, path, -1, SQLITE_STATIC) != SQLITE_OK ||
            sqlite3_step(insert) != SQLITE_DONE)
            status = wr_store_failed(store, error);
        sqlite3_finalize(insert);
    }
    return status == WEIR_OK ? execute(store, "COMMIT", error) : status;
}

/* One that exists: ours, of a version that we know, and of this model. */
static weir_status recognise(weir_store *store, weir_error *error) {
    int64_t application = 0, version = 0, fingerprint = 0;
    bool found;
    weir_status status = ask(store, "PRAGMA application_id", &application, &found, error);
    if (status == WEIR_OK) status = ask(store, "PRAGMA user_version", &version, &found, error);
    if (status != WEIR_OK) return status;
    if (application != WR_STORE_APPLICATION || version < 1)
        return weir_error_set(error, WEIR_DAMAGED, "%s/streams.db is not a store of weir",
                              store->folder);
    if (version > WR_STORE_VERSION)
        return weir_error_set(error, WEIR_UNSUPPORTED,
                              "%s: a newer weir made this store (version %lld, this one knows %d)",
                              store->folder, (long long)version, WR_STORE_VERSION);
    status = ask(store, "SELECT fingerprint FROM store", &fingerprint, &found, error);
    if (status != WEIR_OK) return status;
    if (!found)
        return weir_error_set(error, WEIR_DAMAGED,
                              "%s: the store is damaged: it does not say whose it is",
                              store->folder);
    if ((uint64_t)fingerprint != weir_model_fingerprint(store->model))
        return weir_error_set(error, WEIR_MISMATCH,
                              "%s: the store belongs to another model than %s: open it with the "
                              "model that made it, or take another folder",
                              store->folder, weir_model_get_info(store->model)->path);
    return WEIR_OK;
}

/* A store of an older version gets what it lacks, all or nothing. */
static weir_status bring_up(weir_store *store, weir_error *error) {
    char sql[64];
    int64_t version = 0;
    bool found;
    weir_status status = ask(store, "PRAGMA user_version", &version, &found, error);
    if (status != WEIR_OK || version >= WR_STORE_VERSION) return status;
    snprintf(sql, sizeof sql, "PRAGMA user_version = %d", WR_STORE_VERSION);
    status = execute(store, "BEGIN EXCLUSIVE", error);
    if (status == WEIR_OK) status = execute(store, mark_table, error);
    if (status == WEIR_OK) status = execute(store, sql, error);
    return status == WEIR_OK ? execute(store, "COMMIT", error) : status;
}

/* The lock is kept until the store is closed: a second process is refused. */
static weir_status take(weir_store *store, bool power_safe, weir_error *error) {
    weir_status status = execute(store, "PRAGMA locking_mode = EXCLUSIVE", error);
    if (status == WEIR_OK) status = execute(store, "BEGIN EXCLUSIVE; COMMIT", error);
    if (status == WEIR_OK) status = execute(store, "PRAGMA journal_mode = WAL", error);
    if (status == WEIR_OK)
        status = execute(
            store, power_safe ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", error);
    return status;
}

static weir_status open_database(weir_store *store, bool power_safe, weir_error *error) {
    char path[WR_STORE_PATH_MAX];
    struct stat there;
    snprintf(path, sizeof path, "%s/streams.db", store->folder);
    const bool fresh = stat(path, &there) != 0 || there.st_size == 0;
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_CREATE;
    if (sqlite3_open_v2(path, &store->database, flags, NULL) != SQLITE_OK)
        return wr_store_failed(store, error);
    sqlite3_extended_result_codes(store->database, 0);
    weir_status status = fresh ? WEIR_OK : recognise(store, error);
    if (status == WEIR_OK) status = take(store, power_safe, error);
    if (status == WEIR_OK) status = fresh ? create(store, error) : bring_up(store, error);
    return status == WEIR_OK ? wr_store_prepare(store, error) : status;
}

weir_status weir_store_open(const char *folder, const weir_model *model,
                            const weir_store_options *options, weir_store **out,
                            weir_error *error) {
    *out = NULL;
    if (strlen(folder) > WR_STORE_PATH_MAX - 96)
        return weir_error_set(error, WEIR_USAGE, "%.60s...: the path is too long", folder);
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return weir_error_set(error, WEIR_IO, "%s: the folder cannot be made: %s", folder,
                              strerror(errno));
    weir_store *store = calloc(1, sizeof *store);
    if (store != NULL) store->folder = strdup(folder);
    if (store == NULL || store->folder == NULL) {
        free(store);
        return weir_error_set(error, WEIR_MEMORY, "%s: no memory for the store", folder);
    }
    store->model = model;
    weir_status status = open_database(store, options != NULL && options->power_safe, error);
    if (status != WEIR_OK) {
        weir_store_close(store);
        return status;
    }
    wr_store_sweep(store, 0);
    *out = store;
    return WEIR_OK;
}

void weir_store_close(weir_store *store) {
    if (store == NULL) return;
    wr_store_finalise(store); /* an open transaction is rolled back by closing */
    sqlite3_close(store->database);
    free(store->touched.items);
    free(store->behind.items);
    free(store->folder);
    free(store);
}

/* ---- streams --------------------------------------------------------------------------------- */

static weir_status check_words(const weir_store *store, const char *name, const char *note,
                               weir_error *error) {
    const size_t size = strlen(name);
    if (size < 1 || size > WEIR_STORE_NAME_MAX)
        return weir_error_set(error, WEIR_USAGE, "%s: a stream's name has 1 to %d bytes, not %zu",
                              store->folder, WEIR_STORE_NAME_MAX, size);
    if (note != NULL && strlen(note) > WEIR_STORE_NOTE_MAX)
        return weir_error_set(error, WEIR_USAGE, "%s: a note has at most %d bytes, not %zu",
                              store->folder, WEIR_STORE_NOTE_MAX, strlen(note));
    return WEIR_OK;
}

weir_status weir_store_add(weir_store *store, const char *name, const char *note,
                           weir_stream *stream, weir_error *error) {
    weir_error none;
    int64_t id, entries;
    weir_status status = check_words(store, name, note, error);
    if (status != WEIR_OK) return status;
    status = wr_store_find(store, name, &id, &entries, &none);
    if (status == WEIR_OK)
        return weir_error_set(error, WEIR_USAGE, "%s has a stream %s already", store->folder, name);
    if (status != WEIR_USAGE) return wr_store_failed(store, error);
    status = wr_store_begin(store, error);
    if (status != WEIR_OK) return status;
    sqlite3_stmt *add = wr_store_query_of(store, WR_STORE_ADD_STREAM);
    sqlite3_bind_text(add, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_text(add, 2, note != NULL ? note : "", -1, SQLITE_STATIC);
    sqlite3_bind_int64(add, 3, (int64_t)time(NULL));
    status = wr_store_run(store, WR_STORE_ADD_STREAM, error);
    if (status != WEIR_OK) {
        wr_store_give_up(store);
        return status;
    }
    return wr_store_take_snapshot(store, sqlite3_last_insert_rowid(store->database), 0, stream,
                                  error);
}

weir_status weir_store_remove(weir_store *store, const char *name, weir_error *error) {
    static const wr_store_query removals[] = {WR_STORE_REMOVE_ALL_SNAPSHOTS,
                                              WR_STORE_REMOVE_ALL_MARKS, WR_STORE_REMOVE_ENTRIES,
                                              WR_STORE_REMOVE_STREAM};
    int64_t id, entries;
    weir_status status = wr_store_find(store, name, &id, &entries, error);
    if (status == WEIR_OK) status = wr_store_begin(store, error);
    for (size_t i = 0; status == WEIR_OK && i < sizeof removals / sizeof removals[0]; i++) {
        sqlite3_bind_int64(wr_store_query_of(store, removals[i]), 1, id);
        if (removals[i] == WR_STORE_REMOVE_ENTRIES)
            sqlite3_bind_int64(store->statements[WR_STORE_REMOVE_ENTRIES], 2, 0);
        status = wr_store_run(store, removals[i], error);
        if (status != WEIR_OK) wr_store_give_up(store);
    }
    if (status == WEIR_OK) status = weir_store_commit(store, error);
    if (status != WEIR_OK) return status;
    wr_store_set_remove(&store->behind, id);
    wr_store_sweep(store, id);
    return WEIR_OK;
}

weir_status weir_store_set_note(weir_store *store, const char *name, const char *note,
                                weir_error *error) {
    int64_t id, entries;
    weir_status status = check_words(store, name, note, error);
    if (status == WEIR_OK) status = wr_store_find(store, name, &id, &entries, error);
    if (status == WEIR_OK) status = wr_store_begin(store, error);
    if (status != WEIR_OK) return status;
    sqlite3_stmt *set = wr_store_query_of(store, WR_STORE_SET_NOTE);
    sqlite3_bind_int64(set, 1, id);
    sqlite3_bind_text(set, 2, note, -1, SQLITE_STATIC);
    status = wr_store_run(store, WR_STORE_SET_NOTE, error);
    if (status != WEIR_OK) wr_store_give_up(store);
    return status;
}

/* Those of this name, or all. */
static weir_status list(weir_store *store, const char *name, weir_store_stream_fn fn, void *context,
                        weir_error *error) {
    sqlite3_stmt *rows = wr_store_query_of(store, WR_STORE_LIST_STREAMS);
    weir_status status = WEIR_OK;
    int result;
    sqlite3_bind_text(rows, 1, name, -1, SQLITE_STATIC); /* NULL binds NULL */
    while (status == WEIR_OK && (result = sqlite3_step(rows)) != SQLITE_DONE) {
        if (result != SQLITE_ROW) {
            status = wr_store_failed(store, error);
            break;
        }
        const weir_store_stream stream = {
            .name = (const char *)sqlite3_column_text(rows, 0),
            .note = (const char *)sqlite3_column_text(rows, 1),
            .entries = sqlite3_column_int64(rows, 2),
            .index = sqlite3_column_int64(rows, 3),
            .made = sqlite3_column_int64(rows, 4),
            .changed = sqlite3_column_int64(rows, 5),
            .snapshot_entry = sqlite3_column_int64(rows, 6),
            .snapshot_index = sqlite3_column_int64(rows, 7),
        };
        status = stream.name != NULL && stream.note != NULL
                     ? fn(context, &stream)
                     : weir_error_set(error, WEIR_MEMORY, "%s: no memory to list its streams",
                                      store->folder);
    }
    sqlite3_reset(rows);
    return status;
}

weir_status weir_store_list(weir_store *store, weir_store_stream_fn fn, void *context,
                            weir_error *error) {
    return list(store, NULL, fn, context, error);
}

weir_status weir_store_look(weir_store *store, const char *name, weir_store_stream_fn fn,
                            void *context, weir_error *error) {
    int64_t id, entries;
    weir_status status = wr_store_find(store, name, &id, &entries, error);
    return status == WEIR_OK ? list(store, name, fn, context, error) : status;
}
