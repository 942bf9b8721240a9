"""Tiny random models of every family that transformers has, and their logits.

    python families.py make tests/golden/families [NAME...]   folders and families.json
    python families.py compare build/weir tests/golden/families [NAME...]
    python families.py llama-cpp build/weir LLAMA_CPP tests/golden/families [NAME...]

`make` writes a folder for each model (config.json, model.safetensors in bfloat16) and figures computed in float64
by transformers: one dense forward, and for families whose positions differ (llama, gptneox, falcon, mpt, gpt-oss)
the policies `window` and `sink`. There the keys of a layer are kept as they were before rotation; every token sees
what the policy leaves it, each key and the query rotated by its place in the cache at that moment (or, with ALiBi,
biased by the distance of places). A layer's keys depend on what each token saw then, so this is what a cache that is
stepped one token at a time holds. `compare` converts each folder with `weir convert --type f32` and says how far
weir's logits are off; the test golden/families does the same without Python. `llama-cpp` asks how far those of
llama.cpp are (a folder of that project, built, as for against_llama.py) on the same files.
"""
import argparse
import importlib
import json
import math
import platform
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

import against_llama

TOKENS = [1] + [(7 * i * i + 5 * i + 3) % 90 + 4 for i in range(1, 48)]
AT = [2, 11, 30, 47]  # indices whose logits are kept
VOCABULARY = 96
COLUMNS = list(range(0, VOCABULARY, 3))
CACHES = [("window", 0, 11), ("sink", 3, 9)]  # policy, S, W
STREAMED = ("llama", "gptneox", "falcon-multi", "falcon-grouped", "mpt", "gpt-oss")

COMMON = dict(vocab_size=VOCABULARY, bos_token_id=1, eos_token_id=2, pad_token_id=None)
SHAPE = dict(COMMON, hidden_size=48, num_hidden_layers=2, num_attention_heads=6, max_position_embeddings=64,
             tie_word_embeddings=False)
GATED = dict(SHAPE, intermediate_size=64, num_key_value_heads=3)
LLAMA3 = dict(rope_type="llama3", rope_theta=10000.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=16)
LONGROPE = dict(rope_type="longrope", rope_theta=10000.0, original_max_position_embeddings=32,
                short_factor=[1.0, 1.05, 1.2, 1.5], long_factor=[1.0, 1.4, 2.3, 3.9])
YARN = dict(rope_type="yarn", rope_theta=150000.0, factor=4.0, beta_fast=32.0, beta_slow=1.0, truncate=False,
            original_max_position_embeddings=16)
EXPERTS = dict(hidden_size=32, num_attention_heads=4, num_key_value_heads=2, intermediate_size=32, num_experts_per_tok=2)

