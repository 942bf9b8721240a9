/* Training a vocabulary: see vocabulary.h. What is merged when: pair_merges.h. */
#include "train/vocabulary/vocabulary.h"

#include <stdio.h>
#include <string.h>

#include "file/gguf.h"
#include "file/named_list.h"
#include "text/vocab.h"
#include "train/data/documents.h"
#include "train/vocabulary/pair_merges.h"

#define MAX_PIECES (1 << 20)

enum { UNKNOWN, BOS, EOS, FIRST_BYTE, FIRST_MERGE = FIRST_BYTE + 256 };

typedef struct training {
    const wr_vocabulary_options *options;
    const weir_allocator *allocator;
    weir_error *error;
    wr_map *maps; /* of the texts */
    int64_t bytes, done;
    wr_words words;
    int64_t *counts;      /* of each character; while they are counted and chosen */
    wr_writer characters; /* of wr_character: the chosen ones, the most frequent first */
    wr_pair_merges *merges;
    wr_gguf_writer *writer;
} training;

static weir_status no_memory(weir_error *error) {
    return weir_error_set(error, WEIR_MEMORY, "no memory to train a vocabulary");
}

static weir_status report(training *t, int64_t done, int64_t of) {
    const wr_vocabulary_options *o = t->options;
    if (!o->progress || o->progress(o->progress_context, done, of)) return WEIR_OK;
    return weir_error_set(t->error, WEIR_CANCELLED, "training of the vocabulary was cancelled");
}

/* ---- before any time is spent ---------------------------------------------------------------- */

static weir_status check_options(const wr_vocabulary_options *o, weir_error *error) {
    if (o->count < 1)
        return weir_error_set(error, WEIR_USAGE, "a vocabulary needs at least one text");
    if (o->size <= FIRST_MERGE || o->size > MAX_PIECES)
        return weir_error_set(error, WEIR_USAGE,
                              "a vocabulary has %d to %d pieces (%d are bytes and controls), not "
                              "%lld",
                              FIRST_MERGE + 1, MAX_PIECES, FIRST_MERGE, (long long)o->size);
    if (!(o->coverage > 0 && o->coverage <= 1))
        return weir_error_set(error, WEIR_USAGE,
                              "the share of characters that get a piece is above 0 and at most "
                              "1, not %g",
                              o->coverage);
    if (o->per_file < 0)
        return weir_error_set(error, WEIR_USAGE, "the bytes read of each text cannot be negative");
    return WEIR_OK;
}

/* As much of a text as is read: whole lines, or at least whole characters. */
static wr_string part_of(const wr_map *map, int64_t per_file) {
    wr_string text = {(const char *)map->data, map->size};
    if (per_file == 0 || map->size <= (uint64_t)per_file) return text;
    size_t size = (size_t)per_file;
    while (size > 0 && text.data[size - 1] != '\n') size--;
    if (size == 0) size = (size_t)per_file;
    while (size > 0 && ((uint8_t)text.data[size] & 0xC0) == 0x80) size--;
    return (wr_string){text.data, size};
}

static weir_status open_texts(training *t) {
    t->maps = wr_allocate_array(t->allocator, (size_t)t->options->count, sizeof *t->maps);
    if (!t->maps) return no_memory(t->error);
    for (int32_t i = 0; i < t->options->count; i++) {
        weir_status status = wr_text_open(t->options->paths[i], &t->maps[i], t->error);
        if (status != WEIR_OK) return status;
        t->bytes += (int64_t)part_of(&t->maps[i], t->options->per_file).size;
    }
    return WEIR_OK;
}

/* ---- words and characters -------------------------------------------------------------------- */

/* The merging counts as much work as the reading. */
static weir_status count_words(training *t) {
    for (int32_t i = 0; i < t->options->count; i++) {
        wr_documents documents = {.text = part_of(&t->maps[i], t->options->per_file)};
        wr_string document;
        while (wr_documents_next(&documents, &document)) {
            weir_status status = wr_words_add(&t->words, document, t->error);
            if (status == WEIR_OK)
                status = report(t, t->done + (int64_t)documents.at, 2 * t->bytes);
            if (status != WEIR_OK) return status;
        }
        t->done += (int64_t)documents.text.size;
    }
    if (wr_words_count(&t->words) == 0)
        return weir_error_set(t->error, WEIR_DAMAGED,
                              "%.300s: there is nothing but line ends in it", t->options->paths[0]);
    return WEIR_OK;
}

