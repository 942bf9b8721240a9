"""Small vocabularies of every kind, trained by the packages that are the reference, as GGUF.

    tokenizer_vocabularies.VOCABULARIES   name -> function(texts, size) -> (keys, encode)

`keys` is the metadata of a GGUF that holds only a vocabulary, `encode` the reference's own way from
a string to token ids, without the tokens that a model adds.
"""

import io
import json
import struct
import unicodedata

import sentencepiece
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

# ---- GGUF ------------------------------------------------------------------------------------------


def packed(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def value(item):
    """The type and the bytes of a key's value."""
    if isinstance(item, bool):
        return 7, struct.pack("<?", item)
    if isinstance(item, int):
        return 4, struct.pack("<I", item)
    if isinstance(item, str):
        return 8, packed(item)
    if isinstance(item, bytes):
        return 9, struct.pack("<IQ", 0, len(item)) + item
    first = item[0] if item else 0
    if isinstance(first, str):
        return 9, struct.pack("<IQ", 8, len(item)) + b"".join(map(packed, item))
    if isinstance(first, float):
        return 9, struct.pack("<IQ", 6, len(item)) + struct.pack(f"<{len(item)}f", *item)
    return 9, struct.pack("<IQ", 5, len(item)) + struct.pack(f"<{len(item)}i", *item)


def write_gguf(path, keys):
    keys = {"general.architecture": "llama", **keys}
    out = [b"GGUF", struct.pack("<IQQ", 3, 0, len(keys))]
    for key, item in keys.items():
        kind, data = value(item)
        out += [packed(key), struct.pack("<I", kind), data]
    path.write_bytes(b"".join(out))


# ---- byte-level BPE ----------------------------------------------------------------------------------

SPACES = r"|\s+(?!\S)|\s+"
CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
GPT_2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+" + SPACES
LLAMA_3 = (CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
           r"|\s*[\r\n]+" + SPACES)
QWEN_2 = LLAMA_3.replace(r"\p{N}{1,3}", r"\p{N}")
HIGH, LOW = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
CASED = r"[^\r\n\p{L}\p{N}]?" + HIGH + "*" + LOW + "+%s|[^\\r\\n\\p{L}\\p{N}]?" + HIGH + "+" + LOW + "*%s"
ENDS = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+" + SPACES
GPT_4O = CASED % (CONTRACTION + "?", CONTRACTION + "?") + r"|\p{N}{1,3}" + ENDS
TEKKEN = CASED % ("", "") + r"|\p{N}" + ENDS
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
DEEPSEEK_3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
              r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+" + SPACES)
BAILING = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]" + SPACES)
SEED = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+" + SPACES
CASED_LETTERS = (
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝ"
    "\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec"
    "\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d"
    "\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184Ⰰ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ"
    "𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃")


def split(*patterns):
    return [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns]


def digits(individual):
    return [pre_tokenizers.Digits(individual_digits=individual)]


def gpt_2(prefix=False):
    return [pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=True)]


def bytes_only():
    return [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]


def punctuation():
    return [pre_tokenizers.Punctuation("contiguous")]


# name in the file, steps of the original, whole pieces before merges
BYTE_LEVEL = {
    "gpt-2": (gpt_2(), False),
    "starcoder": (digits(True) + gpt_2(), False),
    "falcon": (punctuation() + gpt_2() + split("[0-9][0-9][0-9]"), False),
    "llama-bpe": (split(LLAMA_3) + bytes_only(), True),
    "dbrx": (split(LLAMA_3) + bytes_only(), False),
    "qwen2": (split(QWEN_2) + bytes_only(), False),
    "gpt-4o": (split(GPT_4O) + bytes_only(), True),
    "tekken": (split(TEKKEN) + bytes_only(), True),
    "bloom": (split(BLOOM) + bytes_only(), False),
    "viking": (split(BLOOM) + digits(True) + bytes_only(), False),
    "deepseek-llm": (split(r"[\r\n]", r"\s?[" + CASED_LETTERS + "]+",
                           r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", "[一-龥ࠀ-一가-퟿]+")
                     + digits(False) + bytes_only(), False),
    "deepseek-coder": (split(r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+")
                       + digits(True) + bytes_only(), False),
    "deepseek-v3": (split(r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK_3) + bytes_only(), False),
    "bailingmoe": (split(BAILING) + bytes_only(), False),
    "seed-coder": (split(SEED) + bytes_only(), False),
    # As GGUF defines it for files that name none: falcon's of before, with digits apart.
    "default": (split(r"[\p{P}\$\+<=>\^~\|]+", GPT_2, r"\p{N}+", "[0-9][0-9][0-9]") + bytes_only(), False),
}


def byte_level(name, prefix=False, whole_alphabet=True):
    def make(texts, size):
        steps, ignores = BYTE_LEVEL[name]
        if prefix:
            steps = gpt_2(True)
        tokenizer = Tokenizer(models.BPE(ignore_merges=ignores))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
        alphabet = pre_tokenizers.ByteLevel.alphabet() if whole_alphabet else []
        tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
            vocab_size=size, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False))
        model = json.loads(tokenizer.to_str())["model"]
        tokens = sorted(model["vocab"], key=model["vocab"].get)
        merges = [" ".join(m) if isinstance(m, list) else m for m in model["merges"]]
        keys = {
            "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": name, "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": [CONTROL] + [NORMAL] * (len(tokens) - 1),
            "tokenizer.ggml.merges": merges, "tokenizer.ggml.add_bos_token": False,
        }
        if prefix:
            keys["tokenizer.ggml.add_space_prefix"] = True
        # The special token is text like any other: weir never parses it unless asked.
        model_only = json.loads(tokenizer.to_str())
        model_only["added_tokens"] = []
        plain = Tokenizer.from_str(json.dumps(model_only))
        return keys, lambda text: plain.encode(text, add_special_tokens=False).ids

    return make


