#!/usr/bin/env python3
"""Measures the exported model on the held-out novel and prints the tables of the model card.

Reads the texts that train.py left under --work.
"""

import argparse
import pathlib
import random
import statistics

import numpy as np
import torch
from transformers import AutoModelForCausalLM, DynamicCache

import train


class SharedCache(DynamicCache):
    """Gives layer i the keys and values of layer source[i]; keys are stored after the rotary embedding."""

    def __init__(self, source):
        super().__init__()
        self.source = source

    def update(self, keys, values, layer, *args, **kwargs):
        own = super().update(keys, values, layer, *args, **kwargs)
        if self.source[layer] == layer:
            return own
        source = self.layers[self.source[layer]]
        return source.keys, source.values


def windows(stream, length, count=None):
    """Windows of length + 1 tokens, so that each has `length` predictions; all of them, or `count` evenly spread."""
    starts = np.arange(0, len(stream) - length, length)
    if count is not None:
        starts = starts[np.linspace(0, len(starts) - 1, count).astype(int)]
    return torch.from_numpy(np.stack([stream[s:s + length + 1] for s in starts]))


@torch.no_grad()
def loss_and_bytes(model, batch, byte_lengths, source=None):
    """Mean loss a predicted token in nats, and the bytes that the predicted tokens stand for."""
    total = 0.0
    for part in batch.split(max(1, 1024 // (batch.size(1) - 1))):
        cache = None if source is None else SharedCache(source)
        logits = model(input_ids=part[:, :-1], past_key_values=cache, use_cache=cache is not None).logits.float()
        total += float(torch.nn.functional.cross_entropy(
            logits.reshape(-1, logits.size(-1)), part[:, 1:].reshape(-1), reduction="sum"))
    predicted = batch[:, 1:]
    return total / predicted.numel(), int(byte_lengths[predicted.numpy()].sum())


def unigram_loss(streams, held_out):
    """Loss of the training mixture's token frequencies (add-one) on the held-out stream."""
    probability = np.zeros(train.VOCABULARY)
    for name, share in train.MIXTURE.items():
        counts = np.bincount(streams[name]["flowing"], minlength=train.VOCABULARY) + 1.0
        probability += share * counts / counts.sum()
    return float(-np.log(probability[held_out]).mean())


def random_map(layers, shared, rng, nearest):
    """`shared` random layers above the first; each reads an owner below it, the nearest or any."""
    sharing = set(rng.sample(range(1, layers), shared))
    owners = [i for i in range(layers) if i not in sharing]
    source = list(range(layers))
    for i in sharing:
        below = [j for j in owners if j < i]
        source[i] = below[-1] if nearest else rng.choice(below)
    return source


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("work"))
    parser.add_argument("--model", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--maps", type=int, default=6, help="random maps of each size")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    text = train.load_text(args.work)
    tokenizer = train.Tokenizer.from_file(str(args.model / "tokenizer.json"))
    streams = {name: {form: train.encode(tokenizer, documents) for form, documents in forms.items()}
               for name, forms in text.items()}
    byte_lengths = np.array([0 if i == 0 else len(tokenizer.id_to_token(i)) for i in range(train.VOCABULARY)])
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    held_out = streams["heldout"]["flowing"]

    print("training tokens:", {n: len(streams[n]["flowing"]) for n in train.MIXTURE})
    print(f"held-out tokens {len(held_out)}, bytes {sum(len(c.encode()) for c in text['heldout']['flowing'])}")
    print(f"unigram perplexity {np.exp(unigram_loss(streams, held_out)):.1f}")
    for form, length, count in (("flowing", 256, None), ("flowing", 1024, 48), ("wrapped", 256, 100)):
        batch = windows(streams["heldout"][form], length, count)
        loss, size = loss_and_bytes(model, batch, byte_lengths)
        print(f"emma {form}, {len(batch)} windows of {length}: loss {loss:.4f} perplexity {np.exp(loss):.2f} "
              f"perplexity per byte {np.exp(loss * batch[:, 1:].numel() / size):.4f}", flush=True)

    layers = model.config.num_hidden_layers
    sample = windows(held_out, 256, 16)
    base, _ = loss_and_bytes(model, sample, byte_lengths)
    same, _ = loss_and_bytes(model, sample, byte_lengths, list(range(layers)))
    assert abs(base - same) < 1e-5, "the identity map must change nothing"
    print(f"sharing: 16 windows of 256, unshared perplexity {np.exp(base):.2f}")
    for nearest in (True, False):
        for shared in (2, 4, 6):
            rng = random.Random(shared)
            ratios = []
            for _ in range(args.maps):
                loss, _ = loss_and_bytes(model, sample, byte_lengths, random_map(layers, shared, rng, nearest))
                ratios.append(np.exp(loss - base))
            print(f"{'nearest owner below' if nearest else 'any owner below'} shared {shared}: ratio median "
                  f"{statistics.median(ratios):.2f} min {min(ratios):.2f} max {max(ratios):.2f}", flush=True)


if __name__ == "__main__":
    main()
