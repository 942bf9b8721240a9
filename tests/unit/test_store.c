/* A store: what it keeps, what it refuses, and what happens when the disk is full. */
#include "support/store_ops.h"

#include <sqlite3.h>
#include <sys/wait.h>

#include "base/file.h"

static weir_store *open_store(const char *name) {
    weir_error error;
    weir_store *store = NULL;
    must(weir_store_open(scratch_path(name), tiny.model, NULL, &store, &error), &error);
    return store;
}

/* A store with one stream, "a", that did `steps` steps; a snapshot after `snapshot` of them. */
static weir_store *lived(const char *folder, int64_t steps, int64_t snapshot) {
    weir_error error;
    weir_store *store = open_store(folder);
    weir_stream *stream = store_stream(tiny.model);
    must(weir_store_add(store, "a", "first words", stream, &error), &error);
    for (int64_t k = 0; k < steps; k++) {
        if (k == snapshot) must(weir_store_snapshot(store, "a", stream, &error), &error);
        store_step_keep(store, "a", stream, 1, k);
    }
    weir_stream_destroy(stream);
    return store;
}

static void expect_restored(weir_store *store, int64_t steps, weir_restored *result) {
    weir_error error;
    weir_stream *stream = NULL, *twin = store_twin(tiny.model, 1, steps);
    weir_stream_options options = weir_stream_options_default();
    options.threads = 1;
    must(weir_store_restore(store, "a", &options, NULL, &stream, result, &error), &error);
    assert_int_equal(result->index, stream_state(stream).index);
    assert_same_stream(stream, twin);
    weir_stream_destroy(stream);
    weir_stream_destroy(twin);
}

static const char *in_folder(const char *folder, const char *file) {
    char name[256];
    snprintf(name, sizeof name, "%s/%s", folder, file);
    return scratch_path(name);
}

