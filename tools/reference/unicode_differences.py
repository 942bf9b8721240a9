"""Where the `tokenizers` package's BERT classes characters otherwise than utf8proc: the table in
src/text/kinds/unicode.c.

    unicode_differences.py CATEGORIES

CATEGORIES has a line for each code point from 0: utf8proc's category and combining class, as numbers.
Prints ranges in C: P plain, S starter, Q punctuation, M mark.
"""

import sys
import unicodedata

from tokenizers import normalizers, pre_tokenizers

MARK, PUNCTUATION, CONTROL = 6, range(12, 19), (26, 27, 29)  # utf8proc_category_t
LOW, HIGH = "\u0334", "\u0345"  # marks of the classes 1 and 240
STRIP = normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)
CLEAN = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False)
WORDS = pre_tokenizers.BertPreTokenizer()
NFD = normalizers.NFD()


def is_ordered(text, order):
    """Whether the package orders this mark among others."""
    down = order == 1 or NFD.normalize_str("a" + text + LOW) == "a" + LOW + text
    up = order >= 240 or NFD.normalize_str("a" + HIGH + text) == "a" + text + HIGH
    return down and up


def flags(code, category, order):
    text, found = chr(code), set()
    dropped = STRIP.normalize_str("a" + text) == "a"
    alone = [word for word, _ in WORDS.pre_tokenize_str("a" + text + "b")] == ["a", text, "b"]
    kept = CLEAN.normalize_str("a" + text + "b") not in ("ab", "a b")
    if category == MARK and not dropped or category in PUNCTUATION and not alone:
        found.add("P")
    if category in CONTROL and kept and text not in "\t\n\r":
        found.add("P")
    if NFD.normalize_str(text) != unicodedata.normalize("NFD", text):
        found.add("P")
    if category != MARK and dropped:
        found.add("M")
    if alone and category not in PUNCTUATION and code >= 0x80:
        found.add("Q")
    if order and NFD.normalize_str(text) == text and not is_ordered(text, order):
        found.add("S")
    return " | ".join(sorted(found))


def main():
    rows = [tuple(map(int, line.split())) for line in open(sys.argv[1], encoding="ascii")]
    ranges = []
    for code, (category, order) in enumerate(rows):
        found = "" if 0xD800 <= code < 0xE000 else flags(code, category, order)
        if found and ranges and ranges[-1][1:] == [code - 1, found]:
            ranges[-1][1] = code
        elif found:
            ranges.append([code, code, found])
    for first, last, found in ranges:
        print(f"{{0x{first:X}, 0x{last:X}, {found}}},")


if __name__ == "__main__":
    main()
