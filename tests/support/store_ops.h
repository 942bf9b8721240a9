/*
 * A life of a stream as a pure function of a number: step k feeds a text or tokens, draws, marks a
 * border, flushes, pins or goes back, by a drawn number. Kept in a store, or done alone: the same
 * stream. Header only.
 */
#ifndef STORE_OPS_H
#define STORE_OPS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "support/random_model.h"
#include "support/scratch.h"
#include "weir/store.h"

enum { STORE_SINKS = 2, STORE_WINDOW = 40 };

/* A scratch folder and the tiny model. */
static inline int store_set_up(void **state) {
    return scratch_make(state) != 0 ? 1 : tiny_set_up(state);
}

static inline int store_tear_down(void **state) {
    return scratch_remove_all(state) != 0 ? 1 : tiny_tear_down(state);
}

static inline weir_stream *store_stream(const weir_model *model) {
    weir_stream_options options = stream_options(WEIR_SINK, STORE_SINKS, STORE_WINDOW);
    weir_error error;
    weir_stream *stream = stream_make(model, &options);
    weir_sampling sampling = weir_sampling_default();
    sampling.seed = 5;
    sampling.repetition_penalty = 1.1f;
    must(weir_stream_set_sampling(stream, &sampling, &error), &error);
    return stream;
}

/* What one step gives to the stream; `room` holds the data. */
typedef struct store_step {
    weir_entry_kind kind;
    size_t size;
    union {
        char text[64];
        int32_t tokens[16];
        int64_t number;
    } room;
} store_step;

static inline store_step store_step_of(uint64_t seed, int64_t k, int64_t index) {
    uint32_t draw[4];
    wr_random_block(seed, 3, (uint64_t)k, draw);
    store_step step = {.kind = WEIR_ENTRY_FLUSH};
    switch (draw[0] % 16) {
    case 0:
        break;
    case 1:
        step.kind = WEIR_ENTRY_BORDER;
        break;
    case 2: /* as near as is always within reach */
        step.kind = WEIR_ENTRY_REWIND;
        step.size = sizeof step.room.number;
        step.room.number = index > 0 ? index - 1 : 0;
        break;
    case 3:
    case 4:
    case 5:
    case 6:
        step.kind = WEIR_ENTRY_TOKENS;
        step.size = (1 + draw[1] % 16) * sizeof(int32_t);
        random_tokens(step.room.tokens, 100 * k, (int64_t)(step.size / sizeof(int32_t)));
        break;
    case 7:
    case 8:
    case 9:
    case 10:
        step.kind = WEIR_ENTRY_DRAWN;
        break;
    default:
        step.kind = WEIR_ENTRY_TEXT;
        step.size = 1 + draw[1] % sizeof step.room.text;
        for (size_t i = 0; i < step.size; i++)
            step.room.text[i] = (char)(32 + (draw[2] >> (i % 24)) % 90);
    }
    return step;
}

/* Do it. A DRAWN step draws 3 tokens, which are then its data. */
static inline weir_status store_step_do(weir_stream *stream, store_step *step, weir_error *error) {
    weir_status status = WEIR_OK;
    switch (step->kind) {
    case WEIR_ENTRY_TEXT:
        return weir_stream_feed_text(stream, step->room.text, step->size, error);
    case WEIR_ENTRY_TOKENS:
        return weir_stream_feed_tokens(stream, step->room.tokens,
                                       (int64_t)(step->size / sizeof(int32_t)), error);
    case WEIR_ENTRY_DRAWN:
        if (stream_state(stream).index == 0) return WEIR_OK; /* nothing to draw from */
        for (int i = 0; status == WEIR_OK && i < 3; i++) {
            status = weir_stream_next(stream, &step->room.tokens[i], error);
            step->size = (size_t)(i + 1) * sizeof(int32_t);
        }
        return status;
    case WEIR_ENTRY_BORDER:
        return weir_stream_border(stream, error);
    case WEIR_ENTRY_REWIND:
        return weir_stream_rewind(stream, step->room.number, error);
    default:
        return weir_stream_flush(stream, error);
    }
}

static inline weir_entry store_entry_of(const store_step *step, int64_t index) {
    return (weir_entry){
        .kind = step->kind, .data = &step->room, .size = step->size, .index = index};
}

/* The life of a stream that nothing interrupts, up to step `end`. */
static inline weir_stream *store_twin(const weir_model *model, uint64_t seed, int64_t end) {
    weir_error error;
    weir_stream *stream = store_stream(model);
    for (int64_t k = 0; k < end; k++) {
        store_step step = store_step_of(seed, k, stream_state(stream).index);
        must(store_step_do(stream, &step, &error), &error);
    }
    return stream;
}

/* The same step, kept: what is drawn is written after it, all else before. */
static inline void store_step_keep(weir_store *store, const char *name, weir_stream *stream,
                                   uint64_t seed, int64_t k) {
    weir_error error = {.message = ""};
    const int64_t index = stream_state(stream).index;
    store_step step = store_step_of(seed, k, index);
    if (step.kind == WEIR_ENTRY_DRAWN) must(store_step_do(stream, &step, &error), &error);
    const weir_entry entry = store_entry_of(&step, index);
    must(weir_store_write(store, name, &entry, &error), &error);
    must(weir_store_commit(store, &error), &error);
    if (step.kind != WEIR_ENTRY_DRAWN) must(store_step_do(stream, &step, &error), &error);
}

/* The same index, the same bits now, and the same tokens from here on. */
static inline void assert_same_stream(weir_stream *one, weir_stream *other) {
    weir_error error;
    assert_int_equal(stream_state(one).index, stream_state(other).index);
    assert_int_equal(stream_state(one).evicted, stream_state(other).evicted);
    assert_int_equal(stream_state(one).held, stream_state(other).held);
    for (int i = 0; i < 4; i++) {
        int32_t tokens[2];
        assert_true(stream_bits(one) == stream_bits(other));
        must(weir_stream_next(one, &tokens[0], &error), &error);
        must(weir_stream_next(other, &tokens[1], &error), &error);
        assert_int_equal(tokens[0], tokens[1]);
    }
}

#endif
