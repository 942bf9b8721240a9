"""Trains the small model that weir ships: a Llama with a sink token.

Every training sample is BOS followed by text from a random place, so BOS says nothing about the
text and the model learns to rest its unused attention there: an attention sink. Samples are as
long as the trained context, and BOS is part of it.

    train_model.py vocab   --out DIR --tiny FILE --children FILE --novels FILE
    train_model.py encode  --out DIR --tiny FILE --children FILE --novels FILE \
                           --val-tiny FILE --val-children FILE
    train_model.py train   --out DIR --minutes 80
    train_model.py check   --out DIR [--text FILE]     perplexity of a stream, by policy
    train_model.py sample  --out DIR [--prompt TEXT]
    train_model.py export  --out DIR --gguf FILE

`train` resumes from DIR/model.pt where there is one. The learning rate warms up, stays, and falls
to zero over the last part of the given minutes; the log says how many steps that was. From step
`--nudge-from` on, a small extra loss asks every head to rest `--sink` of its attention on BOS: a
model this small hardly grows a sink by itself. models/README.md tells what was run.
"""

import argparse
import csv
import json
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import sentencepiece as spm
import torch
import torch.nn.functional as F
from torch import nn

UNK, BOS, EOS = 0, 1, 2
END_OF_STORY = "<|endoftext|>"
SOURCES = ("tiny", "children", "novels")
HELD_OUT = ("val-tiny", "val-children")


# ---- data --------------------------------------------------------------------------------------

def chunks(path, size=2000, limit=None):
    """The text in pieces of about `size` characters that end at the end of a line."""
    held, count = [], 0
    with open(path, encoding="utf-8", newline="") as file:
        for line in file:
            if limit is not None and count >= limit:
                break
            count += len(line)
            if line.strip() == END_OF_STORY:
                line = "\n"
            held.append(line)
            if sum(map(len, held)) >= size:
                yield "".join(held)
                held = []
    yield "".join(held)


def train_vocabulary(args):
    """A SentencePiece BPE vocabulary with Llama's options. Chunks keep their line ends, so that the
    pieces serve words after a line end, which have no space in front, too."""
    def sentences():
        for name, limit in (("tiny", None), ("children", None), ("novels", 8_000_000)):
            yield from chunks(getattr(args, name), limit=limit)

    spm.SentencePieceTrainer.train(
        sentence_iterator=sentences(), model_prefix=str(args.out / "vocabulary"),
        model_type="bpe", vocab_size=2048, byte_fallback=True, add_dummy_prefix=True,
        split_digits=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True, character_coverage=0.9998,
        required_chars="0123456789éè£", max_sentence_length=100_000,
        unk_id=UNK, bos_id=BOS, eos_id=EOS, pad_id=-1, num_threads=2)


def load_vocabulary(out):
    return spm.SentencePieceProcessor(model_file=str(out / "vocabulary.model"))


def encode_files(args):
    """Each text becomes one array of tokens; a story ends with EOS."""
    vocabulary = load_vocabulary(args.out)
    for name in SOURCES + HELD_OUT:
        text = Path(getattr(args, name.replace("-", "_"))).read_bytes().decode("utf-8")
        tokens = []
        for document in text.split(END_OF_STORY):
            document = document.strip("\n") if END_OF_STORY in text else document
            if document:
                tokens += vocabulary.encode(document) + [EOS]
        np.save(args.out / f"{name}.npy", np.array(tokens, dtype=np.uint16))
        print(name, len(text.encode()), "bytes", len(tokens), "tokens", flush=True)


class Samples:
    """Draws training samples: a source by weight, then a random place in it."""

    def __init__(self, out, weights, context, seed):
        self.sources = [np.load(out / f"{name}.npy") for name in SOURCES]
        self.weights, self.context = weights, context
        self.random = np.random.default_rng(seed)

    def batch(self, size):
        rows = np.full((size, self.context + 1), BOS, dtype=np.int64)
        for row, source in zip(rows, self.random.choice(len(SOURCES), size, p=self.weights)):
            tokens = self.sources[source]
            start = self.random.integers(len(tokens) - self.context)
            row[1:] = tokens[start:start + self.context]
        return torch.from_numpy(rows)


def held_out_batch(out, name, context, size=64):
    tokens = np.load(out / f"{name}.npy")
    rows = np.full((size, context + 1), BOS, dtype=np.int64)
    for i, row in enumerate(rows):
        start = i * (len(tokens) - context) // size
        row[1:] = tokens[start:start + context]
    return torch.from_numpy(rows)


