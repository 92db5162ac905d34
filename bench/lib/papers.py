"""The search of KVSharer (arXiv 2410.18517, algorithm 1) as its description says, written with transformers: one
sample at a time, and for each candidate two forwards a sample, unshared and under the candidate map."""

import torch
from transformers.cache_utils import DynamicCache


class SharedCache(DynamicCache):
    """A layer that shares reads the keys and values that its source has just stored."""

    def __init__(self, source):
        super().__init__()
        self.source = source
        self.stored = {}

    def update(self, key_states, value_states, layer_idx, *args, **kwargs):
        source = self.source[layer_idx]
        if source == layer_idx:
            self.stored[layer_idx] = (key_states, value_states)
        return self.stored[source]


class Search:
    def __init__(self, model, samples):
        self.model = model
        self.layers = model.config.num_hidden_layers
        self.samples = [torch.tensor([sample]) for sample in samples]
        self.count = 0

    def forward(self, sample, source):
        """The last hidden states after the final norm, flattened, and the cache."""
        self.count += 1
        cache = SharedCache(source)
        out = self.model(sample, past_key_values=cache, use_cache=True, output_hidden_states=True)
        return out.hidden_states[-1].flatten().float(), cache

    def forwards(self, count):
        """So many forwards of the procedure, as its inner loop runs them."""
        unshared = list(range(self.layers))
        shared = unshared[:-1] + [0]
        for number in range(count // 2):
            sample = self.samples[number % len(self.samples)]
            a, _ = self.forward(sample, unshared)
            b, _ = self.forward(sample, shared)
            torch.nn.functional.cosine_similarity(a, b, dim=0).item()

    def ranking(self):
        keys = values = None
        for sample in self.samples:
            _, cache = self.forward(sample, list(range(self.layers)))
            k = torch.stack([cache.stored[i][0][0] for i in range(self.layers)])
            v = torch.stack([cache.stored[i][1][0] for i in range(self.layers)])
            keys, values = (k, v) if keys is None else (keys + k, values + v)
        pairs = []
        for i in range(self.layers):
            for j in range(i):
                distance = sum(
                    ((states[i] - states[j]) / len(self.samples)).norm(dim=-1).mean().item() / 2
                    for states in (keys, values))
                pairs.append((distance, i, j))
        return sorted(pairs, key=lambda pair: -pair[0])

    def similarity(self, source):
        unshared = list(range(self.layers))
        total = 0.0
        for sample in self.samples:
            a, _ = self.forward(sample, unshared)
            b, _ = self.forward(sample, source)
            total += torch.nn.functional.cosine_similarity(a, b, dim=0).item()
        return total / len(self.samples)

    def run(self, share, threshold):
        source = list(range(self.layers))
        tests = 0
        for _, i, j in self.ranking():
            if sum(a != b for a, b in enumerate(source)) >= share:
                break
            if source[i] != i:
                continue
            candidate = list(source)
            candidate[i] = j
            for layer in range(self.layers):
                candidate[layer] = candidate[candidate[layer]]
            tests += 1
            if self.similarity(candidate) > threshold:
                source = candidate
        return {"tests": tests, "forwards": self.count, "evaluations": self.count * self.layers, "kv_source": source}
