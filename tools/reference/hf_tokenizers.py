"""Tokenizers as Hugging Face keeps them, converted by weir: the same tokens?

    python hf_tokenizers.py make tests/golden/hf_tokenizers TEXT...        a few small folders, and hf_tokenizers.json
    python hf_tokenizers.py compare build/weir build/tests/tokenize_batch TEXT...  every kind, thousands of strings

Each folder holds a model of one layer, 8 wide, and a tokenizer that `tokenizers` or `sentencepiece` trained on the
texts: tokenizer.json, or tokenizer.model, with tokenizer_config.json and a chat template. `make` writes what a text
becomes, with and without the tokens that the tokenizer adds; `compare` converts every kind and compares.
"""
import argparse
import io
import json
import random
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import sentencepiece
import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tokenizer_vocabularies import BYTE_LEVEL, charsmap_of, small_rules

TEXTS = ["The mill stood by the weir, and the water's level never changed.", "  two  spaces\n\n\tand a tab ",
         "Ünïcödé 漢字 😀 ﬁn 12345 it'S <s> [CLS] <|im_end|>", "", "a", "UPPER lower 3.14159!?"]
KINDS = ["byte-level", "fallback", "sentencepiece", "unigram", "wordpiece"]  # committed
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def save_model(folder, size):
    torch.manual_seed(1)
    draw = lambda *shape: (torch.randn(shape) / 3).to(torch.bfloat16)
    layer = "model.layers.0."
    names = {"model.embed_tokens.weight": (size, 8), "model.norm.weight": (8,), layer + "input_layernorm.weight": (8,),
             layer + "post_attention_layernorm.weight": (8,), layer + "mlp.gate_proj.weight": (8, 8),
             layer + "mlp.up_proj.weight": (8, 8), layer + "mlp.down_proj.weight": (8, 8)}
    names |= {layer + f"self_attn.{x}_proj.weight": (8, 8) for x in "qkvo"}
    save_file({name: draw(*shape) for name, shape in names.items()}, folder / "model.safetensors")
    (folder / "model.safetensors").chmod(0o644)
    config = dict(architectures=["LlamaForCausalLM"], hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                  num_attention_heads=1, max_position_embeddings=64, rms_norm_eps=1e-5, vocab_size=size,
                  tie_word_embeddings=True, hidden_act="silu")
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def finish(tokenizer, folder, config, first=None, padded=4):
    """Write it, with a template that adds `first`; returns encode(text, special)."""
    if first is not None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{first} $A", special_tokens=[(first, tokenizer.token_to_id(first))])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": TEMPLATE}, indent=2) + "\n")
    save_model(folder, tokenizer.get_vocab_size() + padded)
    bare, around = plain(tokenizer), tokenizer.encode("").ids
    return bare, lambda text: around[:1] + bare(text) + around[1:]


def plain(tokenizer):
    """The special tokens are text like any other: weir never parses them unless asked."""
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = []
    data["post_processor"] = None
    bare = Tokenizer.from_str(json.dumps(data))
    return lambda text: bare.encode(text, add_special_tokens=False).ids


def byte_level(name):
    def make(folder, texts, size):
        steps, whole = BYTE_LEVEL[name]
        tokenizer = Tokenizer(models.BPE(ignore_merges=whole))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0]
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
            vocab_size=size, special_tokens=["<|begin|>", "<|end|>"], show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
        tokenizer.add_special_tokens(["<|im_end|>"])
        return finish(tokenizer, folder, {"bos_token": "<|begin|>", "eos_token": {"content": "<|end|>"}},
                      "<|begin|>" if whole else None)

    return make


def trained(kind, texts, size, **options):
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=out, model_type=kind, vocab_size=size, hard_vocab_limit=False,
        minloglevel=2, num_threads=1, character_coverage=0.9995, **options)
    return out.getvalue()


def sentence_piece(kind, **options):
    def make(folder, texts, size):
        data = trained(kind, texts, size, **options)
        processor = sentencepiece.SentencePieceProcessor(model_proto=data)
        (folder / "tokenizer.model").write_bytes(data)
        (folder / "tokenizer_config.json").write_text(json.dumps(
            {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": True,
             "model_max_length": 10 ** 30, "chat_template": TEMPLATE}, indent=2) + "\n")
        save_model(folder, processor.get_piece_size() + 3)
        return processor.encode, lambda text: [processor.bos_id()] + processor.encode(text)

    return make