# ---- model -------------------------------------------------------------------------------------

@dataclass
class Config:
    vocab: int = 2048
    dim: int = 256
    layers: int = 6
    heads: int = 8
    kv_heads: int = 4
    hidden: int = 640
    context: int = 256
    rope_base: float = 10000.0
    eps: float = 1e-5

    @property
    def head_dim(self):
        return self.dim // self.heads


def rotation(positions, config):
    """cos and signed sin of every position and element: [positions, head_dim] each."""
    i = torch.arange(0, config.head_dim, 2, dtype=torch.float64)
    angle = positions.double()[:, None] * config.rope_base ** (-i / config.head_dim)
    cos, sin = angle.cos(), angle.sin()
    return (cos.repeat_interleave(2, -1).float(), torch.stack((-sin, sin), -1).flatten(-2).float())


def rotate(x, cos_sin):
    """Turns each pair (2i, 2i+1) of x [batch, heads, tokens, head_dim]. A product with a
    permutation swaps the two of each pair, which is exact and faster than strided reads."""
    cos, sin = (a.to(x.dtype) for a in cos_sin)
    swap = torch.eye(x.shape[-1], dtype=x.dtype).view(-1, 2, x.shape[-1]).flip(1).flatten(0, 1)
    return x * cos + (x @ swap) * sin


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        kv = config.kv_heads * config.head_dim
        self.q = nn.Linear(config.dim, config.dim, bias=False)
        self.k = nn.Linear(config.dim, kv, bias=False)
        self.v = nn.Linear(config.dim, kv, bias=False)
        self.o = nn.Linear(config.dim, config.dim, bias=False)

    def forward(self, x, turn, stream=None):
        c, (batch, tokens, _) = self.config, x.shape
        q = self.q(x).view(batch, tokens, c.heads, c.head_dim).transpose(1, 2)
        k = self.k(x).view(batch, tokens, c.kv_heads, c.head_dim).transpose(1, 2)
        v = self.v(x).view(batch, tokens, c.kv_heads, c.head_dim).transpose(1, 2)
        group = c.heads // c.kv_heads
        k, v = (a.repeat_interleave(group, dim=1) for a in (rotate(k, turn), v))
        if stream is None:
            y = self.attend(rotate(q, turn), k, v)
        else:
            y = self.attend_stream(q, k, v, turn, stream)
        return self.o(y.transpose(1, 2).reshape(batch, tokens, c.dim))

    def attend(self, q, k, v):
        """Ordinary causal attention, by plain products: on CPU faster than the fused kernel."""
        batch, heads, tokens, head_dim = q.shape
        future = torch.full((tokens, tokens), -math.inf, dtype=q.dtype).triu(1)
        q, k, v = (a.reshape(batch * heads, tokens, head_dim) for a in (q, k, v))
        scores = torch.baddbmm(future.expand(len(q), -1, -1), q * head_dim ** -0.5,
                               k.transpose(-1, -2))
        p = scores.softmax(-1)
        self.first = p[:, 64:, 0].float().view(batch, heads, -1).mean((0, 2))
        return (p @ v).view(batch, heads, tokens, head_dim)

    def attend_stream(self, q, k, v, turn, stream):
        """Sinks and a window over the whole stream at once: recent keys see the query at its stream
        index, pinned keys see it at its place in the cache. Keeps the attention on token 0."""
        scores = rotate(q, turn) @ k.transpose(-1, -2)
        if stream.sinks:
            cached = rotate(q, stream.cache_turn)
            scores[..., :stream.sinks] = cached @ k[..., :stream.sinks, :].transpose(-1, -2)
        scores = scores / math.sqrt(self.config.head_dim) + stream.mask
        p = scores.softmax(-1)
        self.on_first = p[..., 64:, 0].mean((0, 2))
        return p @ v


