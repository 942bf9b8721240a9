"""Compare weir's tokenizers with the packages that are the reference, on random texts.

    compare_tokenizers.py TOKENIZE_BATCH FOLDER TEXT... [--strings N] [--seed N] [--only NAME[,NAME]]

Trains a vocabulary of every kind (tokenizer_vocabularies.py) on TEXT and on random words of other
scripts, writes it to FOLDER as GGUF, and compares the tokens of N random strings (100,000) with those
of build/tests/tokenize_batch, which also feeds every string in pieces. Says each difference, and
exits 1 when there is any.
"""

import argparse
import random
import struct
import subprocess
import sys
import unicodedata
from importlib.metadata import version
from pathlib import Path

from tokenizer_vocabularies import VOCABULARIES, write_gguf

assert unicodedata.unidata_version == "14.0.0", "Python 3.11: what is assigned in Unicode 14"
ASSIGNED = [c for c in range(0x110000)
            if not 0xD800 <= c < 0xE000 and unicodedata.category(chr(c)) != "Cn"]
PLANES = [[c for c in ASSIGNED if c >> 16 == plane] for plane in range(17)]
PLANES = [p for p in PLANES if p]
SCRIPTS = [range(0x391, 0x3C9), range(0x410, 0x450), range(0x5D0, 0x5EB), range(0x621, 0x64B), range(0x905, 0x93A),
           range(0xE01, 0xE2F), range(0x3041, 0x3097), range(0x4E00, 0x4E80), range(0xAC00, 0xAC80),
           range(0x10400, 0x10450), range(0x1F600, 0x1F640), range(0x1E900, 0x1E944), range(0x300, 0x340)]
WHITE = "          \t\n\r\x0b\x0c\x85\xa0\u1680\u2000\u2003\u2028\u2029\u202f\u205f\u3000\u180e\u200b\ufeff▁"
BITS = ["'s", "'S", "'ll", "'LL", "'ſ", "’s", "'re", "123", "1234567", "٣٤", "½", "...", "!?", "(", ")", "[UNK]", "##",
        "<s>", "</s>", "<unk>", "<0x41>", "<|end|>", "http://", "//\n", "\r\n", "\n\n", "  ", "   \n  ", "\t\t", "e\u0301",
        "\u0301\u0316", "👩‍👩‍👧", "🇬🇧", "ﬃ", "Ａｂ", "İ", "ß", "Σς", "ǅ", "한글", "漢字", "\u2f81a", "\ufdfa", "\x00",
        "\x01", "\x7f", "\ufffd", "\U000e0041", "\U0010fffd", "a\u0335\u0301", "≮", "\u037e", "x" * 12, "aaaaaaa"]


def random_string(dice, words):
    out = []
    style = dice.randrange(6)
    for _ in range(dice.choice((1, 3, 8, 20, 60))):
        kind = dice.randrange(8) if style == 0 else dice.choice(((0, 1, 7), (2, 3, 6), (4, 5, 1), (0, 0, 1), (2, 4, 7))[style - 1])
        if kind == 0:
            out.append(dice.choice(words))
        elif kind == 1:
            out.append(dice.choice(WHITE))
        elif kind == 2:
            out.append(chr(dice.choice(dice.choice(PLANES))))
        elif kind == 3:
            out.append(chr(dice.choice(ASSIGNED)))
        elif kind == 4:
            script = dice.choice(SCRIPTS)
            out.append("".join(chr(dice.choice(script)) for _ in range(dice.randrange(1, 6))))
        elif kind == 5:
            out.append(chr(dice.randrange(0x100)))
        elif kind == 6:
            out.append(chr(dice.randrange(0x20, 0x7F)))
        else:
            out.append(dice.choice(BITS))
    return "".join(out)


def training_texts(texts, dice, count=200):
    """The texts' lines, and made-up words of other scripts, often enough that pieces come of them."""
    lines = [line for text in texts for line in text.splitlines() if line.strip()]
    for script in SCRIPTS:
        made = ["".join(chr(dice.choice(script)) for _ in range(dice.randrange(1, 7))) for _ in range(60)]
        lines += [" ".join(dice.choice(made) for _ in range(8)) for _ in range(count)]
    lines += [" ".join(str(dice.randrange(10 ** dice.randrange(1, 6))) for _ in range(8)) for _ in range(count)]
    lines += ["".join(dice.choice(BITS) for _ in range(8)).replace("\x00", "") for _ in range(count)]
    dice.shuffle(lines)
    return lines


def batch(program, path, strings):
    data = b"".join(struct.pack("<I", len(s)) + s for s in (t.encode() for t in strings))
    done = subprocess.run([program, path], input=data, stdout=subprocess.PIPE, check=False)
    lines = done.stdout.decode().split("\n")[:-1]
    if done.returncode != 0 or len(lines) != len(strings):
        sys.exit(f"{path}: {program} stopped after {len(lines)} strings")
    return [[int(t) for t in line.split()] for line in lines]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folder", type=Path)
    parser.add_argument("texts", nargs="+", type=Path)
    parser.add_argument("--strings", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=3000)
    parser.add_argument("--only")
    a = parser.parse_args()
    dice = random.Random(a.seed)
    texts = [p.read_text()[:1_000_000] for p in a.texts]
    lines = training_texts(texts, dice)
    words = [w for text in texts for w in text[:200_000].split(" ")]
    strings = [random_string(dice, words) for _ in range(a.strings)]
    print(f"tokenizers {version('tokenizers')}, sentencepiece {version('sentencepiece')}, {a.strings} strings, "
          f"{sum(map(len, strings))} characters", flush=True)
    wrong = 0
    a.folder.mkdir(parents=True, exist_ok=True)
    for name in a.only.split(",") if a.only else VOCABULARIES:
        keys, encode = VOCABULARIES[name](lines, a.size)
        path = a.folder / f"{name}.gguf"
        write_gguf(path, keys)
        have = batch(a.program, path, strings)
        want = [encode(s) for s in strings]
        different = [i for i in range(len(strings)) if have[i] != want[i]]
        pieces = len(keys["tokenizer.ggml.tokens"])
        print(f"{name}: {pieces} pieces, {sum(map(len, want))} tokens, {len(different)} strings differ", flush=True)
        for i in different[:5]:
            print(f"  {ascii(strings[i])[:400]}\n    want {want[i][:60]}\n    have {have[i][:60]}")
        wrong += len(different)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
