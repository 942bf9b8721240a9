"""tests/golden/rope.json: frequencies and attention factors of every RoPE scaling, as transformers has them.

    python rope_golden.py ../../tests/golden/rope.json

Each case has the numbers that go in and, for several lengths, the frequencies in radians per token (float32
inside transformers) and the factor on cosines and sines.
"""

import json
import random
import sys

import transformers
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

HEADS = 4


def config(dim, base, trained, **parameters):
    return LlamaConfig(
        hidden_size=dim * HEADS,
        num_attention_heads=HEADS,
        head_dim=dim,
        max_position_embeddings=trained,
        rope_parameters={"rope_theta": base, **parameters},
    )


def case(scaling, dim, base, trained, slots, **parameters):
    made = config(dim, base, trained, rope_type=scaling, **parameters)
    frequency, magnitude = ROPE_INIT_FUNCTIONS[scaling](made, "cpu", seq_len=slots)
    return {
        "scaling": scaling, "dim": dim, "base": base, "trained": trained, "slots": slots, "parameters": parameters,
        "magnitude": float(magnitude), "frequency": [float("%.9g" % f) for f in frequency],
    }


def cases():
    draw = random.Random(6)
    for dim, base in (64, 10000.0), (128, 500000.0), (16, 1000000.0), (96, 10000.0):
        for factor in 2.0, 4.0, 8.5:
            yield case("linear", dim, base, 2048, 4096, factor=factor)
            for slots in 100, 2048, 2049, 5000, 40000:
                yield case("dynamic", dim, base, 2048, slots, factor=factor)
            for original in 2048, 8192:
                common = {"factor": factor, "original_max_position_embeddings": original}
                yield case("yarn", dim, base, int(original * factor), 99, **common)
                yield case("yarn", dim, base, int(original * factor), 99, truncate=False, **common)
                yield case("yarn", dim, base, int(original * factor), 99, beta_fast=24.0, beta_slow=2.5, **common)
                yield case("yarn", dim, base, int(original * factor), 99, attention_factor=1.25, **common)
                yield case("yarn", dim, base, int(original * factor), 99, mscale=1.0, mscale_all_dim=0.7, **common)
                yield case("llama3", dim, base, int(original * factor), 99, low_freq_factor=1.0, high_freq_factor=4.0,
                           **common)
                yield case("llama3", dim, base, int(original * factor), 99, low_freq_factor=1.5, high_freq_factor=3.0,
                           **common)
        lists = {
            "short_factor": [round(draw.uniform(0.9, 1.3), 3) for _ in range(dim // 2)],
            "long_factor": [round(draw.uniform(1.0, 60.0), 3) for _ in range(dim // 2)],
        }
        for slots in 100, 4096, 4097, 100000:
            common = {"original_max_position_embeddings": 4096, **lists}
            yield case("longrope", dim, base, 131072, slots, **common)
            yield case("longrope", dim, base, 131072, slots, attention_factor=1.19, **common)


def main():
    with open(sys.argv[1], "w") as out:
        out.write('{"made_with": "transformers %s",\n "cases": [\n' % transformers.__version__)
        out.write(",\n".join(json.dumps(one, separators=(",", ":")) for one in cases()))
        out.write("\n]}\n")


if __name__ == "__main__":
    main()
