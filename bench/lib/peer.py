"""The other side of the benchmarks: Hugging Face transformers, asked a line of standard input at a time.

The lines are those of `kvshare measure` (see Measurements.java); each answer is a line of JSON.

    prefill BATCH TOKENS NEW TOP     TOP must be 0: transformers shares nothing
    decode NEW                       `generate` on the prompts' cache
    forwards N FILE                  seconds of N forwards of the papers' search procedure
    search SHARE THRESHOLD FILE      the whole procedure (takes minutes)
    matvec                           GB/s of a float32 matrix-vector product over 400 MB of weights
"""

import argparse
import json
import os
import sys
import time

import torch
import transformers

import papers


def load(path, dtype):
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    folder, name = os.path.split(path)
    source = (folder, {"gguf_file": name}) if name.endswith(".gguf") else (path, {})
    model = transformers.AutoModelForCausalLM.from_pretrained(source[0], dtype=dtype, **source[1])
    return model.eval()


class Peer:
    def __init__(self, model):
        self.model = model
        self.ids = None
        self.cache = None

    def prefill(self, batch, tokens, new, top):
        assert int(top) == 0
        batch, tokens = int(batch), int(tokens)
        vocabulary = self.model.config.vocab_size
        self.ids = torch.tensor(
            [[(7919 * t + 104729 * r + 13) % vocabulary for t in range(tokens)] for r in range(batch)])
        start = time.perf_counter()
        out = self.model(self.ids, use_cache=True, logits_to_keep=1)
        out.logits[:, -1].argmax(-1)
        seconds = time.perf_counter() - start
        self.cache = out.past_key_values
        return {"seconds": seconds}

    def decode(self, new):
        tokens = self.ids.shape[1]
        # generate() runs what the cache lacks: here the last token of the prompt, then the new ones but the last.
        self.cache.crop(tokens - 1 - self.cache.get_seq_length())
        start = time.perf_counter()
        out = self.model.generate(
            self.ids, attention_mask=torch.ones_like(self.ids), past_key_values=self.cache, do_sample=False,
            max_new_tokens=int(new), min_new_tokens=int(new), pad_token_id=0, eos_token_id=None)
        seconds = time.perf_counter() - start
        assert out.shape[1] == tokens + int(new)
        return {"seconds": seconds}

    def forwards(self, count, file):
        search = papers.Search(self.model, json.load(open(file)))
        start = time.perf_counter()
        search.forwards(int(count))
        return {"seconds": time.perf_counter() - start}

    def search(self, share, threshold, file):
        search = papers.Search(self.model, json.load(open(file)))
        start = time.perf_counter()
        found = search.run(int(share), float(threshold))
        return {"seconds": time.perf_counter() - start, **found}

    def matvec(self):
        shapes = [(960, 576), (576, 576), (3072, 576), (576, 1536)]
        weights = [torch.randn(shape) for _ in range(30) for shape in shapes]
        vectors = {size: torch.randn(size) for size in (576, 1536)}
        best = float("inf")
        for _ in range(5):
            start = time.perf_counter()
            for weight in weights:
                torch.mv(weight, vectors[weight.shape[1]])
            best = min(best, time.perf_counter() - start)
        read = sum(weight.numel() * 4 for weight in weights)
        large = torch.randn(100_000_000)
        for _ in range(3):
            start = time.perf_counter()
            large.sum()
            best_sum = time.perf_counter() - start
        return {"seconds": best, "gigabytes_per_second": read / best / 1e9,
                "sum_gigabytes_per_second": large.numel() * 4 / best_sum / 1e9}


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--model", required=True)
    options.add_argument("--dtype", default="float32")
    options.add_argument("--threads", type=int, default=0)
    options = options.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    start = time.perf_counter()
    peer = Peer(load(options.model, getattr(torch, options.dtype)))
    print(json.dumps({"load_seconds": time.perf_counter() - start}), flush=True)
    with torch.inference_mode():
        for line in sys.stdin:
            words = line.split()
            print(json.dumps(getattr(peer, words[0])(*words[1:])), flush=True)


if __name__ == "__main__":
    main()
