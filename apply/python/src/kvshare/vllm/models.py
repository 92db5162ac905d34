"""vLLM's models with a policy: their own classes, with other attention and projections where the plan says so.

1. While the model is built, each `Attention` is told what it reads: the layer of its source, or a window.
2. Projections: layers that share compute queries only; `o_proj` gets the bias, and the layer the own-token projection,
   that the policy's refitted weights have.
3. Loading puts refitted weights in place of the checkpoint's.

Sources and readers are named by layer, so the plan holds under tensor parallelism as it stands. Pipeline parallelism
is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from vllm.config import VllmConfig
from vllm.model_executor.layers.attention import Attention
from vllm.model_executor.layers.linear import ColumnParallelLinear, ReplicatedLinear, RowParallelLinear
from vllm.model_executor.models.gemma3 import Gemma3ForCausalLM
from vllm.model_executor.models.llama import LlamaForCausalLM
from vllm.model_executor.models.mistral import MistralForCausalLM
from vllm.model_executor.models.qwen2 import Qwen2ForCausalLM
from vllm.model_executor.models.qwen3 import Qwen3ForCausalLM
from vllm.model_executor.models.utils import extract_layer_index

from kvshare.errors import FormatError, MismatchError, PolicyError, UnsupportedError
from kvshare.fingerprint import fingerprint, is_checkpoint
from kvshare.policy import ModelIdentity, Plan, Policy, parse_policy, read_policy
from kvshare.refitted import read_refitted
from kvshare.vllm import PREFIX
from kvshare.vllm.windows import EndsAttention, EndsBackend

_TENSOR = re.compile(
    r"(|.+\.)(layers\.\d+\.(?:self_attn\.(?:[qkvo]_proj|own_proj)|mlp\.down_proj)\.(?:weight|bias))", re.ASCII
)
_KEYS_AND_VALUES = re.compile(r"layers\.(\d+)\.self_attn\.[kv]_proj\.", re.ASCII)


def _policy(config: VllmConfig) -> Policy:
    """The policy that `config.json` or the overrides name: the tree of a file, or the path of one."""
    model = config.model_config
    given = getattr(model.hf_config, "kvshare_policy", None)
    exported = Path(model.model) / "kvshare" / "policy.json"
    if isinstance(given, str):
        return read_policy(given)
    if isinstance(given, dict):
        return parse_policy(given, exported)
    raise PolicyError(
        f"{model.model} has an architecture of kvshare, but no kvshare_policy. Write the folder again with "
        "`kvshare apply --export vllm`, or give both by hf_overrides=kvshare.vllm.overrides(model, policy)."
    )


def _check(policy: Policy, config: VllmConfig) -> None:
    """Refuses what cannot be honoured here."""
    plan, text = policy.plan, config.model_config.hf_text_config
    directory = Path(config.model_config.model)
    found = ModelIdentity.of(text, fingerprint(directory) if is_checkpoint(directory) else None)
    differences = policy.model.differences(found)
    if differences:
        raise MismatchError(
            f"{policy.path}: The policy was made for another model (policy against model: {', '.join(differences)}). "
            "Use the model it was made for, or calibrate this one with `kvshare calibrate`."
        )
    if plan.upward is not None:
        raise _refused(policy, "layers read sources above them, and vLLM runs each layer once")
    if config.parallel_config.pipeline_parallel_size > 1:
        raise _refused(policy, "pipeline parallelism would part sources and readers; use tensor parallelism")
    if plan.exact_prefill and (policy.repair is not None or any(map(plan.shares, range(plan.layers)))):
        raise _refused(
            policy,
            'it computes prompts exactly ("prefill": "exact"), which vLLM does only for windows without refitted '
            "weights. Calibrate with `--prefill plan`",
        )
    if plan.exact_prefill and config.scheduler_config.enable_chunked_prefill:
        raise _refused(
            policy,
            'it computes prompts exactly ("prefill": "exact"), so each must be computed at once. Say '
            "--no-enable-chunked-prefill (enable_chunked_prefill=False), or calibrate with `--prefill plan`",
        )
    for layer, source in enumerate(plan.kv_source):
        if plan.is_windowed(layer) != plan.is_windowed(source):
            raise _refused(policy, f"layer {layer} and its source {source} must both have a window, or none")
    if policy.repair is not None and config.quant_config is not None:
        raise _refused(policy, "it has refitted weights, which do not go with a quantized checkpoint")


def _refused(policy: Policy, reason: str) -> UnsupportedError:
    return UnsupportedError(f"{policy.path} cannot be run by vLLM: {reason}.")


@contextmanager
def _attention_of(plan: Plan) -> Iterator[None]:
    """Within it, each `Attention` that is made reads what the plan says."""
    stock = Attention.__init__

    def make(self: Any, *args: Any, prefix: str = "", **named: Any) -> None:
        layer = extract_layer_index(prefix)
        source = plan.kv_source[layer]
        if source != layer:
            named["kv_sharing_target_layer_name"] = prefix.replace(f"layers.{layer}.", f"layers.{source}.")
        model_window = named.get("per_layer_sliding_window") or 0
        ends = False
        if plan.is_windowed(layer):
            named["per_layer_sliding_window"] = plan.window(layer, model_window)
            ends = plan.first(layer, model_window) > 0 or plan.exact_prefill
            if ends:
                named["attn_backend"] = EndsBackend
        stock(self, *args, prefix=prefix, **named)
        if ends:
            self.__class__ = EndsAttention
            self.impl.first = self.first = plan.first(layer, model_window)
            self.impl.exact = plan.exact_prefill

    Attention.__init__ = make
    try:
        yield
    finally:
        Attention.__init__ = stock


class _QueryProjection(ColumnParallelLinear):
    """The queries' part of a fused projection, float [T, E] to [T, Q + K + V]; keys and values are zeros."""

    def __init__(self, fused: Any, attention: Any, prefix: str) -> None:
        super().__init__(
            fused.input_size,
            attention.total_num_heads * attention.head_dim,
            bias=fused.bias is not None,
            quant_config=fused.quant_config if hasattr(fused, "quant_config") else None,
            prefix=prefix,
        )
        self.unused = 2 * attention.kv_size

    def weight_loader(self, param: Any, loaded_weight: torch.Tensor, shard: str = "q") -> None:
        super().weight_loader(param, loaded_weight)

    def weight_loader_v2(self, param: Any, loaded_weight: torch.Tensor, shard: str = "q") -> None:
        super().weight_loader_v2(param, loaded_weight)

    def forward(self, states: torch.Tensor) -> tuple[torch.Tensor, Any]:
        queries, bias = super().forward(states)
        return nn.functional.pad(queries, (0, self.unused)), bias


