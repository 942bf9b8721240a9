/*
 * Saved streams that are not what we wrote: cut anywhere, any byte changed, and changed on purpose
 * with the checksum put right. Each one loads and then works, or is refused with one sentence; none
 * crashes, hangs, or takes memory that its settings do not explain.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>

#include "support/random_model.h"

enum { MOST = 1 << 16, CAP = 8 << 20, HOSTILE = 4000 };

static char path[64];

typedef struct saved_file {
    uint8_t bytes[MOST];
    size_t size;
} saved_file;

/* --- An allocator with a ceiling -------------------------------------------------------------- */

static size_t live;

static void *capped_allocate(void *context, size_t size) {
    (void)context;
    if (size > CAP || live + size > CAP) return NULL;
    void *memory = aligned_alloc(64, (size + 63) / 64 * 64);
    if (memory) live += size;
    return memory;
}

static void capped_release(void *context, void *memory, size_t size) {
    (void)context;
    live -= size;
    free(memory);
}

static const weir_allocator capped = {.allocate = capped_allocate, .release = capped_release};

/* --- Files ------------------------------------------------------------------------------------ */

/* Over the old bytes: emptying a file first makes some systems wait for the disk at every close. */
static void write_file(const uint8_t *bytes, size_t size) {
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, size, 0), size);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    assert_int_equal(close(fd), 0);
}

static void save_to(weir_stream *stream, saved_file *out) {
    weir_error error;
    must(weir_stream_save(stream, path, &error), &error);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    out->size = fread(out->bytes, 1, MOST, file);
    assert_in_range(out->size, 100, MOST - 1);
    fclose(file);
}

static void put_checksum(uint8_t *bytes, size_t size) {
    uint64_t sum = wr_checksum(0, bytes, size - 8);
    for (int i = 0; i < 8; i++) bytes[size - 8 + (size_t)i] = (uint8_t)(sum >> 8 * i);
}

static weir_status load(weir_stream **out, weir_error *error) {
    weir_stream_options options = weir_stream_options_default();
    options.chunk = 3;
    options.threads = 1;
    options.allocator = &capped;
    return weir_stream_load(tiny.model, path, &options, out, error);
}

/* A stream of every kind, in the middle of things. */
static weir_stream *make(int kind, weir_policy *policy) {
    weir_error error;
    static const struct {
        weir_policy policy;
        int64_t sinks, window;
        weir_cache_type type;
        weir_eviction eviction;
    } table[] = {{WEIR_SINK, 4, 12, WEIR_CACHE_F32, WEIR_EVICT_TOKEN},
                 {WEIR_SINK, 3, 40, WEIR_CACHE_Q8_0, WEIR_EVICT_MESSAGE},
                 {WEIR_WINDOW, -1, 33, WEIR_CACHE_F16, WEIR_EVICT_TOKEN},
                 {WEIR_DENSE, -1, 120, WEIR_CACHE_F16, WEIR_EVICT_TOKEN},
                 {WEIR_RECOMPUTE, -1, 10, WEIR_CACHE_F16, WEIR_EVICT_TOKEN}};
    weir_stream_options options =
        stream_options(table[kind].policy, table[kind].sinks, table[kind].window);
    options.cache_type = table[kind].type;
    options.eviction = table[kind].eviction;
    options.chunk = 1;
    *policy = options.policy;
    weir_stream *stream = stream_make(tiny.model, &options);
    for (int64_t i = 0; i < 60; i++) {
        if (i % 9 == 0) must(weir_stream_border(stream, &error), &error);
        stream_feed(stream, i, i + 1);
    }
    must(weir_stream_feed_text(stream, "some text he", 12, &error), &error);
    return stream;
}

/* --- Refused ---------------------------------------------------------------------------------- */

static void check_refused_file(const char *what, size_t at) {
    weir_error error = {.message = ""};
    weir_stream *stream = NULL;
    weir_status status = load(&stream, &error);
    if (status == WEIR_OK) fail_msg("%s at %zu: it loads", what, at);
    assert_null(stream);
    assert_int_equal(error.status, status);
    assert_sentence(&error);
    assert_int_equal(live, 0);
}

