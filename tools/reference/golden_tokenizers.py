"""Small vocabularies and the reference's tokens of some strings, to be committed.

    golden_tokenizers.py TEXT FOLDER

Trains a vocabulary of each of NAMES on TEXT (models/prose.txt) and on random words of other scripts,
and writes to FOLDER: strings.json, and for each name NAME.gguf and NAME.json, the tokens of each string.
"""

import json
import random
import sys
import tempfile
from pathlib import Path

from compare_tokenizers import random_string, training_texts
from tokenizer_vocabularies import VOCABULARIES, sentence_piece, small_rules, write_gguf

NAMES = ["gpt-2", "gpt-2-prefix", "falcon", "llama-bpe", "qwen2", "gpt-4o", "deepseek-llm", "deepseek-v3", "bpe-fallback",
         "unigram", "unigram-fallback", "wordpiece-uncased", "wordpiece-cased"]
STRINGS = [
    "", " ", "  ", "a", " a", "a ", "\n", " \n ", "\n\n\n", "\t\t x", "Once upon a time, there was a weir.",
    "once  upon   a    time", " don't DON'T I'll we've it'ſ", "1 12 123 1234 12345", "x" * 101, "y" * 100, "İstanbul ΣΊΣΥΦΟΣ",
    "cafe\u0301 café ﬁne Ａｂ½", "漢字かな交じり文。한국어 ไทย", "👩‍👩‍👧‍👦🇬🇧 emoji", "<s></s><unk>[UNK][SEP]<|end|>▁a▁", "\x00\x01\x7f\x85",
    "if (x < 1) {\n\treturn x;\r\n}\n", "https://example.org/a?b=c&d=e#f ...!!!", "\ufdfa \u3000 \u00a0", "▁▁", "trailing \t",
]


def main():
    text_path, folder = map(Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    dice = random.Random(3)
    text = text_path.read_text()
    lines = training_texts([text], dice, 6)
    words = text[:20000].split(" ")
    strings = STRINGS + [s for s in (random_string(dice, words) for _ in range(600)) if len(s) < 40][:180]
    with tempfile.TemporaryDirectory() as scratch:
        rules = small_rules(Path(scratch) / "rules.tsv")
        made = VOCABULARIES | {
            "bpe-fallback": sentence_piece("bpe", "llama", 0.98, byte_fallback=True, normalization_rule_name="identity",
                                           remove_extra_whitespaces=False),
            "unigram": sentence_piece("unigram", "t5", 0.98, normalization_rule_tsv=rules),
            "unigram-fallback": sentence_piece("unigram", "t5", 0.98, normalization_rule_tsv=rules, byte_fallback=True,
                                               remove_extra_whitespaces=False, add_dummy_prefix=False),
        }
        for name in NAMES:
            keys, encode = made[name](lines, 640)
            write_gguf(folder / f"{name}.gguf", keys)
            rows = [json.dumps(encode(s), separators=(",", ":")) for s in strings]
            (folder / f"{name}.json").write_text("[\n" + ",\n".join(rows) + "\n]\n")
    rows = [json.dumps(s) for s in strings]
    (folder / "strings.json").write_text("[\n" + ",\n".join(rows) + "\n]\n")


if __name__ == "__main__":
    main()
