"""Golden vocabularies, trained by SentencePiece itself.

    golden_vocabulary.py PROSE OUT.json

OUT gets a list of {"text": ... or "file": ..., "size", "coverage", "pieces"}: what SentencePiece makes
of PROSE (its name in the repository is kept) and of a text of many scripts that is made here. Where a
text runs out of pairs SentencePiece takes such as stand nowhere any more; the sizes stay below that.
"""

import io
import json
import random
import sys
from pathlib import Path

import sentencepiece as spm

WORDS = (
    "the of and to in a is that it was he for on are with as his they at be this from have or by one",
    "и в не на я быть он с что а по это она этот к но они мы весь который из у свой вы",
    "και το να του η της με που την από για είναι ένα στο μια δεν τον θα οι",
    "في من على أن إلى هذا التي كان مع هو ما لا كل بعد غير",
    "של את על הוא לא זה עם כי היא אם גם יש כל",
    "और के में की है यह एक को से पर था लिए",
    "の に は を た が で て と し れ さ コーヒー サーバー 日本語 世界 東京タワー ありがとう 食べる",
    "的 一 是 不 了 在 人 有 我 他 这 世界 你好 中国",
    "이 그 저 것 수 나 사람 우리 안녕하세요 세계",
    "cafe\u0301 nai\u0308ve e\u0301te\u0301 Straße Ærø Łódź x² ½ ™ 😀 😀😀 ️🏳️‍🌈",
    "0 7 42 1899 12,345 ３１ ４ 2nd B2B",
    "«да» “so” (no) - -- ... ; ! ?! :) a/b x_y #tag @me 50%",
)


def many_scripts(seed=7, words=4000):
    """Lines of words, the first of each list the most frequent; indented now and then."""
    draw, out = random.Random(seed), io.StringIO()
    lists = [line.split() for line in WORDS]
    for _ in range(words):
        some = lists[min(int(draw.expovariate(0.3)), len(lists) - 1)]
        out.write(some[min(int(draw.expovariate(0.2)), len(some) - 1)])
        out.write(draw.choice([" ", " ", " ", " ", "  ", ", ", ".\n", "\n\n", "\n    ", "\t", "", "\r\n"]))
    return out.getvalue().strip("\r\n")


def train(text, size, coverage):
    model = io.BytesIO()
    wanted = "".join(c for c in "\n0123456789" if c in text)
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter([text]), model_writer=model, model_type="bpe", vocab_size=size,
        byte_fallback=True, add_dummy_prefix=True, split_digits=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True, character_coverage=coverage, required_chars=wanted,
        max_sentence_length=10_000_000, unk_id=0, bos_id=1, eos_id=2, pad_id=-1, num_threads=1,
        minloglevel=2)
    vocabulary = spm.SentencePieceProcessor(model_proto=model.getvalue())
    count = vocabulary.get_piece_size()
    assert all(vocabulary.get_score(i) == -max(0, i - 259) for i in range(count))
    return [vocabulary.id_to_piece(i) for i in range(count)]


def main():
    prose, out = sys.argv[1:]
    text, made = Path(prose).read_bytes().decode("utf-8").strip("\r\n"), many_scripts()
    cases = [{"file": "models/prose.txt", "size": size, "coverage": 0.9998,
              "pieces": train(text, size, 0.9998)} for size in (512, 1024)]
    cases += [{"text": made, "size": size, "coverage": coverage,
               "pieces": train(made, size, coverage)}
              for size, coverage in ((640, 1.0), (560, 0.99), (880, 0.995))]
    rows = [json.dumps(case, ensure_ascii=False) for case in cases]
    Path(out).write_text("[\n" + ",\n".join(rows) + "\n]\n", encoding="utf-8", newline="")


if __name__ == "__main__":
    main()