static int64_t count_characters(training *t) {
    int64_t all = 0;
    for (size_t i = 0; i < wr_words_count(&t->words); i++) {
        const wr_word *word = wr_words_at(&t->words, i);
        if (word->marked) t->counts[WR_SPACE_MARK] += word->count;
        all += word->marked ? word->count : 0;
        for (size_t at = 0, size; at < word->size; at += size) {
            uint32_t code = wr_character_read(word->text + at, word->size - at, &size);
            t->counts[code] += word->count;
            all += word->count;
        }
    }
    return all;
}

/* Spaces, line ends and digits get a piece wherever they occur. */
static bool is_wanted(uint32_t code) {
    return code == WR_SPACE_MARK || code == '\n' || (code >= '0' && code <= '9');
}

static bool comes_first(const void *context, uint32_t a, uint32_t b) {
    const wr_character *list = context;
    bool wanted = is_wanted(list[a].code), other = is_wanted(list[b].code);
    if (wanted != other) return wanted;
    if (list[a].count != list[b].count) return list[a].count > list[b].count;
    return list[a].code < list[b].code;
}

static bool is_more(const void *context, uint32_t a, uint32_t b) {
    const wr_character *list = context;
    if (list[a].count != list[b].count) return list[a].count > list[b].count;
    return list[a].code < list[b].code;
}

/* Sort a list of `count` characters; false when there is no memory. */
static bool sort(training *t, wr_character *list, size_t count, wr_order_less less) {
    uint32_t *order = wr_allocate_array(t->allocator, count, sizeof *order);
    wr_character *copy = wr_allocate_array(t->allocator, count, sizeof *copy);
    if (order && copy) {
        memcpy(copy, list, count * sizeof *copy);
        wr_order_sort(order, count, less, copy);
        for (size_t i = 0; i < count; i++) list[i] = copy[order[i]];
    }
    bool sorted = order && copy;
    wr_release(t->allocator, copy, count * sizeof *copy);
    wr_release(t->allocator, order, count * sizeof *order);
    return sorted;
}

/* The most frequent characters until they are the share of the texts that is wanted, compared as
 * SentencePiece compares it: in single precision. */
static weir_status choose_characters(training *t) {
    t->counts = wr_allocate_array(t->allocator, WR_CHARACTERS, sizeof *t->counts);
    if (!t->counts) return no_memory(t->error);
    int64_t all = count_characters(t), covered = 0;
    for (uint32_t code = 0; code < WR_CHARACTERS; code++) {
        wr_character c = {code, t->counts[code]};
        if (c.count > 0) wr_write_bytes(&t->characters, &c, sizeof c);
    }
    wr_character *list = (wr_character *)t->characters.data;
    size_t count = t->characters.size / sizeof *list, taken = 0;
    if (t->characters.failed || !sort(t, list, count, comes_first)) return no_memory(t->error);
    const float wanted = (float)t->options->coverage;
    for (; taken < count && (float)((double)covered / (double)all) < wanted; taken++)
        covered += list[taken].count;
    t->characters.size = taken * sizeof *list;
    return sort(t, list, taken, is_more) ? WEIR_OK : no_memory(t->error);
}

/* ---- merges ---------------------------------------------------------------------------------- */

static weir_status merge(training *t) {
    size_t count = t->characters.size / sizeof(wr_character);
    int64_t pieces = FIRST_MERGE + (int64_t)count, size = t->options->size;
    if (pieces > size)
        return weir_error_set(t->error, WEIR_USAGE,
                              "the texts need %zu characters, and with bytes and controls %lld "
                              "pieces: more than the %lld of the vocabulary",
                              count, (long long)pieces, (long long)size);
    weir_status status = wr_pair_merges_create(&t->words, (const wr_character *)t->characters.data,
                                               count, t->allocator, &t->merges, t->error);
    wr_words_deinit(&t->words);
    for (int64_t wanted = size - pieces, i = 0; status == WEIR_OK && i < wanted; i++) {
        bool found;
        status = wr_pair_merges_next(t->merges, &found, t->error);
        if (status == WEIR_OK && !found)
            return weir_error_set(t->error, WEIR_USAGE,
                                  "the texts give only %lld pieces, not %lld: ask for fewer, or "
                                  "give more text",
                                  (long long)(pieces + i), (long long)size);
        if (status == WEIR_OK && i % 64 == 0)
            status = report(t, t->bytes + (int64_t)((double)t->bytes * (double)i / (double)wanted),
                            2 * t->bytes);
    }
    return status;
}

/* ---- the file -------------------------------------------------------------------------------- */

typedef struct listing {
    wr_string *pieces;
    float *scores;
    int32_t *types;
    char (*bytes)[8]; /* "<0x00>" ... */
} listing;

