import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import kvshare

ROOT = Path(__file__).resolve().parents[3]
RESOURCES = ROOT / "apply/src/test/resources"
CHECKPOINTS = {
    "builtin": "models/builtin",
    "gemma3": "variants/gemma3_mixed",
    "llama": "architectures/llama",
    "mistral": "architectures/mistral",
    "phi3": "architectures/phi3",
    "qwen2": "architectures/qwen2",
    "qwen3": "architectures/qwen3",
}
GREEDY = {"do_sample": False, "pad_token_id": 0, "suppress_tokens": [2]}

torch.set_num_threads(1)
torch.set_grad_enabled(False)


def checkpoint(name: str) -> Path:
    return (ROOT if name == "builtin" else RESOURCES / "goldens") / CHECKPOINTS[name]


def load(name: str, attention: str = "sdpa") -> Any:
    model = AutoModelForCausalLM.from_pretrained(checkpoint(name), attn_implementation=attention, dtype=torch.float32)
    if name == "builtin":
        model.generation_config.eos_token_id = None  # the stored texts go on behind it
    return model


def cache_of(output: Any) -> Any:
    """The cache of an output; its name has changed with transformers."""
    return output["cache"] if "cache" in output else output["past_key_values"]


def conformance(name: str, plan: str) -> Path:
    return RESOURCES / "conformance" / name / f"{plan}.json"


def ids(model: Any, tokens: int, rows: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.randint(3, model.config.vocab_size, (rows, tokens), generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes a policy with a plan, and whatever else is given."""

    def write(kv_source: list[int] | None = None, plan: dict[str, Any] | None = None, **fields: Any) -> Path:
        tree: dict[str, Any] = {
            "schema": "kvshare.policy/2",
            "plan": {"kv_source": kv_source, **(plan or {})},
        }
        path = tmp_path / "policy.json"
        path.write_text(json.dumps({**tree, **fields}))
        return path

    return write


@pytest.fixture
def llama() -> Any:
    return load("llama")


@pytest.fixture
def under(written: Callable[..., Path]) -> Callable[..., Any]:
    """A model under a plan."""

    def make(model: Any, kv_source: list[int], **plan: Any) -> Any:
        return kvshare.apply_policy(model, written(kv_source, plan))

    return make
