"""Golden figures of training, by PyTorch's autograd and AdamW.

    train_golden.py gradients OUT.csv     tests/golden/train-gradients.csv
    train_golden.py steps OUT.csv         tests/golden/train-steps.csv

The models and tokens are those of tests/support/train_sample.h: drawn by the same counter-based
numbers, so that nothing but results has to be kept.

gradients, in float64, of the summed loss: a row for each tensor with the norm of its gradient, its
product with cos(1), cos(2), ..., and eight of its numbers. steps, in float32: the mean loss of a
hundred steps, each of two halves of a batch.
"""

import csv
import math
import sys

import numpy as np
import torch
import train_torch as model

ODD = dict(layers=2, width=18, heads=3, kv_heads=1, feed_forward=23, context=13, vocabulary=29)
STEPS = dict(layers=2, width=32, heads=4, kv_heads=2, feed_forward=48, context=40, vocabulary=64)


def drawn_tokens(shape, samples, seed):
    count = samples * (shape.context + 1)
    tokens = (model.unit(seed, 7, count) * shape.vocabulary).astype(np.int64)
    tokens = tokens.reshape(samples, shape.context + 1)
    if shape.sink == "token":
        tokens[:, 0] = 1
    return torch.tensor(tokens)


def learnable_tokens(shape, samples, step):
    """A rule with a little noise, so that there is something to learn."""
    count = samples * (shape.context + 1)
    draw = model.unit(1000 + step, 7, count)
    flat = []
    for i in range(count):
        before = flat[-1] if i % (shape.context + 1) != 0 else 0
        noisy = draw[i] < 0.25 or i % (shape.context + 1) == 0
        flat.append(int(draw[i] * 4 * shape.vocabulary) % shape.vocabulary if noisy
                    else (5 * before + 3) % shape.vocabulary)
    tokens = np.array(flat).reshape(samples, shape.context + 1)
    if shape.sink == "token":
        tokens[:, 0] = 1
    return torch.tensor(tokens)


def gradients(path):
    with open(path, "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        for sink in range(4):
            for positions in range(2):
                for tied in (False, True):
                    shape = model.Shape(**ODD, tied=tied, sink=model.SINKS[sink],
                                        positions=model.POSITIONS[positions])
                    p = model.start(shape, 5, torch.float64, disturbed=6)
                    tokens = drawn_tokens(shape, 2, 11)
                    nll, _ = model.loss(p, tokens, shape, model.Constants(shape, torch.float64))
                    nll.backward()
                    key = [sink, positions, int(tied)]
                    out.writerow(key + ["loss", f"{nll.item():.15g}"] + [0] * 9)
                    for name, x in p.items():
                        g = x.grad.flatten()
                        waves = torch.arange(1, len(g) + 1, dtype=torch.float64).cos()
                        some = [g[i * 7919 % len(g)].item() for i in range(8)]
                        figures = [g.norm().item(), (g @ waves).item()] + some
                        out.writerow(key + [name] + [f"{v:.12g}" for v in figures])


def steps(path):
    with open(path, "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        for sink in range(4):
            shape = model.Shape(**STEPS, tied=True, sink=model.SINKS[sink])
            p = model.start(shape, 5, torch.float32)
            constants = model.Constants(shape, torch.float32)
            decays = {name: decay for name, *_, decay in model.table(shape)}
            groups = [
                {"params": [x for n, x in p.items() if decays[n]], "weight_decay": 0.1},
                {"params": [x for n, x in p.items() if not decays[n]], "weight_decay": 0.0},
            ]
            optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-8)
            for step in range(1, 101):
                tokens = learnable_tokens(shape, 8, step)
                total, scored = 0.0, 0
                for half in (tokens[:4], tokens[4:]):
                    nll, count = model.loss(p, half, shape, constants)
                    nll.backward()
                    total, scored = total + nll.item(), scored + count
                for x in p.values():
                    x.grad /= scored
                torch.nn.utils.clip_grad_norm_(p.values(), 1.0)
                progress = step / 100
                rate = 1e-2 * min(1.0, step / 10) * 0.5 * (1 + math.cos(math.pi * progress))
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                out.writerow([sink, step, f"{total / scored:.9g}"])


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"gradients": gradients, "steps": steps}[sys.argv[1]](sys.argv[2])
