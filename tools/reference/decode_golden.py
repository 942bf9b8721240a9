#!/usr/bin/env python3
"""Write tests/golden/formats.bin: random blocks of every format and what they decode to.

The decoder is gguf-py's (pip install gguf==0.19.0 numpy), an implementation independent of weir's.

    python3 tools/reference/decode_golden.py tests/golden/formats.bin

Little-endian. "WRFM", the count of formats; for each its GGUF number, the count of weights, the
count of bytes (all uint32), the bytes, and the weights as float32.
"""
import struct
import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from gguf.quants import dequantize

WEIGHTS = 768  # three of the largest blocks

# Where a block keeps its half-float scales: anything finite; all other bytes are free.
HALVES = {
    Type.Q8_0: [0], Type.Q4_0: [0], Type.Q5_0: [0], Type.IQ4_NL: [0], Type.IQ4_XS: [0],
    Type.Q4_1: [0, 2], Type.Q5_1: [0, 2], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2],
    Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q6_K: [208], Type.MXFP4: [],
}


def finite_halves(random, shape):
    """Every exponent but infinity's, subnormals and zeros among them."""
    bits = random.integers(0, 0x7C00, shape) | random.integers(0, 2, shape) << 15
    bits[random.random(shape) < 0.05] &= 0x83FF
    return bits.astype("<u2")


def rows_of(kind, random):
    if kind == Type.F32:
        return random.standard_normal(WEIGHTS).astype("<f4").view(np.uint8)
    if kind == Type.F16:
        return finite_halves(random, WEIGHTS).view(np.uint8)
    if kind == Type.BF16:
        values = random.standard_normal(WEIGHTS) * 2.0 ** random.integers(-130, 100, WEIGHTS)
        return (values.astype("<f4").view("<u4") >> 16).astype("<u2").view(np.uint8)
    block, size = GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (WEIGHTS // block, size), dtype=np.uint8)
    for at in HALVES[kind]:
        blocks[:, at : at + 2] = finite_halves(random, (len(blocks), 1)).view(np.uint8)
    if kind == Type.MXFP4:  # the largest exponents overflow or mean NaN
        blocks[:, 0] = np.minimum(blocks[:, 0], 250)
        blocks[:3, 0] = [0, 1, 2]
    return blocks.reshape(-1)


def main(path):
    kinds = [Type.F32, Type.F16, Type.BF16, *HALVES]
    random = np.random.default_rng(20230929)
    with open(path, "wb") as out:
        out.write(b"WRFM" + struct.pack("<I", len(kinds)))
        for kind in kinds:
            data = rows_of(kind, random)
            weights = np.asarray(dequantize(data, kind), dtype="<f4").reshape(-1)
            assert len(weights) == WEIGHTS and np.isfinite(weights).all(), kind
            out.write(struct.pack("<III", int(kind), WEIGHTS, len(data)))
            out.write(data.tobytes() + weights.tobytes())


if __name__ == "__main__":
    main(sys.argv[1])
