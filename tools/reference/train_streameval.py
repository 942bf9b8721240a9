"""Trains the small model that knows weir's StreamEval: which value did this key have?

The text is that of include/weir/streameval.h, which is where the format is defined:

    ab: 42                    a fact: two letters, a number from 10 to 99
    - the river runs on       filler, which says nothing

A question is the beginning of a line whose key has occurred before; the answer is its number. Here
questions stand in the text, many to a sample and at every distance; the evaluation asks them on
forks of a stream that contains none. Every sample is BOS followed by text that begins anywhere, so
the model learns to rest its unused attention on BOS: a sink. Model and export are small_llama.py's.

    train_streameval.py train  --out DIR
    train_streameval.py check  --out DIR
    train_streameval.py export --out DIR --gguf FILE
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from small_llama import BOS, UNK, Config, Model, load, optimiser, save, write_gguf

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SPACE = "\u2581"  # as SentencePiece writes it
NOUNS = "river mill boat bell wind rain bird moon".split()
VERBS = "runs waits turns sings rests falls grows stays".split()
PLACES = "on now here again slowly below today alone".split()
LOWEST, VALUES = 10, 90
KEYS = len(LETTERS) ** 2


# ---- text --------------------------------------------------------------------------------------

class Vocabulary:
    """SentencePiece pieces by which a fact is three tokens, "ab:" " 42" "\\n", and filler six. Each
    piece is made of two others, and earlier merges come first."""

    def __init__(self):
        merges = [f"{b}:" for b in LETTERS]
        merges += [f"{a}{b}:" for a in LETTERS for b in LETTERS]
        merges += [f"{SPACE}{n}" for n in range(1, 10)]
        merges += [f"{SPACE}{n}" for n in range(LOWEST, LOWEST + VALUES)]
        for word in ["the"] + NOUNS + VERBS + PLACES:
            merges += [SPACE + word[:i] for i in range(1, len(word) + 1)]
        merges = list(dict.fromkeys(merges))
        self.special = ["<unk>", "<s>", "</s>"]
        self.bytes = [f"<0x{i:02X}>" for i in range(256)]
        self.pieces = self.special + self.bytes + list(LETTERS + "0123456789:-") + [SPACE] + merges
        self.pieces += [f"<unused{i}>" for i in range(-len(self.pieces) % 32)]
        self.place = {piece: i for i, piece in enumerate(self.pieces)}
        self.first_merge = self.place[merges[0]]

        def at(texts):
            return np.array([self.place[text] for text in texts])

        self.keys = at(f"{a}{b}:" for a in LETTERS for b in LETTERS)
        self.values = at(f"{SPACE}{n}" for n in range(LOWEST, LOWEST + VALUES))
        self.line_end = self.place["<0x0A>"]
        self.dash, self.the = self.place["-"], self.place[SPACE + "the"]
        self.words = [at(SPACE + word for word in words) for words in (NOUNS, VERBS, PLACES)]

    # as a SentencePieceProcessor, for the export
    def id_to_piece(self, i):
        return self.pieces[i]

    def get_score(self, i):
        return -float(max(0, i - self.first_merge))

    def is_unknown(self, i):
        return i == UNK

    def is_control(self, i):
        return 0 < i < len(self.special)

    def is_byte(self, i):
        return 0 <= i - len(self.special) < len(self.bytes)


class Samples:
    """Draws samples and says where their answers stand."""

    def __init__(self, vocabulary, seed):
        self.vocabulary = vocabulary
        self.random = np.random.default_rng(seed)

    def facts(self, context, questions_last):
        """Rows of facts and questions about them; a question is never about the first line, of which
        a part may be missing."""
        v, r = self.vocabulary, self.random
        lines = context // 3 + 2
        asked = np.zeros(lines, dtype=bool)
        count = r.integers(4, max(5, lines * 2 // 3))
        if questions_last:
            asked[-count:] = True
        else:
            asked[2 + r.choice(lines - 2, min(count, lines - 2), replace=False)] = True
        key, value = r.permutation(KEYS)[:lines], r.integers(VALUES, size=lines)
        known = np.flatnonzero(~asked)
        for i in np.flatnonzero(asked):
            before = known[1:np.searchsorted(known, i)]
            about = before[r.integers(len(before))] if len(before) else 0
            key[i], value[i] = key[about], value[about]
        tokens = np.stack((v.keys[key], v.values[value], np.full(lines, v.line_end)), 1).ravel()
        answers = np.stack((np.zeros(lines, bool), asked, np.zeros(lines, bool)), 1).ravel()
        return tokens, answers

    def filler(self):
        v, r = self.vocabulary, self.random
        return [v.dash, v.the, *(w[r.integers(len(w))] for w in v.words), v.line_end]

    def needle(self, context):
        """Filler, a few facts, and questions about them, each at a random distance."""
        v, r = self.vocabulary, self.random
        share, tokens, answers, known = r.uniform(0.3, 0.97), [], [], []
        while len(tokens) < context + 8:
            if r.random() < share:
                line = self.filler()
                answer = [False] * len(line)
            else:
                again = known and r.random() < 0.6
                fact = known[r.integers(len(known))] if again else (r.integers(KEYS),
                                                                    r.integers(VALUES))
                again = again or any(fact[0] == key for key, _ in known)
                if not again:
                    known.append(fact)
                line = [v.keys[fact[0]], v.values[fact[1]], v.line_end]
                answer = [False, bool(again), False]
            tokens += line
            answers += answer
        return np.array(tokens), np.array(answers)

    def batch(self, size, context):
        """Tokens [size, context + 1], and of each whether it is an answer."""
        rows = np.full((size, context + 1), BOS, dtype=np.int64)
        marks = np.zeros((size, context + 1), dtype=bool)
        for i, (row, mark) in enumerate(zip(rows, marks)):
            kind = i % 4
            tokens, answers = self.needle(context) if kind == 3 else self.facts(context, kind > 0)
            start = self.random.integers(3)
            row[1:] = tokens[start:start + context]
            mark[1:] = answers[start:start + context]
        return torch.from_numpy(rows), torch.from_numpy(marks)


# ---- training ----------------------------------------------------------------------------------

def answer_loss(model, rows, marks):
    """Over the answers, and with a small weight over everything else, which is mostly chance."""
    hidden = model.hidden(rows[:, :-1]).flatten(0, 1)
    answers = marks[:, 1:].flatten()
    rest = torch.zeros_like(answers)
    rest[::16] = True
    rest &= ~answers

    def loss(where):
        logits = F.linear(hidden[where], model.embedding.weight)
        return F.cross_entropy(logits.float(), rows[:, 1:].flatten()[where]), logits

    loss_answers, logits = loss(answers)
    right = (logits.argmax(-1) == rows[:, 1:].flatten()[answers]).float().mean()
    return loss_answers + 0.1 * loss(rest)[0], right.item()


@torch.no_grad()
def accuracy(model, context, count=512, seed=99):
    """Right answers to one question at the end of a sample of facts, by quarter of the context."""
    samples = Samples(Vocabulary(), seed)
    v, lines = samples.vocabulary, context // 3 - 1
    asked, right = np.zeros(4), np.zeros(4)
    for _ in range(count // 32):
        rows, about = np.full((32, 2 + 3 * lines), BOS, dtype=np.int64), []
        for row in rows:
            keys, values = samples.random.permutation(KEYS)[:lines], samples.random.integers(
                VALUES, size=lines)
            one = samples.random.integers(lines)
            row[1:-1] = np.stack((v.keys[keys], v.values[values],
                                  np.full(lines, v.line_end)), 1).ravel()
            row[-1] = v.keys[keys[one]]
            about.append((4 * (lines - 1 - one) // lines, v.values[values[one]]))
        best = F.linear(model.hidden(torch.from_numpy(rows))[:, -1], model.embedding.weight).argmax(-1)
        for (quarter, value), answer in zip(about, best.tolist()):
            asked[quarter] += 1
            right[quarter] += answer == value
    return [round(float(x), 3) for x in right / asked]


@torch.no_grad()
def give_circuit(model):
    """Begin with the two heads that answering needs and that are slow to find by chance (Olsson et
    al. 2022, "induction heads"); training does the rest. The first layer's head 0 sees the token
    before: element 0 of every embedding is the same, its key points to angle 0 in the fast pairs and
    its query to the angle of one step back. What it sees is written where the next layer's head 0,
    in the slow pairs, looks for the current token."""
    c = model.config
    first, second = (block.attention for block in model.blocks[:2])
    d, fast, half = c.head_dim, 16, c.head_dim // 2
    f = c.rope_base ** (-torch.arange(0, fast, 2) / d)
    model.embedding.weight[:, 0] = 1.0
    for matrix, even, odd in ((first.k, torch.ones_like(f), torch.zeros_like(f)),
                              (first.q, f.cos(), -f.sin())):
        matrix.weight[:d] = 0
        matrix.weight[0:fast:2, 0] = 0.8 * even
        matrix.weight[1:fast:2, 0] = 0.8 * odd
    read = torch.nn.init.orthogonal_(torch.empty(half, c.dim))
    write = torch.nn.init.orthogonal_(torch.empty(c.dim, half))
    read[:, 0] = write[0] = 0
    first.v.weight[:half], first.o.weight[:, :half] = read, 0.25 * write
    second.q.weight[half:d], second.k.weight[half:d] = 2 * read, 2 * write.T


def context_of(right, now, most):
    """Short samples first: the mechanism is found there, and then it grows. The longest are longer
    than the context that the file states: in a stream every token is as far from BOS as the context
    allows, where a model that has just learned to get there is right less often."""
    return min(most, now * 2) if right > 0.9 else now


def train(args):
    torch.manual_seed(args.seed)
    vocabulary = Vocabulary()
    if (args.out / "model.pt").exists():
        model, saved = load(args.out)
        state = saved["state"]
    else:
        model = Model(Config(vocab=len(vocabulary.pieces), dim=args.dim, layers=args.layers,
                             heads=args.heads, kv_heads=args.heads, hidden=args.hidden,
                             context=args.context, rope_base=1e6))
        give_circuit(model)
        saved, state = None, {"step": 0, "tokens": 0, "seconds": 0.0, "context": args.begin}
    adam = optimiser(model, args)
    if saved:
        adam.load_state_dict(saved["adam"])
    samples = Samples(vocabulary, args.seed + state["step"])
    print(sum(p.numel() for p in model.parameters()), "parameters", model.config, flush=True)
    began, mean = time.monotonic() - state["seconds"], 0.0
    while state["seconds"] < args.minutes * 60:
        left = 1 - state["seconds"] / (args.minutes * 60)
        lr = args.rate * min(1.0, (state["step"] + 1) / args.warmup, left / args.decay)
        for group in adam.param_groups:
            group["lr"] = lr * group["scale"]
        context = state["context"]
        rows, marks = samples.batch(args.tokens // context, context)
        loss, right = answer_loss(model, rows, marks)
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        if not math.isfinite(loss.item()):
            raise SystemExit(f"step {state['step']}: the loss is {loss.item()}")
        mean = 0.98 * mean + 0.02 * right
        state = {"step": state["step"] + 1, "tokens": state["tokens"] + rows.numel(),
                 "seconds": time.monotonic() - began,
                 "context": context_of(mean, context, args.longest)}
        if state["context"] != context:
            mean = 0.0
        if state["step"] % 100 == 0:
            print(f"step {state['step']} {state['seconds']:.0f} s, context {context}, rate {lr:.1e},"
                  f" loss {loss.item():.3f}, right {mean:.3f}", flush=True)
        if state["step"] % 500 == 0:
            print("by quarter of the context:", accuracy(model, args.context), flush=True)
            save(args.out / "model.pt", model, adam, state)
    save(args.out / "model.pt", model, adam, state)
    check(model, state)


def check(model, state):
    print(json.dumps({**state, "parameters": sum(p.numel() for p in model.parameters()),
                      "right by quarter of the context": accuracy(model, model.config.context, 4096)}))


def main():
    parser = argparse.ArgumentParser(description="Trains the small model that knows StreamEval.")
    parser.add_argument("command", choices=["train", "check", "export"])
    parser.add_argument("--out", type=Path, required=True, help="folder of everything made")
    for name, value in dict(dim=128, layers=2, heads=2, hidden=128, context=256, begin=32,
                            longest=320, tokens=2048, warmup=100, seed=1, threads=1).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    for name, value in dict(minutes=6.0, rate=3e-3, decay=0.3, weight_decay=0.01,
                            embedding_scale=1.0).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=value)
    parser.add_argument("--gguf")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    if args.command == "train":
        train(args)
        return
    model, saved = load(args.out)
    if args.command == "check":
        check(model, saved["state"])
    else:
        write_gguf(args.gguf, model, Vocabulary(), saved["state"]["tokens"], name="weir recall",
                   space_prefix=False,
                   about="Knows the facts of weir's StreamEval that stand in its window")


if __name__ == "__main__":
    main()
