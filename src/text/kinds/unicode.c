/*
 * utf8proc, and what the reference has otherwise.
 *
 * The reference (the `tokenizers` package) knows marks, punctuation and format characters as of
 * Unicode 8, and the order of marks as of Unicode 10. Models were trained on what it made of text,
 * so equal tokens matter more than newer tables. The list below is the difference, found by asking
 * the package for every code point (tools/reference/unicode_differences.py).
 */
#include "text/kinds/unicode.h"

#include <utf8proc.h>

/* What a listed code point is, whatever newer tables say. */
enum {
    P = 1, /* plain: neither mark, punctuation nor control; it has no decomposition */
    S = 2, /* a starter: marks are not ordered across it */
    Q = 4, /* punctuation */
    M = 8  /* a mark */
};

static const struct {
    uint32_t first, last;
    uint8_t flags;
} differences[] = {
    {0x61D, 0x61D, P},         {0x7FD, 0x7FD, P | S},     {0x890, 0x891, P},
    {0x898, 0x89F, P | S},     {0x8CA, 0x8D3, P | S},     {0x8D4, 0x8E2, P},
    {0x9FD, 0x9FD, P},         {0x9FE, 0x9FE, P | S},     {0xA76, 0xA76, P},
    {0xAFA, 0xAFF, P},         {0xB55, 0xB55, P},         {0xC04, 0xC04, P},
    {0xC3C, 0xC3C, P | S},     {0xC77, 0xC77, P},         {0xC84, 0xC84, P},
    {0xD00, 0xD00, P},         {0xD3B, 0xD3C, P | S},     {0xD81, 0xD81, P},
    {0xEBA, 0xEBA, P | S},     {0xECE, 0xECE, P},         {0x166D, 0x166D, Q},
    {0x1715, 0x1715, S},       {0x1734, 0x1734, M},       {0x180F, 0x180F, P},
    {0x1885, 0x1886, P},       {0x1ABF, 0x1ACE, P | S},   {0x1B7D, 0x1B7E, P},
    {0x1DF6, 0x1DFA, P | S},   {0x1DFB, 0x1DFB, P},       {0x2E43, 0x2E4F, P},
    {0x2E52, 0x2E5D, P},       {0xA82C, 0xA82C, P | S},   {0xA8C5, 0xA8C5, P},
    {0xA8FF, 0xA8FF, P},       {0xA9BD, 0xA9BD, P},       {0x10D24, 0x10D27, P | S},
    {0x10EAB, 0x10EAC, P | S}, {0x10EAD, 0x10EAD, P},     {0x10EFD, 0x10EFF, P | S},
    {0x10F46, 0x10F50, P | S}, {0x10F55, 0x10F59, P},     {0x10F82, 0x10F85, P | S},
    {0x10F86, 0x10F89, P},     {0x11070, 0x11070, P | S}, {0x11073, 0x11074, P},
    {0x110C2, 0x110C2, P},     {0x110CD, 0x110CD, P},     {0x111C9, 0x111C9, P | Q},
    {0x111CF, 0x111CF, P},     {0x1123E, 0x1123E, P},     {0x11241, 0x11241, P},
    {0x1133B, 0x1133B, P | S}, {0x11438, 0x1143F, P},     {0x11442, 0x11444, P},
    {0x11446, 0x11446, P},     {0x1144B, 0x1144F, P},     {0x1145A, 0x1145B, P},
    {0x1145D, 0x1145D, P},     {0x1145E, 0x1145E, P | S}, {0x11660, 0x1166C, P},
    {0x116B9, 0x116B9, P},     {0x1182F, 0x11837, P},     {0x11839, 0x1183A, P | S},
    {0x1183B, 0x1183B, P},     {0x11938, 0x11938, P},     {0x1193B, 0x1193C, P},
    {0x1193D, 0x1193D, S},     {0x1193E, 0x1193E, P | S}, {0x11943, 0x11943, P | S},
    {0x11944, 0x11946, P},     {0x119D4, 0x119D7, P},     {0x119DA, 0x119DB, P},
    {0x119E0, 0x119E0, P | S}, {0x119E2, 0x119E2, P},     {0x11A01, 0x11A0A, P},
    {0x11A33, 0x11A33, P},     {0x11A34, 0x11A34, P | S}, {0x11A35, 0x11A38, P},
    {0x11A3B, 0x11A46, P},     {0x11A47, 0x11A47, P | S}, {0x11A51, 0x11A56, P},
    {0x11A59, 0x11A5B, P},     {0x11A8A, 0x11A96, P},     {0x11A98, 0x11A98, P},
    {0x11A99, 0x11A99, P | S}, {0x11A9A, 0x11A9C, P},     {0x11A9E, 0x11AA2, P},
    {0x11B00, 0x11B09, P},     {0x11C30, 0x11C36, P},     {0x11C38, 0x11C3D, P},
    {0x11C3F, 0x11C3F, P},     {0x11C41, 0x11C45, P},     {0x11C70, 0x11C71, P},
    {0x11C92, 0x11CA7, P},     {0x11CAA, 0x11CB0, P},     {0x11CB2, 0x11CB3, P},
    {0x11CB5, 0x11CB6, P},     {0x11D31, 0x11D36, P},     {0x11D3A, 0x11D3A, P},
    {0x11D3C, 0x11D3D, P},     {0x11D3F, 0x11D41, P},     {0x11D42, 0x11D42, P | S},
    {0x11D43, 0x11D43, P},     {0x11D44, 0x11D45, P | S}, {0x11D47, 0x11D47, P},
    {0x11D90, 0x11D91, P},     {0x11D95, 0x11D95, P},     {0x11D97, 0x11D97, P | S},
    {0x11EF3, 0x11EF4, P},     {0x11EF7, 0x11EF8, P},     {0x11F00, 0x11F01, P},
    {0x11F36, 0x11F3A, P},     {0x11F40, 0x11F40, P},     {0x11F41, 0x11F41, S},
    {0x11F42, 0x11F42, P | S}, {0x11F43, 0x11F4F, P},     {0x11FFF, 0x11FFF, P},
    {0x12FF1, 0x12FF2, P},     {0x13430, 0x13440, P},     {0x13447, 0x13455, P},
    {0x16E97, 0x16E9A, P},     {0x16F4F, 0x16F4F, P},     {0x16FE2, 0x16FE2, P},
    {0x16FE4, 0x16FE4, P},     {0x16FF0, 0x16FF1, S},     {0x1CF00, 0x1CF2D, P},
    {0x1CF30, 0x1CF46, P},     {0x1E000, 0x1E006, P},     {0x1E008, 0x1E018, P},
    {0x1E01B, 0x1E021, P},     {0x1E023, 0x1E024, P},     {0x1E026, 0x1E02A, P},
    {0x1E08F, 0x1E08F, P | S}, {0x1E130, 0x1E136, P | S}, {0x1E2AE, 0x1E2AE, P | S},
    {0x1E2EC, 0x1E2EF, P | S}, {0x1E4EC, 0x1E4EF, P | S}, {0x1E944, 0x1E94A, P},
    {0x1E95E, 0x1E95F, P},
};

