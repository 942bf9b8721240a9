/* Marks: a stream as it was when a word was given to the moment, in a file beside the database. */
#include <stdio.h>
#include <string.h>

#include "store/store_inside.h"

static void mark_path(const weir_store *store, int64_t id, int64_t mark,
                      char out[WR_STORE_PATH_MAX]) {
    snprintf(out, WR_STORE_PATH_MAX, "%s/mark-%lld-%lld.weir", store->folder, (long long)id,
             (long long)mark);
}

/* The number of a mark; WEIR_USAGE when the stream has none of this name. */
static weir_status find_mark(weir_store *store, const char *name, const char *mark, int64_t *id,
                             int64_t *number, weir_error *error) {
    int64_t entries;
    weir_status status = wr_store_find(store, name, id, &entries, error);
    if (status != WEIR_OK) return status;
    sqlite3_stmt *find = wr_store_query_of(store, WR_STORE_FIND_MARK);
    sqlite3_bind_int64(find, 1, *id);
    sqlite3_bind_text(find, 2, mark, -1, SQLITE_STATIC);
    const int result = sqlite3_step(find);
    if (result == SQLITE_ROW)
        *number = sqlite3_column_int64(find, 0);
    else if (result == SQLITE_DONE)
        status = weir_error_set(error, WEIR_USAGE, "%s: the stream %s has no mark %.128s",
                                store->folder, name, mark);
    else
        status = wr_store_failed(store, error);
    sqlite3_reset(find);
    return status;
}

/* The row, then the file that it names; both count once they are committed. */
static weir_status add_mark(weir_store *store, int64_t id, const char *mark, weir_stream *stream,
                            weir_error *error) {
    char path[WR_STORE_PATH_MAX];
    weir_stream_state state;
    weir_stream_get_state(stream, &state);
    sqlite3_stmt *add = wr_store_query_of(store, WR_STORE_ADD_MARK);
    sqlite3_bind_int64(add, 1, id);
    sqlite3_bind_text(add, 2, mark, -1, SQLITE_STATIC);
    sqlite3_bind_int64(add, 3, state.index);
    weir_status status = wr_store_run(store, WR_STORE_ADD_MARK, error);
    if (status != WEIR_OK) return status;
    mark_path(store, id, sqlite3_last_insert_rowid(store->database), path);
    return weir_stream_save(stream, path, error);
}

weir_status weir_store_mark(weir_store *store, const char *name, const char *mark,
                            weir_stream *stream, weir_error *error) {
    int64_t id, entries;
    const size_t size = strlen(mark);
    if (size < 1 || size > WEIR_STORE_NAME_MAX)
        return weir_error_set(error, WEIR_USAGE, "%s: a mark's name has 1 to %d bytes, not %zu",
                              store->folder, WEIR_STORE_NAME_MAX, size);
    weir_status status = wr_store_find(store, name, &id, &entries, error);
    if (status == WEIR_OK) status = wr_store_begin(store, error);
    if (status != WEIR_OK) return status;
    status = add_mark(store, id, mark, stream, error);
    if (status == WEIR_OK)
        status = weir_store_commit(store, error);
    else
        wr_store_give_up(store);
    wr_store_sweep(store, id); /* the one that it replaces, or what failed */
    return status;
}

weir_status weir_store_unmark(weir_store *store, const char *name, const char *mark,
                              weir_error *error) {
    int64_t id, number;
    weir_status status = find_mark(store, name, mark, &id, &number, error);
    if (status == WEIR_OK) status = wr_store_begin(store, error);
    if (status != WEIR_OK) return status;
    sqlite3_bind_int64(wr_store_query_of(store, WR_STORE_REMOVE_MARK), 1, number);
    status = wr_store_run(store, WR_STORE_REMOVE_MARK, error);
    if (status == WEIR_OK)
        status = weir_store_commit(store, error);
    else
        wr_store_give_up(store);
    wr_store_sweep(store, id);
    return status;
}

weir_status weir_store_load_mark(weir_store *store, const char *name, const char *mark,
                                 const weir_stream_options *options, weir_stream **out,
                                 weir_error *error) {
    char path[WR_STORE_PATH_MAX];
    int64_t id, number;
    *out = NULL;
    weir_status status = find_mark(store, name, mark, &id, &number, error);
    if (status != WEIR_OK) return status;
    mark_path(store, id, number, path);
    return weir_stream_load(store->model, path, options, out, error);
}

weir_status weir_store_list_marks(weir_store *store, const char *name, weir_store_mark_fn fn,
                                  void *context, weir_error *error) {
    int64_t id, entries;
    int result = SQLITE_ROW;
    weir_status status = wr_store_find(store, name, &id, &entries, error);
    if (status != WEIR_OK) return status;
    sqlite3_stmt *rows = wr_store_query_of(store, WR_STORE_LIST_MARKS);
    sqlite3_bind_int64(rows, 1, id);
    while (status == WEIR_OK && (result = sqlite3_step(rows)) == SQLITE_ROW) {
        const char *mark = (const char *)sqlite3_column_text(rows, 0);
        status = mark != NULL ? fn(context, mark, sqlite3_column_int64(rows, 1))
                              : weir_error_set(error, WEIR_MEMORY, "%s: no memory for its marks",
                                               store->folder);
    }
    if (status == WEIR_OK && result != SQLITE_DONE) status = wr_store_failed(store, error);
    sqlite3_reset(rows);
    return status;
}
