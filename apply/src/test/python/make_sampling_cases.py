"""Records what the logits processors of transformers make of some logits.

Recorded with transformers 5.23.0 and torch 2.7.1. Run in this folder: python make_sampling_cases.py
"""

import json
import pathlib

import torch
from transformers.generation import logits_process

OUT = pathlib.Path(__file__).parent.parent / "resources" / "sampling" / "cases.json"

SETTINGS = [
    {"temperature": 0.7},
    {"temperature": 1.9},
    {"top_k": 1},
    {"top_k": 5},
    {"top_k": 40},
    {"top_p": 0.1},
    {"top_p": 0.5},
    {"top_p": 0.95},
    {"min_p": 0.05},
    {"min_p": 0.5},
    {"min_p": 1.0},
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.8},
    {"temperature": 0.6, "top_k": 12, "top_p": 0.9},
    {"temperature": 1.5, "top_k": 8, "top_p": 0.7, "min_p": 0.1, "repetition_penalty": 1.2},
]


def process(settings, ids, logits):
    """In the order of GenerationMixin._get_logits_processor."""
    steps = [
        ("repetition_penalty", lambda v: logits_process.RepetitionPenaltyLogitsProcessor(v)),
        ("temperature", lambda v: logits_process.TemperatureLogitsWarper(v)),
        ("top_k", lambda v: logits_process.TopKLogitsWarper(v)),
        ("top_p", lambda v: logits_process.TopPLogitsWarper(v)),
        ("min_p", lambda v: logits_process.MinPLogitsWarper(v)),
    ]
    for name, make in steps:
        if name in settings:
            logits = make(settings[name])(ids, logits)
    return logits


def main():
    generator = torch.Generator().manual_seed(3)
    rows = [
        torch.randn(48, generator=generator) * 3,
        torch.randn(48, generator=generator) * 0.2,
        torch.cat([torch.full((6,), 2.0), torch.zeros(10), -torch.ones(32)]),
    ]
    ids = [3, 7, 7, 20, 47]
    cases = []
    for settings in SETTINGS:
        for row, logits in enumerate(rows):
            if row == 2 and "top_p" in settings:
                continue  # which of equal logits top-p keeps is left to the sort
            result = process(settings, torch.tensor([ids]), logits[None].clone())[0]
            kept = [None if v == float("-inf") else v for v in result.tolist()]
            probabilities = result.softmax(-1).tolist()
            cases.append(
                {"settings": settings, "row": row, "logits": kept, "probabilities": probabilities}
            )
    OUT.parent.mkdir(exist_ok=True)
    content = {"rows": [row.tolist() for row in rows], "ids": ids, "cases": cases}
    OUT.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
