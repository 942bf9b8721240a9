/* train/data: tokens are those of the documents, shards are used again only where all matches, and
 * samples are pure functions of seed and number that show each window once per epoch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>

#include "support/train_text.h"
#include "train/data/sample_order.h"

#define BYTE(c) (3 + (int32_t)(uint8_t)(c)) /* its token, in a vocabulary of bytes */

/* ---- tokens ---------------------------------------------------------------------------------- */

/* With a context of 1 the windows are the tokens. */
static void assert_tokens(const wr_data *data, const token_list *want) {
    int32_t sample[2];
    assert_int_equal(wr_data_tokens(data), want->count);
    assert_int_equal(wr_data_windows(data), want->count);
    for (int64_t i = 0; i < want->count; i++) {
        wr_data_spread(data, i, want->count, sample);
        if (sample[0] != want->ids[i] || sample[1] != want->ids[(i + 1) % want->count])
            fail_msg("token %lld is %d %d", (long long)i, (int)sample[0], (int)sample[1]);
    }
}

static void tokens_are_those_of_the_documents(void **state) {
    (void)state;
    static const char *const documents[] = {"abcab  a\r\nbc", " bca", "cab\xC3\xA9", "u",
                                            "<|endoftext|"};
    const char *text = scratch_text(
        "text", "\nabcab  a\r\nbc\n<|endoftext|>\n bca<|endoftext|>\r\n\r\n<|endoftext|>"
                "cab\xC3\xA9\n\n<|endoftext|>u<|endoftext|>\n<|endoftext|");
    const char *vocabulary = train_vocabulary("vocab.gguf", 3, SAMPLE_BYTES, 200);
    token_list want = {0};
    train_tokens(&want, vocabulary, documents, 5);
    for (int count = 0; count <= 3; count++) {
        wr_data_text one = {text, 0};
        wr_data_options options = {.texts = &one,
                                   .count = 1,
                                   .vocabulary = vocabulary,
                                   .shards = scratch_path("tokens"),
                                   .context = 1};
        if (count > 0)
            assert_int_equal(wr_threads_create(count, NULL, &options.threads, NULL), WEIR_OK);
        scratch_files("tokens", "", true, NULL);
        wr_data *data = train_open(&options);
        assert_tokens(data, &want);
        wr_data_close(data);
        wr_threads_release(options.threads);
    }
    token_list_free(&want);
}

/* Many documents, some larger than a batch of threads takes. */
static void large_documents_too(void **state) {
    (void)state;
    enum { COUNT = 3, LARGE = 5 << 20 };
    static char *documents[2 * COUNT];
    wr_writer text = {0};
    for (int i = 0; i < 2 * COUNT; i++) {
        size_t size = i % 2 == 0 ? LARGE : 1000;
        documents[i] = malloc(size + 1);
        for (size_t at = 0; at < size; at++)
            documents[i][at] = "abc a\n"[(at * at + (size_t)i) % 6];
        documents[i][0] = documents[i][size - 1] = 'x';
        documents[i][size] = '\0';
        wr_write_bytes(&text, documents[i], size);
        wr_write_bytes(&text, "<|endoftext|>", 13);
    }
    const char *vocabulary = train_vocabulary("vocab.gguf", 3, SAMPLE_BYTES, 200);
    wr_data_text one = {scratch_write("text", text.data, text.size), 0};
    wr_data_options options = {.texts = &one,
                               .count = 1,
                               .vocabulary = vocabulary,
                               .shards = scratch_path("tokens"),
                               .context = 1};
    assert_int_equal(wr_threads_create(2, NULL, &options.threads, NULL), WEIR_OK);
    token_list want = {0};
    train_tokens(&want, vocabulary, (const char *const *)documents, 2 * COUNT);
    wr_data *data = train_open(&options);
    assert_tokens(data, &want);
    wr_data_close(data);
    wr_threads_release(options.threads);
    token_list_free(&want);
    for (int i = 0; i < 2 * COUNT; i++) free(documents[i]);
    wr_writer_release(&text);
}

/* ---- shards ---------------------------------------------------------------------------------- */

static bool note(void *context, int64_t bytes, int64_t of) {
    assert_true(bytes >= 0 && bytes <= of);
    ++*(int *)context;
    return true;
}

