/* Whole streams beside the database, and which of their files are still wanted. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store/store_inside.h"

void wr_store_snapshot_path(const weir_store *store, int64_t id, int64_t entries,
                            char out[WR_STORE_PATH_MAX]) {
    snprintf(out, WR_STORE_PATH_MAX, "%s/snapshot-%lld-%lld.weir", store->folder, (long long)id,
             (long long)entries);
}

/* ---- taking ---------------------------------------------------------------------------------- */

/* The two newest stay: should one rot, the other is there with more to feed again. */
static weir_status forget_older(weir_store *store, int64_t id, weir_error *error) {
    int64_t kept[2] = {0, 0};
    int count = 0;
    sqlite3_stmt *list = wr_store_query_of(store, WR_STORE_LIST_SNAPSHOTS);
    sqlite3_bind_int64(list, 1, id);
    while (count < 2 && sqlite3_step(list) == SQLITE_ROW)
        kept[count++] = sqlite3_column_int64(list, 0);
    sqlite3_reset(list);
    if (count < 2) return WEIR_OK;
    sqlite3_stmt *older = wr_store_query_of(store, WR_STORE_REMOVE_SNAPSHOTS);
    sqlite3_bind_int64(older, 1, id);
    sqlite3_bind_int64(older, 2, kept[1]);
    return wr_store_run(store, WR_STORE_REMOVE_SNAPSHOTS, error);
}

static weir_status add_row(weir_store *store, int64_t id, int64_t entries, int64_t index,
                           weir_error *error) {
    sqlite3_stmt *add = wr_store_query_of(store, WR_STORE_ADD_SNAPSHOT);
    sqlite3_bind_int64(add, 1, id);
    sqlite3_bind_int64(add, 2, entries);
    sqlite3_bind_int64(add, 3, index);
    return wr_store_run(store, WR_STORE_ADD_SNAPSHOT, error);
}

weir_status wr_store_take_snapshot(weir_store *store, int64_t id, int64_t entries,
                                   weir_stream *stream, weir_error *error) {
    char path[WR_STORE_PATH_MAX];
    weir_stream_state state;
    weir_stream_get_state(stream, &state);
    wr_store_snapshot_path(store, id, entries, path);
    weir_status status = weir_stream_save(stream, path, error);
    if (status == WEIR_OK) status = wr_store_begin(store, error);
    if (status == WEIR_OK) status = add_row(store, id, entries, state.index, error);
    if (status == WEIR_OK) status = forget_older(store, id, error);
    if (status != WEIR_OK) {
        wr_store_give_up(store);
        return status;
    }
    status = weir_store_commit(store, error);
    if (status == WEIR_OK) wr_store_set_remove(&store->behind, id);
    wr_store_sweep(store, id);
    return status;
}

weir_status weir_store_snapshot(weir_store *store, const char *name, weir_stream *stream,
                                weir_error *error) {
    int64_t id, entries;
    weir_status status = wr_store_find(store, name, &id, &entries, error);
    return status == WEIR_OK ? wr_store_take_snapshot(store, id, entries, stream, error) : status;
}

/* ---- sweeping -------------------------------------------------------------------------------- */

/* Whether a row names this file; `query` asks for (stream, number). */
static bool is_wanted(weir_store *store, wr_store_query query, int64_t id, int64_t number) {
    sqlite3_stmt *has = wr_store_query_of(store, query);
    sqlite3_bind_int64(has, 1, id);
    sqlite3_bind_int64(has, 2, number);
    const int result = sqlite3_step(has);
    sqlite3_reset(has);
    return result != SQLITE_DONE; /* in doubt a file stays */
}

/* WORD-STREAM-NUMBER.weir */
static bool read_name(const char *name, const char *word, long long *id, long long *number) {
    const size_t size = strlen(word);
    int end = 0;
    return strncmp(name, word, size) == 0 &&
           sscanf(name + size, "%lld-%lld.weir%n", id, number, &end) == 2 && end > 0 &&
           name[size + (size_t)end] == '\0';
}

void wr_store_sweep(weir_store *store, int64_t only) {
    static const struct {
        const char *word;
        wr_store_query query;
    } kinds[] = {{"snapshot-", WR_STORE_HAS_SNAPSHOT}, {"mark-", WR_STORE_HAS_MARK}};
    DIR *folder = opendir(store->folder);
    const struct dirent *file;
    if (folder == NULL) return;
    while ((file = readdir(folder)) != NULL)
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
            long long id, number;
            if (strncmp(file->d_name, kinds[i].word, strlen(kinds[i].word)) != 0) continue;
            const bool whole = read_name(file->d_name, kinds[i].word, &id, &number);
            if (only != 0 && (!whole || id != only)) continue;
            if (!whole || !is_wanted(store, kinds[i].query, id, number))
                (void)unlinkat(dirfd(folder), file->d_name, 0);
        }
    closedir(folder);
}
