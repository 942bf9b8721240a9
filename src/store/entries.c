/* What streams were given: written in transactions, read in order. */
#include <string.h>
#include <time.h>

#include "store/store_inside.h"

/* ---- transactions ---------------------------------------------------------------------------- */

weir_status wr_store_begin(weir_store *store, weir_error *error) {
    if (store->writing) return WEIR_OK;
    (void)wr_store_query_of(store, WR_STORE_BEGIN);
    weir_status status = wr_store_run(store, WR_STORE_BEGIN, error);
    store->writing = status == WEIR_OK;
    return status;
}

void wr_store_give_up(weir_store *store) {
    if (store->writing) (void)wr_store_run(store, WR_STORE_ROLLBACK, NULL);
    store->writing = false;
    for (int64_t i = 0; i < store->touched.count; i++)
        (void)wr_store_set_add(&store->behind, store->touched.items[i]);
    store->touched.count = 0;
}

weir_status weir_store_commit(weir_store *store, weir_error *error) {
    if (!store->writing) return WEIR_OK;
    (void)wr_store_query_of(store, WR_STORE_COMMIT);
    weir_status status = wr_store_run(store, WR_STORE_COMMIT, error);
    if (status != WEIR_OK) {
        wr_store_give_up(store);
        return status;
    }
    store->writing = false;
    store->touched.count = 0;
    return WEIR_OK;
}

bool weir_store_is_behind(const weir_store *store, const char *name) {
    int64_t id, entries;
    if (store->behind.count == 0) return false; /* asked often, and nearly always so */
    weir_status status = wr_store_find((weir_store *)(uintptr_t)store, name, &id, &entries, NULL);
    return status == WEIR_OK && wr_store_set_has(&store->behind, id);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* FNV-1a, 64 bits: an entry that rots on the disk is noticed before it is fed. */
static uint64_t add_bytes(uint64_t sum, const void *data, size_t size) {
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) sum = (sum ^ bytes[i]) * 0x100000001b3;
    return sum;
}

uint64_t wr_store_checksum(const weir_entry *entry) {
    const int64_t numbers[] = {entry->kind, entry->number, entry->index};
    uint64_t sum = add_bytes(0xcbf29ce484222325, numbers, sizeof numbers);
    if (entry->label != NULL) sum = add_bytes(sum, entry->label, strlen(entry->label) + 1);
    return add_bytes(sum, entry->data, entry->size);
}

/* Bytes of one element, and how many there must be (0: any number). */
static weir_status check_entry(const weir_store *store, const weir_entry *entry,
                               weir_error *error) {
    size_t element = 1, count = 0;
    switch (entry->kind) {
    case WEIR_ENTRY_TEXT:
    case WEIR_ENTRY_NOTE:
        break;
    case WEIR_ENTRY_TOKENS:
    case WEIR_ENTRY_DRAWN:
        element = sizeof(int32_t);
        break;
    case WEIR_ENTRY_PIN:
    case WEIR_ENTRY_REWIND:
        element = count = sizeof(int64_t);
        break;
    case WEIR_ENTRY_FLUSH:
    case WEIR_ENTRY_BORDER:
        element = WEIR_STORE_ENTRY_MAX + 1;
        break; /* nothing */
    default:
        return weir_error_set(error, WEIR_USAGE, "%s: no entry is of kind %d", store->folder,
                              (int)entry->kind);
    }
    if (entry->size > WEIR_STORE_ENTRY_MAX || entry->size % element != 0 ||
        (count != 0 && entry->size != count) ||
        (entry->label != NULL && strlen(entry->label) > 64) || entry->index < 0)
        return weir_error_set(error, WEIR_USAGE,
                              "%s: an entry of %zu bytes, or its label or index, is out of range",
                              store->folder, entry->size);
    return WEIR_OK;
}

