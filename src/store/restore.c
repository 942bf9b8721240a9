/* A stream again: its newest snapshot, then everything that was written since. */
#include <string.h>

#include "store/store_inside.h"

/* ---- feeding again --------------------------------------------------------------------------- */

typedef struct replay {
    weir_stream *stream;
    const weir_restore *how;
    weir_restored *result;
    int64_t done, of;
    weir_error *error;
} replay;

static weir_status feed_tokens(replay *r, const weir_entry *entry) {
    int32_t tokens[256];
    const char *at = entry->data;
    weir_status status = WEIR_OK;
    for (size_t left = entry->size; status == WEIR_OK && left > 0;) {
        const size_t size = left < sizeof tokens ? left : sizeof tokens;
        memcpy(tokens, at, size); /* a blob may lie anywhere */
        status =
            weir_stream_feed_tokens(r->stream, tokens, (int64_t)(size / sizeof *tokens), r->error);
        at += size;
        left -= size;
    }
    return status;
}

static int64_t number_of(const weir_entry *entry) {
    int64_t number = 0;
    memcpy(&number, entry->data, sizeof number);
    return number;
}

static weir_status feed_entry(void *context, const weir_entry *entry) {
    replay *r = context;
    if (r->how != NULL && r->how->progress != NULL &&
        !r->how->progress(r->how->progress_context, r->done, r->of))
        return weir_error_set(r->error, WEIR_CANCELLED, "restoring the stream was cancelled");
    r->done++;
    r->result->replayed++;
    switch (entry->kind) {
    case WEIR_ENTRY_TEXT:
        return weir_stream_feed_text(r->stream, entry->data, entry->size, r->error);
    case WEIR_ENTRY_TOKENS:
    case WEIR_ENTRY_DRAWN:
        return feed_tokens(r, entry);
    case WEIR_ENTRY_FLUSH:
        return weir_stream_flush(r->stream, r->error);
    case WEIR_ENTRY_BORDER:
        return weir_stream_border(r->stream, r->error);
    case WEIR_ENTRY_PIN:
        return weir_stream_pin(r->stream, number_of(entry), r->error);
    case WEIR_ENTRY_REWIND:
        return weir_stream_rewind(r->stream, number_of(entry), r->error);
    case WEIR_ENTRY_NOTE:
        break;
    }
    return WEIR_OK;
}

/* ---- which snapshot -------------------------------------------------------------------------- */

typedef struct snapshot_rows {
    int64_t entries[2], index[2];
    int count;
} snapshot_rows;

static weir_status find_snapshots(weir_store *store, int64_t id, snapshot_rows *rows,
                                  weir_error *error) {
    sqlite3_stmt *list = wr_store_query_of(store, WR_STORE_LIST_SNAPSHOTS);
    int result = SQLITE_DONE;
    sqlite3_bind_int64(list, 1, id);
    while (rows->count < 2 && (result = sqlite3_step(list)) == SQLITE_ROW) {
        rows->entries[rows->count] = sqlite3_column_int64(list, 0);
        rows->index[rows->count++] = sqlite3_column_int64(list, 1);
    }
    weir_status status = WEIR_OK;
    if (result != SQLITE_ROW && result != SQLITE_DONE) status = wr_store_failed(store, error);
    sqlite3_reset(list);
    if (status == WEIR_OK && rows->count == 0)
        status =
            weir_error_set(error, WEIR_DAMAGED,
                           "%s: the store is damaged: a stream has no snapshot", store->folder);
    return status;
}

/* The newest that can be read. */
static weir_status load_snapshot(weir_store *store, int64_t id, const snapshot_rows *rows,
                                 const weir_stream_options *options, weir_stream **out, int *which,
                                 weir_error *error) {
    weir_status status = WEIR_DAMAGED;
    for (*which = 0; *which < rows->count; ++*which) {
        char path[WR_STORE_PATH_MAX];
        wr_store_snapshot_path(store, id, rows->entries[*which], path);
        status = weir_stream_load(store->model, path, options, out, error);
        if (status == WEIR_OK || status == WEIR_MEMORY || status == WEIR_USAGE) break;
    }
    return status;
}

/* ---- restoring ------------------------------------------------------------------------------- */

/* Entries from `first` on never were. */
static weir_status cut(weir_store *store, int64_t id, int64_t first, int64_t index,
                       weir_error *error) {
    weir_status status = wr_store_begin(store, error);
    if (status != WEIR_OK) return status;
    sqlite3_stmt *entries = wr_store_query_of(store, WR_STORE_REMOVE_ENTRIES);
    sqlite3_bind_int64(entries, 1, id);
    sqlite3_bind_int64(entries, 2, first);
    status = wr_store_run(store, WR_STORE_REMOVE_ENTRIES, error);
    sqlite3_stmt *later = wr_store_query_of(store, WR_STORE_REMOVE_LATER_SNAPSHOTS);
    sqlite3_bind_int64(later, 1, id);
    sqlite3_bind_int64(later, 2, first);
    if (status == WEIR_OK) status = wr_store_run(store, WR_STORE_REMOVE_LATER_SNAPSHOTS, error);
    sqlite3_stmt *stream = wr_store_query_of(store, WR_STORE_CUT_STREAM);
    sqlite3_bind_int64(stream, 1, id);
    sqlite3_bind_int64(stream, 2, first);
    sqlite3_bind_int64(stream, 3, index);
    if (status == WEIR_OK) status = wr_store_run(store, WR_STORE_CUT_STREAM, error);
    if (status != WEIR_OK) {
        wr_store_give_up(store);
        return status;
    }
    status = weir_store_commit(store, error);
    wr_store_sweep(store, id);
    return status;
}

static weir_status go_on(weir_store *store, const char *name, int64_t id, int64_t entries,
                         int64_t from, const weir_restore *how, weir_stream *stream,
                         weir_restored *result, weir_error *error) {
    if (how != NULL && how->without_replay) {
        result->dropped = entries - from;
        return cut(store, id, from, result->snapshot_index, error);
    }
    replay again = {
        .stream = stream, .how = how, .result = result, .of = entries - from, .error = error};
    return weir_store_read(store, name, from, feed_entry, &again, error);
}

weir_status weir_store_restore(weir_store *store, const char *name,
                               const weir_stream_options *options, const weir_restore *how,
                               weir_stream **out, weir_restored *result, weir_error *error) {
    weir_restored unused;
    snapshot_rows rows = {.count = 0};
    int64_t id, entries;
    int which = 0;
    *out = NULL;
    if (result == NULL) result = &unused;
    *result = (weir_restored){0};
    weir_status status = wr_store_find(store, name, &id, &entries, error);
    if (status == WEIR_OK) status = find_snapshots(store, id, &rows, error);
    if (status == WEIR_OK) status = load_snapshot(store, id, &rows, options, out, &which, error);
    if (status != WEIR_OK) return status;
    result->older_snapshot = which > 0;
    result->snapshot_index = rows.index[which];
    status = go_on(store, name, id, entries, rows.entries[which], how, *out, result, error);
    if (status != WEIR_OK) {
        weir_stream_destroy(*out);
        *out = NULL;
        return status;
    }
    weir_stream_state state;
    weir_stream_get_state(*out, &state);
    result->index = state.index;
    return WEIR_OK;
}