/* Whether opening tokenised anything. */
static bool makes(wr_data_options *options) {
    int calls = 0;
    options->progress = note;
    options->progress_context = &calls;
    wr_data_close(train_open(options));
    return calls > 0;
}

static void flip(const char *path, long at) {
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    int byte = fgetc(file);
    fseek(file, -1, SEEK_CUR);
    fputc(byte ^ 1, file);
    fclose(file);
}

static void a_shard_is_used_again_only_where_all_matches(void **state) {
    (void)state;
    char shard[1024];
    wr_data_text one = {train_counter("text", 100), 0};
    wr_data_options options = {.texts = &one,
                               .count = 1,
                               .vocabulary = train_vocabulary("vocab.gguf", 1, SAMPLE_BYTES, 0),
                               .shards = scratch_path("tokens"),
                               .context = 16};
    scratch_files("tokens", "", true, NULL);
    assert_true(makes(&options));
    assert_false(makes(&options));
    assert_int_equal(scratch_files("tokens", "", false, shard), 1);
    struct stat about;
    assert_int_equal(stat(shard, &about), 0);
    for (long at = -90; at < 1600; at += at < 0 ? 1 : 97) { /* all of the footer, some tokens */
        if (at == 0) continue;
        flip(shard, at);
        if (!makes(&options)) fail_msg("a flipped bit %ld goes unnoticed", at);
    }
    assert_int_equal(truncate(shard, about.st_size - 2), 0);
    assert_true(makes(&options));
    assert_int_equal(truncate(shard, 3), 0);
    assert_true(makes(&options));
    assert_false(makes(&options));
    train_counter("text", 101);
    assert_true(makes(&options)); /* another text under the same name */
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000000}};
    assert_int_equal(utimensat(AT_FDCWD, one.path, times, 0), 0);
    assert_true(makes(&options)); /* changed at another time */
    assert_int_equal(scratch_files("tokens", "", false, NULL), 1);
    options.vocabulary = train_vocabulary("other.gguf", 1, SAMPLE_BYTES, 50);
    assert_true(makes(&options));
    assert_int_equal(scratch_files("tokens", "", false, NULL), 2); /* a shard of its own */
    options.vocabulary = scratch_path("vocab.gguf");
    assert_false(makes(&options));
}

static void fingerprints_tell_data_apart(void **state) {
    (void)state;
    wr_data_text texts[] = {{train_counter("text", 100), 0}, {train_counter("more", 50), 0}};
    wr_data_options options = {.texts = texts,
                               .count = 2,
                               .vocabulary = train_vocabulary("vocab.gguf", 1, SAMPLE_BYTES, 0),
                               .shards = scratch_path("tokens"),
                               .context = 16};
    uint64_t seen[5];
    for (int i = 0; i < 5; i++) {
        if (i == 1) options.count = 1;
        if (i == 2) texts[0].weight = texts[1].weight = 1, options.count = 2;
        if (i == 3) texts[1] = texts[0];
        if (i == 4) options.vocabulary = train_vocabulary("other.gguf", 1, SAMPLE_BYTES, 50);
        wr_data *data = train_open(&options);
        seen[i] = wr_data_fingerprint(data);
        wr_data_close(data);
        data = train_open(&options);
        assert_true(seen[i] == wr_data_fingerprint(data));
        wr_data_close(data);
        for (int k = 0; k < i; k++) assert_true(seen[k] != seen[i]);
    }
}

/* ---- samples --------------------------------------------------------------------------------- */

enum { CONTEXT = 32 };

/* Where in a counter of `count` numbers a sample stands: its tokens are "[000000]..." in a ring
 * with the space before the document and EOS, which stand 1 before the first bracket and 1 after
 * the last. The place of sample[1]. */
static int64_t place_of(const int32_t *sample, int64_t count) {
    for (int at = 1; at + 7 <= CONTEXT; at++) {
        if (sample[at] != BYTE('[')) continue;
        int64_t number = 0;
        for (int i = 1; i <= 6; i++) number = 10 * number + sample[at + i] - BYTE('0');
        return (8 * number + 1 - (at - 1) + 8 * count + 2) % (8 * count + 2);
    }
    fail_msg("no number in the sample");
    return -1;
}

