"""The vLLM plugin: models that run under a policy.

vLLM finds `register` by the entry point `vllm.general_plugins` and calls it in each of its processes. The folder of
`kvshare apply --export vllm` names an architecture of its own, so that vLLM refuses it without the plugin. A checkpoint
as it is runs under a policy by

    LLM(model, hf_overrides=kvshare.vllm.overrides(model, "policy.json"))
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kvshare.errors import UnsupportedError

PREFIX = "Kvshare"
ARCHITECTURES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "Gemma3ForCausalLM")


def register() -> None:
    """Tells vLLM of the architectures; nothing is imported before one of them is asked for."""
    from vllm import ModelRegistry

    known = ModelRegistry.get_supported_archs()
    for name in ARCHITECTURES:
        if PREFIX + name not in known:
            ModelRegistry.register_model(PREFIX + name, f"kvshare.vllm.models:{PREFIX}{name}")


def overrides(model: str | Path, policy: str | Path) -> dict[str, Any]:
    """What `hf_overrides` of vLLM needs so that the checkpoint in a directory runs under a policy."""
    config = json.loads((Path(model) / "config.json").read_text("utf-8"))
    names = config.get("architectures") or [None]
    if names[0] not in ARCHITECTURES:
        raise UnsupportedError(
            f"{model} has the architecture {names[0]}, which the plugin does not run under a policy; it does "
            f"{', '.join(ARCHITECTURES)}."
        )
    return {"architectures": [PREFIX + names[0]], "kvshare_policy": str(Path(policy).resolve())}
