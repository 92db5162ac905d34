"""Values of two adjacent layers kept as one, beside windows at equal bytes: docs/what-did-not-pay.md, "Merged values".

    python docs/experiments/passkey.py make emma.txt one.txt one-answers.txt
    python docs/experiments/passkey.py make emma.txt four.txt four-answers.txt 4
    python docs/experiments/merged_values.py MODEL.gguf CALIBRATION.txt TEXT.txt WINDOWED,LAYERS one four

After VFold (arXiv 2610.12338): the values of two layers are weighed by what their output projections make of them, and a
joint basis of principal components of each key/value head keeps half of their numbers. The last 64 and the first 4 tokens
keep theirs. Prints perplexity against the unshared model (4 passages of 2,048 tokens) and hidden numbers whose tokens are
all the likeliest behind prompts that were computed exactly (the first 10 of each file). Needs torch, transformers, accelerate, gguf.
"""

import math
import os
import sys
from itertools import islice

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

FIRST, LAST, CALIBRATION_TOKENS, ASKED = 4, 64, 8192, 10
torch.set_grad_enabled(False)


class Plan:
    """What attention does now: `kind` of a layer, and from which query on."""

    seen = {}  # layer -> values [Hkv, T, D], while they are collected
    values = {}  # layer -> its values in the pass before, then in this one, [Hkv, T, D]
    bases = {}  # layer -> (mean [Hkv, D], own columns of the joint basis [Hkv, D, R], expansion [Hkv, R, D])
    windows = frozenset()
    collect = False
    merge = False
    start = 0  # queries before it see everything


def attend(module, query, key, value, mask, scaling=None, **_):
    layer, groups = module.layer_idx, module.num_key_value_groups
    if Plan.collect:
        Plan.seen.setdefault(layer, []).append(value[0])
    t = query.shape[2]
    row, column = torch.arange(t)[:, None], torch.arange(t)[None]
    kept = (row - column < LAST) | (column < FIRST) | (row < Plan.start)
    scores = query @ key.repeat_interleave(groups, 1).transpose(2, 3) * scaling
    scores = scores.masked_fill(column > row, -math.inf)
    if layer in Plan.windows:
        scores = scores.masked_fill(~kept, -math.inf)
    weights = scores.softmax(-1)
    if Plan.merge and layer in Plan.bases:
        near = (weights * kept) @ value.repeat_interleave(groups, 1)
        far = (weights * ~kept) @ merged(layer, value).repeat_interleave(groups, 1)
        out = near + far
    else:
        out = weights @ value.repeat_interleave(groups, 1)
    return out.transpose(1, 2).contiguous(), None


def merged(layer, value):
    """The values of a layer as the joint basis of its pair gives them back, [1, Hkv, T, D]."""
    other = layer ^ 1
    Plan.values[layer] = value[0]
    code = 0.0
    for member, values in ((layer, value[0]), (other, Plan.values[other])):
        mean, into, _ = Plan.bases[member]
        code = code + (values - mean[:, None]) @ into
    mean, _, out_of = Plan.bases[layer]
    return (code @ out_of + mean[:, None])[None]


def make_bases(model):
    config = model.config
    d = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    groups = config.num_attention_heads // config.num_key_value_heads
    values = {layer: torch.cat(parts, 1).double() for layer, parts in Plan.seen.items()}
    left, whole = 0.0, 0.0
    for lower in range(0, config.num_hidden_layers - 1, 2):
        pair = (lower, lower + 1)
        mean = [values[x].mean(1) for x in pair]
        root, back = zip(*(roots(model, x, d, groups) for x in pair), strict=True)
        x = torch.cat([(values[p] - mean[i][:, None]) @ root[i] for i, p in enumerate(pair)], -1)  # [Hkv, T, 2D]
        spectrum, vectors = torch.linalg.eigh(x.transpose(1, 2) @ x)
        basis = vectors[:, :, -d:]  # [Hkv, 2D, D]
        left, whole = left + spectrum[:, :-d].sum(), whole + spectrum.sum()
        for i, p in enumerate(pair):
            rows = basis[:, i * d : (i + 1) * d]
            Plan.bases[p] = tuple(part.float() for part in (mean[i], root[i] @ rows, rows.transpose(1, 2) @ back[i]))
    print(f"energy that the joint bases leave out: {100 * left / whole:.1f} %", flush=True)


