/* train/vocabulary: the pieces that a text gives, the file that holds them, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "support/scratch.h"
#include "support/token_list.h"
#include "text/detokenizer.h"
#include "text/vocab_inside.h"
#include "train/vocabulary/vocabulary.h"

#define MARK "\xE2\x96\x81"
#define FIRST 259

typedef struct opened {
    wr_gguf *gguf;
    wr_vocab *vocab;
} opened;

static opened open_vocabulary(const char *path) {
    opened o = {0};
    weir_error error;
    if (wr_gguf_open(path, NULL, &o.gguf, &error) != WEIR_OK ||
        wr_vocab_open(o.gguf, NULL, &o.vocab, &error) != WEIR_OK)
        fail_msg("%s", error.message);
    return o;
}

static void close_vocabulary(opened *o) {
    wr_vocab_close(o->vocab);
    wr_gguf_close(o->gguf);
}

static weir_status train(const char *text, int64_t size, weir_error *error) {
    wr_vocabulary_options options = {.paths = &text, .count = 1, .size = size, .coverage = 1};
    return wr_vocabulary_train(scratch_path("out.gguf"), &options, NULL, error);
}

static opened train_on(const char *text, int64_t size) {
    weir_error error;
    if (train(scratch_text("text", text), size, &error) != WEIR_OK) fail_msg("%s", error.message);
    return open_vocabulary(scratch_path("out.gguf"));
}

static void assert_piece(const opened *o, int32_t token, const char *want) {
    wr_string piece = wr_vocab_piece(o->vocab, token);
    if (!wr_string_is(piece, want))
        fail_msg("piece %d is \"%.*s\", not \"%s\"", token, (int)piece.size, piece.data, want);
}

/* ---- the file -------------------------------------------------------------------------------- */

static void the_file_is_a_whole_vocabulary(void **state) {
    (void)state;
    opened o = train_on("low lower lowest\nnew newer newest\n12 12 12\n", 280);
    const wr_vocab *v = o.vocab;
    assert_string_equal(wr_vocab_kind(v), "SentencePiece BPE");
    assert_int_equal(wr_vocab_size(v), 280);
    assert_int_equal(wr_vocab_unknown(v), 0);
    assert_int_equal(wr_vocab_bos(v), 1);
    assert_int_equal(wr_vocab_eos(v), 2);
    assert_true(wr_vocab_has_bytes(v) && wr_vocab_adds_space(v));
    assert_false(wr_vocab_adds_bos(v) || wr_vocab_adds_eos(v));
    assert_int_equal(wr_vocab_type(v, 0), WR_TOKEN_UNKNOWN);
    assert_int_equal(wr_vocab_type(v, 1), WR_TOKEN_CONTROL);
    for (int32_t i = 3; i < FIRST; i++) assert_int_equal(wr_vocab_type(v, i), WR_TOKEN_BYTE);
    assert_piece(&o, 3, "<0x00>");
    assert_piece(&o, 258, "<0xFF>");
    for (int32_t i = FIRST; i < 280; i++) {
        assert_int_equal(wr_vocab_type(v, i), WR_TOKEN_NORMAL);
        assert_true((int)v->scores[i] == FIRST - i);
    }
    assert_true(v->cuts_at_spaces);
    assert_true(wr_vocab_find(v, "\n", 1) >= FIRST); /* a line end is a piece */
    assert_true(wr_vocab_find(v, "1", 1) >= FIRST); /* digits are, but not two, nor after a space */
    assert_int_equal(wr_vocab_find(v, "12", 2), -1);
    assert_int_equal(wr_vocab_find(v, MARK "1", 4), -1);
    close_vocabulary(&o);
}

/* "abab": ab twice; then a b, ba and ▁a stand there as often, and the rules decide. */
static void the_most_frequent_pair_is_merged_first(void **state) {
    (void)state;
    opened o = train_on("ab ab ab cd cd x", FIRST + 6 + 5);
    assert_piece(&o, FIRST, "ab");          /* 3, before ▁a by its bytes */
    assert_piece(&o, FIRST + 1, MARK "ab"); /* 3 */
    assert_piece(&o, FIRST + 2, "cd");      /* 2 */
    assert_piece(&o, FIRST + 3, MARK "cd"); /* 2 */
    assert_piece(&o, FIRST + 4, MARK "x");  /* 1 */
    assert_piece(&o, FIRST + 5, MARK);      /* 6, then 3 3 2 2 1 */
    assert_piece(&o, FIRST + 6, "a");
    assert_piece(&o, FIRST + 7, "b");
    assert_piece(&o, FIRST + 10, "x");
    close_vocabulary(&o);
}