static int difference(uint32_t code) {
    size_t low = 0, high = sizeof differences / sizeof differences[0];
    if (code < differences[0].first || code > differences[high - 1].last) return 0;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (code > differences[middle].last)
            low = middle + 1;
        else if (code < differences[middle].first)
            high = middle;
        else
            return differences[middle].flags;
    }
    return 0;
}

bool wr_unicode_differs(uint32_t code) { return difference(code) != 0; }

static bool is_white(uint32_t code) {
    return code == ' ' || code == '\t' || code == '\n' || code == '\r' || code == 0xA0 ||
           code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
           code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

/* The blocks that BERT spaces out, as the reference has them. */
static bool is_ideograph(uint32_t code) {
    return (code >= 0x4E00 && code <= 0x9FFF) || (code >= 0x3400 && code <= 0x4DBF) ||
           (code >= 0x20000 && code <= 0x2A6DF) || (code >= 0x2A700 && code <= 0x2B81F) ||
           (code >= 0x2B920 && code <= 0x2CEAF) || (code >= 0xF900 && code <= 0xFAFF) ||
           (code >= 0x2F800 && code <= 0x2FA1F);
}

static wr_character ascii_class(uint32_t code) {
    if (is_white(code)) return WR_CHARACTER_WHITE;
    if (code < ' ' || code == 0x7F) return WR_CHARACTER_REMOVED;
    bool digit = code >= '0' && code <= '9';
    bool letter = (code | 0x20) >= 'a' && (code | 0x20) <= 'z';
    return digit || letter ? WR_CHARACTER_PLAIN : WR_CHARACTER_PUNCTUATION;
}

wr_character wr_unicode_class(uint32_t code) {
    if (code < 0x80) return ascii_class(code);
    if (is_white(code)) return WR_CHARACTER_WHITE;
    if (is_ideograph(code)) return WR_CHARACTER_IDEOGRAPH;
    int flags = difference(code);
    if (flags & Q) return WR_CHARACTER_PUNCTUATION;
    if (flags & M) return WR_CHARACTER_MARK;
    if (flags & P) return WR_CHARACTER_PLAIN;
    if (code == 0xFFFD) return WR_CHARACTER_REMOVED;
    switch (utf8proc_category((utf8proc_int32_t)code)) {
    case UTF8PROC_CATEGORY_MN:
        return WR_CHARACTER_MARK;
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CO:
        return WR_CHARACTER_REMOVED;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
        return WR_CHARACTER_PUNCTUATION;
    default:
        return WR_CHARACTER_PLAIN;
    }
}

int wr_unicode_order(uint32_t code) {
    if (code < 0x300 || (difference(code) & S)) return 0;
    return (int)utf8proc_get_property((utf8proc_int32_t)code)->combining_class;
}

uint32_t wr_unicode_lower(uint32_t code) {
    if (code < 0x80) return code >= 'A' && code <= 'Z' ? code + 0x20 : code;
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
}

int wr_unicode_decompose(uint32_t code, uint32_t out[WR_DECOMPOSED]) {
    utf8proc_int32_t parts[WR_DECOMPOSED];
    out[0] = code;
    if (code < 0xC0 || (difference(code) & P)) return 1;
    int boundary = 0;
    utf8proc_ssize_t count = utf8proc_decompose_char((utf8proc_int32_t)code, parts, WR_DECOMPOSED,
                                                     UTF8PROC_DECOMPOSE, &boundary);
    if (count < 1 || count > WR_DECOMPOSED) return 1;
    for (utf8proc_ssize_t i = 0; i < count; i++) out[i] = (uint32_t)parts[i];
    return (int)count;
}