def roots(model, layer, d, groups):
    """The root of what the output projection weighs a head's values by, and its inverse, [Hkv, D, D]."""
    o = model.model.layers[layer].self_attn.o_proj.weight.double()  # [E, H * D]
    heads = o.view(o.shape[0], -1, groups, d).permute(1, 2, 0, 3).flatten(1, 2)  # [Hkv, G * E, D]
    spectrum, vectors = torch.linalg.eigh(heads.transpose(1, 2) @ heads)
    root = spectrum.clamp_min(1e-9 * spectrum.max()).sqrt()
    return (vectors * root[:, None]) @ vectors.transpose(1, 2), (vectors / root[:, None]) @ vectors.transpose(1, 2)


def logits(model, ids, merge, start):
    """Where values are merged, a pass before tells the lower layer of a pair what the upper one has of the same tokens, which
    a cache would know of all that lie behind. It merges nothing itself: right for exact prompts, near it for others."""
    Plan.start = start
    if not merge:
        return model(ids).logits[0]
    Plan.merge, Plan.collect, Plan.seen = False, True, {}
    model(ids)
    Plan.values = {layer: parts[0] for layer, parts in Plan.seen.items()}
    Plan.collect = False
    Plan.merge = True
    out = model(ids).logits[0]
    Plan.merge = False
    return out


def main(file, calibration, text, windowed, *prompts):
    folder, name = os.path.split(os.path.abspath(file))
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    ALL_ATTENTION_FUNCTIONS["kept"] = attend
    model.config._attn_implementation = "kept"
    tokens = tokenizer(open(calibration).read(), add_special_tokens=False, return_tensors="pt")["input_ids"]
    Plan.collect = True
    for start in range(0, CALIBRATION_TOKENS, 1024):
        model(tokens[:, start : start + 1024])
    Plan.collect = False
    make_bases(model)
    lines = [line for line in open(text, errors="replace") if len(line) > 250]
    tokens = tokenizer("\n".join(lines), add_special_tokens=False, return_tensors="pt")["input_ids"]
    passages = [tokens[:, start : start + 2048] for start in (0, 30000, 60000, 90000)]
    recall = []
    for prompt in prompts:
        asked = zip(open(prompt + ".txt"), open(prompt + "-answers.txt"), strict=True)
        for line, answer in islice(asked, ASKED):
            question = line[line.rindex(" What is the ") :].rstrip("\n")
            front = tokenizer(line[: line.rindex(" What is the ")], add_special_tokens=False)["input_ids"]
            rest = [tokenizer(part, add_special_tokens=False)["input_ids"] for part in (question, " " + answer.strip())]
            recall.append((prompt, front, *rest))
    layers = frozenset(int(x) for x in windowed.split(","))
    base = None
    for title, windows, merge in (("unshared", (), False), ("windows", layers, False), ("merged values", (), True)):
        Plan.windows = frozenset(windows)
        loss = 0.0
        for ids in passages:
            out = logits(model, ids, merge, 0)
            loss += torch.nn.functional.cross_entropy(out[:-1], ids[0, 1:]).item() / len(passages)
        base = loss if base is None else base
        print(f"{title}: perplexity {math.exp(loss - base):.4f} times", flush=True)
        found, likelihood = dict.fromkeys(prompts, 0), dict.fromkeys(prompts, 0.0)
        for prompt, front, question, answer in recall:
            ids = torch.tensor([front + question + answer])
            out = logits(model, ids, merge, len(front))[-len(answer) - 1 : -1]
            right = torch.tensor(answer)
            found[prompt] += bool((out.argmax(-1) == right).all())
            likelihood[prompt] += out.log_softmax(-1).gather(1, right[:, None]).sum().item() / ASKED
        print(title + ":", ", ".join(f"{p}: {found[p]} of {ASKED} ({likelihood[p]:.2f})" for p in prompts), flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 6:
        sys.exit(__doc__)
    main(*sys.argv[1:])
