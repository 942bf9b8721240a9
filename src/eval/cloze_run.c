/*
 * The cloze test over a stream.
 *
 *     ... He lost his | hat. |         passage | ending
 *
 * Endings are found once, in one walk over the text. For a question the passage with each choice is
 * tokenised as one text, so that no tokenizer is asked where a word begins; what all choices have
 * in common is fed once, and the stream goes back to there for every choice.
 */
#include "weir/cloze.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "eval/token_room.h"
#include "weir/streameval.h"

#define PASSAGE_WORDS 5 /* in the sentence before its last word, at least */
#define PASSAGE_BYTES 8 /* of a passage, for each token that it may have */
#define WORD_LETTERS 3  /* of a word that is asked for, at least */
#define WORD_BYTES 40   /* at most */
#define TEXT_END "<|endoftext|>"

typedef struct ending {
    size_t at;     /* first byte of the word in the text */
    uint32_t size; /* with the point */
} ending;

typedef struct cloze {
    weir_stream *stream;
    const weir_model *model;
    const weir_cloze_options *options;
    weir_cloze_result *result;
    const char *text;
    size_t size;
    ending *endings;
    int64_t count, capacity;
    int64_t room;  /* tokens of a passage */
    char *passage; /* [passage_room] the text of one choice */
    size_t passage_room;
    int32_t *tokens[WEIR_CLOZE_MAX_CHOICES]; /* [passage_room] each */
    int64_t lengths[WEIR_CLOZE_MAX_CHOICES];
    double nll;         /* sum over right words */
    double passages;    /* sum of tokens */
    double passage_nll; /* sum over tokens of passages */
    int64_t passage_scored;
} cloze;

weir_cloze_options weir_cloze_options_default(void) {
    return (weir_cloze_options){.questions = 1000, .choices = 10};
}

/* ---- endings --------------------------------------------------------------------------------- */

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80) != 0;
}

static bool is_point(char c) { return c == '.' || c == '!' || c == '?'; }

static weir_status keep_ending(cloze *run, size_t at, size_t size, weir_error *error) {
    if (run->count == run->capacity) {
        int64_t capacity = run->capacity * 2 + 1024;
        ending *grown = realloc(run->endings, (size_t)capacity * sizeof *grown);
        if (grown == NULL) {
            return weir_error_set(error, WEIR_MEMORY, "no memory for the sentences of the text");
        }
        run->endings = grown;
        run->capacity = capacity;
    }
    run->endings[run->count++] = (ending){at, (uint32_t)size};
    return WEIR_OK;
}

/* The point at `end` closes a sentence whose last word can be asked for: only letters, after a
 * space, and enough words before it. */
static bool can_ask(const cloze *run, size_t end, size_t word, int64_t words) {
    size_t size = end - word;
    bool closed = end + 1 == run->size || run->text[end + 1] == ' ' || run->text[end + 1] == '\n';
    return closed && words > PASSAGE_WORDS && size >= WORD_LETTERS && size < WORD_BYTES &&
           word > 0 && run->text[word - 1] == ' ';
}

static weir_status find_endings(cloze *run, weir_error *error) {
    size_t word = 0;   /* where the run of letters before `i` begins */
    int64_t words = 0; /* of the sentence */
    for (size_t i = 0; i < run->size; i++) {
        if (is_letter(run->text[i])) {
            bool first = i == 0 || !is_letter(run->text[i - 1]);
            word = first ? i : word;
            words += first;
        } else if (is_point(run->text[i])) {
            bool after_word = i > 0 && is_letter(run->text[i - 1]);
            if (after_word && can_ask(run, i, word, words)) {
                weir_status status = keep_ending(run, word, i + 1 - word, error);
                if (status != WEIR_OK) {
                    return status;
                }
            }
            words = 0;
        }
    }
    return WEIR_OK;
}

/* ---- the text of a question ------------------------------------------------------------------ */

/* Where the passage before `end` begins: after the last mark of a document's end, at the beginning
 * of a line or a word. */
