#!/usr/bin/env python3
"""What a policy is worth on a GPU, by the package in apply/python: one command, a few minutes, no network.

    python3 bench/gpu.py                      # Llama-like models of 1B and 8B shape, random weights, bfloat16
    python3 bench/gpu.py --device cpu --shapes tiny --contexts 64,128 --batches 1,2

Needs torch and transformers. Each number is a median of rounds that follow warm-up; each plan's numbers stand beside
those of the unshared model in the same process. Random weights do as well as trained ones here: nothing that is
measured depends on them. Decoding is greedy, through `model(...)` and `DynamicCache`, as `generate` does it.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "apply/python/src"))

import torch
import transformers
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

import kvshare

WARM_UP = 8
SHAPES = {
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 8, "num_attention_heads": 4,
             "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 256},
    "1b": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
           "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128256},
    "8b": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
           "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 128256},
}  # fmt: skip


def plans(layers: int) -> dict[str, dict[str, Any] | None]:
    """Plans by name; None is the unshared model."""
    own = list(range(layers))
    half = [layer for layer in own if layer % 2]
    window = {"layers": half, "first": 4, "last": 64}
    return {
        "unshared": None,
        "25 % share": {"kv_source": [layer - (layer % 4 == 3) for layer in own]},
        "50 % share": {"kv_source": [layer - layer % 2 for layer in own]},
        "50 % windows, exact prompt": {"kv_source": own, "window": window, "prefill": "exact"},
        "50 % windows": {"kv_source": own, "window": window},
    }


class Bench:
    """One model under one plan after another."""

    def __init__(self, shape: str, options: argparse.Namespace) -> None:
        self.options = options
        self.device = torch.device(options.device)
        self.dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        config = LlamaConfig(**SHAPES[shape], max_position_embeddings=1 << 17, tie_word_embeddings=shape == "1b")
        torch.manual_seed(0)
        default = torch.get_default_dtype()
        torch.set_default_dtype(self.dtype)
        with self.device:
            self.model = LlamaForCausalLM._from_config(config, attn_implementation="sdpa").eval()
        torch.set_default_dtype(default)
        self.end = config.vocab_size

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def tokens(self, batch: int, count: int) -> torch.Tensor:
        return torch.randint(3, self.end, (batch, count), device=self.device)

    def step(self, ids: torch.Tensor, cache: Any) -> torch.Tensor:
        output = self.model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return output.logits[:, -1].argmax(-1, keepdim=True)

    def cache(self) -> Any:
        return DynamicCache(config=self.model.config)

    def prefill(self, context: int) -> float:
        """Tokens a second of one prompt."""
        seconds = []
        for _ in range(self.options.rounds + 1):
            ids = self.tokens(1, context)
            self.synchronize()
            start = time.perf_counter()
            self.step(ids, self.cache())
            self.synchronize()
            seconds.append(time.perf_counter() - start)
        return context / statistics.median(seconds[1:])

    def filled(self, context: int, batch: int) -> Any:
        """A cache with a text of so many tokens, the same in each row."""
        cache = self.cache()
        self.step(self.tokens(1, context), cache)
        if batch > 1:
            cache.batch_repeat_interleave(batch)
        return cache

    def decode(self, context: int, batch: int) -> dict[str, float]:
        """Tokens a second of all rows together, and memory."""
        cache = self.filled(context, batch)
        ids = self.tokens(batch, 1)
        for _ in range(WARM_UP):
            ids = self.step(ids, cache)
        self.reset_peak()
        seconds = []
        for _ in range(self.options.rounds):
            self.synchronize()
            start = time.perf_counter()
            for _ in range(self.options.steps):
                ids = self.step(ids, cache)
            self.synchronize()
            seconds.append((time.perf_counter() - start) / self.options.steps)
        return {
            "tokens_per_second": batch / statistics.median(seconds),
            "kv_mib": kvshare.stored_bytes(cache) / (1 << 20),
            "peak_gib": self.peak(),
        }

    def warm_up(self, context: int, batch: int) -> None:
        """Whoever decodes first at new sizes is three times as slow: an unshared run that is not counted."""
        try:
            self.decode(context, batch)
        except torch.cuda.OutOfMemoryError:
            pass
        self.clear()

    def largest_batch(self, context: int, most: int = 1 << 16) -> int:
        """The most rows with which a step fits into the device's memory, to about 2 %."""
        fits, fails = 0, most + 1
        trial = 8
        while fails - fits > max(1, fits // 50):
            if self.fits(context, trial):
                fits = trial
            else:
                fails = trial
            trial = fits * 2 if fails > most else (fits + fails) // 2
            if trial > most:
                return fits
        return fits

    def fits(self, context: int, batch: int) -> bool:
        try:
            cache = self.filled(context, batch)
            ids = self.tokens(batch, 1)
            for _ in range(2):
                ids = self.step(ids, cache)
            self.synchronize()
            return True
        except torch.cuda.OutOfMemoryError:
            return False
        finally:
            cache = ids = None
            self.clear()

    def clear(self) -> None:
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def reset_peak(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def peak(self) -> float:
        return torch.cuda.max_memory_allocated() / (1 << 30) if self.device.type == "cuda" else 0.0

    def under(self, plan: dict[str, Any] | None) -> None:
        if plan is not None:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "policy.json"
                file.write_text(json.dumps({"schema": "kvshare.policy/2", "plan": plan}))
                kvshare.apply_policy(self.model, file)


def measure(shape: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Every number of every plan, the plans side by side."""
    bench = Bench(shape, options)
    rows: list[dict[str, Any]] = []
    unshared: dict[tuple[Any, ...], float] = {}
    chosen = {
        name: plan
        for name, plan in plans(bench.model.config.num_hidden_layers).items()
        if plan is None or not options.plans or any(part in name for part in options.plans.split(","))
    }

    def add(name: str, what: str, value: float, unit: str, **where: int) -> None:
        key = (what, *where.values())
        if name == "unshared":
            unshared[key] = value
        ratio = value / unshared[key] if unshared.get(key) else None
        rows.append({"shape": shape, "plan": name, "what": what, **where, "value": value, "unit": unit, "ratio": ratio})
        place = ", ".join(f"{label} {number:,}" for label, number in where.items())
        stated = "" if ratio is None else f"{ratio:.2f}"
        print(f"| {shape} | {what} | {place} | {name} | {value:,.1f} {unit} | {stated} |", flush=True)

    def each(what: str, **where: int) -> None:
        if what == "decode":
            bench.warm_up(**where)
        for name, plan in chosen.items():
            bench.under(plan)
            try:
                if what == "prefill":
                    add(name, what, bench.prefill(**where), "tokens/s", **where)
                elif what == "largest batch":
                    add(name, what, bench.largest_batch(**where), "rows", **where)
                else:
                    found = bench.decode(**where)
                    add(name, what, found["tokens_per_second"], "tokens/s", **where)
                    add(name, "KV cache", found["kv_mib"], "MiB", **where)
                    add(name, "peak memory", found["peak_gib"], "GiB", **where)
            except torch.cuda.OutOfMemoryError:
                place = ", ".join(f"{label} {number:,}" for label, number in where.items())
                print(f"| {shape} | {what} | {place} | {name} | out of memory | |", flush=True)
            finally:
                if plan is not None:
                    kvshare.remove_policy(bench.model)
                bench.clear()

    for context in options.contexts:
        each("prefill", context=context)
        for batch in options.batches:
            each("decode", context=context, batch=batch)
    if bench.device.type == "cuda":
        each("largest batch", context=options.contexts[-1])
    return rows


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--shapes", default="1b,8b", help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--plans", default="", help="parts of names of plans; all unless given")
    parser.add_argument("--contexts", type=numbers, default=[1024, 8192, 32768])
    parser.add_argument("--batches", type=numbers, default=[1, 16])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=16, help="tokens a round of decoding")
    parser.add_argument("--json", type=Path, help="where the numbers go as JSON")
    options = parser.parse_args()
    device = torch.cuda.get_device_name() if options.device.startswith("cuda") else "CPU"
    print(
        f"{device}, torch {torch.__version__}, transformers {transformers.__version__}, kvshare {kvshare.__version__}"
    )
    if device == "CPU":
        print("not run on a GPU: these numbers show that the program works, and nothing else")
    print("\n| shape | what | where | plan | value | ratio to unshared |\n|---|---|---|---|---|---|")
    with torch.inference_mode():
        rows = [row for shape in options.shapes.split(",") for row in measure(shape, options)]
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
