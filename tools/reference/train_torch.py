"""The model that `weir train` trains, in plain PyTorch, and the numbers that it begins with.

Written apart from src/train: gradients are autograd's. Used by train_golden.py and train_speed.py.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

SINKS = ("none", "zero", "logit", "token")
POSITIONS = ("rope", "alibi")


@dataclass
class Shape:
    layers: int
    width: int
    heads: int
    kv_heads: int
    feed_forward: int
    context: int
    vocabulary: int
    tied: bool = False
    sink: str = "none"
    positions: str = "rope"
    rope_base: float = 10000.0
    norm_epsilon: float = 1e-5

    @property
    def head_dim(self):
        return self.width // self.heads


# ---- random numbers: Philox 4x32-10 and Box-Muller -------------------------------------------


def philox(seed, stream, counters):
    """Four arrays of uint32 for an array of counters."""
    mask = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    counters = counters.astype(np.uint64)
    x = [
        counters & mask,
        counters >> shift,
        np.full_like(counters, stream & 0xFFFFFFFF),
        np.full_like(counters, stream >> 32),
    ]
    key = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        a = np.uint64(0xD2511F53) * x[0]
        b = np.uint64(0xCD9E8D57) * x[2]
        x = [
            (b >> shift) ^ x[1] ^ np.uint64(key[0]),
            b & mask,
            (a >> shift) ^ x[3] ^ np.uint64(key[1]),
            a & mask,
        ]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return x


def bits53(high, low):
    return ((high << np.uint64(32)) | low) >> np.uint64(11)


def unit(seed, stream, count):
    x = philox(seed, stream, np.arange(count))
    return bits53(x[0], x[1]).astype(np.float64) * 2.0**-53


def normal(seed, stream, count):
    x = philox(seed, stream, np.arange(count))
    radius = (bits53(x[0], x[1]) + np.uint64(1)).astype(np.float64) * 2.0**-53
    turn = bits53(x[2], x[3]).astype(np.float64) * 2.0**-53
    return np.sqrt(-2.0 * np.log(radius)) * np.cos(2.0 * math.pi * turn)


def name_hash(name):
    """FNV-1a."""
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


# ---- parameters ------------------------------------------------------------------------------


def table(shape):
    """(name, size, deviation, start, decays) of every tensor, in the order of the file."""
    width, keys = shape.width, shape.kv_heads * shape.head_dim
    spread, onto = 0.02, 0.02 / math.sqrt(2.0 * shape.layers)

    def matrix(name, rows, columns, deviation=spread):
        return (name, (rows, columns), deviation, 0.0, True)

    def norm(name):
        return (name, (width,), 0.0, 1.0, False)

    yield matrix("token_embd.weight", shape.vocabulary, width)
    for n in range(shape.layers):
        yield norm(f"blk.{n}.attn_norm.weight")
        yield matrix(f"blk.{n}.attn_q.weight", width, width)
        yield matrix(f"blk.{n}.attn_k.weight", keys, width)
        yield matrix(f"blk.{n}.attn_v.weight", keys, width)
        yield matrix(f"blk.{n}.attn_output.weight", width, width, onto)
        if shape.sink == "logit":
            yield (f"blk.{n}.attn_sinks.weight", (shape.heads,), 0.0, 0.0, False)
        yield norm(f"blk.{n}.ffn_norm.weight")
        yield matrix(f"blk.{n}.ffn_gate.weight", shape.feed_forward, width)
        yield matrix(f"blk.{n}.ffn_up.weight", shape.feed_forward, width)
        yield matrix(f"blk.{n}.ffn_down.weight", width, shape.feed_forward, onto)
    yield norm("output_norm.weight")
    if not shape.tied:
        yield matrix("output.weight", shape.vocabulary, width)


def start(shape, seed, dtype, disturbed=None):
    """Parameters by name; `disturbed`: a seed of large changes, as the tests make them."""
    out = {}
    for i, (name, size, deviation, value, _) in enumerate(table(shape)):
        count = math.prod(size)
        x = np.full(count, value)
        if deviation > 0:
            x = np.float64(np.float32(deviation * normal(seed, name_hash(name), count)))
        if disturbed is not None:
            x = x + 0.3 * normal(disturbed, i, count)
        out[name] = torch.tensor(x.reshape(size), dtype=dtype, requires_grad=True)
    return out


# ---- the model -------------------------------------------------------------------------------


def slopes(heads):
    """ALiBi's, for any number of heads."""

    def of_power(count):
        return [2.0 ** (-8.0 * (i + 1) / count) for i in range(count)]

    power = 2 ** int(math.floor(math.log2(heads)))
    return of_power(power) + of_power(2 * power)[0::2][: heads - power]


