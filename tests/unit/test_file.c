/* base/file: mapping, and replacing a file as a whole or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "support/scratch.h"

/* Names in the folder, . and .. aside. */
static int count_names(bool remove_them) {
    int count = 0;
    DIR *names = opendir(scratch_folder);
    assert_non_null(names);
    for (struct dirent *name; (name = readdir(names)) != NULL;) {
        if (strcmp(name->d_name, ".") == 0 || strcmp(name->d_name, "..") == 0) continue;
        if (remove_them) remove(scratch_path(name->d_name));
        count++;
    }
    closedir(names);
    return count;
}

static int empty_folder(void **state) {
    (void)state;
    count_names(true);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(scratch_folder);
}

static void assert_content(const char *path, const char *text) {
    wr_map map;
    assert_int_equal(wr_map_open(path, &map, NULL), WEIR_OK);
    assert_int_equal(map.size, strlen(text));
    assert_memory_equal(map.data, text, map.size);
    wr_map_close(&map);
    assert_null(map.data);
}

static void map_refuses(const char *path, weir_status status, const char *reason) {
    wr_map map;
    weir_error error;
    assert_int_equal(wr_map_open(path, &map, &error), status);
    assert_int_equal(error.status, status);
    assert_int_equal(strncmp(error.message, path, strlen(path)), 0);
    assert_non_null(strstr(error.message, reason));
    assert_null(map.data);
    wr_map_close(&map);
}

static void mapping_says_what_is_wrong(void **state) {
    (void)state;
    map_refuses(scratch_path("none"), WEIR_IO, "no such file");
    map_refuses(scratch_folder, WEIR_IO, "folder");
    map_refuses("/dev/null", WEIR_IO, "not a regular file");
    map_refuses("", WEIR_IO, "");

    const char *pipe = scratch_path("pipe"); /* must not wait for a writer */
    assert_int_equal(mkfifo(pipe, 0600), 0);
    map_refuses(pipe, WEIR_IO, "not a regular file");

    const char *empty = scratch_path("empty");
    assert_int_equal(wr_file_replace(empty, "", 0, NULL, NULL), WEIR_OK);
    map_refuses(empty, WEIR_DAMAGED, "empty");
}

static void replacing_creates_and_replaces(void **state) {
    (void)state;
    const char *path = scratch_path("file");
    assert_int_equal(wr_file_replace(path, "first", 5, NULL, NULL), WEIR_OK);
    assert_content(path, "first");
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(wr_file_replace(path, "second one", 10, NULL, NULL), WEIR_OK);
    assert_content(path, "second one");
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0640);

    const char *link = scratch_path("link"); /* a link stays a link */
    assert_int_equal(symlink("file", link), 0);
    assert_int_equal(wr_file_replace(link, "third", 5, NULL, NULL), WEIR_OK);
    assert_content(path, "third");
    assert_int_equal(lstat(link, &about), 0);
    assert_true(S_ISLNK(about.st_mode));
    assert_int_equal(count_names(false), 2);
}

static void a_mapping_outlives_the_replaced_file(void **state) {
    (void)state;
    const char *path = scratch_path("file");
    wr_map map;
    assert_int_equal(wr_file_replace(path, "before", 6, NULL, NULL), WEIR_OK);
    assert_int_equal(wr_map_open(path, &map, NULL), WEIR_OK);
    assert_int_equal(wr_file_replace(path, "after!", 6, NULL, NULL), WEIR_OK);
    assert_memory_equal(map.data, "before", 6);
    wr_map_close(&map);
}

static void replace_refuses(const char *path) {
    weir_error error;
    assert_int_equal(wr_file_replace(path, "x", 1, NULL, &error), WEIR_IO);
    assert_int_equal(strncmp(error.message, path, 300 < strlen(path) ? 300 : strlen(path)), 0);
}

static void replacing_refuses_what_it_cannot(void **state) {
    (void)state;
    replace_refuses(scratch_folder);
    replace_refuses("/dev/null");
    replace_refuses(scratch_path("none/file"));
    char long_path[8000];
    memset(long_path, 'a', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    replace_refuses(long_path);
    assert_int_equal(count_names(false), 0);
}

static void replacing_in_an_unwritable_folder_leaves_the_old_file(void **state) {
    (void)state;
    const char *path = scratch_path("file");
    assert_int_equal(wr_file_replace(path, "old", 3, NULL, NULL), WEIR_OK);
    assert_int_equal(chmod(scratch_folder, 0555), 0);
    bool root = geteuid() == 0; /* whom nothing forbids: be somebody else meanwhile */
    bool somebody = !root || seteuid(65534) == 0;
    if (somebody) replace_refuses(path);
    if (root && somebody) assert_int_equal(seteuid(0), 0);
    assert_int_equal(chmod(scratch_folder, 0755), 0);
    assert_content(path, "old");
    assert_int_equal(count_names(false), 1);
}

/* A file size limit stands in for a full disk. */
static void replacing_that_fails_halfway_leaves_the_old_file(void **state) {
    (void)state;
    enum { SIZE = 1 << 20 };
    const char *path = scratch_path("file");
    assert_int_equal(wr_file_replace(path, "old", 3, NULL, NULL), WEIR_OK);
    uint8_t *big = calloc(1, SIZE);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {.rlim_cur = 4096, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    weir_error error;
    weir_status status = wr_file_replace(path, big, SIZE, NULL, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    free(big);
    assert_int_equal(status, WEIR_IO);
    assert_content(path, "old");
    assert_int_equal(count_names(false), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(mapping_says_what_is_wrong, empty_folder),
        cmocka_unit_test_teardown(replacing_creates_and_replaces, empty_folder),
        cmocka_unit_test_teardown(a_mapping_outlives_the_replaced_file, empty_folder),
        cmocka_unit_test_teardown(replacing_refuses_what_it_cannot, empty_folder),
        cmocka_unit_test_teardown(replacing_in_an_unwritable_folder_leaves_the_old_file,
                                  empty_folder),
        cmocka_unit_test_teardown(replacing_that_fails_halfway_leaves_the_old_file, empty_folder),
    };
    return cmocka_run_group_tests(tests, scratch_make, remove_folder);
}
