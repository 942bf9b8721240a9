/* A walk down a double array, every step checked. */
#include "text/kinds/charsmap.h"

#include <string.h>

#include "text/utf8.h"

#define KEY "tokenizer.ggml.precompiled_charsmap"

static weir_status damaged(const wr_gguf *gguf, const char *what, weir_error *error) {
    return weir_error_set(error, WEIR_DAMAGED, "%s: key " KEY " %s", wr_gguf_path(gguf), what);
}

static uint32_t read_u32(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static bool strings_are_short(const wr_charsmap *map) {
    uint32_t length = 0;
    for (uint32_t i = 0; i < map->strings_size; i++) {
        length = map->strings[i] ? length + 1 : 0;
        if (length > WR_CHARSMAP_STRING) return false;
    }
    return true;
}

weir_status wr_charsmap_read(wr_charsmap *map, const wr_gguf *gguf, weir_error *error) {
    *map = (wr_charsmap){0};
    const wr_gguf_value *value = wr_gguf_find(gguf, KEY);
    if (!value) return WEIR_OK;
    bool bytes = value->item_type == WR_GGUF_U8 || value->item_type == WR_GGUF_I8;
    if (value->type != WR_GGUF_ARRAY || !bytes)
        return damaged(gguf, "is not an array of bytes", error);
    if (value->size == 0) return WEIR_OK;
    if (value->size < 4) return damaged(gguf, "is too short", error);
    uint32_t trie = read_u32(value->bytes);
    if (trie % 4 != 0 || trie == 0 || trie > value->size - 4)
        return damaged(gguf, "has a trie of an impossible size", error);
    if (value->size - 4 - trie > UINT32_MAX) return damaged(gguf, "is too long", error);
    map->units = value->bytes + 4;
    map->unit_count = trie / 4;
    map->strings = (const char *)map->units + trie;
    map->strings_size = (uint32_t)(value->size - 4 - trie);
    if (map->strings_size == 0 || map->strings[map->strings_size - 1] != '\0')
        return damaged(gguf, "does not end its strings", error);
    if (!strings_are_short(map)) return damaged(gguf, "has a string of more than 256 bytes", error);
    return WEIR_OK;
}

static uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & 0x200) >> 6); }

/* The longest rule that begins the text: its bytes and its string; 0 when there is none. *ended:
 * the text was at its end before the trie was. */
static size_t find_rule(const wr_charsmap *map, const uint8_t *text, size_t size, wr_string *out,
                        bool *ended) {
    size_t longest = 0;
    uint32_t place = offset_of(read_u32(map->units));
    *ended = false;
    for (size_t i = 0; i < WR_CHARSMAP_STRING; i++) {
        if (i == size) {
            *ended = true;
            break;
        }
        place ^= text[i];
        if (place >= map->unit_count) break;
        uint32_t unit = read_u32(map->units + 4 * (size_t)place);
        if ((unit & 0x800000FF) != text[i]) break;
        place ^= offset_of(unit);
        if (!(unit & 0x100)) continue;
        if (place >= map->unit_count) break;
        uint32_t value = read_u32(map->units + 4 * (size_t)place) & 0x7FFFFFFF;
        if (value >= map->strings_size) break;
        longest = i + 1;
        *out = (wr_string){map->strings + value, strlen(map->strings + value)};
    }
    return longest;
}

size_t wr_charsmap_step(const wr_charsmap *map, const uint8_t *text, size_t size, bool open,
                        wr_string *out) {
    if (map->unit_count > 0) {
        bool ended;
        size_t taken = find_rule(map, text, size, out, &ended);
        if (ended && open) return 0;
        if (taken > 0) return taken;
    }
    int length = wr_utf8_length(text, size);
    size_t taken = length > 0 ? (size_t)length : 1;
    *out = (wr_string){(const char *)text, taken};
    return taken;
}