static void characters_that_are_rare_stay_bytes(void **state) {
    (void)state;
    char text[4096] = "";
    for (int i = 0; i < 300; i++) strcat(text, "abc ");
    strcat(text, "\xC3\xA9 7");
    const char *path = scratch_text("text", text);
    wr_vocabulary_options options = {.paths = &path, .count = 1, .size = 267, .coverage = 0.99};
    assert_int_equal(wr_vocabulary_train(scratch_path("out.gguf"), &options, NULL, NULL), WEIR_OK);
    opened o = open_vocabulary(scratch_path("out.gguf"));
    assert_int_equal(wr_vocab_find(o.vocab, "\xC3\xA9", 2), -1);
    assert_true(wr_vocab_find(o.vocab, "7", 1) > 0); /* digits are wanted however rare they are */
    assert_true(wr_vocab_find(o.vocab, MARK "abc", 6) > 0);
    close_vocabulary(&o);
}

static void only_the_beginning_of_a_text_is_read_if_asked(void **state) {
    (void)state;
    const char *path = scratch_text("text", "aa aa aa aa\nbb bb bb bb\n");
    wr_vocabulary_options options = {
        .paths = &path, .count = 1, .size = 263, .coverage = 1, .per_file = 14};
    assert_int_equal(wr_vocabulary_train(scratch_path("out.gguf"), &options, NULL, NULL), WEIR_OK);
    opened o = open_vocabulary(scratch_path("out.gguf"));
    assert_true(wr_vocab_find(o.vocab, "aa", 2) > 0);
    assert_int_equal(wr_vocab_find(o.vocab, "b", 1), -1);
    close_vocabulary(&o);
}

static void documents_begin_with_a_space(void **state) {
    (void)state;
    opened o = train_on("qq<|endoftext|>\nqq\n<|endoftext|>\n\n\n<|endoftext|>qq", 264 - 1);
    assert_piece(&o, FIRST, "qq"); /* 3 like ▁q, and shorter is none: q before U+2581 */
    assert_piece(&o, FIRST + 1, MARK "qq");
    assert_int_equal(wr_vocab_find(o.vocab, "<", 1), -1);
    close_vocabulary(&o);
}

/* ---- a naive model --------------------------------------------------------------------------- */

enum { WORDS = 64, LONGEST = 24, PIECES = 40 };

typedef struct naive_word {
    char parts[LONGEST][LONGEST + 1];
    int count;
} naive_word;

typedef struct naive {
    naive_word words[WORDS];
    int count;
    char pieces[PIECES][LONGEST + 1];
    int piece_count;
    char passed[256][LONGEST + 1]; /* "left|right" that gave a piece that exists */
    int passed_count;
} naive;

/* Letters, '_' for a space, '.' of another script, digits. */
static bool naive_may(const char *left, const char *right) {
    char text[2 * LONGEST + 2];
    snprintf(text, sizeof text, "%s%s", left, right);
    size_t size = strlen(text), spaces = strspn(text, "_");
    if (size > 16) return false;
    if (spaces < size && spaces > 1) return false;
    if (strchr(text + spaces, '_')) return false;
    if (strpbrk(text, "0123456789")) return false;
    size_t letters = strspn(text + spaces, "abc"), points = strspn(text + spaces, ".");
    return spaces + letters == size || spaces + points == size;
}

/* '_' stands for U+2581, which comes after all ASCII. */
static int naive_order(const char *a, const char *b) {
    for (; *a && *b; a++, b++) {
        if (*a == *b) continue;
        if (*a == '_') return 1;
        if (*b == '_') return -1;
        return *a < *b ? -1 : 1;
    }
    return *a ? 1 : *b ? -1 : 0;
}

static int naive_count(const naive *n, const char *left, const char *right) {
    int count = 0;
    for (int w = 0; w < n->count; w++)
        for (int i = 0; i + 1 < n->words[w].count; i++)
            count += strcmp(n->words[w].parts[i], left) == 0 &&
                     strcmp(n->words[w].parts[i + 1], right) == 0;
    return count;
}

static bool naive_known(char list[][LONGEST + 1], int count, const char *text) {
    for (int i = 0; i < count; i++)
        if (strcmp(list[i], text) == 0) return true;
    return false;
}

typedef struct naive_pair {
    char left[LONGEST + 1], right[LONGEST + 1], text[LONGEST + 1], key[LONGEST + 1];
    int count;
} naive_pair;