# ---- SentencePiece -----------------------------------------------------------------------------------


def sentence_piece(kind, model, coverage=0.9995, **options):
    def make(texts, size):
        out = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts), model_writer=out, model_type=kind, vocab_size=size,
            character_coverage=coverage, hard_vocab_limit=False, minloglevel=2, num_threads=1, **options)
        processor = sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())
        count = processor.get_piece_size()
        types = []
        for i in range(count):
            types.append(UNKNOWN if processor.is_unknown(i) else CONTROL if processor.is_control(i)
                         else BYTE if processor.is_byte(i) else UNUSED if processor.is_unused(i) else NORMAL)
        keys = {
            "tokenizer.ggml.model": model,
            "tokenizer.ggml.tokens": [processor.id_to_piece(i) for i in range(count)],
            "tokenizer.ggml.scores": [float(processor.get_score(i)) for i in range(count)],
            "tokenizer.ggml.token_type": types,
            "tokenizer.ggml.unknown_token_id": processor.unk_id(),
            "tokenizer.ggml.add_space_prefix": options.get("add_dummy_prefix", True),
            "tokenizer.ggml.remove_extra_whitespaces": options.get("remove_extra_whitespaces", True),
        }
        charsmap = charsmap_of(out.getvalue())
        if charsmap:
            keys["tokenizer.ggml.precompiled_charsmap"] = charsmap
        return keys, processor.encode

    return make


def fields(data):
    """The length-delimited fields of a protocol buffer: number -> bytes."""
    at, found = 0, {}

    def varint():
        nonlocal at
        result = shift = 0
        while True:
            byte = data[at]
            at += 1
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return result

    while at < len(data):
        tag = varint()
        if tag & 7 == 2:
            size = varint()
            found[tag >> 3] = data[at:at + size]
            at += size
        elif tag & 7 == 0:
            varint()
        else:
            at += 4 if tag & 7 == 5 else 8
    return found


def charsmap_of(proto):
    """model.normalizer_spec.precompiled_charsmap"""
    return fields(fields(proto).get(3, b"")).get(2, b"")


# ---- WordPiece ---------------------------------------------------------------------------------------


def word_piece(uncased):
    def make(texts, size):
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=uncased)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(
            vocab_size=size, special_tokens=special, show_progress=False, limit_alphabet=400))
        model = json.loads(tokenizer.to_str())
        vocab = model["model"]["vocab"]
        tokens = sorted(vocab, key=vocab.get)
        written = [t if t in special else t[2:] if t.startswith("##") else "▁" + t for t in tokens]
        keys = {
            "tokenizer.ggml.model": "bert", "tokenizer.ggml.tokens": written,
            "tokenizer.ggml.token_type": [CONTROL if t in special else NORMAL for t in tokens],
            "tokenizer.ggml.unknown_token_id": 1, "tokenizer.ggml.cls_token_id": 2,
            "tokenizer.ggml.seperator_token_id": 3,
        }
        model["added_tokens"] = []
        plain = Tokenizer.from_str(json.dumps(model))
        return keys, lambda text: plain.encode(text, add_special_tokens=False).ids

    return make


def small_rules(path):
    """Some normalisation rules, few enough to commit: compatibility forms of a few blocks."""
    lines = []
    for code in [*range(0xA0, 0x180), *range(0x2000, 0x2070), *range(0xFB00, 0xFB07), *range(0xFF00, 0xFF70),
                 0xFDFA, 0x3000]:
        text = chr(code)
        becomes = unicodedata.normalize("NFKC", text)
        if becomes != text:
            lines.append(f"{code:X}\t{' '.join(f'{ord(c):X}' for c in becomes)}")
    for code in range(0xC0, 0x180):  # compose
        parts = unicodedata.normalize("NFD", chr(code))
        if len(parts) > 1:
            lines.append(f"{' '.join(f'{ord(c):X}' for c in parts)}\t{code:X}")
    lines += ["9\t20", "A\t20", "D\t20", "AD\t"]  # white space, and one that vanishes
    path.write_text("\n".join(lines) + "\n")
    return str(path)


VOCABULARIES = {name: byte_level(name) for name in BYTE_LEVEL}
VOCABULARIES |= {
    "gpt-2-prefix": byte_level("gpt-2", prefix=True),
    "bpe-fallback": sentence_piece("bpe", "llama", byte_fallback=True, normalization_rule_name="identity",
                                   remove_extra_whitespaces=False),
    "bpe-no-prefix": sentence_piece("bpe", "llama", byte_fallback=True, normalization_rule_name="identity",
                                    remove_extra_whitespaces=False, add_dummy_prefix=False),
    "unigram-nfkc": sentence_piece("unigram", "t5", normalization_rule_name="nmt_nfkc"),
    "unigram-fallback": sentence_piece("unigram", "t5", normalization_rule_name="nmt_nfkc_cf", byte_fallback=True),
    "unigram-identity": sentence_piece("unigram", "t5", normalization_rule_name="identity",
                                       remove_extra_whitespaces=False),
    "unigram-no-prefix": sentence_piece("unigram", "t5", normalization_rule_name="nfkc", add_dummy_prefix=False),
    "wordpiece-uncased": word_piece(True),
    "wordpiece-cased": word_piece(False),
}