MODELS = {
    "llama": ("Llama", dict(GATED, head_dim=10)),
    "llama-biased": ("Llama", dict(GATED, num_key_value_heads=6, attention_bias=True, mlp_bias=True, rope_parameters=LLAMA3)),
    "llama-linear": ("Llama", dict(GATED, head_dim=10, rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=3.0))),
    "llama-dynamic": ("Llama", dict(GATED, head_dim=10, max_position_embeddings=24,
                                    rope_parameters=dict(rope_type="dynamic", rope_theta=10000.0, factor=2.0))),
    "llama-yarn": ("Llama", dict(GATED, head_dim=10, rope_parameters=dict(
        rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=16, attention_factor=1.2))),
    "mistral": ("Mistral", dict(GATED, sliding_window=12)),
    "mixtral": ("Mixtral", dict(GATED, **EXPERTS, num_local_experts=4, sliding_window=None)),
    "gptneox": ("GPTNeoX", dict(SHAPE, intermediate_size=96, rotary_pct=0.5)),
    "gptneox-sequential": ("GPTNeoX", dict(SHAPE, intermediate_size=96, use_parallel_residual=False)),
    "falcon-multi": ("Falcon", dict(SHAPE, multi_query=True, parallel_attn=True, new_decoder_architecture=False,
                                    alibi=False, bias=False, tie_word_embeddings=True)),
    "falcon-grouped": ("Falcon", dict(SHAPE, new_decoder_architecture=True, num_kv_heads=2, alibi=False, bias=False)),
    "mpt": ("Mpt", dict(COMMON, d_model=48, n_heads=6, n_layers=2, max_seq_len=64, expansion_ratio=4, no_bias=True,
                        tie_word_embeddings=True, attn_config=dict(alibi=True, clip_qkv=1.5, alibi_bias_max=8))),
    "gpt2": ("GPT2", dict(COMMON, n_embd=48, n_head=6, n_layer=2, n_positions=64, tie_word_embeddings=True)),
    "stablelm": ("StableLm", dict(GATED, partial_rotary_factor=0.5, use_qkv_bias=True)),
    "stablelm-parallel": ("StableLm", dict(GATED, partial_rotary_factor=0.25, use_parallel_residual=True, qk_layernorm=True)),
    "phi2": ("Phi", dict(SHAPE, intermediate_size=96, partial_rotary_factor=0.5, num_key_value_heads=6)),
    "phi3": ("Phi3", dict(GATED, sliding_window=None)),
    "phi3-long": ("Phi3", dict(GATED, sliding_window=None, rope_parameters=LONGROPE,
                               original_max_position_embeddings=32)),
    "qwen2": ("Qwen2", dict(GATED)),
    "qwen3": ("Qwen3", dict(GATED, head_dim=12)),
    "qwen3moe": ("Qwen3Moe", dict(GATED, **EXPERTS, head_dim=8, num_experts=4, moe_intermediate_size=16, norm_topk_prob=True,
                                  decoder_sparse_step=1)),
    "gemma": ("Gemma", dict(GATED, num_key_value_heads=1, head_dim=12, tie_word_embeddings=True)),
    "gemma2": ("Gemma2", dict(GATED, head_dim=12, query_pre_attn_scalar=12, sliding_window=8, attn_logit_softcapping=4.0,
                              final_logit_softcapping=6.0, num_hidden_layers=3, tie_word_embeddings=True)),
    "gemma3": ("Gemma3", dict(GATED, hidden_size=32, num_attention_heads=4, num_key_value_heads=2, head_dim=8, intermediate_size=32,
                              query_pre_attn_scalar=8, sliding_window=8, num_hidden_layers=7,
                              tie_word_embeddings=True)),
    "gemma3-scaled": ("Gemma3", dict(GATED, hidden_size=32, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
                                     intermediate_size=32, query_pre_attn_scalar=20, sliding_window=8,
                                     tie_word_embeddings=True)),
    "starcoder2": ("Starcoder2", dict(GATED, sliding_window=None, use_bias=True, tie_word_embeddings=True)),
    "olmo2": ("Olmo2", dict(GATED)),
    "smollm3": ("SmolLM3", dict(GATED, hidden_size=32, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48,
                                num_hidden_layers=5, tie_word_embeddings=True)),
    "gpt-oss": ("GptOss", dict(GATED, hidden_size=64, head_dim=16, num_attention_heads=4, num_key_value_heads=2,
                               intermediate_size=32, num_local_experts=4, num_experts_per_tok=2, sliding_window=8,
                               rope_parameters=YARN, max_position_embeddings=64)),
    "bert": ("Bert", dict(COMMON, hidden_size=48, num_hidden_layers=2, num_attention_heads=6, intermediate_size=96,
                          max_position_embeddings=64, type_vocab_size=2)),
    "nomic-bert": ("NomicBert", dict(COMMON | dict(pad_token_id=0), hidden_size=48, num_hidden_layers=2, num_attention_heads=6, intermediate_size=64,
                                     max_position_embeddings=64, type_vocab_size=2)),
}
CLASSES = {"Gemma3": ("Gemma3TextConfig", "Gemma3ForCausalLM"), "GPT2": ("GPT2Config", "GPT2LMHeadModel"),
           "Bert": ("BertConfig", "BertModel"), "NomicBert": ("NomicBertConfig", "NomicBertModel")}
MXFP4 = "gpt-oss-mxfp4"  # the same model as "gpt-oss", its experts in blocks


def seeded(name):
    torch.manual_seed(sum((i + 1) * ord(c) for i, c in enumerate(name)))


