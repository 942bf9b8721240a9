/*
 * Status codes and errors: what every weir function that can fail returns.
 *
 * A function returns WEIR_OK (0) or a negative weir_status; a code exists only where a caller
 * would act differently. Where a person needs the reason, the last parameter is a weir_error,
 * which may be NULL: a whole sentence of fixed size, so that even "out of memory" needs no memory.
 *
 *     weir_error error;
 *     weir_model *model;
 *     if (weir_model_open("model.gguf", NULL, &model, &error) != WEIR_OK) {
 *         fprintf(stderr, "%s\n", error.message);
 *         return 1;
 *     }
 *     ...
 *     weir_model_close(model);
 */
#ifndef WEIR_STATUS_H
#define WEIR_STATUS_H

#if defined(__GNUC__)
#define WEIR_API __attribute__((visibility("default")))
#define WEIR_FORMAT(string, first) __attribute__((format(printf, string, first)))
#else
#define WEIR_API
#define WEIR_FORMAT(string, first)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* name, value, what it means in words */
#define WEIR_STATUS_MAP(X)                                                                         \
    X(OK, 0, "ok")                                                                                 \
    X(MEMORY, -1, "out of memory")                                                                 \
    X(IO, -2, "input or output failed")                                                            \
    X(DAMAGED, -3, "damaged file")                                                                 \
    X(UNSUPPORTED, -4, "unsupported")                                                              \
    X(USAGE, -5, "invalid argument")                                                               \
    X(LIMIT, -6, "beyond a limit")                                                                 \
    X(NAN, -7, "not a number")                                                                     \
    X(CANCELLED, -8, "cancelled")                                                                  \
    X(MISMATCH, -9, "made by another model")                                                       \
    X(EVICTED, -10, "no longer in the cache")

typedef enum weir_status {
#define WEIR_STATUS_ENUM(name, value, text) WEIR_##name = value,
    WEIR_STATUS_MAP(WEIR_STATUS_ENUM)
#undef WEIR_STATUS_ENUM
} weir_status;

typedef struct weir_error {
    weir_status status;
    char message[480]; /* one sentence, NUL-terminated, cut (never overrun) when longer */
} weir_error;

/* The meaning of a status in a few words: "out of memory". Never NULL. */
WEIR_API const char *weir_status_text(weir_status status);

/* The name of a status, as in an API: "MEMORY". Never NULL. */
WEIR_API const char *weir_status_name(weir_status status);

/* Fill `error` (may be NULL) and return `status`, so that a failure is one line. */
WEIR_API weir_status weir_error_set(weir_error *error, weir_status status, const char *format, ...)
    WEIR_FORMAT(3, 4);

#ifdef __cplusplus
}
#endif
#endif