static bool naive_best(naive *n, naive_pair *best) {
    best->count = 0;
    for (int w = 0; w < n->count; w++) {
        for (int i = 0; i + 1 < n->words[w].count; i++) {
            naive_pair p;
            strcpy(p.left, n->words[w].parts[i]);
            strcpy(p.right, n->words[w].parts[i + 1]);
            if (!naive_may(p.left, p.right)) continue;
            snprintf(p.text, sizeof p.text, "%.12s%.12s", p.left, p.right);
            snprintf(p.key, sizeof p.key, "%.12s|%.11s", p.left, p.right);
            if (naive_known(n->passed, n->passed_count, p.key)) continue;
            p.count = naive_count(n, p.left, p.right);
            int order = best->count - p.count;
            if (order == 0) order = (int)strlen(p.text) - (int)strlen(best->text);
            if (order == 0) order = naive_order(p.text, best->text);
            if (order < 0) *best = p;
        }
    }
    return best->count > 0;
}

static void naive_merge(naive *n, const naive_pair *best) {
    for (int w = 0; w < n->count; w++) {
        naive_word *word = &n->words[w];
        int out = 0;
        for (int i = 0; i < word->count; out++) {
            bool here = i + 1 < word->count && strcmp(word->parts[i], best->left) == 0 &&
                        strcmp(word->parts[i + 1], best->right) == 0;
            memmove(word->parts[out], here ? best->text : word->parts[i], LONGEST + 1);
            i += here ? 2 : 1;
        }
        word->count = out;
    }
}

/* Words and their text, from a seed. The text has `_` where a space stands. */
static void naive_make(naive *n, uint64_t seed, char *text) {
    static const char letters[] = "aaaabbbc.1";
    memset(n, 0, sizeof *n);
    uint64_t draw = 0;
    text[0] = '\0';
    for (int w = 0; w < WORDS; w++) {
        naive_word *word = &n->words[n->count++];
        int spaces = 1 + (wr_random_unit(seed, 1, draw++) < 0.15);
        int size = 1 + (int)(wr_random_unit(seed, 1, draw++) * 7);
        for (int i = 0; i < spaces + size; i++) {
            char one = letters[(int)(wr_random_unit(seed, 1, draw++) * 10)];
            snprintf(word->parts[word->count++], LONGEST, "%c", i < spaces ? '_' : one);
            strcat(text, word->parts[word->count - 1]);
        }
    }
}

static void pieces_equal_those_of_a_naive_model(void **state) {
    (void)state;
    static naive n;
    static char text[WORDS * LONGEST];
    for (uint64_t seed = 1; seed <= 40; seed++) {
        naive_make(&n, seed, text);
        const char *characters = "_abc.1";
        int count = 0;
        for (const char *c = characters; *c; c++) count += strchr(text, *c) != NULL;
        naive_pair best;
        while (n.piece_count < 20 && naive_best(&n, &best)) {
            if (naive_known(n.pieces, n.piece_count, best.text)) {
                strcpy(n.passed[n.passed_count++], best.key);
                continue;
            }
            strcpy(n.pieces[n.piece_count++], best.text);
            naive_merge(&n, &best);
        }
        for (char *c = text; *c; c++) *c = *c == '_' ? ' ' : *c;
        opened o = train_on(text + 1, FIRST + n.piece_count + count); /* its first space is given */
        for (int i = 0; i < n.piece_count; i++) {
            char want[3 * LONGEST] = "";
            for (const char *c = n.pieces[i]; *c; c++)
                snprintf(want + strlen(want), 4, "%s", *c == '_' ? MARK : (char[2]){*c, '\0'});
            assert_piece(&o, FIRST + i, want);
        }
        close_vocabulary(&o);
    }
}

/* ---- round trip ------------------------------------------------------------------------------ */

static size_t random_text(uint64_t seed, char *out, size_t room) {
    static const uint32_t from[] = {'a', 'a', ' ', '\n', '0', 0xC0, 0x400, 0x4E00, 0x1F600, 1};
    size_t size = 0;
    for (uint64_t i = 0; size + 4 <= room; i++) {
        uint32_t random[4];
        wr_random_block(seed, 2, i, random);
        uint32_t code = from[random[0] % 10] + (random[0] % 10 < 2 ? random[1] % 26 : 0);
        if (code >= 0xC0) code += random[1] % 64;
        wr_writer bytes = {0};
        if (code < 0x80) {
            wr_write_u8(&bytes, (uint8_t)code);
        } else {
            int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
            static const uint8_t lead[] = {0, 0xC0, 0xE0, 0xF0};
            wr_write_u8(&bytes, (uint8_t)(lead[more] | code >> (6 * more)));
            while (more-- > 0) wr_write_u8(&bytes, (uint8_t)(0x80 | (code >> (6 * more) & 0x3F)));
        }
        memcpy(out + size, bytes.data, bytes.size);
        size += bytes.size;
        wr_writer_release(&bytes);
    }
    return size;
}

