"""Tokens per second of learning in eager float32 PyTorch: what bench/bench_train measures of weir.

    train_speed.py [--threads 2] [--samples 4] [--seconds 5] [SIZE ...]

The model, the samples at a time and the steps (AdamW after 16 samples) are those of bench_train.
Attention is written out (default) or PyTorch's own fused kernel (--fused, only without a sink in the
softmax); the faster of the two is the one to compare with.
"""

import argparse
import math
import time

import torch
import torch.nn.functional as F
import train_torch as model

SIZES = {
    "1m": (4, 128, 4, 2, 256, 256, 4096),
    "3m": (6, 192, 6, 3, 512, 256, 4096),
    "10m": (8, 288, 9, 3, 768, 512, 8192),
    "30m": (8, 512, 8, 4, 1408, 512, 16384),
}


def fused_attention(p, prefix, h, shape, constants):
    samples = h.shape[0]

    def heads(name, count):
        x = h @ p[prefix + name].T
        return x.view(samples, shape.context, count, shape.head_dim).transpose(1, 2)

    q = model.rotate(heads("attn_q.weight", shape.heads), constants)
    k = model.rotate(heads("attn_k.weight", shape.kv_heads), constants)
    v = heads("attn_v.weight", shape.kv_heads)
    group = shape.heads // shape.kv_heads
    k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
    out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    out = out.transpose(1, 2).reshape(samples, shape.context, shape.width)
    return out @ p[prefix + "attn_output.weight"].T


def measure(name, options):
    shape = model.Shape(*SIZES[name], tied=True, sink="none" if options.fused else "logit")
    p = model.start(shape, 1, torch.float32)
    constants = model.Constants(shape, torch.float32)
    optimizer = torch.optim.AdamW(p.values(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1)
    tokens = torch.randint(0, shape.vocabulary, (options.samples, shape.context + 1))
    best, least = math.inf, math.inf
    begin = time.monotonic()
    rounds = 0
    while rounds < 3 or time.monotonic() - begin < options.seconds:
        start, used = time.monotonic(), time.process_time()
        learned = 0
        while learned < 16:
            nll, _ = model.loss(p, tokens, shape, constants)
            nll.backward()
            learned += options.samples
        for x in p.values():
            x.grad /= learned * shape.context
        torch.nn.utils.clip_grad_norm_(p.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        count = learned * shape.context
        best = min(best, (time.monotonic() - start) / count)
        least = min(least, (time.process_time() - used) / count)
        rounds += 1
    way = "fused" if options.fused else "plain"
    print(f"{name:4} pytorch {way} {1 / best:9.0f} tokens/s, per processor {1 / least:9.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--fused", action="store_true")
    parser.add_argument("sizes", nargs="*")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.fused:
        model.attention = fused_attention
    for name in options.sizes or ["1m", "3m", "10m"]:
        measure(name, options)


if __name__ == "__main__":
    main()