static size_t passage_start(const cloze *run, size_t end) {
    const size_t mark = sizeof TEXT_END - 1;
    size_t most = (size_t)run->room * PASSAGE_BYTES;
    size_t start = end > most ? end - most : 0;
    for (size_t i = end; i >= start + mark; i--) {
        if (memcmp(run->text + i - mark, TEXT_END, mark) == 0) {
            start = i;
            break;
        }
    }
    while (start < end && start > 0 && run->text[start - 1] != ' ' &&
           run->text[start - 1] != '\n') {
        start++;
    }
    while (start < end && (run->text[start] == ' ' || run->text[start] == '\n')) {
        start++;
    }
    return start;
}

/* The tokens of the passage before ending `q` with the word of ending `word` in its place. */
static weir_status tokenize_choice(cloze *run, int64_t q, int64_t word, int32_t choice,
                                   weir_error *error) {
    const ending *asked = &run->endings[q], *given = &run->endings[word];
    size_t start = passage_start(run, asked->at), before = asked->at - start;
    token_room room = {run->tokens[choice], 0, (int64_t)run->passage_room};
    const weir_model_info *info = weir_model_get_info(run->model);
    if (info->adds_bos && info->bos >= 0 && !run->options->without_bos) {
        room.items[room.count++] = info->bos;
    }
    memcpy(run->passage, run->text + start, before);
    memcpy(run->passage + before, run->text + given->at, given->size - 1u);
    run->passage[before + given->size - 1] = run->text[asked->at + asked->size - 1];
    weir_status status = weir_model_tokenize(run->model, run->passage, before + given->size, false,
                                             keep_tokens, &room, error);
    run->lengths[choice] = room.count;
    return status == WEIR_LIMIT
               ? weir_error_set(error, status, "a passage has more tokens than bytes")
               : status;
}

/* A number below n, by seed, question and try. */
static int64_t draw(uint64_t seed, int64_t question, int64_t attempt, int64_t n) {
    uint64_t z = seed * 0x9E3779B97F4A7C15u + (uint64_t)question * 0xD1342543DE82EF95u +
                 (uint64_t)attempt * 0x2545F4914F6CDD1Du;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (int64_t)((z ^ z >> 31) % (uint64_t)n);
}

static bool same_word(const cloze *run, int64_t a, int64_t b) {
    const ending *x = &run->endings[a], *y = &run->endings[b];
    return x->size == y->size && memcmp(run->text + x->at, run->text + y->at, x->size - 1u) == 0;
}