static weir_status add_entry(weir_store *store, int64_t id, const weir_entry *entry,
                             weir_error *error) {
    sqlite3_stmt *add = wr_store_query_of(store, WR_STORE_ADD_ENTRY);
    sqlite3_bind_int64(add, 1, id);
    sqlite3_bind_int64(add, 2, entry->number);
    sqlite3_bind_int(add, 3, (int)entry->kind);
    sqlite3_bind_int64(add, 4, entry->index);
    sqlite3_bind_text(add, 5, entry->label, -1, SQLITE_STATIC); /* NULL binds NULL */
    sqlite3_bind_blob64(add, 6, entry->size > 0 ? entry->data : "", entry->size, SQLITE_STATIC);
    sqlite3_bind_int64(add, 7, (int64_t)wr_store_checksum(entry));
    weir_status status = wr_store_run(store, WR_STORE_ADD_ENTRY, error);
    if (status != WEIR_OK) return status;
    sqlite3_stmt *count = wr_store_query_of(store, WR_STORE_COUNT_ENTRY);
    sqlite3_bind_int64(count, 1, id);
    sqlite3_bind_int64(count, 2, entry->number);
    sqlite3_bind_int64(count, 3, entry->index);
    sqlite3_bind_int64(count, 4, (int64_t)time(NULL));
    return wr_store_run(store, WR_STORE_COUNT_ENTRY, error);
}

weir_status weir_store_write(weir_store *store, const char *name, const weir_entry *entry,
                             weir_error *error) {
    int64_t id, entries;
    weir_status status = check_entry(store, entry, error);
    if (status == WEIR_OK) status = wr_store_find(store, name, &id, &entries, error);
    if (status != WEIR_OK) return status;
    if (wr_store_set_has(&store->behind, id))
        return weir_error_set(
            error, WEIR_IO,
            "%s: what the stream %s was given before could not be stored, so this "
            "is not either",
            store->folder, name);
    if (!wr_store_set_add(&store->touched, id))
        return weir_error_set(error, WEIR_MEMORY, "%s: no memory for the store", store->folder);
    weir_entry numbered = *entry;
    numbered.number = entries;
    status = wr_store_begin(store, error);
    if (status == WEIR_OK) status = add_entry(store, id, &numbered, error);
    if (status != WEIR_OK) wr_store_give_up(store);
    return status;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Point `entry` into the row at hand. */
static weir_status take_row(const weir_store *store, sqlite3_stmt *row, const char *name,
                            int64_t expected, weir_entry *entry, weir_error *error) {
    entry->number = sqlite3_column_int64(row, 0);
    entry->kind = (weir_entry_kind)sqlite3_column_int(row, 1);
    entry->index = sqlite3_column_int64(row, 2);
    entry->label = (const char *)sqlite3_column_text(row, 3);
    entry->data = sqlite3_column_blob(row, 4);
    entry->size = (size_t)sqlite3_column_bytes(row, 4);
    const uint64_t checksum = (uint64_t)sqlite3_column_int64(row, 5);
    if (entry->number != expected)
        return weir_error_set(error, WEIR_DAMAGED,
                              "%s: the store is damaged: the stream %s has no entry %lld",
                              store->folder, name, (long long)expected);
    if (checksum != wr_store_checksum(entry) || check_entry(store, entry, NULL) != WEIR_OK)
        return weir_error_set(error, WEIR_DAMAGED,
                              "%s: the store is damaged: the checksum of entry %lld of the stream "
                              "%s does not match it",
                              store->folder, (long long)entry->number, name);
    return WEIR_OK;
}

weir_status weir_store_read(weir_store *store, const char *name, int64_t first, weir_entry_fn fn,
                            void *context, weir_error *error) {
    int64_t id, entries, expected = first;
    weir_status status = wr_store_find(store, name, &id, &entries, error);
    if (status != WEIR_OK) return status;
    sqlite3_stmt *read = wr_store_query_of(store, WR_STORE_READ_ENTRIES);
    sqlite3_bind_int64(read, 1, id);
    sqlite3_bind_int64(read, 2, first);
    int result = SQLITE_ROW;
    while (status == WEIR_OK && (result = sqlite3_step(read)) == SQLITE_ROW) {
        weir_entry entry;
        status = take_row(store, read, name, expected++, &entry, error);
        if (status == WEIR_OK) status = fn(context, &entry);
    }
    if (status == WEIR_OK && result != SQLITE_DONE) status = wr_store_failed(store, error);
    sqlite3_reset(read);
    if (status == WEIR_OK && expected < entries)
        status = weir_error_set(error, WEIR_DAMAGED,
                                "%s: the store is damaged: the stream %s has no entry %lld",
                                store->folder, name, (long long)expected);
    return status;
}