static void list_pieces(const training *t, const listing *out) {
    static const char *const names[] = {"<unk>", "<s>", "</s>"};
    for (int i = 0; i < FIRST_BYTE; i++) {
        out->pieces[i] = (wr_string){names[i], strlen(names[i])};
        out->types[i] = i == UNKNOWN ? WR_TOKEN_UNKNOWN : WR_TOKEN_CONTROL;
    }
    for (unsigned i = 0; i < 256; i++) {
        snprintf(out->bytes[i], sizeof out->bytes[i], "<0x%02X>", i);
        out->pieces[FIRST_BYTE + i] = (wr_string){out->bytes[i], 6};
        out->types[FIRST_BYTE + i] = WR_TOKEN_BYTE;
    }
    size_t characters = t->characters.size / sizeof(wr_character);
    size_t merges = wr_pair_merges_count(t->merges) - characters;
    for (size_t i = 0; i < merges + characters; i++) {
        size_t from = i < merges ? characters + i : i - merges;
        out->pieces[FIRST_MERGE + i] = wr_pair_merges_piece(t->merges, from);
        out->types[FIRST_MERGE + i] = WR_TOKEN_NORMAL;
        out->scores[FIRST_MERGE + i] = -(float)i;
    }
}

static void write_keys(wr_gguf_writer *w, const listing *list, uint64_t count) {
    wr_gguf_put_string(w, "general.architecture", "llama");
    wr_gguf_put_string(w, "general.name", "a vocabulary trained by weir");
    wr_gguf_put_string(w, "tokenizer.ggml.model", "llama");
    wr_gguf_put_string(w, "tokenizer.ggml.pre", "default");
    wr_gguf_put_strings(w, "tokenizer.ggml.tokens", list->pieces, count);
    wr_gguf_put_floats(w, "tokenizer.ggml.scores", list->scores, count);
    wr_gguf_put_ints(w, "tokenizer.ggml.token_type", list->types, count);
    wr_gguf_put_int(w, "tokenizer.ggml.bos_token_id", WR_GGUF_U32, BOS);
    wr_gguf_put_int(w, "tokenizer.ggml.eos_token_id", WR_GGUF_U32, EOS);
    wr_gguf_put_int(w, "tokenizer.ggml.unknown_token_id", WR_GGUF_U32, UNKNOWN);
    wr_gguf_put_bool(w, "tokenizer.ggml.add_bos_token", false);
    wr_gguf_put_bool(w, "tokenizer.ggml.add_eos_token", false);
    wr_gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", true);
}

static weir_status write(training *t) {
    const weir_allocator *allocator = t->allocator;
    size_t count = (size_t)t->options->size;
    listing list = {.pieces = wr_allocate_array(allocator, count, sizeof *list.pieces),
                    .scores = wr_allocate_array(allocator, count, sizeof *list.scores),
                    .types = wr_allocate_array(allocator, count, sizeof *list.types),
                    .bytes = wr_allocate_array(allocator, 256, sizeof *list.bytes)};
    weir_status status;
    if (list.pieces && list.scores && list.types && list.bytes) {
        list_pieces(t, &list);
        write_keys(t->writer, &list, count);
        status = wr_gguf_writer_commit(t->writer, t->error);
    } else {
        status = no_memory(t->error);
    }
    wr_release(allocator, list.bytes, 256 * sizeof *list.bytes);
    wr_release(allocator, list.types, count * sizeof *list.types);
    wr_release(allocator, list.scores, count * sizeof *list.scores);
    wr_release(allocator, list.pieces, count * sizeof *list.pieces);
    return status;
}

/* ---- all together ---------------------------------------------------------------------------- */

static void release(training *t) {
    wr_gguf_writer_close(t->writer);
    wr_pair_merges_destroy(t->merges);
    wr_words_deinit(&t->words);
    wr_release(t->allocator, t->counts, WR_CHARACTERS * sizeof *t->counts);
    wr_writer_release(&t->characters);
    for (int32_t i = 0; t->maps && i < t->options->count; i++) wr_map_close(&t->maps[i]);
    wr_release(t->allocator, t->maps, (size_t)t->options->count * sizeof *t->maps);
}

weir_status wr_vocabulary_train(const char *path, const wr_vocabulary_options *options,
                                const weir_allocator *allocator, weir_error *error) {
    weir_status status = check_options(options, error);
    if (status != WEIR_OK) return status;
    training t = {.options = options,
                  .allocator = allocator,
                  .error = error,
                  .characters = {.allocator = allocator}};
    wr_words_init(&t.words, allocator);
    status = wr_gguf_writer_open(path, allocator, &t.writer, error);
    if (status == WEIR_OK) status = open_texts(&t);
    if (status == WEIR_OK) status = count_words(&t);
    if (status == WEIR_OK) status = choose_characters(&t);
    if (status == WEIR_OK) status = merge(&t);
    if (status == WEIR_OK) status = write(&t);
    release(&t);
    return status;
}