static wr_data *open_counter(int count, uint64_t seed, bool sink) {
    wr_data_text one = {train_counter("text", count), 0};
    wr_data_options options = {.texts = &one,
                               .count = 1,
                               .vocabulary = train_vocabulary("vocab.gguf", 1, SAMPLE_BYTES, 0),
                               .shards = scratch_path("tokens"),
                               .seed = seed,
                               .context = CONTEXT,
                               .sink_token = sink};
    return train_open(&options);
}

static void an_epoch_shows_each_window_once(void **state) {
    (void)state;
    enum { COUNT = 100, TOKENS = 8 * COUNT + 2 };
    for (int sink = 0; sink <= 1; sink++) {
        wr_data *data = open_counter(COUNT, 5, sink == 1);
        int64_t windows = wr_data_windows(data), moved = 0, shifted = 0, last = -1;
        assert_int_equal(wr_data_tokens(data), TOKENS);
        assert_int_equal(windows, TOKENS / CONTEXT);
        int32_t sample[CONTEXT + 1];
        for (int64_t epoch = 0; epoch < 20; epoch++) {
            bool scored[TOKENS] = {0};
            for (int64_t i = 0; i < windows; i++) {
                wr_data_sample(data, epoch * windows + i, sample);
                int64_t place = place_of(sample, COUNT);
                if (sink) assert_int_equal(sample[0], wr_data_bos(data));
                if (i > 0) moved += place != (last + CONTEXT) % TOKENS;
                if (i == 0 && epoch > 0) shifted += place % CONTEXT != last % CONTEXT;
                last = place;
                for (int64_t k = 0; k < CONTEXT; k++) {
                    assert_false(scored[(place + k) % TOKENS]);
                    scored[(place + k) % TOKENS] = true;
                }
            }
        }
        assert_true(moved > 20 * windows * 3 / 4 && shifted >= 15);
        wr_data_close(data);
    }
}

static void a_sample_depends_on_seed_and_number_alone(void **state) {
    (void)state;
    int32_t first[100][CONTEXT + 1], sample[CONTEXT + 1];
    wr_data *data = open_counter(100, 5, false);
    for (int64_t n = 0; n < 100; n++) wr_data_sample(data, n, first[n]);
    wr_data_close(data);
    data = open_counter(100, 5, false);
    for (int64_t n = 99; n >= 0; n -= 3) { /* resumed, and in another order */
        wr_data_sample(data, n, sample);
        assert_memory_equal(sample, first[n], sizeof sample);
    }
    wr_data_close(data);
    data = open_counter(100, 6, false);
    int equal = 0;
    for (int64_t n = 0; n < 100; n++) {
        wr_data_sample(data, n, sample);
        equal += memcmp(sample, first[n], sizeof sample) == 0;
    }
    assert_true(equal < 10);
    wr_data_sample(data, INT64_C(1) << 50, sample); /* far away is as good as any */
    place_of(sample, 100);
    wr_data_close(data);
}