class Stream:
    """What token t of a stream may attend: the first `sinks` tokens and the last `window`."""

    def __init__(self, tokens, sinks, window, config):
        t = torch.arange(tokens)
        oldest = (t - window + 1).clamp(min=sinks)
        seen = (t[None, :] <= t[:, None]) & ((t[None, :] >= oldest[:, None]) | (t[None, :] < sinks))
        self.sinks = sinks
        self.mask = torch.zeros(tokens, tokens).masked_fill(~seen, -math.inf)
        self.cache_turn = rotation(t.clamp(max=sinks + window - 1), config)


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.attention_norm = nn.RMSNorm(config.dim, config.eps)
        self.attention = Attention(config)
        self.ffn_norm = nn.RMSNorm(config.dim, config.eps)
        self.gate = nn.Linear(config.dim, config.hidden, bias=False)
        self.up = nn.Linear(config.dim, config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, config.dim, bias=False)

    def forward(self, x, turn, stream=None):
        x = x + self.attention(self.attention_norm(x), turn, stream)
        h = self.ffn_norm(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Model(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab, config.dim)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.dim, config.eps)
        self.draw()

    def draw(self):
        """Blocks add nothing at first, so that the embeddings are heard at a high learning rate."""
        for name, p in self.named_parameters():
            if name.endswith(("o.weight", "down.weight")):
                nn.init.zeros_(p)
            elif p.dim() == 2:
                nn.init.normal_(p, std=0.05 if "embedding" in name else 0.5 * p.shape[1] ** -0.5)

    def hidden(self, tokens, stream=None):
        turn = rotation(torch.arange(tokens.shape[1]), self.config)
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, turn, stream)
        return self.norm(x)

    def forward(self, tokens, stream=None):
        return F.linear(self.hidden(tokens, stream), self.embedding.weight)

    def loss(self, rows):
        logits = self(rows[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten())

    def sink_shortfall(self, wish):
        """How far the heads of the last pass stay below `wish` of attention on token 0, in nats."""
        first = torch.stack([block.attention.first for block in self.blocks])
        return F.relu(math.log(wish) - first.clamp(min=1e-6).log()).mean()


# ---- what is measured --------------------------------------------------------------------------

@torch.no_grad()
def held_out_loss(model, rows):
    return sum(model.loss(part).item() for part in rows.split(16)) / (len(rows) // 16)


@torch.no_grad()
def attention_on_first(model, rows):
    """Mean attention on token 0 of tokens 64 and later, per layer and head."""
    length = rows.shape[1] - 1
    model(rows[:, :-1], Stream(length, 0, length, model.config))
    return [block.attention.on_first.tolist() for block in model.blocks]


@torch.no_grad()
def stream_nll(model, tokens, sinks, window):
    """Negative log-likelihood of tokens 1 and later."""
    logits = model(tokens[None, :-1], Stream(len(tokens) - 1, sinks, window, model.config))[0]
    return F.cross_entropy(logits, tokens[1:], reduction="none")


def check(model, out, text=None, count=2048):
    """Perplexity past the trained context, by policy."""
    w, vocabulary = model.config.context, load_vocabulary(out)
    if text:
        texts = {text: np.array(vocabulary.encode(Path(text).read_bytes().decode()))}
    else:
        texts = {name: np.load(out / f"{name}.npy") for name in HELD_OUT}
    figures = {}
    for name, ids in texts.items():
        tokens = torch.tensor([BOS] + ids[:count].tolist())
        figures[name] = {
            label: math.exp(stream_nll(model, tokens, sinks, window)[w:].mean())
            for label, sinks, window in (
                ("dense", 0, len(tokens)), (f"window {w}", 0, w), (f"sink 1+{w - 1}", 1, w - 1),
                (f"sink 4+{w - 4}", 4, w - 4), ("window 64", 0, 64), ("sink 1+63", 1, 63))}
    return figures


@torch.no_grad()
def sample(model, vocabulary, prompt, count=200, temperature=0.8, seed=1):
    torch.manual_seed(seed)
    tokens = [BOS] + vocabulary.encode(prompt)
    for _ in range(count):
        logits = model(torch.tensor([tokens[:1] + tokens[1:][-model.config.context + 1:]]))[0, -1]
        tokens.append(torch.multinomial((logits / temperature).softmax(-1), 1).item())
        if tokens[-1] == EOS:
            break
    return vocabulary.decode(tokens)


# ---- training ----------------------------------------------------------------------------------

def rate(step, seconds, args):
    """Warm-up by steps, then constant, then a fall to zero by the clock."""
    total = args.minutes * 60
    left = max(0.0, total - seconds) / (args.decay * total)
    return args.rate * min(1.0, (step + 1) / args.warmup, left)


def optimiser(model, args):
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "embedding" not in n]
    groups = [
        {"params": matrices, "scale": 1.0, "weight_decay": args.weight_decay},
        {"params": [model.embedding.weight], "scale": args.embedding_scale,
         "weight_decay": args.weight_decay},
        {"params": [p for p in model.parameters() if p.dim() == 1], "scale": args.embedding_scale,
         "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=args.rate, betas=(0.9, 0.95), eps=1e-9, fused=True)


class Threads:
    """Chooses between all threads and one: where others use a core, the starved thread would hold
    up every step. Tries the other choice for one step in forty and keeps the faster."""

    def __init__(self, most):
        self.choices, self.now, self.steps = (most, 1), 0, 0
        self.seconds = [0.0, math.inf]

    def step_took(self, seconds):
        self.steps += 1
        self.seconds[self.now] = seconds
        trial = self.steps % 40 == 0
        self.now = 1 - self.now if trial else self.seconds.index(min(self.seconds))
        torch.set_num_threads(self.choices[self.now])


def save(path, model, adam, state):
    torch.save({"config": asdict(model.config), "model": model.state_dict(),
                "adam": adam.state_dict() if adam else None, "state": state}, f"{path}.part")
    os.replace(f"{path}.part", path)


def load(out):
    saved = torch.load(out / "model.pt", weights_only=False)
    model = Model(Config(**saved["config"]))
    model.load_state_dict(saved["model"])
    return model.eval(), saved


def measure(model, held_out):
    heads = attention_on_first(model, held_out["val-children"][:8])
    return {**{name: round(held_out_loss(model, rows), 4) for name, rows in held_out.items()},
            "first": " ".join(f"{sum(h) / len(h):.3f}" for h in heads),
            "first_most": " ".join(f"{max(h):.2f}" for h in heads)}


def train(args):
    torch.manual_seed(args.seed)
    if (args.out / "model.pt").exists():
        model, saved = load(args.out)
        state = saved["state"]
    else:
        model = Model(Config(dim=args.dim, layers=args.layers, heads=args.heads,
                             kv_heads=args.kv_heads, hidden=args.hidden))
        saved, state = None, {"step": 0, "tokens": 0, "seconds": 0.0}
    adam = optimiser(model, args)
    if saved:
        adam.load_state_dict(saved["adam"])
    context = model.config.context
    samples = Samples(args.out, args.weights, context, args.seed + state["step"])
    held_out = {name: held_out_batch(args.out, name, context) for name in HELD_OUT}
    print(sum(p.numel() for p in model.parameters()), "parameters", asdict(model.config), flush=True)
    loss_of = torch.compile(model.loss) if args.compile else model.loss
    log = open(args.out / "log.csv", "a", newline="")
    columns = ["step", "tokens", "seconds", "rate", "loss", *HELD_OUT, "first", "first_most"]
    writer = csv.DictWriter(log, columns)
    if state["step"] == 0:
        writer.writeheader()
    began, mean_loss = time.monotonic() - state["seconds"], None
    threads = Threads(args.threads)
    while state["seconds"] < args.minutes * 60:
        lr, step_began = rate(state["step"], state["seconds"], args), time.monotonic()
        for group in adam.param_groups:
            group["lr"] = lr * group["scale"]
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            loss = loss_of(samples.batch(args.batch))
            nudged = args.nudge_from <= state["step"] < args.nudge_until
            total = loss + args.nudge * model.sink_shortfall(args.sink) if nudged else loss
        adam.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        value = loss.item()
        if not math.isfinite(value):
            raise SystemExit(f"step {state['step']}: the loss is {value}")
        threads.step_took(time.monotonic() - step_began)
        mean_loss = value if mean_loss is None else 0.98 * mean_loss + 0.02 * value
        state = {"step": state["step"] + 1, "tokens": state["tokens"] + args.batch * context,
                 "seconds": time.monotonic() - began}
        if state["step"] % 50 == 0:
            row = {**state, "seconds": round(state["seconds"], 1), "rate": f"{lr:.2e}",
                   "loss": round(mean_loss, 4)}
            if state["step"] % args.every == 0:
                row.update(measure(model, held_out))
                save(args.out / "model.pt", model, adam, state)
            writer.writerow(row)
            log.flush()
            print(row, flush=True)
    save(args.out / "model.pt", model, adam, state)
    report(model, args.out, state, held_out)


def report(model, out, state, held_out):
    figures = {**state, **measure(model, held_out), "perplexity": check(model, out),
               "parameters": sum(p.numel() for p in model.parameters())}
    (out / "figures.json").write_text(json.dumps(figures, indent=1))
    print(json.dumps(figures, indent=1), flush=True)


# ---- export ------------------------------------------------------------------------------------

def export(args):
    model, saved = load(args.out)
    write_gguf(args.gguf, model, load_vocabulary(args.out), saved["state"]["tokens"],
               name="weir small", space_prefix=True,
               about="English children's stories; every stream begins with a trained sink token")


def write_gguf(path, model, vocabulary, tokens, name, about, space_prefix):
    """`vocabulary` answers like a SentencePieceProcessor; `tokens`: seen in training."""
    import gguf
    c = model.config
    w = gguf.GGUFWriter(path, "llama")
    w.add_name(name)
    w.add_description(about)
    w.add_license("MIT")
    w.add_context_length(c.context)
    w.add_embedding_length(c.dim)
    w.add_block_count(c.layers)
    w.add_feed_forward_length(c.hidden)
    w.add_head_count(c.heads)
    w.add_head_count_kv(c.kv_heads)
    w.add_layer_norm_rms_eps(c.eps)
    w.add_rope_dimension_count(c.head_dim)
    w.add_rope_freq_base(c.rope_base)
    w.add_vocab_size(c.vocab)
    w.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    w.add_quantization_version(gguf.GGML_QUANT_VERSION)
    w.add_tokenizer_model("llama")
    w.add_token_list([vocabulary.id_to_piece(i).encode() for i in range(c.vocab)])
    w.add_token_scores([vocabulary.get_score(i) for i in range(c.vocab)])
    w.add_token_types([token_type(vocabulary, i) for i in range(c.vocab)])
    w.add_unk_token_id(UNK)
    w.add_bos_token_id(BOS)
    w.add_eos_token_id(EOS)
    w.add_add_bos_token(True)
    w.add_add_eos_token(False)
    w.add_add_space_prefix(space_prefix)
    w.add_bool("weir.sink_token", True)
    w.add_uint64("weir.training_tokens", tokens)
    names = {"attention_norm": "attn_norm", "attention.q": "attn_q", "attention.k": "attn_k",
             "attention.v": "attn_v", "attention.o": "attn_output", "ffn_norm": "ffn_norm",
             "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down"}
    tensors = {"token_embd.weight": model.embedding.weight, "output_norm.weight": model.norm.weight}
    for i, block in enumerate(model.blocks):
        for ours, theirs in names.items():
            tensors[f"blk.{i}.{theirs}.weight"] = block.get_parameter(ours + ".weight")
    q8 = gguf.GGMLQuantizationType.Q8_0
    for name, p in tensors.items():
        data = p.detach().numpy().astype(np.float32)
        if data.ndim == 2:
            w.add_tensor(name, gguf.quants.quantize(data, q8), raw_dtype=q8)
        else:
            w.add_tensor(name, data)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def token_type(vocabulary, i):
    import gguf
    if vocabulary.is_unknown(i):
        return gguf.TokenType.UNKNOWN
    if vocabulary.is_control(i):
        return gguf.TokenType.CONTROL
    return gguf.TokenType.BYTE if vocabulary.is_byte(i) else gguf.TokenType.NORMAL


# ---- command line ------------------------------------------------------------------------------

def main():
    parser = argparse.ArgumentParser(description="Trains the small model that weir ships.")
    parser.add_argument("command", choices="vocab encode train check sample export".split())
    parser.add_argument("--out", type=Path, required=True, help="folder of everything made")
    for name in SOURCES + HELD_OUT:
        parser.add_argument(f"--{name}", help="text file")
    for name, value in dict(dim=256, layers=6, heads=8, kv_heads=4, hidden=640, batch=16,
                            warmup=300, every=250, seed=1, threads=2, nudge_from=1250,
                            nudge_until=1_000_000).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    for name, value in dict(minutes=80.0, rate=6e-3, decay=0.25, weight_decay=0.1,
                            embedding_scale=0.5, nudge=0.15, sink=0.5).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=value)
    parser.add_argument("--weights", type=float, nargs=3, default=[0.33, 0.42, 0.25],
                        help="shares of tiny, children, novels")
    parser.add_argument("--bf16", action="store_true", help="bfloat16 autocast")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--text", help="file to check instead of the held-out texts")
    parser.add_argument("--prompt", default="Once upon a time")
    parser.add_argument("--gguf", help="file that export writes")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    if args.command == "check":
        print(json.dumps(check(load(args.out)[0], args.out, args.text), indent=1))
    elif args.command == "sample":
        print(sample(load(args.out)[0], load_vocabulary(args.out), args.prompt))
    else:
        {"vocab": train_vocabulary, "encode": encode_files, "train": train,
         "export": export}[args.command](args)


if __name__ == "__main__":
    main()
