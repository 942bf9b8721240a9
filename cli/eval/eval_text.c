/*
 * The text of `weir eval`. Its tokens are made anew for each run and never kept, so memory does not
 * grow with it: a file is mapped, and only what comes through a pipe is read into memory first.
 */
#include "eval/eval_text.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define GIVE_BACK 65536 /* tokens after which the pages of a mapped text are */

typedef struct reader {
    const eval_text *text;
    weir_token_fn emit;
    void *context;
    int64_t count;
    int64_t replaced; /* the first tokens, that `replacement` stands for */
    int32_t replacement;
    weir_status passed; /* what emit returned */
    int64_t given_back; /* count when pages were, last */
} reader;

static weir_status take(void *context, const int32_t *tokens, int64_t count) {
    reader *now = context;
    int64_t most = now->text->most;
    if (most > 0 && count > most - now->count) count = most - now->count;
    while (count > 0 && now->passed == WEIR_OK) {
        bool replace = now->count < now->replaced;
        int64_t size = replace ? 1 : count;
        now->passed = now->emit(now->context, replace ? &now->replacement : tokens, size);
        now->count += size;
        tokens += size;
        count -= size;
    }
    if (now->passed != WEIR_OK) return now->passed;
    if (now->text->mapped != NULL && now->count - now->given_back > GIVE_BACK) {
        madvise(now->text->mapped, now->text->size, MADV_DONTNEED); /* a file's: nothing is lost */
        now->given_back = now->count;
    }
    return most > 0 && now->count == most ? WEIR_CANCELLED : WEIR_OK; /* enough */
}

/* What `emit` returned is passed on; why it did is its own to say. */
static weir_status read_tokens(reader *now, weir_error *error) {
    weir_error inner = {0};
    weir_status status = weir_model_tokenize(now->text->model, now->text->data, now->text->size,
                                             true, take, now, &inner);
    if (now->passed != WEIR_OK) return now->passed;
    if (status == WEIR_OK || status == WEIR_CANCELLED) return WEIR_OK;
    return weir_error_set(error, status, "%s",
                          inner.message[0] != '\0' ? inner.message : weir_status_text(status));
}

weir_status eval_text_emit(void *context, weir_token_fn emit, void *emit_context) {
    eval_source *source = context;
    reader now = {.text = source->text,
                  .emit = emit,
                  .context = emit_context,
                  .replaced = source->replaced,
                  .replacement = source->replacement};
    return read_tokens(&now, &source->error);
}

/* A file that can be mapped is; false: read it instead. */
static bool map(eval_text *text, const char *path) {
    struct stat info;
    int fd = strcmp(path, "-") == 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0) {
        void *mapped = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (mapped != MAP_FAILED) {
            text->mapped = mapped;
            text->data = mapped;
            text->size = (size_t)info.st_size;
        }
    }
    close(fd);
    return text->mapped != NULL;
}

static weir_status count(void *context, const int32_t *tokens, int64_t size) {
    (void)tokens;
    *(int64_t *)context += size;
    return WEIR_OK;
}

weir_status eval_text_open(eval_text *text, const weir_model *model, const char *path, int64_t most,
                           weir_error *error) {
    *text = (eval_text){.model = model, .most = most};
    weir_status status = WEIR_OK;
    if (!map(text, path)) {
        status = input_read(path, &text->read, error);
        text->data = text->read.data;
        text->size = text->read.size;
    }
    reader counting = {.text = text, .emit = count, .context = &text->count};
    if (status == WEIR_OK) status = read_tokens(&counting, error);
    text->most = text->count; /* also if the file changes under a run */
    return status;
}

void eval_text_close(eval_text *text) {
    if (text->mapped != NULL) munmap(text->mapped, text->size);
    bytes_free(&text->read);
}