class _OwnToken:
    """Attention of a layer that adds a projection of its own input, float [T, E]."""

    def forward(self, positions: torch.Tensor, hidden_states: torch.Tensor, **named: Any) -> torch.Tensor:
        output: torch.Tensor = super().forward(positions, hidden_states, **named)  # type: ignore[misc]
        own, _ = self.own_proj(hidden_states)  # type: ignore[attr-defined]
        return output + own


class _UnderPolicy(nn.Module):
    """Mixed into a model of vLLM: built, and loaded, under the policy of its configuration."""

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        policy = _policy(vllm_config)
        _check(policy, vllm_config)
        with _attention_of(policy.plan):
            super().__init__(vllm_config=vllm_config, prefix=prefix)
        self.kvshare_plan = policy.plan
        self.kvshare_weights = _refitted(policy)
        for index, layer in enumerate(self.model.layers):
            self._install(index, layer.self_attn, policy.plan)
        self._check_weights(policy)

    def _install(self, index: int, attention: Any, plan: Plan) -> None:
        prefix = attention.attn.layer_name.removesuffix(".attn")
        if plan.shares(index):
            attention.qkv_proj = _QueryProjection(attention.qkv_proj, attention, f"{prefix}.qkv_proj")
        projection = attention.o_proj
        if f"layers.{index}.self_attn.o_proj.bias" in self.kvshare_weights and projection.bias is None:
            attention.o_proj = RowParallelLinear(
                projection.input_size, projection.output_size, bias=True, prefix=f"{prefix}.o_proj"
            )
        if f"layers.{index}.self_attn.own_proj.weight" in self.kvshare_weights:
            width = projection.output_size
            attention.own_proj = ReplicatedLinear(width, width, bias=False, prefix=f"{prefix}.own_proj")
            stock = type(attention)
            attention.__class__ = type(f"OwnToken{stock.__name__}", (_OwnToken, stock), {})

    def _check_weights(self, policy: Policy) -> None:
        """vLLM leaves out a bias that it does not know without a word."""
        known = {name.removeprefix("model.") for name, _ in self.named_parameters()}
        for name in self.kvshare_weights:
            if re.sub(r"\.[qkv]_proj\.", ".qkv_proj.", name) not in known:
                raise FormatError(
                    f"{policy.path} has the refitted weight '{name}', for which the model has no place in vLLM. "
                    "Calibrate with `--for vllm`, or with `--no-repair`."
                )

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> set[str]:
        loaded: set[str] = super().load_weights(self._with_refitted(weights))
        return loaded

    def _with_refitted(self, weights: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
        left = dict(self.kvshare_weights)
        prefix = "model."
        for name, tensor in weights:
            unused = _KEYS_AND_VALUES.search(name)
            if unused is not None and self.kvshare_plan.shares(int(unused[1])):
                continue
            match = _TENSOR.fullmatch(name)
            if match is not None:
                prefix = match[1]
                tensor = left.pop(match[2], tensor)
            yield name, tensor
        yield from ((prefix + name, tensor) for name, tensor in left.items())


def _refitted(policy: Policy) -> dict[str, torch.Tensor]:
    """The refitted weights by name from `layers` on. Their shapes are those that vLLM's loader asks for."""
    tensors = read_refitted(
        policy, lambda name, _: None if _TENSOR.fullmatch(name) else "is none that vLLM can replace"
    )
    return {match[2]: tensor for name, tensor in tensors.items() if (match := _TENSOR.fullmatch(name))}


def _under_policy(stock: type[nn.Module]) -> type[nn.Module]:
    return type(PREFIX + stock.__name__, (_UnderPolicy, stock), {"__module__": __name__})


KvshareLlamaForCausalLM = _under_policy(LlamaForCausalLM)
KvshareMistralForCausalLM = _under_policy(MistralForCausalLM)
KvshareQwen2ForCausalLM = _under_policy(Qwen2ForCausalLM)
KvshareQwen3ForCausalLM = _under_policy(Qwen3ForCausalLM)
KvshareGemma3ForCausalLM = _under_policy(Gemma3ForCausalLM)
