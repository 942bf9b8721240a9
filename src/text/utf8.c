/* Well-formed byte sequences: table 3-7 of the Unicode Standard, as ranges of the second byte. */
#include "text/utf8.h"

/* Bytes that a character with this first byte has, 0 when none begins so; the second byte's range
 * (which is where overlong forms, surrogates and numbers past U+10FFFF are excluded). */
static int shape(uint8_t first, uint8_t *low, uint8_t *high) {
    *low = 0x80;
    *high = 0xBF;
    if (first < 0x80) return 1;
    if (first < 0xC2) return 0;
    if (first < 0xE0) return 2;
    if (first < 0xF0) {
        if (first == 0xE0) *low = 0xA0;
        if (first == 0xED) *high = 0x9F;
        return 3;
    }
    if (first > 0xF4) return 0;
    if (first == 0xF0) *low = 0x90;
    if (first == 0xF4) *high = 0x8F;
    return 4;
}

int wr_utf8_length(const uint8_t *text, size_t size) {
    uint8_t low, high;
    int length = shape(text[0], &low, &high);
    if (length == 0) return -1;
    for (int i = 1; i < length; i++) {
        if ((size_t)i >= size) return 0;
        if (text[i] < low || text[i] > high) return -i;
        low = 0x80;
        high = 0xBF;
    }
    return length;
}

uint32_t wr_utf8_code(const uint8_t *text, int length) {
    static const uint8_t bits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t code = text[0] & bits[length];
    for (int i = 1; i < length; i++) code = code << 6 | (text[i] & 0x3Fu);
    return code;
}
