/* A training so small that it takes a tenth of a second, in a folder of its own. Header only. */
#ifndef TRAIN_RUN_H
#define TRAIN_RUN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.h"
#include "base/random.h"
#include "weir/train.h"

static char train_folder[160];
static weir_train_text train_text;

/* A path in the folder, in one of eight buffers. */
static inline const char *train_path(const char *name) {
    static char paths[8][256];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", train_folder, name);
    return path;
}

static inline void write_text(const char *path) {
    static const char *const words[] = {"the ",   "river ", "runs ", "on ",   "and ",
                                        "water ", "falls ", "over ", "a ",    "weir. ",
                                        "She ",   "said ",  "so.\n", "moon ", "Why? "};
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (uint64_t i = 0; i < 4000; i++) {
        fputs(words[(size_t)(15 * wr_random_unit(1, 2, i))], file);
        if (i % 500 == 499) {
            fputs("\n<|endoftext|>\n", file);
        }
    }
    fclose(file);
}

static inline int train_set_up(void **state) {
    (void)state;
    const char *parent = getenv("TMPDIR");
    snprintf(train_folder, sizeof train_folder, "%.100s/weir-train.XXXXXX",
             parent != NULL ? parent : "/tmp");
    if (mkdtemp(train_folder) == NULL) {
        return 1;
    }
    static char text[256];
    snprintf(text, sizeof text, "%s/text", train_folder);
    write_text(text);
    train_text = (weir_train_text){.path = text};
    return 0;
}

static inline void remove_folder(const char *path) {
    char inside[512];
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            snprintf(inside, sizeof inside, "%.250s/%.250s", path, entry->d_name);
            if (remove(inside) != 0) {
                remove_folder(inside);
            }
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    rmdir(path);
}

static inline int train_tear_down(void **state) {
    (void)state;
    remove_folder(train_folder);
    return 0;
}

/* Everything that can be due is due often. `out` is a path that lives as long as the options. */
static inline weir_train_options train_options(const char *out) {
    weir_train_options options = weir_train_options_default();
    options.shape.layers = 2;
    options.shape.width = 16;
    options.shape.heads = 2;
    options.shape.kv_heads = 1;
    options.shape.feed_forward = 24;
    options.shape.context = 16;
    options.shape.vocabulary = 300;
    options.data = &train_text;
    options.data_count = 1;
    options.validation = train_text.path;
    options.out = out;
    options.format = "F32";
    options.batch = 5;
    options.micro = 2;
    options.steps = 30;
    options.threads = 1;
    options.precision = "float32";
    options.save_steps = 4;
    options.save_minutes = 0;
    options.evaluate = 7;
    options.evaluate_most = 3;
    options.probe = 6;
    return options;
}

static rlim_t train_files_hold;

/* Progress: from step 10 on, files hold no more than `train_files_hold` bytes. */
static inline bool train_limit_files(void *context, const weir_train_progress *progress) {
    (void)context;
    if (progress->stage == WEIR_TRAIN_STEP && progress->step == 10) {
        struct rlimit limit;
        getrlimit(RLIMIT_FSIZE, &limit);
        limit.rlim_cur = train_files_hold;
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    return true;
}

static inline void train_must(const weir_train_options *options, weir_train_result *result) {
    weir_error error = {.message = ""};
    if (weir_train_run(options, result, &error) != WEIR_OK) {
        fail_msg("%s", error.message);
    }
}

static inline void assert_same_file(const char *a, const char *b) {
    wr_map one, other;
    weir_error error = {.message = ""};
    if (wr_map_open(a, &one, &error) != WEIR_OK || wr_map_open(b, &other, &error) != WEIR_OK) {
        fail_msg("%s", error.message);
    }
    assert_int_equal(one.size, other.size);
    assert_memory_equal(one.data, other.data, one.size);
    wr_map_close(&one);
    wr_map_close(&other);
}

/* What the log says of step `step`: columns but for speed and time, which no run repeats. */
static inline void read_line(FILE *file, char out[1024], bool *there) {
    char line[1024];
    *there = fgets(line, sizeof line, file) != NULL;
    out[0] = '\0';
    char *rest = line;
    for (int column = 0; *there && rest != NULL; column++) {
        const char *field = strsep(&rest, ",");
        if (column != 10 && column != 11) {
            strcat(strcat(out, field), ",");
        }
    }
}

/* Both logs have the same lines, for the steps 1 ... last, each once. */
static inline void assert_same_log(const char *a, const char *b, int64_t last) {
    FILE *one = fopen(a, "r"), *other = fopen(b, "r");
    assert_non_null(one);
    assert_non_null(other);
    for (int64_t step = 0; step <= last + 1; step++) {
        char here[1024], there[1024];
        bool more, others;
        read_line(one, here, &more);
        read_line(other, there, &others);
        assert_string_equal(here, there);
        assert_int_equal(more, step <= last);
        assert_int_equal(others, step <= last);
        if (more && step > 0) {
            assert_int_equal(strtoll(here, NULL, 10), step);
        }
    }
    fclose(one);
    fclose(other);
}

#endif
