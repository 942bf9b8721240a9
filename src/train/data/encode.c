/* The tokens of a text of many documents: see encode.h. */
#include "train/data/encode.h"

#include "train/data/documents.h"

#define BATCH_BYTES (4 << 20)
#define BATCH_DOCUMENTS 1024

typedef struct worker {
    wr_arena arena;
    wr_tokenizer *tokenizer;
} worker;

/* A document of the batch, and its tokens when they are computed. */
typedef struct item {
    wr_string document;
    wr_writer tokens; /* of int32 */
    weir_status status;
} item;

struct wr_encoder {
    const weir_allocator *allocator;
    const wr_vocab *vocab;
    wr_threads *threads;
    worker *workers;
    int worker_count;
    item *items; /* [BATCH_DOCUMENTS] */
    int64_t item_count;
    size_t batch_bytes;
};

static weir_status no_memory(weir_error *error) {
    return weir_error_set(error, WEIR_MEMORY, "no memory for the tokens of a text");
}

static bool prepare(worker *w, const wr_vocab *vocab, const weir_allocator *allocator) {
    wr_tokenizer_layout(&w->arena, vocab);
    if (wr_arena_bind(&w->arena, allocator) != WEIR_OK) return false;
    w->tokenizer = wr_tokenizer_layout(&w->arena, vocab);
    return true;
}

weir_status wr_encoder_create(const wr_vocab *vocab, wr_threads *threads,
                              const weir_allocator *allocator, wr_encoder **out,
                              weir_error *error) {
    *out = NULL;
    wr_encoder *e = wr_allocate_array(allocator, 1, sizeof *e);
    if (!e) return no_memory(error);
    e->allocator = allocator;
    e->vocab = vocab;
    e->threads = threads;
    e->worker_count = threads ? wr_threads_count(threads) : 1;
    e->workers = wr_allocate_array(allocator, (size_t)e->worker_count, sizeof *e->workers);
    e->items = wr_allocate_array(allocator, BATCH_DOCUMENTS, sizeof *e->items);
    bool ready = e->workers && e->items;
    for (int i = 0; ready && i < e->worker_count; i++)
        ready = prepare(&e->workers[i], vocab, allocator);
    if (!ready) {
        wr_encoder_destroy(e);
        return no_memory(error);
    }
    *out = e;
    return WEIR_OK;
}

void wr_encoder_destroy(wr_encoder *encoder) {
    if (!encoder) return;
    const weir_allocator *allocator = encoder->allocator;
    for (int i = 0; encoder->workers && i < encoder->worker_count; i++)
        wr_arena_release(&encoder->workers[i].arena, allocator);
    wr_release(allocator, encoder->workers,
               (size_t)encoder->worker_count * sizeof *encoder->workers);
    wr_release(allocator, encoder->items, BATCH_DOCUMENTS * sizeof *encoder->items);
    wr_release(allocator, encoder, sizeof *encoder);
}

static weir_status encode(wr_tokenizer *tokenizer, wr_string document, wr_token_emit emit,
                          void *context, weir_error *error) {
    wr_tokenizer_reset(tokenizer, true);
    weir_status status =
        wr_tokenizer_feed(tokenizer, document.data, document.size, false, emit, context, error);
    return status == WEIR_OK ? wr_tokenizer_flush(tokenizer, emit, context, error) : status;
}

/* ---- a batch --------------------------------------------------------------------------------- */

static weir_status keep(void *context, const int32_t *tokens, int64_t count, weir_error *error) {
    wr_writer *out = context;
    wr_write_bytes(out, tokens, (size_t)count * sizeof *tokens);
    return out->failed ? no_memory(error) : WEIR_OK;
}

static void encode_items(void *context, int64_t begin, int64_t end, int number) {
    wr_encoder *e = context;
    for (int64_t i = begin; i < end; i++)
        e->items[i].status = encode(e->workers[number].tokenizer, e->items[i].document, keep,
                                    &e->items[i].tokens, NULL);
}

static weir_status run_batch(wr_encoder *e, const wr_encoder_sink *sink, weir_error *error) {
    if (e->threads)
        wr_threads_run(e->threads, e->item_count, 1, encode_items, e);
    else
        encode_items(e, 0, e->item_count, 0);
    const int32_t end = wr_vocab_eos(e->vocab);
    weir_status status = WEIR_OK;
    for (int64_t i = 0; i < e->item_count; i++) {
        item *one = &e->items[i];
        if (status == WEIR_OK && one->status != WEIR_OK) status = no_memory(error);
        if (status == WEIR_OK)
            status = sink->emit(sink->context, (const int32_t *)one->tokens.data,
                                (int64_t)(one->tokens.size / sizeof(int32_t)), error);
        if (status == WEIR_OK) status = sink->emit(sink->context, &end, 1, error);
        wr_writer_release(&one->tokens);
    }
    e->item_count = 0;
    e->batch_bytes = 0;
    return status;
}

/* ---- a text ---------------------------------------------------------------------------------- */

static weir_status run_alone(wr_encoder *e, wr_string document, const wr_encoder_sink *sink,
                             weir_error *error) {
    const int32_t end = wr_vocab_eos(e->vocab);
    weir_status status =
        encode(e->workers[0].tokenizer, document, sink->emit, sink->context, error);
    return status == WEIR_OK ? sink->emit(sink->context, &end, 1, error) : status;
}

static weir_status report(const wr_encoder_sink *sink, size_t bytes, weir_error *error) {
    return sink->read ? sink->read(sink->context, (int64_t)bytes, error) : WEIR_OK;
}

weir_status wr_encoder_run(wr_encoder *encoder, wr_string text, const wr_encoder_sink *sink,
                           weir_error *error) {
    wr_documents documents = {.text = text};
    wr_string document;
    weir_status status = WEIR_OK;
    while (status == WEIR_OK && wr_documents_next(&documents, &document)) {
        bool large = document.size > BATCH_BYTES;
        bool full = encoder->item_count == BATCH_DOCUMENTS ||
                    encoder->batch_bytes + document.size > BATCH_BYTES;
        if (large || full) {
            status = run_batch(encoder, sink, error);
            if (status == WEIR_OK && large) status = run_alone(encoder, document, sink, error);
            if (status == WEIR_OK) status = report(sink, documents.at, error);
            if (large) continue;
        }
        encoder->items[encoder->item_count++] =
            (item){.document = document, .tokens = {.allocator = encoder->allocator}};
        encoder->batch_bytes += document.size;
    }
    if (status == WEIR_OK) status = run_batch(encoder, sink, error);
    encoder->item_count = 0;
    encoder->batch_bytes = 0;
    return status == WEIR_OK ? report(sink, text.size, error) : status;
}
