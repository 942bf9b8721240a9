/* plot/figure_file: a figure under its name only when it is whole; the same figure, the same bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <locale.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "support/figure_sample.h"
#include "weir/plot.h"

static const double values[] = {5158.1, 11.9, 11.2, 10.9, 10.9};
static const weir_plot_series series = {.label = "cache 256", .y = values, .count = 5};
static const weir_plot_lines figure = {
    .title = "Perplexity", .y = {.scale = WEIR_PLOT_LOG}, .series = &series, .series_count = 1};

static void refuses(const char *path, weir_status status, const char *reason) {
    weir_error error;
    assert_int_equal(weir_plot_lines_save(&figure, path, &error), status);
    assert_int_equal(error.status, status);
    assert_non_null(strstr(error.message, reason));
    assert_int_equal(weir_plot_path_check(path, NULL), status);
}

static int names_in_folder(void) {
    int count = 0;
    DIR *names = opendir(figure_folder);
    assert_non_null(names);
    while (readdir(names) != NULL) count++;
    closedir(names);
    return count - 2; /* . and .. */
}

static void the_ending_says_the_kind(void **state) {
    (void)state;
    refuses(figure_path("figure.gif"), WEIR_USAGE, "a figure is a .png or an .svg file");
    refuses(figure_path("figure"), WEIR_USAGE, ".png");
    refuses(figure_path(".svg"), WEIR_USAGE, ".svg");
    refuses("", WEIR_USAGE, ".png");
    size_t size;
    assert_int_equal(weir_plot_lines_save(&figure, figure_path("A.SVG"), NULL), WEIR_OK);
    char *bytes = figure_take("A.SVG", &size);
    assert_memory_equal(bytes, "<svg ", 5);
    free(bytes);
}

static void bad_places_are_one_sentence(void **state) {
    (void)state;
    char path[600];
    snprintf(path, sizeof path, "%s", figure_path("none/figure.png"));
    refuses(path, WEIR_IO, "No such file");
    snprintf(path, sizeof path, "%s", figure_path("folder.svg"));
    assert_int_equal(mkdir(path, 0755), 0);
    refuses(path, WEIR_IO, "is a folder");
    assert_int_equal(rmdir(path), 0);
    char long_path[8000];
    memset(long_path, 'a', sizeof long_path);
    strcpy(long_path + sizeof long_path - 5, ".png");
    refuses(long_path, WEIR_IO, "too long");
    assert_int_equal(names_in_folder(), 0);
}

static void an_unwritable_folder_is_said_early(void **state) {
    (void)state;
    assert_int_equal(chmod(figure_folder, 0555), 0);
    bool root = geteuid() == 0; /* whom nothing forbids: be somebody else meanwhile */
    bool somebody = !root || seteuid(65534) == 0;
    if (somebody) refuses(figure_path("figure.png"), WEIR_IO, "Permission denied");
    if (root && somebody) assert_int_equal(seteuid(0), 0);
    assert_int_equal(chmod(figure_folder, 0755), 0);
    assert_int_equal(names_in_folder(), 0);
}

/* A limit on the size of files stands in for a full disk. */
static void a_full_disk_leaves_the_old_file(void **state) {
    (void)state;
    const char *name = "figure.svg";
    FILE *old = fopen(figure_path(name), "w");
    assert_non_null(old);
    fputs("old", old);
    fclose(old);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {.rlim_cur = 1000, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    weir_error error;
    weir_status status = weir_plot_lines_save(&figure, figure_path(name), &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(status, WEIR_IO);
    assert_non_null(strstr(error.message, "File too large"));
    assert_int_equal(names_in_folder(), 1);
    size_t size;
    char *bytes = figure_take(name, &size);
    assert_string_equal(bytes, "old");
    free(bytes);
}

static void the_same_figure_gives_the_same_bytes(void **state) {
    (void)state;
    static const char *const names[] = {"figure.svg", "figure.png"};
    for (int kind = 0; kind < 2; kind++) {
        size_t size[2];
        char *bytes[2];
        for (int turn = 0; turn < 2; turn++) {
            /* a program in another language: commas in numbers, where the system has it */
            if (turn == 1) setlocale(LC_ALL, "de_DE.UTF-8");
            assert_int_equal(weir_plot_lines_save(&figure, figure_path(names[kind]), NULL),
                             WEIR_OK);
            bytes[turn] = figure_take(names[kind], &size[turn]);
            assert_non_null(bytes[turn]);
        }
        setlocale(LC_ALL, "C");
        assert_int_equal(size[0], size[1]);
        assert_memory_equal(bytes[0], bytes[1], size[0]);
        free(bytes[0]);
        free(bytes[1]);
    }
}

static void a_link_stays_a_link(void **state) {
    (void)state;
    struct stat about;
    char link[600];
    snprintf(link, sizeof link, "%s", figure_path("link.svg"));
    assert_int_equal(weir_plot_lines_save(&figure, figure_path("target.svg"), NULL), WEIR_OK);
    assert_int_equal(symlink("target.svg", link), 0);
    assert_int_equal(weir_plot_lines_save(&figure, link, NULL), WEIR_OK);
    assert_int_equal(lstat(link, &about), 0);
    assert_true(S_ISLNK(about.st_mode));
    assert_int_equal(unlink(link), 0);
    assert_int_equal(unlink(figure_path("target.svg")), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ending_says_the_kind),
        cmocka_unit_test(bad_places_are_one_sentence),
        cmocka_unit_test(an_unwritable_folder_is_said_early),
        cmocka_unit_test(a_full_disk_leaves_the_old_file),
        cmocka_unit_test(the_same_figure_gives_the_same_bytes),
        cmocka_unit_test(a_link_stays_a_link),
    };
    return cmocka_run_group_tests(tests, figure_folder_make, figure_folder_remove);
}