/* Change bytes of a file in place: `size` of them at `at`. */
static void overwrite(const char *path, long at, const void *bytes, size_t size) {
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* ---- keeping --------------------------------------------------------------------------------- */

static weir_status see_stream(void *context, const weir_store_stream *stream) {
    int *seen = context;
    ++*seen;
    assert_string_equal(stream->name, "a");
    assert_string_equal(stream->note, "other words");
    assert_int_equal(stream->entries, 50);
    assert_int_equal(stream->snapshot_entry, 20);
    assert_true(stream->snapshot_index > 0 && stream->snapshot_index < stream->index);
    return WEIR_OK;
}

static void kept_and_restored(void **state) {
    (void)state;
    weir_error error;
    weir_restored result;
    int seen = 0;
    weir_store *store = lived("kept", 50, 20);
    must(weir_store_set_note(store, "a", "other words", &error), &error);
    must(weir_store_commit(store, &error), &error);
    weir_store_close(store);

    store = open_store("kept");
    must(weir_store_list(store, see_stream, &seen, &error), &error);
    assert_int_equal(seen, 1);
    must(weir_store_look(store, "a", see_stream, &seen, &error), &error);
    assert_int_equal(seen, 2);
    assert_refused(weir_store_look(store, "b", see_stream, &seen, &error), WEIR_USAGE, &error,
                   "has no stream b");
    expect_restored(store, 50, &result);
    assert_int_equal(result.replayed, 30);
    assert_false(result.older_snapshot);
    weir_store_close(store);
}

static void what_is_not_committed_never_was(void **state) {
    (void)state;
    weir_error error;
    weir_restored result;
    weir_store *store = lived("dropped", 10, -1);
    const weir_entry entry = {.kind = WEIR_ENTRY_TEXT, .data = "unheard", .size = 7};
    must(weir_store_write(store, "a", &entry, &error), &error);
    weir_store_close(store);
    store = open_store("dropped");
    expect_restored(store, 10, &result);
    assert_int_equal(result.replayed, 10);
    weir_store_close(store);
}

static void without_replay_the_rest_is_forgotten(void **state) {
    (void)state;
    weir_error error;
    weir_restored result;
    const weir_restore how = {.without_replay = true};
    weir_stream *stream = NULL;
    weir_store *store = lived("cut", 40, 25);
    must(weir_store_restore(store, "a", NULL, &how, &stream, &result, &error), &error);
    assert_int_equal(result.dropped, 15);
    assert_int_equal(result.index, result.snapshot_index);
    weir_stream_destroy(stream);
    expect_restored(store, 25, &result);
    weir_store_close(store);
}

static void a_removed_stream_leaves_nothing(void **state) {
    (void)state;
    weir_error error;
    weir_stream *stream = NULL;
    weir_store *store = lived("removed", 10, 5);
    assert_int_equal(scratch_files("removed", "snapshot-", false, NULL), 2);
    must(weir_store_remove(store, "a", &error), &error);
    assert_int_equal(scratch_files("removed", "snapshot-", false, NULL), 0);
    assert_refused(weir_store_restore(store, "a", NULL, NULL, &stream, NULL, &error), WEIR_USAGE,
                   &error, "has no stream a");
    assert_null(stream);
    weir_store_close(store);
}

static weir_status see_mark(void *context, const char *mark, int64_t index) {
    char *seen = context;
    snprintf(seen + strlen(seen), 100, "%s:%lld ", mark, (long long)index);
    return WEIR_OK;
}

static void expect_marked(weir_store *store, const char *mark, int64_t steps) {
    weir_error error;
    weir_stream *stream = NULL, *twin = store_twin(tiny.model, 1, steps);
    weir_stream_options options = weir_stream_options_default();
    options.threads = 1;
    must(weir_store_load_mark(store, "a", mark, &options, &stream, &error), &error);
    assert_same_stream(stream, twin);
    weir_stream_destroy(stream);
    weir_stream_destroy(twin);
}

static void marks_are_kept_and_replaced(void **state) {
    (void)state;
    weir_error error;
    weir_stream *none = NULL, *at5 = store_twin(tiny.model, 1, 5),
                *at9 = store_twin(tiny.model, 1, 9);
    char seen[300] = "", wanted[300];
    weir_store *store = lived("marked", 12, 3);
    must(weir_store_mark(store, "a", "here", at9, &error), &error);
    must(weir_store_mark(store, "a", "there", at9, &error), &error);
    must(weir_store_mark(store, "a", "here", at5, &error), &error);
    assert_int_equal(scratch_files("marked", "mark-", false, NULL), 2);
    assert_refused(weir_store_mark(store, "a", "", at5, &error), WEIR_USAGE, &error, "1 to 128");
    assert_refused(weir_store_mark(store, "b", "x", at5, &error), WEIR_USAGE, &error,
                   "no stream b");
    assert_refused(weir_store_unmark(store, "a", "x", &error), WEIR_USAGE, &error, "no mark x");
    weir_store_close(store);

    store = open_store("marked");
    must(weir_store_list_marks(store, "a", see_mark, seen, &error), &error);
    snprintf(wanted, sizeof wanted, "there:%lld here:%lld ", (long long)stream_state(at9).index,
             (long long)stream_state(at5).index);
    assert_string_equal(seen, wanted);
    expect_marked(store, "here", 5);
    expect_marked(store, "there", 9);
    expect_restored(store, 12, &(weir_restored){0}); /* the stream itself knows nothing of them */
    must(weir_store_unmark(store, "a", "here", &error), &error);
    assert_refused(weir_store_load_mark(store, "a", "here", NULL, &none, &error), WEIR_USAGE,
                   &error, "no mark here");
    assert_int_equal(scratch_files("marked", "mark-", false, NULL), 1);
    must(weir_store_remove(store, "a", &error), &error);
    assert_int_equal(scratch_files("marked", "mark-", false, NULL), 0);
    weir_store_close(store);
    weir_stream_destroy(at5);
    weir_stream_destroy(at9);
}

/* A store of version 1 has no table of marks: it gets one, and keeps its streams. */
static void an_older_store_is_brought_up(void **state) {
    (void)state;
    weir_error error;
    sqlite3 *database = NULL;
    weir_store_close(lived("first", 12, 3));
    assert_int_equal(sqlite3_open(in_folder("first", "streams.db"), &database), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(database, "DROP TABLE marks; PRAGMA user_version = 1", NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(database);
    weir_store *store = open_store("first");
    weir_stream *at5 = store_twin(tiny.model, 1, 5);
    must(weir_store_mark(store, "a", "here", at5, &error), &error);
    weir_store_close(store);
    store = open_store("first");
    expect_marked(store, "here", 5);
    expect_restored(store, 12, &(weir_restored){0});
    weir_store_close(store);
    weir_stream_destroy(at5);
}

static void a_mark_on_a_full_disk_is_none(void **state) {
    (void)state;
    weir_error error;
    char seen[300] = "";
    weir_store *store = lived("fullmark", 12, 3);
    weir_stream *at5 = store_twin(tiny.model, 1, 5);
    scratch_disk_holds(1000);
    assert_refused(weir_store_mark(store, "a", "here", at5, &error), WEIR_IO, &error, "");
    scratch_disk_holds(0);
    must(weir_store_list_marks(store, "a", see_mark, seen, &error), &error);
    assert_string_equal(seen, "");
    assert_int_equal(scratch_files("fullmark", "mark-", false, NULL), 0);
    must(weir_store_mark(store, "a", "here", at5, &error), &error);
    expect_marked(store, "here", 5);
    weir_store_close(store);
    weir_stream_destroy(at5);
}

static void names_are_checked(void **state) {
    (void)state;
    weir_error error;
    char longer[WEIR_STORE_NAME_MAX + 2];
    weir_stream *stream = store_stream(tiny.model);
    weir_store *store = open_store("names");
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    assert_refused(weir_store_add(store, "", NULL, stream, &error), WEIR_USAGE, &error, "1 to 128");
    assert_refused(weir_store_add(store, longer, NULL, stream, &error), WEIR_USAGE, &error, "129");
    must(weir_store_add(store, "'; DROP TABLE streams; --", NULL, stream, &error), &error);
    assert_refused(weir_store_add(store, "'; DROP TABLE streams; --", NULL, stream, &error),
                   WEIR_USAGE, &error, "already");
    const weir_entry odd = {.kind = WEIR_ENTRY_TOKENS, .data = "abc", .size = 3};
    assert_refused(weir_store_write(store, "'; DROP TABLE streams; --", &odd, &error), WEIR_USAGE,
                   &error, "out of range");
    weir_stream_destroy(stream);
    weir_store_close(store);
}

/* ---- what is wrong with a store -------------------------------------------------------------- */

/* The refusal, and that the database is as it was. */
static void expect_refused(const char *folder, weir_status wanted, const char *words) {
    weir_error error;
    weir_store *store;
    wr_map before, after;
    char path[1024];
    snprintf(path, sizeof path, "%s", in_folder(folder, "streams.db"));
    must(wr_map_open(path, &before, &error), &error);
    char *copy = malloc(before.size);
    assert_non_null(copy);
    memcpy(copy, before.data, before.size);
    assert_refused(weir_store_open(scratch_path(folder), tiny.model, NULL, &store, &error), wanted,
                   &error, words);
    assert_null(store);
    must(wr_map_open(path, &after, &error), &error);
    assert_int_equal(after.size, before.size);
    assert_memory_equal(after.data, copy, after.size);
    wr_map_close(&before);
    wr_map_close(&after);
    free(copy);
}

static void another_model_is_refused(void **state) {
    (void)state;
    weir_error error;
    weir_store *store;
    weir_random_model shape = random_tiny();
    random_model other;
    shape.seed = 99;
    random_model_open(&other, &shape, NULL);
    weir_store_close(lived("other", 3, -1));
    assert_refused(weir_store_open(scratch_path("other"), other.model, NULL, &store, &error),
                   WEIR_MISMATCH, &error, "another model");
    random_model_close(&other);
}

static void newer_and_foreign_stores_are_refused(void **state) {
    (void)state;
    static const unsigned char newer[4] = {0, 0, 0, 9}, foreign[4] = {1, 2, 3, 4};
    weir_store_close(lived("newer", 3, -1));
    overwrite(in_folder("newer", "streams.db"), 60, newer, sizeof newer);
    expect_refused("newer", WEIR_UNSUPPORTED, "newer weir");
    weir_store_close(lived("foreign", 3, -1));
    overwrite(in_folder("foreign", "streams.db"), 68, foreign, sizeof foreign);
    expect_refused("foreign", WEIR_DAMAGED, "not a store");
    weir_store_close(lived("noise", 3, -1));
    overwrite(in_folder("noise", "streams.db"), 0, "This is a letter to a friend.", 29);
    expect_refused("noise", WEIR_DAMAGED, "damaged");
}

static void a_second_process_is_refused(void **state) {
    (void)state;
    weir_store *store = lived("busy", 3, -1);
    const pid_t child = fork();
    int status = 0;
    if (child == 0) {
        weir_error error;
        weir_store *other = NULL;
        weir_status got = weir_store_open(scratch_path("busy"), tiny.model, NULL, &other, &error);
        _exit(got == WEIR_USAGE && strstr(error.message, "in use") != NULL ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    weir_store_close(store);
}

static void a_damaged_entry_is_named(void **state) {
    (void)state;
    weir_error error;
    weir_stream *stream = NULL;
    weir_store *store = lived("rotten", 3, -1);
    const weir_entry entry = {.kind = WEIR_ENTRY_TEXT, .data = "unmistakable", .size = 12};
    must(weir_store_write(store, "a", &entry, &error), &error);
    must(weir_store_commit(store, &error), &error);
    weir_store_close(store);
    wr_map map;
    must(wr_map_open(in_folder("rotten", "streams.db"), &map, &error), &error);
    const uint8_t *at = memmem(map.data, map.size, "unmistakable", 12);
    assert_non_null(at);
    const long offset = (long)(at - map.data);
    wr_map_close(&map);
    overwrite(in_folder("rotten", "streams.db"), offset + 2, "l", 1);
    store = open_store("rotten");
    assert_refused(weir_store_restore(store, "a", NULL, NULL, &stream, NULL, &error), WEIR_DAMAGED,
                   &error, "entry 3");
    assert_null(stream);
    weir_store_close(store);
}

static void a_damaged_snapshot_gives_way_to_the_one_before(void **state) {
    (void)state;
    weir_error error;
    weir_restored result;
    weir_stream *stream = NULL;
    weir_store *store = lived("older", 30, 20);
    overwrite(in_folder("older", "snapshot-1-20.weir"), 200, "rot", 3);
    expect_restored(store, 30, &result);
    assert_true(result.older_snapshot);
    assert_int_equal(result.replayed, 30);
    overwrite(in_folder("older", "snapshot-1-0.weir"), 40, "rot", 3);
    assert_refused(weir_store_restore(store, "a", NULL, NULL, &stream, NULL, &error), WEIR_DAMAGED,
                   &error, "checksum");
    weir_store_close(store);
}

/* ---- a full disk ----------------------------------------------------------------------------- */

/* Write until the disk is full; how many entries were committed. */
static int fill(weir_store *store, weir_stream *stream, weir_error *error) {
    char text[4096];
    memset(text, 'z', sizeof text);
    const weir_entry entry = {.kind = WEIR_ENTRY_TEXT, .data = text, .size = 16};
    weir_entry large = entry;
    large.kind = WEIR_ENTRY_NOTE;
    large.size = sizeof text;
    for (int done = 0; done < 1000; done++) {
        weir_status status = weir_store_write(store, "a", &entry, error);
        if (status == WEIR_OK) status = weir_store_write(store, "a", &large, error);
        if (status == WEIR_OK) status = weir_store_commit(store, error);
        must(weir_stream_feed_text(stream, entry.data, entry.size, NULL), error);
        if (status != WEIR_OK) return done;
    }
    return -1;
}

static void a_full_disk_loses_nothing_that_was_stored(void **state) {
    (void)state;
    weir_error error;
    weir_restored result;
    weir_store *store = lived("full", 10, 5);
    weir_stream *stream = store_twin(tiny.model, 1, 10), *again = NULL;
    scratch_disk_holds(400000);
    const int done = fill(store, stream, &error);
    scratch_disk_holds(0);
    assert_true(done > 0);
    assert_refused(WEIR_IO, WEIR_IO, &error, "full");
    assert_true(weir_store_is_behind(store, "a"));

    /* what was committed is there; what comes now is refused, until a snapshot */
    const weir_entry entry = {.kind = WEIR_ENTRY_FLUSH};
    assert_refused(weir_store_write(store, "a", &entry, &error), WEIR_IO, &error, "before");
    must(weir_store_restore(store, "a", NULL, NULL, &again, &result, &error), &error);
    assert_int_equal(result.replayed, 5 + 2 * done);
    weir_stream_destroy(again);
    must(weir_store_snapshot(store, "a", stream, &error), &error);
    assert_false(weir_store_is_behind(store, "a"));
    must(weir_store_write(store, "a", &entry, &error), &error);
    must(weir_store_commit(store, &error), &error);
    must(weir_stream_flush(stream, &error), &error);
    weir_store_close(store);

    store = open_store("full");
    must(weir_store_restore(store, "a", NULL, NULL, &again, &result, &error), &error);
    assert_same_stream(again, stream);
    weir_stream_destroy(again);
    weir_stream_destroy(stream);
    weir_store_close(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_and_restored),
        cmocka_unit_test(what_is_not_committed_never_was),
        cmocka_unit_test(without_replay_the_rest_is_forgotten),
        cmocka_unit_test(a_removed_stream_leaves_nothing),
        cmocka_unit_test(marks_are_kept_and_replaced),
        cmocka_unit_test(an_older_store_is_brought_up),
        cmocka_unit_test(a_mark_on_a_full_disk_is_none),
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(another_model_is_refused),
        cmocka_unit_test(newer_and_foreign_stores_are_refused),
        cmocka_unit_test(a_second_process_is_refused),
        cmocka_unit_test(a_damaged_entry_is_named),
        cmocka_unit_test(a_damaged_snapshot_gives_way_to_the_one_before),
        cmocka_unit_test(a_full_disk_loses_nothing_that_was_stored),
    };
    return cmocka_run_group_tests_name("store", tests, store_set_up, store_tear_down);
}
