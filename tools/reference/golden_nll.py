"""Negative log-likelihood of every next token of a stream, from a Llama GGUF, in float64 numpy.

Written apart from the engine, so that tests can hold the engine against it. It takes the paper's
rule at its word: keys are cached unrotated, and at every step every cached key is rotated by its
index in the cache, the query by the last one.

    golden_nll.py MODEL.gguf TOKENS.json OUT.csv --run RUN ...
    golden_nll.py MODEL.gguf TOKENS.json --against FILE.csv --run RUN ...

A RUN is `dense`, `window=W`, `sink=S+W` or `recompute=W`; `:N` at its end feeds the first N tokens
only. The window counts the current token. The CSV is policy,sinks,window,index,nll, where `index`
is the place in the stream of the token that was scored.
"""

import argparse
import csv
import json
from dataclasses import dataclass

import gguf
import numpy as np


@dataclass
class Run:
    policy: str
    sinks: int
    window: int
    tokens: int | None

    @classmethod
    def parse(cls, text):
        text, _, tokens = text.partition(":")
        policy, _, size = text.partition("=")
        if policy not in ("dense", "window", "sink", "recompute"):
            raise argparse.ArgumentTypeError(f"{policy}: not a policy")
        sinks, _, window = size.rpartition("+")
        return cls(policy, int(sinks or 0), int(window or 0), int(tokens) if tokens else None)


class Model:
    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        field = lambda key: reader.get_field(f"llama.{key}").contents()
        self.layers = field("block_count")
        self.heads = field("attention.head_count")
        self.kv_heads = field("attention.head_count_kv")
        self.eps = float(np.float32(field("attention.layer_norm_rms_epsilon")))
        base = reader.get_field("llama.rope.freq_base")
        self.tensors = {t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float64)
                        for t in reader.tensors}
        self.embedding = self.tensors["token_embd.weight"]
        self.head = self.tensors.get("output.weight", self.embedding)
        self.head_dim = self.embedding.shape[1] // self.heads
        pairs = np.arange(0, self.head_dim, 2) / self.head_dim
        self.frequencies = (float(base.contents()) if base else 10000.0) ** -pairs

    def weight(self, layer, name):
        return self.tensors[f"blk.{layer}.{name}.weight"]

    def norm(self, x, weight):
        return x / np.sqrt(np.mean(x * x) + self.eps) * weight

    def rotate(self, x, positions):
        """Turns the pairs (2i, 2i+1) of x [..., head_dim]; positions match the leading axis."""
        angle = np.asarray(positions, dtype=np.float64)[..., None, None] * self.frequencies
        even, odd = x[..., 0::2], x[..., 1::2]
        out = np.empty_like(x)
        out[..., 0::2] = even * np.cos(angle) - odd * np.sin(angle)
        out[..., 1::2] = even * np.sin(angle) + odd * np.cos(angle)
        return out


class Cache:
    """Per layer, the unrotated keys and the values kept: [slots, kv_heads, head_dim]."""

    def __init__(self, model, sinks, window):
        empty = np.zeros((0, model.kv_heads, model.head_dim))
        self.keys = [empty] * model.layers
        self.values = [empty] * model.layers
        self.sinks, self.window = sinks, window

    def append(self, layer, key, value):
        for kept, new in ((self.keys, key), (self.values, value)):
            kept[layer] = np.concatenate((kept[layer], new[None]))
            if self.window and len(kept[layer]) > self.sinks + self.window:
                kept[layer] = np.delete(kept[layer], self.sinks, axis=0)
        return self.keys[layer], self.values[layer]


def attend(model, layer, x, cache):
    shape = (-1, model.head_dim)
    query = (model.weight(layer, "attn_q") @ x).reshape(shape)
    key = (model.weight(layer, "attn_k") @ x).reshape(shape)
    value = (model.weight(layer, "attn_v") @ x).reshape(shape)
    keys, values = cache.append(layer, key, value)
    last = len(keys) - 1
    query = model.rotate(query[None], [last])[0]
    keys = model.rotate(keys, np.arange(len(keys)))
    out, group = np.empty_like(query), model.heads // model.kv_heads
    for head in range(model.heads):
        scores = keys[:, head // group] @ query[head] / np.sqrt(model.head_dim)
        p = np.exp(scores - scores.max())
        out[head] = p @ values[:, head // group] / p.sum()
    return model.weight(layer, "attn_output") @ out.ravel()


def step(model, token, cache):
    """Feeds one token; the logits of the next."""
    x = model.embedding[token].copy()
    for layer in range(model.layers):
        x += attend(model, layer, model.norm(x, model.weight(layer, "attn_norm")), cache)
        h = model.norm(x, model.weight(layer, "ffn_norm"))
        gate = model.weight(layer, "ffn_gate") @ h
        h = gate / (1 + np.exp(-gate)) * (model.weight(layer, "ffn_up") @ h)
        x += model.weight(layer, "ffn_down") @ h
    return model.head @ model.norm(x, model.tensors["output_norm.weight"])


def stream_logits(model, tokens, run):
    """The logits after each token but the last."""
    if run.policy == "recompute":
        for t in range(len(tokens) - 1):
            cache = Cache(model, 0, 0)
            for token in tokens[max(0, t - run.window + 1):t + 1]:
                logits = step(model, token, cache)
            yield logits
    else:
        cache = Cache(model, run.sinks, run.window)
        for token in tokens[:-1]:
            yield step(model, token, cache)


def rows(model, tokens, run):
    tokens = tokens[:run.tokens]
    for index, logits in enumerate(stream_logits(model, tokens, run), start=1):
        most = logits.max()
        nll = most + np.log(np.exp(logits - most).sum()) - logits[tokens[index]]
        yield run.policy, run.sinks, run.window, index, f"{nll:.9f}"


def compare(found, path):
    with open(path, newline="") as file:
        expected = {tuple(row[:4]): float(row[4]) for row in list(csv.reader(file))[1:]}
    gaps = [abs(float(row[4]) - expected[tuple(map(str, row[:4]))]) for row in found]
    print(f"{len(gaps)} rows, the largest difference is {max(gaps):.2e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("tokens")
    parser.add_argument("out", nargs="?")
    parser.add_argument("--against", help="compare with this file; write nothing")
    parser.add_argument("--run", dest="runs", type=Run.parse, action="append", required=True)
    args = parser.parse_args()
    model = Model(args.model)
    with open(args.tokens) as file:
        tokens = json.load(file)
    found = [row for run in args.runs for row in rows(model, tokens, run)]
    if args.against:
        return compare(found, args.against)
    with open(args.out, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("policy", "sinks", "window", "index", "nll"))
        writer.writerows(found)


if __name__ == "__main__":
    main()