def classes(kind):
    config, model = CLASSES.get(kind, (f"{kind}Config", f"{kind}ForCausalLM"))
    return getattr(transformers, config), getattr(transformers, model)


# ---- random weights --------------------------------------------------------------------------------------------------

E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])


def in_blocks(weights):
    """[..., 32 n] to numbers that MXFP4 has, with their codes [..., n, 16] and exponents [..., n]: two codes to a byte,
    the first in the lower half."""
    groups = weights.reshape(*weights.shape[:-1], -1, 32)
    exponent = torch.floor(torch.log2(groups.abs().amax(-1))) - 2
    scaled = groups / torch.exp2(exponent)[..., None]
    codes = (scaled.abs()[..., None] - E2M1).abs().argmin(-1)
    values = torch.sign(scaled) * E2M1[codes] * torch.exp2(exponent)[..., None]
    codes = (codes + 8 * (scaled < 0)).to(torch.uint8)
    packed = codes[..., 0::2] | codes[..., 1::2] << 4
    return values.reshape(weights.shape), packed, (exponent + 127).to(torch.uint8)


def randomise(model, kind):
    """Every parameter: norms about 1, biases small, matrices so large that attention has something to choose from."""
    plus_one = kind.startswith("Gemma")
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape)
        if "norm" in name.lower() or ".ln_" in name or name.startswith("ln_"):
            p.data = 0.2 * noise + (0 if name.endswith("bias") or plus_one else 1)
        elif name.endswith("bias") or name.endswith("_bias") or "sinks" in name:
            p.data = 0.3 * noise
        elif p.dim() == 1:
            p.data = noise
        else:
            turned = "c_" in name or kind == "GptOss" and "experts" in name
            fan = p.shape[-2] if turned else p.shape[-1]
            p.data = noise * (0.5 if "embed" in name or "wte" in name or "wpe" in name else 1.3 / math.sqrt(fan))
            if kind == "GptOss" and "experts" in name:
                p.data = in_blocks(p.data.transpose(-1, -2))[0].transpose(-1, -2)
        p.data = p.data.to(torch.bfloat16).to(torch.float64)


def build(name):
    kind, options = MODELS[name]
    config_class, model_class = classes(kind)
    seeded(name)
    config = config_class(**options, attn_implementation="eager")
    config._experts_implementation = "eager"
    model = model_class(config).eval()
    randomise(model, kind)
    return model.double()


def save(model, name, folder):
    target = folder / name
    shutil.rmtree(target, ignore_errors=True)
    model.to(torch.bfloat16).save_pretrained(target)  # its rotary frequencies are spoilt now
    (target / "model.safetensors").chmod(0o644)
    if (target / "generation_config.json").exists():
        (target / "generation_config.json").unlink()
    if name == "gpt-oss":
        save_blocks(target, folder / MXFP4)