static void any_text_comes_back(void **state) {
    (void)state;
    opened o = train_on("some words, and some more words\nand a line\n\nand 1 2 3", 290);
    char text[2000], room[256];
    assert_true(wr_detokenizer_room(o.vocab) <= sizeof room);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        size_t size = random_text(seed, text, sizeof text), at = 0;
        token_list tokens = {0};
        token_list_encode(&tokens, o.vocab, text, size, false);
        wr_detokenizer detokenizer = {0};
        for (int64_t i = 0; i < tokens.count; i++) {
            size_t written = wr_detokenize(o.vocab, &detokenizer, tokens.ids[i], false, room);
            assert_true(at + written <= size && memcmp(text + at, room, written) == 0);
            at += written;
        }
        assert_int_equal(at, size);
        token_list_free(&tokens);
    }
    close_vocabulary(&o);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void assert_refused(const char *text, int64_t size, weir_status want, const char *words) {
    weir_error error = {.message = ""};
    weir_status status = train(text, size, &error);
    if (status != want || !strstr(error.message, words))
        fail_msg("%d \"%s\", not %d \"%s\"", status, error.message, want, words);
    assert_int_equal(scratch_files(".", "out.gguf", false, NULL), 0); /* nor a part of it */
}

static void what_cannot_be_is_one_sentence(void **state) {
    (void)state;
    remove(scratch_path("out.gguf"));
    const char *text = scratch_text("text", "abc abd abe");
    assert_refused(text, 259, WEIR_USAGE, "a vocabulary has 260 to");
    assert_refused(text, 1 << 21, WEIR_USAGE, "a vocabulary has 260 to");
    assert_refused(text, 262, WEIR_USAGE, "the texts need 6 characters");
    assert_refused(text, 300, WEIR_USAGE, "the texts give only 270 pieces, not 300");
    assert_refused(scratch_path("none"), 300, WEIR_IO, "none: no such file");
    assert_refused(scratch_folder, 300, WEIR_IO, "is a folder");
    assert_refused(scratch_text("text", ""), 300, WEIR_DAMAGED, "the file is empty");
    assert_refused(scratch_text("text", "\n\n"), 300, WEIR_DAMAGED, "nothing but line ends");
    assert_refused(scratch_write("text", "abc\0d", 5), 300, WEIR_DAMAGED, "text: byte 3 is NUL");
    assert_refused(scratch_text("text", "abcdefghijk\xE9 l"), 300, WEIR_DAMAGED,
                   "text: byte 11 is not UTF-8");
    assert_refused(scratch_text("text", "cut off \xC3"), 300, WEIR_DAMAGED, "byte 8 is not UTF-8");
    wr_vocabulary_options options = {.paths = &text, .count = 1, .size = 300, .coverage = 0};
    weir_error error;
    assert_int_equal(wr_vocabulary_train(scratch_path("out.gguf"), &options, NULL, &error),
                     WEIR_USAGE);
    options.coverage = 1;
    options.count = 0;
    assert_int_equal(wr_vocabulary_train(scratch_path("out.gguf"), &options, NULL, &error),
                     WEIR_USAGE);
    options.count = 1;
    assert_int_equal(wr_vocabulary_train(scratch_path("no/out.gguf"), &options, NULL, &error),
                     WEIR_IO);
}

static bool refuse(void *context, int64_t done, int64_t of) {
    assert_true(done >= 0 && done <= of);
    return ++*(int *)context < 2;
}

static void it_can_be_cancelled(void **state) {
    (void)state;
    remove(scratch_path("out.gguf"));
    int calls = 0;
    const char *path = scratch_text("text", "abc abd abe");
    wr_vocabulary_options options = {.paths = &path,
                                     .count = 1,
                                     .size = 267,
                                     .coverage = 1,
                                     .progress = refuse,
                                     .progress_context = &calls};
    assert_int_equal(wr_vocabulary_train(scratch_path("out.gguf"), &options, NULL, NULL),
                     WEIR_CANCELLED);
    assert_int_equal(calls, 2);
    assert_int_equal(scratch_files(".", "out.gguf", false, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_is_a_whole_vocabulary),
        cmocka_unit_test(the_most_frequent_pair_is_merged_first),
        cmocka_unit_test(characters_that_are_rare_stay_bytes),
        cmocka_unit_test(only_the_beginning_of_a_text_is_read_if_asked),
        cmocka_unit_test(documents_begin_with_a_space),
        cmocka_unit_test(pieces_equal_those_of_a_naive_model),
        cmocka_unit_test(any_text_comes_back),
        cmocka_unit_test(what_cannot_be_is_one_sentence),
        cmocka_unit_test(it_can_be_cancelled),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
