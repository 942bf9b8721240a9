"""The logits of models that `weir train`, `convert` or `make-random` wrote, here and in llama.cpp.

    python against_llama.py build/weir LLAMA_CPP MODEL.gguf...

LLAMA_CPP is a folder of that project with its static libraries in LLAMA_CPP/build. A model must give the same
logits there, to 1e-3 of their size at F32 (where it looks GELU up in a table of half floats, that is what is
left); one of the architecture "weir" must be refused there. In formats whose products round what they read (BF16, Q8_0), here and there not alike, the
difference is only told.
"""
import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from gguf import GGUFReader

LIBRARIES = ["src/libllama.a", "ggml/src/libggml.a", "ggml/src/libggml-cpu.a",
             "ggml/src/libggml-base.a"]
MOST = {0: 1e-3, 1: 2e-3}  # by general.file_type: F32, F16


def build(peer, folder):
    source = Path(__file__).with_name("llama_logits.c")
    includes = [f"-I{peer / 'include'}", f"-I{peer / 'ggml' / 'include'}"]
    subprocess.run(["gcc", "-std=gnu17", "-c", *includes, source, "-o", folder / "main.o"],
                   check=True)
    subprocess.run(["g++", folder / "main.o", *(peer / "build" / name for name in LIBRARIES),
                    "-fopenmp", "-lpthread", "-ldl", "-lm", "-o", folder / "llama_logits"],
                   check=True)
    return folder / "llama_logits"


def value(reader, key, otherwise=None):
    field = reader.get_field(key)
    return otherwise if field is None else field.contents()


def tokens_of(reader):
    """As many as the context holds, at most 256: BOS where the model adds it, then any."""
    size = len(value(reader, "tokenizer.ggml.tokens"))
    context = value(reader, value(reader, "general.architecture") + ".context_length")
    tokens = np.random.default_rng(1).integers(3, size, min(context, 256)).tolist()
    if value(reader, "tokenizer.ggml.add_bos_token", True):
        tokens[0] = value(reader, "tokenizer.ggml.bos_token_id", 1)
    return tokens


def compare(weir, theirs, model, folder):
    reader = GGUFReader(model)
    tokens = tokens_of(reader)
    out = folder / "theirs.f32"
    done = subprocess.run([theirs, model, out, *map(str, tokens)], capture_output=True, text=True)
    if value(reader, "general.architecture") == "weir":
        return (done.returncode == 3, "refused there: " + done.stderr.strip().splitlines()[0]
                if done.returncode == 3 else "not refused there")
    if done.returncode != 0:
        return False, f"llama.cpp fails: {done.stderr}"
    ours = folder / "ours.f32"
    subprocess.run([weir, "logits", model, "--tokens", ",".join(map(str, tokens)), "--policy",
                    "dense", "--cache-type", "f32", "--out", ours], check=True)
    a, b = (np.fromfile(path, dtype="<f4").astype(np.float64).reshape(len(tokens), -1)
            for path in (ours, out))
    off = np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)
    plain = all(int(tensor.tensor_type) == 0 for tensor in reader.tensors)
    most = MOST.get(value(reader, "general.file_type", 0 if plain else None), float("inf"))
    return off.max() < most, f"{len(tokens)} rows, relative error {off.max():.1e} at most"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weir")
    parser.add_argument("llama_cpp", type=Path)
    parser.add_argument("models", nargs="+")
    arguments = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        theirs = build(arguments.llama_cpp, folder)
        for model in arguments.models:
            passed, said = compare(arguments.weir, theirs, model, folder)
            good = good and passed
            print(f"{'ok' if passed else 'FAIL'} {Path(model).name}: {said}")
    sys.exit(not good)


if __name__ == "__main__":
    main()