def rms_norm(x, gain, epsilon):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon) * gain


class Constants:
    """What depends on the shape alone."""

    def __init__(self, shape, dtype):
        t = torch.arange(shape.context, dtype=torch.float64)
        dim = shape.head_dim
        turns = shape.rope_base ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
        angles = t[:, None] * turns[None, :]
        self.cos, self.sin = angles.cos().to(dtype), angles.sin().to(dtype)
        distance = t[:, None] - t[None, :]
        bias = torch.zeros(shape.heads, shape.context, shape.context, dtype=torch.float64)
        if shape.positions == "alibi":
            bias = -torch.tensor(slopes(shape.heads), dtype=torch.float64)[:, None, None] * distance
        self.bias = bias.masked_fill(distance < 0, -math.inf).to(dtype)


def rotate(x, constants):
    """Adjacent pairs (2i, 2i + 1)."""
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = (even * constants.cos - odd * constants.sin, odd * constants.cos + even * constants.sin)
    return torch.stack(turned, dim=-1).flatten(-2)


def attention(p, prefix, h, shape, constants):
    samples = h.shape[0]

    def heads(name, count):
        x = h @ p[prefix + name].T
        return x.view(samples, shape.context, count, shape.head_dim).transpose(1, 2)

    q, k, v = heads("attn_q.weight", shape.heads), None, None
    k, v = heads("attn_k.weight", shape.kv_heads), heads("attn_v.weight", shape.kv_heads)
    if shape.positions == "rope":
        q, k = rotate(q, constants), rotate(k, constants)
    group = shape.heads // shape.kv_heads
    k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
    s = q @ k.transpose(-1, -2) / math.sqrt(shape.head_dim) + constants.bias
    if shape.sink in ("zero", "logit"):
        z = torch.zeros(shape.heads, dtype=s.dtype)
        if shape.sink == "logit":
            z = p[prefix + "attn_sinks.weight"]
        column = z.view(1, -1, 1, 1).expand(samples, -1, shape.context, 1)
        s = torch.cat([s, column], dim=-1).softmax(-1)[..., :-1]
    else:
        s = s.softmax(-1)
    out = (s @ v).transpose(1, 2).reshape(samples, shape.context, shape.width)
    return out @ p[prefix + "attn_output.weight"].T


def loss(p, tokens, shape, constants):
    """Summed negative log-likelihood of tokens [samples, context + 1], and how many were scored."""
    x = p["token_embd.weight"][tokens[:, :-1]]
    for n in range(shape.layers):
        prefix = f"blk.{n}."
        h = rms_norm(x, p[prefix + "attn_norm.weight"], shape.norm_epsilon)
        x = x + attention(p, prefix, h, shape, constants)
        h = rms_norm(x, p[prefix + "ffn_norm.weight"], shape.norm_epsilon)
        gated = F.silu(h @ p[prefix + "ffn_gate.weight"].T) * (h @ p[prefix + "ffn_up.weight"].T)
        x = x + gated @ p[prefix + "ffn_down.weight"].T
    x = rms_norm(x, p["output_norm.weight"], shape.norm_epsilon)
    logits = x @ p["token_embd.weight" if shape.tied else "output.weight"].T
    targets = tokens[:, 1:]
    nll = F.cross_entropy(logits.reshape(-1, shape.vocabulary), targets.reshape(-1), reduction="sum")
    return nll, targets.numel()
