"""Writes lckv_variants.json and lckv_variants.safetensors beside the recorded outputs of the LCKV code: more layer types,
chains, windows, numbers of passes and a second prompt behind a first, all on tiny_llama.

Runs the authors' own model classes (github.com/whyNLP/LCKV at dd21716) with their flash-attention class, whose kernel is
replaced by an exact function of the same meaning (bottom-right causal mask, window of w + 1 keys, zero where no key is
visible), and with the placeholder of the current token behind the cached keys, where its mask expects it. Passes amplify
rounding; "rounding" is the largest difference between that code in float32 and in float64.
Made with torch 2.7.1 and transformers 4.45.2 (its last release that this code runs with):
    python3 apply/src/test/python/write_lckv_variants.py LCKV_CHECKOUT apply/src/test/resources/goldens/reference
"""

import dataclasses
import json
import math
import random
import sys

import torch
from safetensors.torch import load_file, save_file

_dataclass = dataclasses.dataclass


def dataclass_with_slices(cls=None, **options):
    """Python 3.11 refuses the unhashable default slice(None) of the original IterStep."""
    if cls is None:
        return _dataclass(**options)
    for name in getattr(cls, "__annotations__", {}):
        if isinstance(cls.__dict__.get(name), slice):
            setattr(cls, name, dataclasses.field(default_factory=lambda: slice(None)))
    return _dataclass(cls)


dataclasses.dataclass = dataclass_with_slices
sys.path.insert(0, sys.argv[1])
from models import LCKVLlamaConfig, LCKVLlamaForCausalLM  # noqa: E402
from models import cache_utils, modeling_lckv, utils  # noqa: E402
from transformers import DynamicCache  # noqa: E402

dataclasses.dataclass = _dataclass
LAYERS = 8
ROWS = [0, 11, 23]


def exact_attention(query_states, key_states, value_states, attention_mask, query_length, is_causal=True,
                    sliding_window=None, **kwargs):
    q, k, v = (x.transpose(1, 2) for x in (query_states, key_states, value_states))
    group = q.size(1) // k.size(1)
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    queries = torch.arange(q.size(2))[:, None] + k.size(2) - q.size(2)
    keys = torch.arange(k.size(2))[None, :]
    seen = keys <= queries
    if sliding_window is not None:
        seen &= keys >= queries - sliding_window
    scores = (q @ k.transpose(2, 3) / math.sqrt(q.size(3))).masked_fill(~seen, float("-inf"))
    weights = torch.softmax(scores, -1).masked_fill(~seen.any(1)[:, None], 0.0)
    return (weights @ v).transpose(1, 2)


def layer_get(self, layer_idx, zerofill=False):
    keys, values = self.key_layer_cache.get(layer_idx), self.value_layer_cache.get(layer_idx)
    if zerofill:
        keys = self.placeholder if keys is None else torch.cat([keys, self.placeholder], 2)
        values = self.placeholder if values is None else torch.cat([values, self.placeholder], 2)
    return keys, values


utils._flash_attention_forward = exact_attention
cache_utils.LayerCache.layer_get = layer_get
modeling_lckv.LCKV_LLAMA_ATTENTION_CLASSES["eager"] = modeling_lckv.LCKVLlamaFlashAttention2
modeling_lckv.LCKVLlamaModel._update_causal_mask = lambda self, *arguments: None


def logits(model, ids, cuts):
    cache = DynamicCache()
    parts = []
    for start, end in zip([0, *cuts], [*cuts, len(ids)]):
        out = model(input_ids=torch.tensor([ids[start:end]]), past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        parts.append(out.logits[0])
    return torch.cat(parts)[ROWS]


def random_sources(draw, chains):
    if chains:
        return [draw.randrange(LAYERS) for _ in range(LAYERS)]
    owners = sorted(draw.sample(range(LAYERS), draw.randint(1, 5)))
    return [i if i in owners else draw.choice(owners) for i in range(LAYERS)]


def main():
    folder = sys.argv[2]
    torch.set_num_threads(1)
    golden = json.load(open(f"{folder}/lckv.json"))
    ids = golden["input_ids"]
    weights = load_file(f"{folder}/tiny_llama/model.safetensors")
    base = json.load(open(f"{folder}/tiny_llama/config.json"))
    draw = random.Random(6)
    configs, tensors = [], {}
    for number in range(36):
        sources = random_sources(draw, chains=number % 3 == 2)
        windowed = draw.random() < 0.5
        types = "_".join(f"{s}{'s' if windowed and draw.random() < 0.5 else ''}" for s in sources)
        config = dict(
            name=f"variant{number}", layer_types=types, forward_passes=draw.randint(1, 9),
            backward_passes=draw.randint(0, 3), sliding_window=draw.randint(1, 9),
            use_sequential=draw.random() < 0.15, force_nodiag=draw.random() < 0.15, second_prompt=draw.randint(1, 20))
        fields = {k: v for k, v in config.items() if k not in ("name", "second_prompt")}
        settings = {k: v for k, v in base.items() if k not in ("model_type", "architectures", "layer_types")}
        model = LCKVLlamaForCausalLM(LCKVLlamaConfig(**settings, **fields, attn_implementation="eager")).eval()
        own = {k: v for k, v in weights.items() if k in model.state_dict()}
        model.load_state_dict(own, strict=True)
        cuts = dict(full=[], incremental=list(range(12, len(ids))), twice=[config["second_prompt"]])
        with torch.no_grad():
            single = {mode: logits(model, ids, at).contiguous() for mode, at in cuts.items()}
            model.double()
            config["rounding"] = {mode: float((single[mode] - logits(model, ids, at)).abs().max()) for mode, at in cuts.items()}
        tensors |= {f"{config['name']}/{mode}": value for mode, value in single.items()}
        configs.append(config)
    json.dump(dict(rows=ROWS, configs=configs), open(f"{folder}/lckv_variants.json", "w"), indent=1)
    save_file(tensors, f"{folder}/lckv_variants.safetensors")


main()
