/* SQL, prepared once; and what SQLite says when it fails, as a sentence. */
#include <stdlib.h>
#include <string.h>

#include "store/store_inside.h"

static const char *const queries[WR_STORE_QUERIES] = {
#define WR_STORE_SQL(name, sql) [WR_STORE_##name] = sql,
    WR_STORE_STATEMENTS(WR_STORE_SQL)
#undef WR_STORE_SQL
};

weir_status wr_store_failed(const weir_store *store, weir_error *error) {
    const char *said = sqlite3_errmsg(store->database);
    switch (sqlite3_errcode(store->database)) {
    case SQLITE_NOMEM:
        return weir_error_set(error, WEIR_MEMORY, "%s: no memory for the store", store->folder);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return weir_error_set(error, WEIR_DAMAGED, "%s: the store is damaged: %s", store->folder,
                              said);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return weir_error_set(error, WEIR_USAGE, "%s: the store is in use by another process",
                              store->folder);
    case SQLITE_FULL:
        return weir_error_set(error, WEIR_IO, "%s: the disk is full", store->folder);
    case SQLITE_ERROR: /* a table or a column is missing: not what we made */
        return weir_error_set(error, WEIR_DAMAGED, "%s: not a store of weir: %s", store->folder,
                              said);
    default:
        return weir_error_set(error, WEIR_IO, "%s: the store cannot be read or written: %s",
                              store->folder, said);
    }
}

weir_status wr_store_prepare(weir_store *store, weir_error *error) {
    for (int i = 0; i < WR_STORE_QUERIES; i++)
        if (sqlite3_prepare_v3(store->database, queries[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &store->statements[i], NULL) != SQLITE_OK)
            return wr_store_failed(store, error);
    return WEIR_OK;
}

void wr_store_finalise(weir_store *store) {
    for (int i = 0; i < WR_STORE_QUERIES; i++) sqlite3_finalize(store->statements[i]);
}

sqlite3_stmt *wr_store_query_of(weir_store *store, wr_store_query query) {
    sqlite3_stmt *statement = store->statements[query];
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return statement;
}

weir_status wr_store_run(weir_store *store, wr_store_query query, weir_error *error) {
    sqlite3_stmt *statement = store->statements[query];
    const int result = sqlite3_step(statement);
    weir_status status = WEIR_OK;
    if (result != SQLITE_DONE && result != SQLITE_ROW) status = wr_store_failed(store, error);
    sqlite3_reset(statement);
    return status;
}

weir_status wr_store_find(weir_store *store, const char *name, int64_t *id, int64_t *entries,
                          weir_error *error) {
    sqlite3_stmt *find = wr_store_query_of(store, WR_STORE_FIND_STREAM);
    sqlite3_bind_text(find, 1, name, -1, SQLITE_STATIC);
    const int result = sqlite3_step(find);
    weir_status status = WEIR_OK;
    if (result == SQLITE_ROW) {
        *id = sqlite3_column_int64(find, 0);
        *entries = sqlite3_column_int64(find, 1);
    } else if (result == SQLITE_DONE) {
        status = weir_error_set(error, WEIR_USAGE, "%s has no stream %.128s", store->folder, name);
    } else {
        status = wr_store_failed(store, error);
    }
    sqlite3_reset(find);
    return status;
}

/* ---- sets: a few numbers, looked through ----------------------------------------------------- */

static int64_t place_of(const wr_store_set *set, int64_t id) {
    for (int64_t i = 0; i < set->count; i++)
        if (set->items[i] == id) return i;
    return -1;
}

bool wr_store_set_has(const wr_store_set *set, int64_t id) { return place_of(set, id) >= 0; }

bool wr_store_set_add(wr_store_set *set, int64_t id) {
    if (wr_store_set_has(set, id)) return true;
    if (set->count == set->room) {
        const int64_t room = set->room > 0 ? 2 * set->room : 16;
        int64_t *items = realloc(set->items, (size_t)room * sizeof *items);
        if (items == NULL) return false;
        set->items = items;
        set->room = room;
    }
    set->items[set->count++] = id;
    return true;
}

void wr_store_set_remove(wr_store_set *set, int64_t id) {
    const int64_t place = place_of(set, id);
    if (place >= 0) set->items[place] = set->items[--set->count];
}