static void texts_get_their_share(void **state) {
    (void)state;
    static const double weights[][3] = {{3, 1, 1}, {0, 0, 0}, {1e-9, 1, 2}};
    wr_data_text texts[3] = {
        {scratch_text("a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), 0},
        {scratch_text("b", "bbbbbbbbbbbbbbbbbbbb"), 0},
        {scratch_text("c", "cccccccccccccccccccc"), 0}};
    wr_data_options options = {.texts = texts,
                               .count = 3,
                               .vocabulary = train_vocabulary("vocab.gguf", 1, SAMPLE_BYTES, 0),
                               .shards = scratch_path("tokens"),
                               .context = 5};
    for (size_t w = 0; w < 3; w++) {
        double share[3] = {52.0 / 96, 22.0 / 96, 22.0 / 96}, sum = 0;
        for (int k = 0; k < 3; k++) sum += texts[k].weight = weights[w][k];
        for (int k = 0; k < 3 && sum > 0; k++) share[k] = weights[w][k] / sum;
        wr_data *data = train_open(&options);
        int64_t seen[3] = {0};
        int32_t sample[6];
        for (int64_t n = 0; n < WR_TURNS; n++) {
            wr_data_sample(data, n, sample);
            int of = -1; /* no window is without a letter */
            for (int i = 1; i < 6; i++)
                for (int k = 0; k < 3; k++)
                    if (sample[i] == wr_data_eos(data) + 1 + 256 + 1 + k) of = k;
            assert_true(of >= 0);
            seen[of]++;
            for (int k = 0; k < 3; k++) /* at any time */
                assert_true((double)seen[k] <= share[k] * (double)(n + 1) + 2.5 &&
                            (double)seen[k] >= share[k] * (double)(n + 1) - 2.5);
        }
        assert_true(seen[0] >= 1 && seen[1] >= 1 && seen[2] >= 1);
        wr_data_close(data);
    }
}

static void spread_samples_score_no_token_twice(void **state) {
    (void)state;
    enum { COUNT = 100, TOKENS = 8 * COUNT + 2 };
    wr_data *data = open_counter(COUNT, 5, false);
    int32_t sample[CONTEXT + 1];
    for (int64_t count = 1; count <= wr_data_windows(data); count++) {
        int64_t last = -CONTEXT;
        for (int64_t i = 0; i < count; i++) {
            wr_data_spread(data, i, count, sample);
            int64_t place = place_of(sample, COUNT);
            assert_true(place >= last + CONTEXT && place < TOKENS);
            assert_true(place <= 1 + i * TOKENS / count + CONTEXT);
            last = place;
        }
    }
    wr_data_spread(data, 99, 100, sample); /* more than there are: some come twice */
    wr_data_close(data);
}

/* Over a ring of windows without a rest, the text is counted exactly. */
static void what_tokens_stand_for_is_measured(void **state) {
    (void)state;
    static const char text[] =
        "abc \xC3\xA9 ab<|endoftext|> cab\xE6\xBC\xA2\xF0\x9F\x98\x80 <|endoftext|>\n\xC3\xBC\n";
    for (int merges = 0; merges <= 200; merges += 200) {
        wr_data_text one = {scratch_text("text", text), 0};
        wr_data_options options = {.texts = &one,
                                   .count = 1,
                                   .vocabulary =
                                       train_vocabulary("vocab.gguf", 3, SAMPLE_BYTES, merges),
                                   .shards = scratch_path("tokens"),
                                   .context = 1};
        wr_data *data = train_open(&options);
        int64_t bytes = 0, characters = 0;
        int32_t sample[2];
        for (int64_t i = 0; i < wr_data_windows(data); i++) {
            wr_data_spread(data, i, wr_data_windows(data), sample);
            wr_data_measure(data, sample, &bytes, &characters);
        }
        assert_int_equal(bytes, 9 + 12 + 2);
        assert_int_equal(characters, 8 + 7 + 1);
        wr_data_close(data);
    }
}

/* ---- the pattern and the order --------------------------------------------------------------- */

static void orders_are_permutations(void **state) {
    (void)state;
    static bool seen[5000];
    for (uint64_t count = 1; count <= 5000; count += 1 + count / 7) {
        memset(seen, 0, sizeof seen);
        for (uint64_t i = 0; i < count; i++) {
            uint64_t place = wr_epoch_place(count * 77, i, count);
            assert_true(place < count && !seen[place]);
            seen[place] = true;
        }
    }
    assert_true(wr_epoch_place(1, 12345678901, UINT64_C(1) << 40) < UINT64_C(1) << 40);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static bool never(void *context, int64_t bytes, int64_t of) {
    (void)context, (void)bytes, (void)of;
    fail_msg("time is spent");
    return true;
}

static void assert_refused(const wr_data_options *options, weir_status want, const char *words) {
    weir_error error = {.message = ""};
    wr_data *data = (wr_data *)&error;
    weir_status status = wr_data_open(options, NULL, &data, &error);
    if (status != want || !strstr(error.message, words))
        fail_msg("%d \"%s\", not %d \"%s\"", status, error.message, want, words);
    assert_null(data);
}

static void what_cannot_be_is_one_sentence(void **state) {
    (void)state;
    wr_data_text texts[] = {{train_counter("good", 50), 0}, {scratch_path("bad"), 0}};
    const char *vocabulary = train_vocabulary("vocab.gguf", 1, SAMPLE_BYTES, 0);
    wr_data_options options = {.texts = texts,
                               .count = 2,
                               .vocabulary = vocabulary,
                               .shards = scratch_path("tokens"),
                               .context = 16,
                               .progress = never};
    scratch_files("tokens", "", true, NULL);
    assert_refused(&options, WEIR_IO, "bad: no such file");
    scratch_text("bad", "");
    assert_refused(&options, WEIR_DAMAGED, "bad: the file is empty");
    scratch_write("bad", "ab\0c", 4);
    assert_refused(&options, WEIR_DAMAGED, "bad: byte 2 is NUL, so this is no text");
    scratch_text("bad", "0123456789\xFFz");
    assert_refused(&options, WEIR_DAMAGED, "bad: byte 10 is not UTF-8");
    texts[1].path = scratch_folder;
    assert_refused(&options, WEIR_IO, "is a folder");
    texts[1].path = scratch_text("bad", "ab");
    texts[1].weight = 1;
    assert_refused(&options, WEIR_USAGE, "for every text, or for none");
    texts[1].weight = -1;
    assert_refused(&options, WEIR_USAGE, "its weight cannot be -1");
    texts[1].weight = 0;
    options.vocabulary = texts[0].path;
    assert_refused(&options, WEIR_DAMAGED, "good: ");
    options.vocabulary = scratch_path("none.gguf");
    assert_refused(&options, WEIR_IO, "none.gguf: no such file");
    options.vocabulary = scratch_write(
        "empty.gguf", "GGUF\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32);
    assert_refused(&options, WEIR_UNSUPPORTED, "empty.gguf: the file has no tokenizer");
    options.vocabulary = vocabulary;
    options.context = 0;
    assert_refused(&options, WEIR_USAGE, "context of 0");
    options.context = 16;
    options.count = 0;
    assert_refused(&options, WEIR_USAGE, "1 to 1024 texts");
    options.count = 1;
    options.shards = scratch_text("file", "x");
    assert_refused(&options, WEIR_IO, "file: token files cannot be written here");
    options.shards = scratch_path("no/such");
    assert_refused(&options, WEIR_IO, "no/such: token files cannot be written here");
}

/* Found when the shortest text has been tokenised; the others are not begun. */
static void a_text_that_is_too_short_is_named(void **state) {
    (void)state;
    wr_data_text texts[] = {{train_counter("good", 50), 0}, {scratch_text("bad", "abab"), 0}};
    wr_data_options options = {.texts = texts,
                               .count = 2,
                               .vocabulary = train_vocabulary("vocab.gguf", 1, SAMPLE_BYTES, 0),
                               .shards = scratch_path("tokens"),
                               .context = 6};
    scratch_files("tokens", "", true, NULL);
    assert_refused(&options, WEIR_DAMAGED, "bad: the text has only 6 tokens");
    assert_int_equal(scratch_files("tokens", "good", false, NULL), 0);
    assert_refused(&options, WEIR_DAMAGED,
                   "bad: the text has only 6 tokens"); /* its shard is there */
    options.context = 5;
    wr_data_close(train_open(&options));
}

static bool stop(void *context, int64_t bytes, int64_t of) {
    (void)context, (void)bytes, (void)of;
    return false;
}

static void it_can_be_cancelled(void **state) {
    (void)state;
    wr_data_text one = {train_counter("text", 50), 0};
    wr_data_options options = {.texts = &one,
                               .count = 1,
                               .vocabulary = train_vocabulary("vocab.gguf", 1, SAMPLE_BYTES, 0),
                               .shards = scratch_path("tokens"),
                               .context = 16,
                               .progress = stop};
    scratch_files("tokens", "", true, NULL);
    assert_refused(&options, WEIR_CANCELLED, "cancelled");
    assert_int_equal(scratch_files("tokens", "", false, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_those_of_the_documents),
        cmocka_unit_test(large_documents_too),
        cmocka_unit_test(a_shard_is_used_again_only_where_all_matches),
        cmocka_unit_test(fingerprints_tell_data_apart),
        cmocka_unit_test(an_epoch_shows_each_window_once),
        cmocka_unit_test(a_sample_depends_on_seed_and_number_alone),
        cmocka_unit_test(texts_get_their_share),
        cmocka_unit_test(spread_samples_score_no_token_twice),
        cmocka_unit_test(what_tokens_stand_for_is_measured),
        cmocka_unit_test(orders_are_permutations),
        cmocka_unit_test(what_cannot_be_is_one_sentence),
        cmocka_unit_test(a_text_that_is_too_short_is_named),
        cmocka_unit_test(it_can_be_cancelled),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
