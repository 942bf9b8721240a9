"""Logits of every sink and position scheme, under every kind of cache, in float64 PyTorch.

    python sink_logits.py build/weir tests/golden/sinks.json

The models are those of `weir make-random`. The computation is the definition, one token at a time:
a cache holds the keys as they were before rotation; at every step those that are left get positions
0, 1, ... by their place in it, the query the last one, and everything follows from that. Nothing of
the engine's is used but the file.
"""
import argparse
import json
import math
import platform
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFReader

SHAPE = dict(layers=2, width=48, heads=6, kv_heads=3, head_dim=10, feed_forward=64, vocabulary=264,
             context=64, seed=11)
TOKENS = [1] + [(7 * i * i + 5 * i + 3) % 261 + 3 for i in range(1, 48)]
AT = [2, 11, 30, 47]  # indices whose logits are kept
COLUMNS = list(range(0, 264, 11))
CACHES = [("dense", 0, 64), ("window", 0, 11), ("sink", 3, 9),
          ("recompute", 0, 11)]  # policy, S, W


def make(program, folder, sink, positions):
    path = Path(folder) / f"{sink}-{positions}.gguf"
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SHAPE.items()]
    subprocess.run([program, "make-random", "--out", path, "--sink", sink, "--positions", positions,
                    *options], check=True)
    reader = GGUFReader(path)
    return {t.name: torch.from_numpy(np.array(t.data, dtype=np.float64)) for t in reader.tensors}


def norm(x, weight):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5) * weight


def rotate(x, positions):
    """x [n, heads, dim], pairs (2i, 2i + 1)."""
    half = x.shape[-1] // 2
    frequency = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = positions.to(torch.float64)[:, None, None] * frequency
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()),
                       -1).flatten(-2)


def slopes(heads):
    """As the authors of ALiBi compute them: recursively, where heads is no power of two."""
    power = math.log2(heads)
    if power.is_integer():
        first = 2 ** (-(2 ** -(power - 3)))
        return [first ** (i + 1) for i in range(heads)]
    closest = 2 ** math.floor(power)
    return slopes(closest) + slopes(2 * closest)[0::2][:heads - closest]


def attend(query, keys, values, sink, positions):
    """query [heads, dim], keys and values [n, kv_heads, dim] in the cache; z [heads] or None."""
    heads, n = query.shape[0], keys.shape[0]
    at = torch.arange(n)
    if positions == "rope":
        query, keys = rotate(query[None], at[-1:])[0], rotate(keys, at)
    repeat = heads // keys.shape[1]
    keys, values = (x.repeat_interleave(repeat, 1) for x in (keys, values))
    scores = torch.einsum("hd,nhd->hn", query, keys) / math.sqrt(query.shape[1])
    if positions == "alibi":
        scores = scores - torch.tensor(slopes(heads), dtype=torch.float64)[:, None] * (n - 1 - at)
    if sink is not None:
        scores = torch.cat((scores, sink[:, None]), 1)
    return torch.einsum("hn,nhd->hd", torch.softmax(scores, 1)[:, :n], values).flatten()


def sink_of(weights, layer, sink):
    if sink == "zero":
        return torch.zeros(SHAPE["heads"], dtype=torch.float64)
    return weights[f"blk.{layer}.attn_sinks.weight"] if sink == "logit" else None


def run(weights, tokens, sink, positions, pinned, window):
    """The logits of each token, [tokens, vocabulary]."""
    cache = [([], []) for _ in range(SHAPE["layers"])]
    heads, kv_heads, dim = SHAPE["heads"], SHAPE["kv_heads"], SHAPE["head_dim"]
    rows = []
    for token in tokens:
        x = weights["token_embd.weight"][token]
        for layer, (keys, values) in enumerate(cache):
            part = lambda name: weights[f"blk.{layer}.{name}.weight"]
            h = norm(x, part("attn_norm"))
            keys.append((part("attn_k") @ h).view(kv_heads, dim))
            values.append((part("attn_v") @ h).view(kv_heads, dim))
            for past in (keys, values):  # the first `pinned` and the last `window`
                if len(past) > pinned + window:
                    del past[pinned]
            query = (part("attn_q") @ h).view(heads, dim)
            x = x + part("attn_output") @ attend(query, torch.stack(keys), torch.stack(values),
                                                 sink_of(weights, layer, sink), positions)
            h = norm(x, part("ffn_norm"))
            gate, up = part("ffn_gate") @ h, part("ffn_up") @ h
            x = x + part("ffn_down") @ (torch.nn.functional.silu(gate) * up)
        rows.append(weights["output.weight"] @ norm(x, weights["output_norm.weight"]))
    return torch.stack(rows)


def logits_at(weights, index, sink, positions, policy, pinned, window):
    tokens = TOKENS[:index + 1]
    if policy == "recompute":  # the last ones, from nothing
        tokens = tokens[-window:]
    return run(weights, tokens, sink, positions, pinned, window)[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weir")
    parser.add_argument("out")
    arguments = parser.parse_args()
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        for sink in ("none", "zero", "logit"):
            for positions in ("rope", "alibi"):
                weights = make(arguments.weir, folder, sink, positions)
                for policy, pinned, window in CACHES:
                    for index in AT:
                        logits = logits_at(weights, index, sink, positions, policy, pinned, window)
                        cases.append(dict(sink=sink, positions=positions, policy=policy,
                                          sinks=pinned, window=window, index=index,
                                          logits=[round(v, 7) for v in logits[COLUMNS].tolist()]))
    made_with = dict(python=platform.python_version(), torch=torch.__version__,
                     numpy=np.__version__)
    head = dict(made_with=made_with, shape=SHAPE, tokens=TOKENS, columns=COLUMNS)
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    body = ",\n".join(json.dumps(case) for case in cases)
    Path(arguments.out).write_text("{" + ",\n".join(lines) + ',\n"cases": [\n' + body + "\n]}\n")


if __name__ == "__main__":
    main()
