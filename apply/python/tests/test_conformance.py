"""Tokens, logits and bytes equal those of the Java runtime: see conformance/README.md."""

import pytest
import torch
from conftest import CHECKPOINTS, GREEDY, RESOURCES, cache_of, load
from safetensors.torch import load_file

import kvshare
from kvshare.policy import read_policy

TOLERANCE = 2e-4
NEW_TOKENS = 24


@pytest.fixture(
    scope="module", params=[(name, kind) for name in CHECKPOINTS for kind in ("sdpa", "eager")], ids="-".join
)
def named(request):
    name, attention = request.param
    return name, load(name, attention)


@pytest.mark.parametrize("plan", sorted(file.stem for file in (RESOURCES / "conformance/llama").glob("*.json")))
def test_tokens_logits_and_bytes_are_those_of_the_java_runtime(named, plan):
    name, model = named
    policy = RESOURCES / "conformance" / name / f"{plan}.json"
    expected = load_file(policy.with_suffix(".expected.safetensors"))
    kvshare.apply_policy(model, policy)
    try:
        prompt = expected["prompt.0"].unsqueeze(0)
        alone = model.generate(
            prompt, **GREEDY, max_new_tokens=NEW_TOKENS, return_dict_in_generate=True, output_logits=True
        )
        assert alone.sequences[0, prompt.shape[1] :].tolist() == expected["tokens"][0].tolist()
        found = torch.stack([alone.logits[0][0], alone.logits[-1][0]])
        assert (found - expected["logits"]).abs().max() < TOLERANCE
        length = prompt.shape[1] + NEW_TOKENS - 1
        assert kvshare.stored_bytes(cache_of(alone)) == kept_bytes(model, policy, length, expected["kv_bytes"][1])
        behind = model(prompt, use_cache=True)
        assert kvshare.stored_bytes(cache_of(behind)) == kept_bytes(
            model, policy, prompt.shape[1], expected["kv_bytes"][0]
        )
        assert padded(model, expected).tolist() == expected["tokens"].tolist()
    finally:
        kvshare.remove_policy(model)


def kept_bytes(model, policy, length, java):
    """The Java runtime keeps all tokens where only the model has a sliding window; transformers drops them."""
    plan = read_policy(policy).plan
    config = model.config
    window = getattr(config, "sliding_window", None) or 0
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * plan.layers
    windows = [window if kind == "sliding_attention" else 0 for kind in kinds]
    sliding = [
        layer
        for layer in range(plan.layers)
        if not plan.shares(layer) and windows[layer] and plan.kept(layer, windows) is None
    ]
    token = 2 * config.num_key_value_heads * model.model.layers[0].self_attn.head_dim * 4
    return int(java) - len(sliding) * max(0, length - (window - 1)) * token


def padded(model, expected):
    rows = [expected["prompt.0"], expected["prompt.1"]]
    longest = max(len(row) for row in rows)
    batch = torch.stack([torch.nn.functional.pad(row, (longest - len(row), 0)) for row in rows])
    mask = torch.stack([torch.nn.functional.pad(torch.ones_like(row), (longest - len(row), 0)) for row in rows])
    return model.generate(batch, attention_mask=mask, **GREEDY, max_new_tokens=NEW_TOKENS)[:, longest:]