def save_blocks(source, target):
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    config = json.loads((source / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "mxfp4"}
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    out = {}
    for name, value in load_file(source / "model.safetensors").items():
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            _, packed, scales = in_blocks(value.float().transpose(-1, -2))
            out |= {name + "_blocks": packed.contiguous(), name + "_scales": scales.contiguous()}
        else:
            out[name] = value
    save_file(out, target / "model.safetensors")


# ---- streaming -------------------------------------------------------------------------------------------------------


class Places:
    """Which keys token t sees, and their places in the cache (STREAMING.md)."""

    def __init__(self, sinks, window):
        self.sinks, self.window = sinks, window

    def of(self, t, own=None):
        b = max(self.sinks, t - self.window + 1)
        place = {j: j for j in range(min(self.sinks, t + 1))}
        place |= {j: j - (b - self.sinks) for j in range(b, t + 1)}
        seen = [j for j in sorted(place) if own is None or place[t] - place[j] < own]
        return seen, torch.tensor([place[j] for j in seen])


def attend(q, k, v, places, scale, rotate=None, slopes=None, sinks=None, own=None):
    """q [heads, T, dim], k and v [kv heads, T, dim], not rotated. Returns [T, heads * dim]."""
    repeat = q.shape[0] // k.shape[0]
    k, v = (x.repeat_interleave(repeat, 0) for x in (k, v))
    rows = []
    for t in range(q.shape[1]):
        seen, place = places.of(t, own)
        query, keys = q[:, t:t + 1], k[:, seen]
        if rotate is not None:
            query, keys = rotate(query, place[-1:]), rotate(keys, place)
        scores = (query @ keys.transpose(1, 2))[:, 0] * scale
        if slopes is not None:
            scores = scores - slopes[:, None] * (place[-1] - place)
        if sinks is not None:
            scores = torch.cat((scores, sinks[:, None].to(scores)), 1)
        p = torch.softmax(scores, 1)[:, :len(seen)]
        rows.append((p[:, None] @ v[:, seen]).flatten())
    return torch.stack(rows)


def rotation(module, model, original):
    """x [heads, n, dim] at places [n]."""
    inner = getattr(model, model.base_model_prefix)

    def rotate(x, place):
        cos, sin = inner.rotary_emb(x[None], place[None])
        return original(x[None], x[None], cos.to(x), sin.to(x))[0][0]

    return rotate


@contextmanager
def replaced(owner, **names):
    before = {name: getattr(owner, name) for name in names}
    for name, value in names.items():
        setattr(owner, name, value)
    yield
    for name, value in before.items():
        setattr(owner, name, value)


def interface(places, rotate):
    def forward(module, query, key, value, mask, scaling, dropout=0.0, **kwargs):
        out = attend(query[0], key[0], value[0], places, scaling, rotate, sinks=getattr(module, "sinks", None),
                     own=getattr(module, "sliding_window", None))
        return out.view(1, len(out), query.shape[1], -1), None

    return forward


def falcon_forward(places, rotate):
    def forward(self, hidden_states, alibi, attention_mask, **kwargs):
        q, k, v = (x[0].transpose(0, 1) for x in self._split_heads(self.query_key_value(hidden_states)))
        return self.dense(attend(q, k, v, places, 1 / math.sqrt(self.head_dim), rotate)[None]), None

    return forward


def mpt_forward(places, slopes):
    def forward(self, hidden_states, position_bias, past_key_values=None, attention_mask=None, **kwargs):
        fused = self.Wqkv(hidden_states)[0].clamp(-self.clip_qkv, self.clip_qkv)
        q, k, v = (x.view(len(fused), self.n_heads, -1).transpose(0, 1) for x in fused.chunk(3, 1))
        return self.out_proj(attend(q, k, v, places, self.softmax_scale, slopes=slopes)[None]), None

    return forward


def stream(model, name, tokens, sinks, window):
    """Logits [T, vocabulary] under {S, W}."""
    module = importlib.import_module(type(model).__module__)
    places = Places(sinks, window)
    if name == "mpt":
        table = module.build_mpt_alibi_tensor(model.config.n_heads, 2)  # at distance 1, and 0
        slopes = -table[:, 0, 0].double()
        with replaced(module.MptAttention, forward=mpt_forward(places, slopes)):
            return logits(model, tokens)
    original = module.apply_rotary_pos_emb
    rotate = rotation(module, model, original)
    if name.startswith("falcon"):
        with replaced(module.FalconAttention, forward=falcon_forward(places, rotate)):
            return logits(model, tokens)
    with replaced(module, apply_rotary_pos_emb=lambda q, k, *rest, **more: (q, k),
                  eager_attention_forward=interface(places, rotate)):
        return logits(model, tokens)


def logits(model, tokens):
    with torch.no_grad():
        out = model(torch.tensor([tokens]), use_cache=False)
    return (out.logits if hasattr(out, "logits") else out.last_hidden_state)[0].double()


# ---- figures ---------------------------------------------------------------------------------------------------------


def case(policy, sinks, window, rows):
    columns = [c for c in COLUMNS if c < rows.shape[1]]
    return {"policy": policy, "sinks": sinks, "window": window,
            "rows": [[float(f"{x:.9g}") for x in rows[t, columns].tolist()] for t in AT]}


def figures(name, model):
    dense = logits(model, TOKENS)
    cases = [case("dense", 0, len(TOKENS), dense)]
    if name in ("bert", "nomic-bert"):
        cases[0]["encoder"] = True  # the last hidden states
    if name in STREAMED:
        again = stream(model, name, TOKENS, 0, 10 ** 6)
        off = ((again - dense).norm() / dense.norm()).item()
        assert off < 1e-6, f"{name}: the streaming forward is off by {off} where nothing is evicted"
        for policy, sinks, window in CACHES:
            rows = stream(model, name, TOKENS, sinks, window)
            assert (rows[47] - dense[47]).norm() > 1e-3 * dense[47].norm(), name
            cases.append(case(policy, sinks, window, rows))
    return cases


def make(folder, names):
    made = folder.parent / "families.json"
    known = json.loads(made.read_text())["models"] if made.exists() else {}
    for name in names or MODELS:
        model = build(name)
        known[name] = {"cases": figures(name, model)}
        save(model, name, folder)
        if name == "gpt-oss":
            known[MXFP4] = known[name]
        size = (folder / name / "model.safetensors").stat().st_size
        print(f"{name}: {size / 1e3:.0f} kB, {len(known[name]['cases'])} cases")
    order = [n for n in [*MODELS, MXFP4] if n in known]
    versions = {"python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__}
    lines = ",\n".join(f'"{n}": {json.dumps(known[n])}' for n in order)
    made.write_text(f'{{"made_with": {json.dumps(versions)},\n"tokens": {TOKENS},\n"at": {AT},\n"columns": {COLUMNS},\n'
                    f'"models": {{\n{lines}\n}}}}\n')


# ---- comparison ------------------------------------------------------------------------------------------------------


def weir_rows(weir, model, at, folder):
    out = Path(folder) / "rows.f32"
    command = [weir, "logits", model, "--tokens", ",".join(map(str, TOKENS)), "--policy", at["policy"], "--cache-type",
               "f32", "--out", out]
    command += ["--context", str(at["window"])] if at["policy"] == "dense" else ["--window", str(at["window"])]
    command += ["--sinks", str(at["sinks"])] if at["policy"] == "sink" else []
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return np.fromfile(out, dtype="<f4").astype(np.float64).reshape(len(TOKENS), -1)


def peer_rows(program, model, folder):
    out = Path(folder) / "rows.f32"
    done = subprocess.run([program, model, out, *map(str, TOKENS)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"exit {done.returncode}: {done.stderr.strip()}")
    return np.fromfile(out, dtype="<f4").astype(np.float64).reshape(len(TOKENS), -1)


def distance(rows, wanted):
    have = rows[AT][:, [c for c in COLUMNS if c < rows.shape[1]]]
    return (np.linalg.norm(have - wanted, axis=1) / np.linalg.norm(wanted, axis=1)).max()


def compare(weir, folder, names, peer=None):
    data = json.loads((folder.parent / "families.json").read_text())
    good = True
    with tempfile.TemporaryDirectory() as scratch:
        theirs = peer and against_llama.build(peer, Path(scratch))
        for name in names or data["models"]:
            model = Path(scratch) / "model.gguf"
            try:
                done = subprocess.run([weir, "convert", folder / name, "--out", model, "--type", "f32", "--no-vocab"],
                                      capture_output=True, text=True)
                if done.returncode != 0:
                    raise RuntimeError(done.stderr.strip())
                said = []
                for at in data["models"][name]["cases"]:
                    if "encoder" in at or peer and at["policy"] != "dense":
                        continue
                    rows = peer_rows(theirs, model, scratch) if peer else weir_rows(weir, model, at, scratch)
                    off = distance(rows, np.array(at["rows"]))
                    said.append(f"{at['policy']} {off:.1e}")
                    good = good and off < 1e-4
                print(f"{name}: {', '.join(said)}")
            except RuntimeError as error:
                good = False
                print(f"{name}: {error}")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "compare", "llama-cpp"])
    parser.add_argument("arguments", nargs="+")
    given = parser.parse_args()
    if given.what == "make":
        make(Path(given.arguments[0]), given.arguments[1:])
    elif given.what == "llama-cpp":
        weir, peer, folder, *names = given.arguments
        sys.exit(not compare(weir, Path(folder), names, Path(peer)))
    else:
        sys.exit(not compare(given.arguments[0], Path(given.arguments[1]), given.arguments[2:]))


if __name__ == "__main__":
    main()