/* words[0] is the right one; the others differ from it and from each other. */
static weir_status choose_words(const cloze *run, int64_t q, int64_t *words, weir_error *error) {
    int32_t have = 1;
    words[0] = q;
    for (int64_t attempt = 0; have < run->options->choices; attempt++) {
        if (attempt == 1000) {
            return weir_error_set(error, WEIR_USAGE,
                                  "the text's sentences end in too few different words for %d "
                                  "choices",
                                  run->options->choices);
        }
        int64_t word = draw(run->options->seed, q, attempt, run->count);
        bool known = false;
        for (int32_t i = 0; i < have; i++) {
            known = known || same_word(run, words[i], word);
        }
        if (!known) {
            words[have++] = word;
        }
    }
    return WEIR_OK;
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* Tokens that all choices begin with, but for the last one of the shortest: something is scored. */
static int64_t common_prefix(const cloze *run) {
    int64_t same = run->lengths[0] - 1;
    for (int32_t c = 1; c < run->options->choices; c++) {
        int64_t i = 0;
        while (i < same && i < run->lengths[c] - 1 && run->tokens[c][i] == run->tokens[0][i]) {
            i++;
        }
        same = i;
    }
    return same;
}

static int64_t longest(const cloze *run) {
    int64_t most = 0;
    for (int32_t c = 0; c < run->options->choices; c++) {
        most = run->lengths[c] > most ? run->lengths[c] : most;
    }
    return most;
}

typedef struct scoring {
    const cloze *run;
    const int32_t *next; /* the token that follows the one fed */
    int64_t left;        /* of them */
    double nll;
} scoring;

static weir_status score(void *context, int64_t index, const float *logits, int32_t n_vocab) {
    scoring *at = context;
    (void)index;
    (void)n_vocab;
    if (at->left > 0) {
        at->nll += weir_model_nll(at->run->model, logits, *at->next++);
        at->left--;
    }
    return WEIR_OK;
}

/* Feed the passage: BOS where there is one, then what of the common tokens fits. `*from` is the
 * first token of a choice that is not fed: the last common one is fed with each choice, for its
 * logits. */
static weir_status feed_passage(cloze *run, int64_t *from, weir_error *error) {
    const weir_model_info *info = weir_model_get_info(run->model);
    int64_t bos = info->adds_bos && info->bos >= 0 && !run->options->without_bos;
    int64_t same = common_prefix(run), skipped = longest(run) - run->room;
    skipped = skipped > 0 ? skipped : 0;
    if (same < 1 || bos + skipped > same - 1) {
        return weir_error_set(
            error, WEIR_USAGE,
            "a passage of %lld tokens has no room for the words that are asked for",
            (long long)run->room);
    }
    weir_status status = weir_stream_rewind(run->stream, 0, error);
    if (status == WEIR_OK && bos > 0) {
        status = weir_stream_feed_tokens(run->stream, run->tokens[0], 1, error);
    }
    int64_t begin = bos + skipped, end = same - 1;
    scoring at = {run, run->tokens[0] + begin + 1, end - begin - 1, 0};
    if (status == WEIR_OK && end > begin) {
        status = weir_stream_feed_scored(run->stream, run->tokens[0] + begin, end - begin, score,
                                         &at, error);
        run->passage_nll += at.nll;
        run->passage_scored += end - begin - 1;
    }
    run->passages += (double)(longest(run) - skipped);
    *from = end;
    return status;
}

static weir_status ask(cloze *run, int64_t q, weir_error *error) {
    int64_t words[WEIR_CLOZE_MAX_CHOICES], from = 0;
    weir_status status = choose_words(run, q, words, error);
    for (int32_t c = 0; c < run->options->choices && status == WEIR_OK; c++) {
        status = tokenize_choice(run, q, words[c], c, error);
    }
    if (status == WEIR_OK) {
        status = feed_passage(run, &from, error);
    }
    weir_stream_state state;
    weir_stream_get_state(run->stream, &state);
    double right = 0, best = (double)INFINITY;
    for (int32_t c = 0; c < run->options->choices && status == WEIR_OK; c++) {
        const int32_t *tokens = run->tokens[c] + from;
        int64_t count = run->lengths[c] - from - 1;
        scoring at = {run, tokens + 1, count, 0};
        status = weir_stream_feed_scored(run->stream, tokens, count, score, &at, error);
        if (status == WEIR_OK) {
            status = weir_stream_rewind(run->stream, state.index, error);
        }
        right = c == 0 ? at.nll : right;
        best = c > 0 ? fmin(best, at.nll) : best;
    }
    if (status == WEIR_OK) {
        run->result->asked++;
        run->result->right += right < best;
        run->nll += right;
    }
    return status;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static weir_status check(const cloze *run, weir_error *error) {
    const weir_cloze_options *options = run->options;
    const weir_model_info *info = weir_model_get_info(run->model);
    weir_stream_state state;
    weir_stream_get_state(run->stream, &state);
    if (!info->tokenizer_usable) {
        return weir_error_set(
            error, WEIR_UNSUPPORTED,
            "%s: a cloze test is a text, and this model's tokenizer cannot be used", info->path);
    }
    if (options->choices < 2 || options->choices > WEIR_CLOZE_MAX_CHOICES) {
        return weir_error_set(error, WEIR_USAGE, "%d choices are out of range (2 to %d)",
                              options->choices, WEIR_CLOZE_MAX_CHOICES);
    }
    if (options->questions < 1) {
        return weir_error_set(error, WEIR_USAGE, "%lld questions are out of range: give 1 or more",
                              (long long)options->questions);
    }
    if (state.index != 0 || state.held != 0) {
        return weir_error_set(error, WEIR_USAGE, "the stream of a cloze test is not empty");
    }
    int64_t slots = state.sinks + state.window;
    if (options->context < 0 || options->context > slots) {
        return weir_error_set(error, WEIR_USAGE,
                              "a passage of %lld tokens does not fit a stream that holds %lld",
                              (long long)options->context, (long long)slots);
    }
    return WEIR_OK;
}

static weir_status take_room(cloze *run, weir_error *error) {
    weir_stream_state state;
    weir_stream_get_state(run->stream, &state);
    run->room = run->options->context > 0 ? run->options->context : state.sinks + state.window;
    run->passage_room = (size_t)run->room * PASSAGE_BYTES + WORD_BYTES + 16;
    run->passage = malloc(run->passage_room);
    bool whole = run->passage != NULL;
    for (int32_t c = 0; c < run->options->choices; c++) {
        run->tokens[c] = malloc(run->passage_room * sizeof *run->tokens[c]);
        whole = whole && run->tokens[c] != NULL;
    }
    return whole ? WEIR_OK
                 : weir_error_set(error, WEIR_MEMORY, "no memory for passages of %lld tokens",
                                  (long long)run->room);
}

static weir_status ask_all(cloze *run, weir_error *error) {
    const weir_cloze_options *options = run->options;
    int64_t total = options->questions < run->count ? options->questions : run->count;
    weir_status status = WEIR_OK;
    if (run->count < options->choices) {
        return weir_error_set(error, WEIR_USAGE,
                              "the text has %lld sentences to ask about; %d choices need as many",
                              (long long)run->count, options->choices);
    }
    for (int64_t i = 0; i < total && status == WEIR_OK; i++) {
        status = ask(run, (int64_t)((double)i * (double)run->count / (double)total), error);
        if (options->progress != NULL &&
            !options->progress(options->progress_context, run->result->asked, total)) {
            break;
        }
    }
    return status;
}

static void finish(cloze *run, double seconds) {
    weir_cloze_result *out = run->result;
    out->endings = run->count;
    out->seconds = seconds;
    out->nll = out->asked > 0 ? run->nll / (double)out->asked : (double)NAN;
    out->passage_nll =
        run->passage_scored > 0 ? run->passage_nll / (double)run->passage_scored : (double)NAN;
    out->tokens = out->asked > 0 ? run->passages / (double)out->asked : (double)NAN;
    weir_streameval_interval((weir_streameval_score){.asked = out->asked, .right = out->right},
                             &out->low, &out->high);
    free(run->endings);
    free(run->passage);
    for (int32_t c = 0; c < WEIR_CLOZE_MAX_CHOICES; c++) {
        free(run->tokens[c]);
    }
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

weir_status weir_cloze(weir_stream *stream, const char *text, size_t size,
                       const weir_cloze_options *options, weir_cloze_result *out,
                       weir_error *error) {
    *out = (weir_cloze_result){.asked = 0};
    cloze run = {.stream = stream,
                 .model = weir_stream_get_model(stream),
                 .options = options,
                 .result = out,
                 .text = text,
                 .size = size};
    double begun = now();
    weir_status status = check(&run, error);
    if (status == WEIR_OK) {
        status = find_endings(&run, error);
    }
    if (status == WEIR_OK) {
        status = take_room(&run, error);
    }
    if (status == WEIR_OK) {
        status = ask_all(&run, error);
        weir_status emptied = weir_stream_rewind(stream, 0, status == WEIR_OK ? error : NULL);
        status = status == WEIR_OK ? emptied : status;
    }
    finish(&run, now() - begun);
    return status;
}
