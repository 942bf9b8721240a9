"""The small Llama in PyTorch with which models/weir-recall.gguf is trained (train_streameval.py), and how it
becomes a GGUF file. models/weir-small.gguf is trained by `weir train` (scripts/train-small)."""

import math
import os
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

UNK, BOS, EOS = 0, 1, 2


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

    def forward(self, x, turn):
        c, (batch, tokens, _) = self.config, x.shape
        q = self.q(x).view(batch, tokens, c.heads, c.head_dim).transpose(1, 2)
        k = self.k(x).view(batch, tokens, c.kv_heads, c.head_dim).transpose(1, 2)
        v = self.v(x).view(batch, tokens, c.kv_heads, c.head_dim).transpose(1, 2)
        group = c.heads // c.kv_heads
        k, v = (a.repeat_interleave(group, dim=1) for a in (rotate(k, turn), v))
        y = self.attend(rotate(q, turn), k, v)
        return self.o(y.transpose(1, 2).reshape(batch, tokens, c.dim))

    def attend(self, q, k, v):
        """Ordinary causal attention, by plain products: on CPU faster than the fused kernel."""
        batch, heads, tokens, head_dim = q.shape
        future = torch.full((tokens, tokens), -math.inf, dtype=q.dtype).triu(1)
        q, k, v = (a.reshape(batch * heads, tokens, head_dim) for a in (q, k, v))
        scores = torch.baddbmm(future.expand(len(q), -1, -1), q * head_dim ** -0.5,
                               k.transpose(-1, -2))
        return (scores.softmax(-1) @ v).view(batch, heads, tokens, head_dim)


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.attention_norm = nn.RMSNorm(config.dim, config.eps)
        self.attention = Attention(config)
        self.ffn_norm = nn.RMSNorm(config.dim, config.eps)
        self.gate = nn.Linear(config.dim, config.hidden, bias=False)
        self.up = nn.Linear(config.dim, config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, config.dim, bias=False)

    def forward(self, x, turn):
        x = x + self.attention(self.attention_norm(x), turn)
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

    def hidden(self, tokens):
        turn = rotation(torch.arange(tokens.shape[1]), self.config)
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, turn)
        return self.norm(x)


# ---- training ----------------------------------------------------------------------------------

def optimiser(model, args):
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "embedding" not in n]
    groups = [
        {"params": matrices, "scale": 1.0, "weight_decay": args.weight_decay},
        {"params": [model.embedding.weight], "scale": args.embedding_scale,
         "weight_decay": args.weight_decay},
        {"params": [p for p in model.parameters() if p.dim() == 1], "scale": args.embedding_scale,
         "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=args.rate, betas=(0.9, 0.95), eps=1e-9, fused=True)


def save(path, model, adam, state):
    torch.save({"config": asdict(model.config), "model": model.state_dict(),
                "adam": adam.state_dict() if adam else None, "state": state}, f"{path}.part")
    os.replace(f"{path}.part", path)


def load(out):
    saved = torch.load(out / "model.pt", weights_only=False)
    model = Model(Config(**saved["config"]))
    model.load_state_dict(saved["model"])
    return model.eval(), saved


# ---- export ------------------------------------------------------------------------------------

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