static void test_cut(void **state) {
    (void)state;
    static saved_file file;
    weir_policy policy;
    weir_stream *stream = make(0, &policy);
    save_to(stream, &file);
    weir_stream_destroy(stream);
    for (size_t size = 0; size < file.size; size++) {
        write_file(file.bytes, size);
        check_refused_file("cut", size);
    }
    /* with a right checksum as well */
    for (size_t size = 28; size < file.size; size++) {
        static uint8_t cut[MOST];
        memcpy(cut, file.bytes, size);
        put_checksum(cut, size);
        write_file(cut, size);
        check_refused_file("cut, with a checksum", size);
    }
}

static void test_longer(void **state) {
    (void)state;
    static saved_file file;
    weir_policy policy;
    weir_stream *stream = make(0, &policy);
    save_to(stream, &file);
    weir_stream_destroy(stream);
    for (size_t more = 1; more < 20; more++) {
        put_checksum(file.bytes, file.size + more);
        write_file(file.bytes, file.size + more);
        check_refused_file("longer by", more);
    }
}

static void test_flipped(void **state) {
    (void)state;
    static saved_file file;
    weir_policy policy;
    weir_stream *stream = make(4, &policy);
    save_to(stream, &file);
    weir_stream_destroy(stream);
    for (size_t at = 0; at < file.size; at++) {
        uint8_t old = file.bytes[at];
        file.bytes[at] = (uint8_t)(old ^ (1u << at % 8));
        write_file(file.bytes, file.size);
        check_refused_file("flipped", at);
        file.bytes[at] = old;
    }
}

static void test_versions(void **state) {
    (void)state;
    static saved_file file;
    weir_error error;
    weir_policy policy;
    weir_stream *stream = make(0, &policy);
    save_to(stream, &file);
    weir_stream_destroy(stream);
    uint8_t version = file.bytes[8]++; /* it stands after the magic */
    put_checksum(file.bytes, file.size);
    write_file(file.bytes, file.size);
    assert_refused(load(&stream, &error), WEIR_UNSUPPORTED, &error, "newer");
    file.bytes[8] = 1; /* pages lay in another way */
    put_checksum(file.bytes, file.size);
    write_file(file.bytes, file.size);
    assert_refused(load(&stream, &error), WEIR_UNSUPPORTED, &error, "older");
    file.bytes[8] = 0;
    put_checksum(file.bytes, file.size);
    write_file(file.bytes, file.size);
    assert_int_equal(load(&stream, &error), WEIR_DAMAGED);
    file.bytes[8] = version;
    file.bytes[12] ^= 1; /* the fingerprint */
    put_checksum(file.bytes, file.size);
    write_file(file.bytes, file.size);
    assert_refused(load(&stream, &error), WEIR_MISMATCH, &error, "another model");
}

/* --- Hostile ---------------------------------------------------------------------------------- */

static uint64_t draws;
static uint32_t draw(uint32_t below) {
    uint32_t block[4];
    wr_random_block(99, 0, draws++, block);
    return block[0] % below;
}

static void spoil(uint8_t *bytes, size_t size) {
    static const uint64_t values[] = {0,
                                      1,
                                      31,
                                      32,
                                      33,
                                      0x7fffffff,
                                      0x80000000,
                                      0xffffffff,
                                      UINT64_MAX,
                                      INT64_MAX,
                                      (uint64_t)1 << 60};
    size_t begin = 20; /* after magic, version and fingerprint */
    size_t room = size - 8 - begin;
    for (uint32_t n = 1 + draw(3); n > 0; n--) {
        size_t at = begin + draw((uint32_t)room);
        uint32_t width = draw(4) ? 1 : draw(2) ? 4 : 8;
        uint64_t value = draw(2) ? values[draw(11)] : (uint64_t)bytes[at] + draw(7) - 3;
        for (uint32_t i = 0; i < width && at + i < size - 8; i++)
            bytes[at + i] = (uint8_t)(value >> 8 * i);
    }
    put_checksum(bytes, size);
}

