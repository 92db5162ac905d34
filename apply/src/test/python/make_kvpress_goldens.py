"""Positions that kvpress keeps of a prompt, on the tiny Llama of src/test/resources/goldens/reference.

    python make_kvpress_goldens.py

Written with kvpress 0.5.5, transformers 5.2.0 and torch 2.7.1 (kvpress wants transformers below 5.3).
kvpress gathers keys without saying which: each kept key is found again in the cache of a run without a press.
"""

import json
import random
from pathlib import Path

import torch
from kvpress import ObservedAttentionPress, PyramidKVPress, SnapKVPress, StreamingLLMPress
from transformers import AutoModelForCausalLM, DynamicCache

GOLDENS = Path(__file__).parent.parent / "resources/goldens"
TOKENS = 96
WINDOW = 4
KERNEL = 5
BETA = 4
SINKS = 4
PRESSES = {
    "streaming-llm": lambda ratio: StreamingLLMPress(ratio, n_sink=SINKS),
    "h2o": lambda ratio: ObservedAttentionPress(ratio),
    "snapkv": lambda ratio: SnapKVPress(ratio, window_size=WINDOW, kernel_size=KERNEL),
    "pyramid": lambda ratio: PyramidKVPress(ratio, window_size=WINDOW, kernel_size=KERNEL, beta=BETA),
}


def keys(model, ids, press=None):
    """The keys of each layer, [1, Hkv, n, D]."""
    cache = DynamicCache()
    position = torch.arange(ids.shape[1])
    with torch.no_grad():
        if press is None:
            model(ids, past_key_values=cache, cache_position=position)
        else:
            with press(model):
                model(ids, past_key_values=cache, cache_position=position)
    return [layer.keys for layer in cache.layers]


def main():
    model = AutoModelForCausalLM.from_pretrained(
        GOLDENS / "reference/tiny_llama", attn_implementation="eager", dtype=torch.float32
    ).eval()
    generator = random.Random(7)
    ids = [generator.randrange(3, 256) for _ in range(TOKENS)]
    tensor = torch.tensor([ids])
    whole = keys(model, tensor)
    kept = {}
    for name, make in PRESSES.items():
        for ratio in (0.25, 0.5, 0.75):
            layers = []
            for layer, pressed in enumerate(keys(model, tensor, make(ratio))):
                heads = []
                for head in range(pressed.shape[1]):
                    distance = torch.cdist(
                        pressed[0, head], whole[layer][0, head], compute_mode="donot_use_mm_for_euclid_dist"
                    )
                    places = distance.argmin(1)
                    assert distance.gather(1, places[:, None]).max() < 1e-5
                    assert len(set(places.tolist())) == len(places)
                    heads.append(sorted(places.tolist()))
                layers.append(heads)
            kept[f"{name}/{ratio}"] = layers
    golden = {
        "versions": "kvpress 0.5.5, transformers 5.2.0, torch 2.7.1",
        "script": "src/test/python/make_kvpress_goldens.py",
        "settings": {"window": WINDOW, "kernel": KERNEL, "beta": BETA, "sinks": SINKS},
        "input_ids": ids,
        "kept": kept,
    }
    target = GOLDENS / "kvpress/kept.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(golden, separators=(",", ":")).replace('"kept"', '\n"kept"').replace(',"', ',\n"') + "\n")


main()
