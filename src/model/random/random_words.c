/*
 * The vocabulary of a random model: one that SentencePiece could have made: three control tokens,
 * 256 bytes, single characters, and then merges of a known piece and a character, the more frequent
 * first, so that any text tokenises.
 */
#include <string.h>

#include "model/random/random_inside.h"

enum { UNKNOWN, BOS, EOS, FIRST_BYTE, FIRST_PIECE = FIRST_BYTE + 256 };
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_BYTE = 6 };

#define SPACE "\xe2\x96\x81" /* U+2581, which stands for a space */
#define PIECE_MAX 24         /* bytes of the longest piece: 3 for the space, then a few letters */

/* Single characters, the most frequent of English first; merges end in one of the letters. */
static const char characters[] = "etaoinshrdlucmwfgypbvkxjqz.,\"'-;:!?ETAOINSHRDLUCMWFGYPBVKXJQZ"
                                 "0123456789()/*_&+=%$#@<>[]{}|\\~^`";
enum { LETTERS = 26 };

typedef struct word_list {
    char (*texts)[PIECE_MAX]; /* [count] NUL-terminated */
    wr_string *pieces;        /* [count] of texts */
    float *scores;
    int32_t *types;
    int64_t count;
} word_list;

static void set_piece(word_list *words, int64_t id, int32_t type, const char *text) {
    size_t size = strlen(text);
    memmove(words->texts[id], text, size + 1);
    words->pieces[id] = (wr_string){words->texts[id], size};
    words->types[id] = type;
    /* SentencePiece's own: the later a merge was found, the less it is worth */
    words->scores[id] = type == TYPE_NORMAL ? -(float)(id - FIRST_PIECE) : 0;
}

static void set_bytes(word_list *words) {
    static const char digits[] = "0123456789ABCDEF";
    for (int i = 0; i < 256; i++) {
        char text[] = {'<', '0', 'x', digits[i >> 4], digits[i & 15], '>', '\0'};
        set_piece(words, FIRST_BYTE + i, TYPE_BYTE, text);
    }
}

static void fill_vocabulary(word_list *words) {
    set_piece(words, UNKNOWN, TYPE_UNKNOWN, "<unk>");
    set_piece(words, BOS, TYPE_CONTROL, "<s>");
    set_piece(words, EOS, TYPE_CONTROL, "</s>");
    set_bytes(words);
    int64_t id = FIRST_PIECE;
    set_piece(words, id++, TYPE_NORMAL, SPACE);
    for (size_t i = 0; i < sizeof characters - 1 && id < words->count; i++) {
        set_piece(words, id++, TYPE_NORMAL, (char[]){characters[i], '\0'});
    }
    /* each known piece that can begin a longer one, with each letter: no text comes twice */
    int64_t last_begin = FIRST_PIECE + LETTERS; /* of single characters: the space and letters */
    for (int64_t begin = FIRST_PIECE; id < words->count; begin++) {
        if (begin > last_begin && words->pieces[begin].size == 1) {
            continue;
        }
        for (int i = 0; i < LETTERS && id < words->count; i++) {
            char text[PIECE_MAX + 1];
            size_t size = words->pieces[begin].size;
            memcpy(text, words->texts[begin], size);
            text[size] = characters[i];
            text[size + 1] = '\0';
            set_piece(words, id++, TYPE_NORMAL, text);
        }
    }
}

static void free_vocabulary(word_list *words) {
    size_t count = (size_t)words->count;
    wr_release(NULL, words->texts, count * sizeof *words->texts);
    wr_release(NULL, words->pieces, count * sizeof *words->pieces);
    wr_release(NULL, words->scores, count * sizeof *words->scores);
    wr_release(NULL, words->types, count * sizeof *words->types);
}

weir_status wr_random_vocabulary(wr_gguf_writer *writer, int64_t size, weir_error *error) {
    size_t count = (size_t)size;
    word_list words = {
        .texts = wr_allocate_array(NULL, count, sizeof *words.texts),
        .pieces = wr_allocate_array(NULL, count, sizeof *words.pieces),
        .scores = wr_allocate_array(NULL, count, sizeof *words.scores),
        .types = wr_allocate_array(NULL, count, sizeof *words.types),
        .count = size,
    };
    weir_status status = WEIR_OK;
    if (words.texts == NULL || words.pieces == NULL || words.scores == NULL ||
        words.types == NULL) {
        status = weir_error_set(error, WEIR_MEMORY, "no memory for a vocabulary of %lld tokens",
                                (long long)size);
    } else {
        fill_vocabulary(&words);
        wr_gguf_put_string(writer, "tokenizer.ggml.model", "llama");
        wr_gguf_put_strings(writer, "tokenizer.ggml.tokens", words.pieces, count);
        wr_gguf_put_floats(writer, "tokenizer.ggml.scores", words.scores, count);
        wr_gguf_put_ints(writer, "tokenizer.ggml.token_type", words.types, count);
        wr_gguf_put_int(writer, "tokenizer.ggml.unknown_token_id", WR_GGUF_U32, UNKNOWN);
        wr_gguf_put_int(writer, "tokenizer.ggml.bos_token_id", WR_GGUF_U32, BOS);
        wr_gguf_put_int(writer, "tokenizer.ggml.eos_token_id", WR_GGUF_U32, EOS);
        wr_gguf_put_bool(writer, "tokenizer.ggml.add_bos_token", true);
        wr_gguf_put_bool(writer, "tokenizer.ggml.add_eos_token", false);
        wr_gguf_put_bool(writer, "tokenizer.ggml.add_space_prefix", true);
    }
    free_vocabulary(&words);
    return status;
}
