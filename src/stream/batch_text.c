/* Text of a batch's streams: tokenized here, computed in a step. */
#include "stream/stream_private.h"
#include "weir/batch.h"

typedef struct handing {
    weir_token_fn fn;
    void *context;
} handing;

static weir_status hand(void *context, const int32_t *tokens, int64_t count, weir_error *error) {
    const handing *to = context;
    weir_status status = to->fn(to->context, tokens, count);
    return status == WEIR_OK ? status
                             : weir_error_set(error, status, "%s", weir_status_text(status));
}

/* As feeding does: the first text of an empty stream begins with BOS where the model adds one. */
static weir_status begin_text(weir_stream *stream, handing *to, weir_error *error) {
    const wr_vocab *vocab = stream->model->vocab;
    weir_status status = wr_vocab_usable(vocab, error);
    if (status != WEIR_OK || stream->past.text_begun) return status;
    stream->past.text_begun = true;
    int32_t bos = wr_vocab_bos(vocab);
    bool begins = stream->past.index == 0 && wr_vocab_adds_bos(vocab) && bos >= 0;
    return begins ? hand(to, &bos, 1, error) : WEIR_OK;
}

weir_status weir_batch_tokenize(weir_stream *stream, const char *text, size_t size, bool flush,
                                weir_token_fn fn, void *context, weir_error *error) {
    handing to = {fn, context};
    weir_status status = begin_text(stream, &to, error);
    if (status == WEIR_OK)
        status = wr_tokenizer_feed(stream->past.tokenizer, text, size, false, hand, &to, error);
    if (status == WEIR_OK && flush)
        status = wr_tokenizer_flush(stream->past.tokenizer, hand, &to, error);
    return status;
}
