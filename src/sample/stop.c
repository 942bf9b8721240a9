/*
 * Stop strings, one byte at a time, so that how the text is cut cannot matter.
 *
 * What is held is the longest tail of the text that begins a stop string; every stop string that
 * ends at the next byte therefore lies in the held bytes and that byte. The match that is complete
 * first counts, among those that end together the longest.
 */
#include "sample/stop.h"

#include <string.h>

weir_status wr_stop_init(wr_stop *stop, const char *const *strings, int count, weir_error *error) {
    memset(stop, 0, sizeof *stop);
    if (count < 0 || count > WR_STOP_MAX)
        return weir_error_set(error, WEIR_USAGE, "%d stop strings are too many, at most %d", count,
                              WR_STOP_MAX);
    for (int i = 0; i < count; i++) {
        size_t size = strlen(strings[i]);
        if (size == 0) return weir_error_set(error, WEIR_USAGE, "a stop string is empty");
        if (size > WR_STOP_MAX_BYTES)
            return weir_error_set(error, WEIR_USAGE,
                                  "a stop string has %zu bytes, at most %d are possible", size,
                                  WR_STOP_MAX_BYTES);
        memcpy(stop->strings[i], strings[i], size);
        stop->sizes[i] = size;
    }
    stop->count = count;
    return WEIR_OK;
}

/* Text on its way out: gathered, so that the receiver is not called for every byte. */
typedef struct outlet {
    wr_stop_emit emit;
    void *context;
    char bytes[512];
    size_t size;
} outlet;

static void outlet_flush(outlet *out) {
    if (out->size > 0) out->emit(out->context, out->bytes, out->size);
    out->size = 0;
}

static void outlet_put(outlet *out, const char *text, size_t size) {
    if (out->size + size > sizeof out->bytes) outlet_flush(out);
    memcpy(out->bytes + out->size, text, size); /* at most WR_STOP_MAX_BYTES */
    out->size += size;
}

/* Bytes of the longest stop string that the held bytes end with, or 0. */
static size_t complete(const wr_stop *stop) {
    size_t longest = 0;
    for (int i = 0; i < stop->count; i++) {
        size_t size = stop->sizes[i];
        if (size <= longest || size > stop->held_size) continue;
        if (memcmp(stop->held + stop->held_size - size, stop->strings[i], size) == 0)
            longest = size;
    }
    return longest;
}

/* Whether the held bytes from `from` on begin a stop string. */
static bool may_become(const wr_stop *stop, size_t from) {
    size_t size = stop->held_size - from;
    for (int i = 0; i < stop->count; i++)
        if (size < stop->sizes[i] && memcmp(stop->held + from, stop->strings[i], size) == 0)
            return true;
    return false;
}

/* Take one byte; true when a stop string is complete. */
static bool take(wr_stop *stop, char byte, outlet *out) {
    stop->held[stop->held_size++] = byte;
    size_t match = complete(stop);
    if (match > 0) {
        outlet_put(out, stop->held, stop->held_size - match);
        stop->held_size = 0;
        return true;
    }
    size_t from = 0;
    while (from < stop->held_size && !may_become(stop, from)) from++;
    outlet_put(out, stop->held, from);
    stop->held_size -= from;
    memmove(stop->held, stop->held + from, stop->held_size);
    return false;
}

bool wr_stop_feed(wr_stop *stop, const char *text, size_t size, wr_stop_emit emit, void *context) {
    outlet out = {.emit = emit, .context = context};
    bool stopped = false;
    for (size_t i = 0; i < size && !stopped; i++) stopped = take(stop, text[i], &out);
    outlet_flush(&out);
    return stopped;
}

void wr_stop_flush(wr_stop *stop, wr_stop_emit emit, void *context) {
    if (stop->held_size > 0) emit(context, stop->held, stop->held_size);
    stop->held_size = 0;
}
