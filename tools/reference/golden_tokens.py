"""Golden tokens of the shipped model's vocabulary, by SentencePiece itself: it is given the pieces, scores
and kinds that stand in the GGUF file.

    golden_tokens.py MODEL.gguf TEXT TOKENS.json TOKENIZE.json

TOKENS.json gets BOS and the first tokens of TEXT, 700 in all; TOKENIZE.json a list of
{"text": ..., "tokens": [...]} without BOS, for strings that are easy to get wrong.
"""

import json
import sys
from pathlib import Path

import gguf
import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2 as proto

COUNT = 700
STRINGS = [
    "", " ", "  ", "   ", "    ", "     ", " " * 8, " " * 17, "\n", "\n\n", "\n\n\n", "\n" * 7, "\r\n",
    "\t", "\t\t x", " \n ", "a", " a", "  a", "a ", "a  ", "a b", "a  b   c    d", "\na", " \na",
    "Once upon a time, there was a little girl named Lily.",
    "Once upon a time, there was a little girl named Lily.\nShe lived by a river.\n\nThe end.",
    "once upon a time", "ONCE UPON A TIME", "OnceUponATime", "unbelievableness",
    '"What is it?" said the mouse.\n\n"A weir," said Tom.\n\n',
    "“What is it?” said the mouse.\n\n“A weir,” said Tom.\n\n", "it's, don't; ‘tis — o’clock",
    "two-legged, well-known--so they say... (or not)!", "_italic_ *bold* #tag @name 50% a/b\\c ~^`|",
    "0", "1234567890", "3.14159", "In 1899 there were 12,345 sheep.", "£5 10s. 6d.", "x" * 40,
    "aaaaaaaaaaaaaaaaaaaaaaaa", "the the the the", "thethethethe", "ababababababababab",
    "café naïve résumé Zoë", "cafe\u0301", "Straße Ærø Łódź İstanbul", "Привет, мир", "Γειά σου Κόσμε",
    "こんにちは世界", "안녕하세요", "مرحبا بالعالم", "שלום עולם", "नमस्ते", "mixed Привет 世界 and عالم words",
    "😀", "a😀b", "👩‍👩‍👧‍👦 family", "🏳️‍🌈🇬🇧", "\u00a0no\u00a0break", "zero\u200bwidth\ufeffmark",
    "\u3000wide\u3000space", "▁", "a▁b", "▁▁ a", "\x01\x02\x1b[0m\x7f", "bell\x07back\x08form\x0c", "\x85next",
    "<s>", "</s>", "<unk>", "<0x0A>", "a<s>b</s>", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "\U0010ffff", "\ue000\ufffd", "ﬁ ﬂ ½ ² ™ Ⅷ",
    "if (x < 1) {\n    return x;\n}\n", "https://example.org/a?b=c&d=e#f", "trailing newline\n",
    "line one\r\nline two\rline three",
]


def load_vocabulary(path):
    """GGUF's kinds of tokens are SentencePiece's, number for number."""
    reader = gguf.GGUFReader(path)
    pieces, scores, kinds = (reader.get_field(f"tokenizer.ggml.{name}").contents()
                             for name in ("tokens", "scores", "token_type"))
    model = proto.ModelProto()
    for piece, score, kind in zip(pieces, scores, kinds):
        model.pieces.add(piece=piece, score=score, type=kind)
    model.trainer_spec.model_type = proto.TrainerSpec.BPE
    model.trainer_spec.byte_fallback = True
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = True
    model.normalizer_spec.remove_extra_whitespaces = False
    return spm.SentencePieceProcessor(model_proto=model.SerializeToString())


def main():
    model, text, tokens_path, tokenize_path = map(Path, sys.argv[1:])
    vocabulary = load_vocabulary(model)
    tokens = [vocabulary.bos_id()] + vocabulary.encode(text.read_bytes().decode("utf-8"))
    tokens_path.write_text(json.dumps(tokens[:COUNT]) + "\n")
    rows = [json.dumps({"text": s, "tokens": vocabulary.encode(s)}) for s in STRINGS]
    tokenize_path.write_text("[\n" + ",\n".join(rows) + "\n]\n")


if __name__ == "__main__":
    main()