/* Whatever it is, it can be used. */
static void use(weir_stream *stream) {
    int32_t tokens[9];
    const float *logits;
    weir_generate generate = {.tokens = 3};
    weir_stream *child;
    weir_stream_state now;
    weir_stream_logits(stream, &logits, NULL);
    weir_stream_get_state(stream, &now);
    if (weir_stream_rewind(stream, now.reachable, NULL) == WEIR_OK)
        weir_stream_logits(stream, &logits, NULL);
    weir_stream_rewind(stream, now.reachable + 1, NULL);
    random_tokens(tokens, 0, 9);
    weir_stream_border(stream, NULL);
    weir_stream_feed_tokens(stream, tokens, 9, NULL);
    weir_stream_feed_text(stream, " and the", 8, NULL);
    weir_stream_generate(stream, &generate, NULL, NULL, NULL, NULL);
    if (weir_stream_fork(stream, &child, NULL) == WEIR_OK) {
        weir_stream_rewind(child, 2, NULL);
        weir_stream_logits(child, &logits, NULL);
        weir_stream_feed_tokens(child, tokens, 9, NULL);
        weir_stream_pin(child, 7, NULL);
        weir_stream_destroy(child);
    }
    weir_stream_rewind(stream, now.index - 2, NULL);
    weir_stream_logits(stream, &logits, NULL);
}

static void test_hostile(void **state) {
    (void)state;
    static saved_file file;
    static uint8_t bytes[MOST];
    int loaded = 0;
    for (int kind = 0; kind < 5; kind++) {
        weir_policy policy;
        weir_stream *stream = make(kind, &policy);
        if (kind == 2)
            weir_stream_rewind(stream, 55, NULL); /* the last state is to be made again */
        save_to(stream, &file);
        weir_stream_destroy(stream);
        for (int i = 0; i < HOSTILE; i++) {
            weir_error error = {.message = ""};
            memcpy(bytes, file.bytes, file.size);
            spoil(bytes, file.size);
            write_file(bytes, file.size);
            weir_status status = load(&stream, &error);
            if (status == WEIR_OK) {
                loaded++;
                use(stream);
                weir_stream_destroy(stream);
            } else {
                assert_null(stream);
                assert_sentence(&error);
                if (status == WEIR_MEMORY && policy != WEIR_DENSE)
                    fail_msg("kind %d, file %d: %s", kind, i, error.message);
            }
            assert_int_equal(live, 0);
        }
    }
    assert_true(loaded > HOSTILE / 10); /* some do load, or the checks are never passed */
}

static uint64_t number_at(const uint8_t *bytes) {
    wr_reader reader = {.data = bytes, .size = 8};
    return wr_read_u64(&reader);
}

/* A file that remembers fewer tokens than its pages have, and not the last state. */
static void test_few_tokens(void **state) {
    (void)state;
    static saved_file file;
    enum { ROPES = 25 + (8 + 8 * 2) + 8 };            /* options, two frequencies, no second set */
    enum { EARLY = 20 + 3 + 16 + ROPES + 8 + 4 + 4 }; /* envelope, settings, index, flags, held */
    static uint8_t bytes[MOST];
    for (int kind = 0; kind < 5; kind++) {
        weir_policy policy;
        weir_stream *stream = make(kind, &policy);
        weir_stream_rewind(stream, stream_state(stream).index - 1, NULL);
        save_to(stream, &file);
        weir_stream_destroy(stream);
        size_t at = EARLY + 8 + 4 * (size_t)number_at(file.bytes + EARLY);
        size_t recent = (size_t)number_at(file.bytes + at);
        assert_in_range(recent, 50, 80);
        for (size_t keep = 0; keep < 50; keep += keep < 14 ? 1 : 9) {
            weir_error error = {.message = ""};
            size_t drop = 4 * (recent - keep);
            memcpy(bytes, file.bytes, at);
            memset(bytes + at, 0, 8);
            bytes[at] = (uint8_t)keep;
            memcpy(bytes + at + 8, file.bytes + at + 8 + drop, file.size - at - 8 - drop);
            put_checksum(bytes, file.size - drop);
            write_file(bytes, file.size - drop);
            if (load(&stream, &error) == WEIR_OK)
                use(stream);
            else
                assert_sentence(&error);
            weir_stream_destroy(stream);
            assert_int_equal(live, 0);
        }
    }
}

static int set_up(void **state) {
    (void)state;
    weir_random_model shape = random_tiny();
    shape.layers = 1;
    shape.width = 8;
    shape.feed_forward = 8;
    random_model_open(&tiny, &shape, NULL);
    snprintf(path, sizeof path, "/tmp/weir-damaged-%d.stream", (int)getpid());
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    random_model_close(&tiny);
    unlink(path);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut),     cmocka_unit_test(test_longer),
        cmocka_unit_test(test_flipped), cmocka_unit_test(test_versions),
        cmocka_unit_test(test_hostile), cmocka_unit_test(test_few_tokens)};
    return cmocka_run_group_tests_name("damaged streams", tests, set_up, tear_down);
}
