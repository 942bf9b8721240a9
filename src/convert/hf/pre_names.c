/*
 * Pre-tokenizers by their steps. tokenizer.json holds patterns, GGUF a name for them (the engine's
 * table is in src/text/kinds/pretokenizer.c).
 *
 * The steps of a file are written as one string, one behind another: B1 or B0 for ByteLevel with
 * GPT-2's own pattern or without, D1 or D0 for digits one by one or in runs, P for runs of
 * punctuation, and S with its pattern for a split; each ends with a line feed.
 */
#include <stdio.h>
#include <string.h>

#include "convert/hf/hf_vocab.h"

#define STEPS_LIMIT 4096

#define SPACES "|\\s+(?!\\S)|\\s+"
#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define GPT_2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+" SPACES
#define WORDS_AND(digits)                                                                          \
    CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                                           \
                "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+" SPACES
#define HIGH "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOW "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(end, digits)                                                                         \
    "[^\\r\\n\\p{L}\\p{N}]?" HIGH "*" LOW "+" end "|[^\\r\\n\\p{L}\\p{N}]?" HIGH "+" LOW "*" end   \
    "|" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+" SPACES
#define IDEOGRAPHS "[\xe4\xb8\x80-\xe9\xbe\xa5\xe0\xa0\x80-\xe4\xb8\x80\xea\xb0\x80-\xed\x9f\xbf]+"

/* `whole`: pieces that are tokens come before merges; -1: either. */
static const struct {
    const char *name, *steps;
    int whole;
} rows[] = {
    {"gpt-2", "B1\n", -1},
    {"gpt-2", "S" GPT_2 "\nB0\n", -1},
    {"starcoder", "D1\nB1\n", -1},
    {"falcon", "P\nB1\nS[0-9][0-9][0-9]\n", -1},
    {"falcon", "P\nB1\nD0\nS[0-9][0-9][0-9]\n", -1},
    {"llama-bpe", "S" WORDS_AND("\\p{N}{1,3}") "\nB0\n", 1},
    {"dbrx", "S" WORDS_AND("\\p{N}{1,3}") "\nB0\n", 0},
    {"qwen2", "S" WORDS_AND("\\p{N}") "\nB0\n", -1},
    {"gpt-4o", "S" CASED(CONTRACTION "?", "\\p{N}{1,3}") "\nB0\n", -1},
    {"tekken", "S" CASED("", "\\p{N}") "\nB0\n", -1},
    {"bloom",
     "S ?[^(\\s|[.,!?\xe2\x80\xa6\xe3\x80\x82\xef\xbc\x8c\xe3\x80\x81\xe0\xa5\xa4\xdb\x94\xd8\x8c])"
     "]+\nB0\n",
     -1},
    {"deepseek-coder", "S[\\r\\n]\nS\\s?\\p{L}+\nS\\s?\\p{P}+\nS" IDEOGRAPHS "\nD1\nB0\n", -1},
    {"deepseek-v3",
     "S\\p{N}{1,3}\nS[\xe4\xb8\x80-\xe9\xbe\xa5\xe3\x81\x80-\xe3\x82\x9f\xe3\x82\xa0-\xe3\x83\xbf]+"
     "\nS[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"
     "|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+" SPACES
     "\nB0\n",
     -1},
};

static bool is(const wr_json *value, const char *name, const char *text) {
    wr_string found;
    return wr_json_get_string(wr_json_member(value, name), &found) && wr_string_is(found, text);
}

static bool flag(const wr_json *value, const char *name, bool otherwise) {
    (void)wr_json_get_bool(wr_json_member(value, name), &otherwise);
    return otherwise;
}

/* One step in the words of the table, appended; false when no row has such a one. */
static bool append(const wr_json *step, char out[STEPS_LIMIT]) {
    const size_t used = strlen(out), left = STEPS_LIMIT - used;
    wr_string pattern = {0};
    int size = -1;
    if (is(step, "type", "ByteLevel")) {
        size = snprintf(out + used, left, "B%d\n", flag(step, "use_regex", true));
    } else if (is(step, "type", "Digits")) {
        size = snprintf(out + used, left, "D%d\n", flag(step, "individual_digits", false));
    } else if (is(step, "type", "Punctuation") && is(step, "behavior", "Contiguous")) {
        size = snprintf(out + used, left, "P\n");
    } else if (is(step, "type", "Split")) {
        const bool apart = is(step, "behavior", "Isolated") && !flag(step, "invert", false);
        const bool kept = is(step, "behavior", "Removed") && flag(step, "invert", false);
        if ((apart || kept) && wr_json_get_string(wr_json_find(step, "pattern.Regex"), &pattern))
            size = snprintf(out + used, left, "S%.*s\n", (int)pattern.size, pattern.data);
    }
    return size >= 0 && (size_t)size < left;
}

const char *wr_pre_name(const wr_json *tokenizer) {
    const wr_json *steps = wr_json_member(tokenizer, "pre_tokenizer");
    const int whole = flag(wr_json_member(tokenizer, "model"), "ignore_merges", false);
    char said[STEPS_LIMIT] = "";
    if (is(steps, "type", "Sequence")) {
        const wr_json *list = wr_json_member(steps, "pretokenizers");
        for (size_t i = 0; i < wr_json_count(list); i++)
            if (!append(wr_json_item(list, i), said)) return NULL;
    } else if (!append(steps, said)) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].steps, said) == 0 && (rows[i].whole < 0 || rows[i].whole == whole))
            return rows[i].name;
    return NULL;
}