def fallback(folder, texts, size):
    """BPE over whole words with bytes to fall back on, as the fast Llama 2 tokenizer has it: scores become merges."""
    data = trained("bpe", texts, size, byte_fallback=True, normalization_rule_name="identity",
                   remove_extra_whitespaces=False)
    processor = sentencepiece.SentencePieceProcessor(model_proto=data)
    pieces = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    normal = [i for i in range(len(pieces)) if not (processor.is_control(i) or processor.is_unknown(i) or processor.is_byte(i))]
    merges = sorted((-processor.get_score(i), vocab[pieces[i][:cut]], vocab[pieces[i][cut:]], pieces[i][:cut], pieces[i][cut:])
                    for i in normal for cut in range(1, len(pieces[i]))
                    if pieces[i][:cut] in vocab and pieces[i][cut:] in vocab)
    tokenizer = Tokenizer(models.BPE(vocab, [(a, b) for *_, a, b in merges], unk_token="<unk>", fuse_unk=True,
                                     byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    made = finish(tokenizer, folder, {"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": True}, "<s>", 0)
    return made


def unigram(folder, texts, size):
    with tempfile.TemporaryDirectory() as rules:
        data = trained("unigram", texts, size, normalization_rule_tsv=small_rules(Path(rules) / "rules.tsv"))
    processor = sentencepiece.SentencePieceProcessor(model_proto=data)
    pieces = [(processor.id_to_piece(i), processor.get_score(i)) for i in range(processor.get_piece_size())]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=processor.unk_id()))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Precompiled(charsmap_of(data)), normalizers.Strip(),
                                                 normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="always")
    tokenizer.add_special_tokens(["<s>", "</s>"])
    _, special = finish(tokenizer, folder, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}, None, 0)
    return processor.encode, processor.encode


def word_piece(uncased):
    def make(folder, texts, size):
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=uncased)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(
            vocab_size=size, special_tokens=special, show_progress=False, limit_alphabet=200))
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
        named = {name.lower().strip("[]") + "_token": name for name in special}
        return finish(tokenizer, folder, named, None, 0)

    return make


MAKERS = {f"byte-level-{name}": byte_level(name) for name in BYTE_LEVEL if name not in ("default", "viking", "deepseek-llm",
                                                                                      "bailingmoe", "seed-coder")}
MAKERS |= {
    "byte-level": byte_level("llama-bpe"), "fallback": fallback, "unigram": unigram, "wordpiece": word_piece(True),
    "wordpiece-cased": word_piece(False),
    "sentencepiece": sentence_piece("bpe", byte_fallback=True, normalization_rule_name="identity",
                                    remove_extra_whitespaces=False),
    "sentencepiece-unigram": sentence_piece("unigram", normalization_rule_name="nmt_nfkc"),
}


def strings(count, seed):
    random.seed(seed)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFXYZ     ....,,,'\"-!?0123456789\n\täéßñ漢字かな한국😀…"
    words = ["the", "weir", "mill", "water", "it's", "WE'LL", "123456", "\n\n", "  ", "level", "running"]
    for _ in range(count):
        parts = [random.choice(words) if random.random() < 0.4 else
                 "".join(random.choice(letters) for _ in range(random.randint(1, 8))) for _ in range(random.randint(1, 9))]
        yield random.choice(["", " "]).join(parts)


def convert(weir, folder, out):
    done = subprocess.run([weir, "convert", folder, "--out", out], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())


def tokens(batch, model, texts):
    data = b"".join(struct.pack("<I", len(t.encode())) + t.encode() for t in texts)
    out = subprocess.run([batch, model], input=data, capture_output=True, check=True).stdout
    return [list(map(int, line.split())) for line in out.decode().split("\n")[:len(texts)]]


def compare(weir, batch, texts, count=4000):
    good = True
    corpus = [line for path in texts for line in Path(path).read_text().splitlines() if line.strip()][:4000]
    with tempfile.TemporaryDirectory() as name:
        for kind, make in MAKERS.items():
            folder = Path(name) / kind
            folder.mkdir()
            encode, _ = make(folder, corpus, 700)
            try:
                convert(weir, folder, Path(name) / "m.gguf")
                sample = list(strings(count, kind))
                ours = tokens(batch, Path(name) / "m.gguf", sample)
                wrong = [t for t, mine in zip(sample, ours) if mine != encode(t)]
                print(f"{kind}: {len(wrong)} of {count} differ" + (f", such as {wrong[0]!r}" if wrong else ""))
                good = good and not wrong
            except RuntimeError as error:
                print(f"{kind}: {error}")
                good = False
    return good


def make(folder, texts):
    corpus = [line for path in texts for line in Path(path).read_text().splitlines() if line.strip()][:4000]
    known = {}
    for kind in KINDS:
        target = folder / kind
        target.mkdir(parents=True, exist_ok=True)
        encode, special = MAKERS[kind](target, corpus, 400)
        known[kind] = [{"text": t, "tokens": encode(t), "with_special": special(t)} for t in TEXTS]
    lines = ",\n".join(f'"{kind}": {json.dumps(cases)}' for kind, cases in known.items())
    folder.with_suffix(".json").write_text("{\n" + lines + "\n}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "compare"])
    parser.add_argument("arguments", nargs="+")
    given = parser.parse_args()
    if given.what == "make":
        make(Path(given.arguments[0]), given.arguments[1:])
    else:
        sys.exit(not compare(*given.arguments[:2], given.arguments[2:]))


if __name__ == "__main__":
    main()
