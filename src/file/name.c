/* Names that a file gave: see name.h. */
#include "file/name.h"

#include <stdio.h>

/* Bytes of the UTF-8 character at text[0 ... left), or 0 when it is not one (overlong forms,
 * surrogates and numbers above U+10FFFF are not). *rune becomes its number. */
static size_t utf8_character(const uint8_t *text, size_t left, uint32_t *rune) {
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = text[0];
    if (first < 0x80) {
        *rune = first;
        return 1;
    }
    size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || size > left) return 0;
    uint32_t sum = first & (0x7fU >> size);
    for (size_t i = 1; i < size; i++) {
        if ((text[i] & 0xc0) != 0x80) return 0;
        sum = sum << 6 | (text[i] & 0x3fU);
    }
    *rune = sum;
    bool surrogate = sum >= 0xd800 && sum <= 0xdfff;
    return sum < smallest[size] || surrogate || sum > 0x10ffff ? 0 : size;
}

const char *wr_name_flaw(wr_string name, size_t limit) {
    if (name.size == 0) return "is empty";
    if (name.size > limit) return "is too long";
    const uint8_t *text = (const uint8_t *)name.data;
    for (size_t at = 0; at < name.size;) {
        uint32_t rune = 0;
        size_t size = utf8_character(text + at, name.size - at, &rune);
        if (size == 0) return "is not valid UTF-8";
        if (rune < 0x20 || (rune >= 0x7f && rune < 0xa0)) return "holds a control character";
        at += size;
    }
    return NULL;
}

wr_quoted wr_name_quote(wr_string name) {
    static const char ending[] = "...\"";
    wr_quoted out;
    size_t room = sizeof out.text - sizeof ending - 4; /* 4: the longest escape */
    size_t used = 0;
    out.text[used++] = '"';
    for (size_t i = 0; i < name.size; i++) {
        if (used > room) {
            (void)snprintf(out.text + used, sizeof out.text - used, "%s", ending);
            return out;
        }
        uint8_t byte = (uint8_t)name.data[i];
        if (byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\')
            out.text[used++] = (char)byte;
        else
            used += (size_t)snprintf(out.text + used, sizeof out.text - used, "\\x%02x", byte);
    }
    out.text[used++] = '"';
    out.text[used] = '\0';
    return out;
}
