#!/usr/bin/env python3
"""Throughput of vLLM under policies at a fixed KV memory, by context, beside the unshared model.

    python3 bench/vllm-throughput.py --model DIR --policies share.json windows.json --contexts 1024,2048

Needs vLLM and the package in apply/python, whose plugin runs the policies. Each row is a process of its own with the
same KV memory (`VLLM_CPU_KVCACHE_SPACE` GiB on a CPU, as vLLM reads it); all requests wait at once, so that the memory
decides how many run together. A first request warms up. Prompts are random tokens, all of one length.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time

ROW = "kvshare-row "


def measured(options: argparse.Namespace, policy: str, context: int) -> None:
    """Measures one row in this process, and prints it."""
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    import vllm

    import kvshare.vllm

    llm = vllm.LLM(
        options.model,
        dtype=options.dtype,
        enforce_eager=True,
        max_model_len=context,
        max_num_seqs=options.requests,
        max_num_batched_tokens=max(2048, context),
        enable_prefix_caching=False,
        enable_chunked_prefill=False,
        hf_overrides=kvshare.vllm.overrides(options.model, policy) if policy else None,
    )
    numbers = random.Random(0)
    vocabulary = llm.llm_engine.vllm_config.model_config.get_vocab_size()
    length = context - options.new_tokens
    prompts = [
        {"prompt_token_ids": [numbers.randrange(vocabulary) for _ in range(length)]} for _ in range(options.requests)
    ]
    settings = vllm.SamplingParams(temperature=0, max_tokens=options.new_tokens, ignore_eos=True)
    llm.generate(prompts[:1], settings, use_tqdm=False)
    begin = time.monotonic()
    llm.generate(prompts, settings, use_tqdm=False)
    seconds = time.monotonic() - begin
    cache = llm.llm_engine.vllm_config.cache_config
    row = {
        "policy": policy,
        "context": context,
        "blocks": cache.num_gpu_blocks,
        "tokens_per_second": options.requests * options.new_tokens / seconds,
    }
    print(ROW + json.dumps(row), flush=True)


def main() -> None:
    """Prints a row for each context and policy as they come."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a directory with config.json and safetensors")
    parser.add_argument("--policies", nargs="+", required=True)
    parser.add_argument("--contexts", default="1024,2048", help="tokens of a prompt with its answer")
    parser.add_argument("--requests", type=int, default=32)
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--row", nargs=2, metavar=("POLICY", "CONTEXT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        measured(options, options.row[0], int(options.row[1]))
        return
    print(f"{'context':>8}  {'policy':30}  {'blocks':>7}  {'new tokens/s':>12}  {'ratio':>5}")
    for context in options.contexts.split(","):
        unshared = None
        for policy in ["", *options.policies]:
            command = [sys.executable, __file__, *sys.argv[1:], "--row", policy, context]
            run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            line = next(line for line in run.stdout.splitlines() if line.startswith(ROW))
            row = json.loads(line.removeprefix(ROW))
            unshared = unshared or row["tokens_per_second"]
            ratio = row["tokens_per_second"] / unshared
            name = policy or "(unshared)"
            print(
                f"{context:>8}  {name:30}  {row['blocks']:>7}  {row['tokens_per_second']:>12.1f}  {ratio:>5.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
