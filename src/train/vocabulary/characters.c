/* Characters of texts: see characters.h. */
#include "train/vocabulary/characters.h"

#include <assert.h>

#include "text/utf8.h"

size_t wr_character_write(uint32_t code, char out[4]) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = size; i-- > 1; code >>= 6) out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)((0xF00 >> size & 0xFF) | code);
    return size;
}

uint32_t wr_character_read(const char *text, size_t left, size_t *size) {
    const uint8_t *bytes = (const uint8_t *)text;
    int length = wr_utf8_length(bytes, left);
    assert(length > 0 && "texts are checked");
    *size = (size_t)length;
    if (length == 1) return bytes[0] == ' ' ? WR_SPACE_MARK : bytes[0];
    uint32_t code = bytes[0] & (0x7Fu >> length);
    for (int i = 1; i < length; i++) code = code << 6 | (bytes[i] & 0x3Fu);
    return code;
}
