/*
 * Inside a store: the database, its statements, and what the files of this folder share.
 *
 *     streams    one row each: name, note, how many entries, the index before the last of them
 *     entries    what streams were given: (stream, number), each with a checksum
 *     snapshots  files beside the database: (stream, entries that it contains)
 *     marks      the same, of moments with a name: (stream, name)
 */
#ifndef WR_STORE_INSIDE_H
#define WR_STORE_INSIDE_H

#include <sqlite3.h>

#include "weir/store.h"

/* The version of the tables (PRAGMA user_version), and "weir" (PRAGMA application_id). */
#define WR_STORE_VERSION 2 /* 2: marks */
#define WR_STORE_APPLICATION 0x77656972

/* name, SQL */
#define WR_STORE_STATEMENTS(X)                                                                     \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                    \
    X(COMMIT, "COMMIT")                                                                            \
    X(ROLLBACK, "ROLLBACK")                                                                        \
    X(ADD_STREAM, "INSERT INTO streams (name, note, made, changed) VALUES (?1, ?2, ?3, ?3)")       \
    X(FIND_STREAM, "SELECT id, entries FROM streams WHERE name = ?1")                              \
    X(SET_NOTE, "UPDATE streams SET note = ?2 WHERE id = ?1")                                      \
    X(COUNT_ENTRY,                                                                                 \
      "UPDATE streams SET entries = ?2 + 1, position = ?3, changed = ?4 WHERE id = ?1")            \
    X(CUT_STREAM, "UPDATE streams SET entries = ?2, position = ?3 WHERE id = ?1")                  \
    X(REMOVE_STREAM, "DELETE FROM streams WHERE id = ?1")                                          \
    X(LIST_STREAMS,                                                                                \
      "SELECT s.name, s.note, s.entries, s.position, s.made, s.changed, p.entries, p.position "    \
      "FROM streams s JOIN snapshots p ON p.stream = s.id AND p.entries = "                        \
      "(SELECT max(entries) FROM snapshots WHERE stream = s.id) "                                  \
      "WHERE ?1 IS NULL OR s.name = ?1 ORDER BY s.name")                                           \
    X(ADD_ENTRY, "INSERT INTO entries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")                        \
    X(READ_ENTRIES, "SELECT number, kind, position, label, data, checksum FROM entries "           \
                    "WHERE stream = ?1 AND number >= ?2 ORDER BY number")                          \
    X(REMOVE_ENTRIES, "DELETE FROM entries WHERE stream = ?1 AND number >= ?2")                    \
    X(ADD_SNAPSHOT, "INSERT OR REPLACE INTO snapshots VALUES (?1, ?2, ?3)")                        \
    X(LIST_SNAPSHOTS,                                                                              \
      "SELECT entries, position FROM snapshots WHERE stream = ?1 ORDER BY entries DESC")           \
    X(HAS_SNAPSHOT, "SELECT 1 FROM snapshots WHERE stream = ?1 AND entries = ?2")                  \
    X(REMOVE_SNAPSHOTS, "DELETE FROM snapshots WHERE stream = ?1 AND entries < ?2")                \
    X(REMOVE_LATER_SNAPSHOTS, "DELETE FROM snapshots WHERE stream = ?1 AND entries > ?2")          \
    X(REMOVE_ALL_SNAPSHOTS, "DELETE FROM snapshots WHERE stream = ?1")                             \
    X(ADD_MARK, "INSERT OR REPLACE INTO marks (stream, name, position) VALUES (?1, ?2, ?3)")       \
    X(FIND_MARK, "SELECT id FROM marks WHERE stream = ?1 AND name = ?2")                           \
    X(HAS_MARK, "SELECT 1 FROM marks WHERE stream = ?1 AND id = ?2")                               \
    X(LIST_MARKS, "SELECT name, position FROM marks WHERE stream = ?1 ORDER BY id")                \
    X(REMOVE_MARK, "DELETE FROM marks WHERE id = ?1")                                              \
    X(REMOVE_ALL_MARKS, "DELETE FROM marks WHERE stream = ?1")

typedef enum wr_store_query {
#define WR_STORE_ENUM(name, sql) WR_STORE_##name,
    WR_STORE_STATEMENTS(WR_STORE_ENUM)
#undef WR_STORE_ENUM
        WR_STORE_QUERIES
} wr_store_query;

/* Streams by their numbers in the database: those written to in this transaction, those behind. */
typedef struct wr_store_set {
    int64_t *items;
    int64_t count, room;
} wr_store_set;

struct weir_store {
    char *folder;
    const weir_model *model;
    sqlite3 *database;
    sqlite3_stmt *statements[WR_STORE_QUERIES];
    bool writing; /* a transaction is open */
    wr_store_set touched, behind;
};

/* ---- statements.c ---------------------------------------------------------------------------- */

weir_status wr_store_prepare(weir_store *store, weir_error *error);
void wr_store_finalise(weir_store *store);

/* The statement, reset and ready to be bound. */
sqlite3_stmt *wr_store_query_of(weir_store *store, wr_store_query query);
/* Run one that returns no rows, bound or without parameters, and reset it. */
weir_status wr_store_run(weir_store *store, wr_store_query query, weir_error *error);
/* What SQLite says about the last call, as one sentence. */
weir_status wr_store_failed(const weir_store *store, weir_error *error);

/* The number of a stream and of its entries; WEIR_USAGE when there is none of this name. */
weir_status wr_store_find(weir_store *store, const char *name, int64_t *id, int64_t *entries,
                          weir_error *error);

/* ---- sets ------------------------------------------------------------------------------------ */

bool wr_store_set_has(const wr_store_set *set, int64_t id);
/* False without memory. */
bool wr_store_set_add(wr_store_set *set, int64_t id);
void wr_store_set_remove(wr_store_set *set, int64_t id);

/* ---- transactions (entries.c) ---------------------------------------------------------------- */

/* Begin one unless it is open. */
weir_status wr_store_begin(weir_store *store, weir_error *error);
/* Drop what was not committed; its streams are behind. */
void wr_store_give_up(weir_store *store);
/* Of an entry as it stands in the database. */
uint64_t wr_store_checksum(const weir_entry *entry);

/* ---- snapshots (snapshots.c) ----------------------------------------------------------------- */

#define WR_STORE_PATH_MAX 4096

/* FOLDER/snapshot-ID-ENTRIES.weir */
void wr_store_snapshot_path(const weir_store *store, int64_t id, int64_t entries,
                            char out[WR_STORE_PATH_MAX]);
/* Write the file and its row, commit, and remove files that no row names. */
weir_status wr_store_take_snapshot(weir_store *store, int64_t id, int64_t entries,
                                   weir_stream *stream, weir_error *error);
/* Remove files of snapshots and marks that the database does not name, of one stream, or of all
 * (0). */
void wr_store_sweep(weir_store *store, int64_t id);

#endif
