"""Applies a policy to a loaded transformers model, and takes it away again.

No model code is copied. Four things are hooked, and the same code serves every family:

1. The decoder's forward adopts the caller's cache, or makes one, and builds the masks of the pass.
2. Projections: those of keys and values in layers that share give zeros without computing; refitted ones compute
   with the policy's weights. The checkpoint's parameters stay as they are.
3. Each layer's attention gets the mask of its window, and its own-token projection is added to what it gives.
4. `generate` makes its cache through `_prepare_cache_for_generation`, which tells what needs the past.
"""

from __future__ import annotations

import inspect
import itertools
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers.cache_utils import Cache, DynamicCache

from kvshare.cache import CacheState, Columns, WindowLayer, adopt, release
from kvshare.errors import MismatchError, PolicyError, UnsupportedError
from kvshare.fingerprint import fingerprint, is_checkpoint
from kvshare.policy import ModelIdentity, Policy, read_policy
from kvshare.refitted import read_refitted

_LOGGER = logging.getLogger("kvshare")
_ATTRIBUTE = "_kvshare_applied"
_FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma3_text", "phi3")
_MASKED_ATTENTION = ("sdpa", "eager")
_REPLACEABLE = re.compile(
    r"(?:.+\.)?layers\.(\d+)\.(?:self_attn\.(q_proj|k_proj|v_proj|qkv_proj|o_proj|own_proj)|mlp\.(down_proj))"
    r"\.(weight|bias)"
)
_NUMBERS = itertools.count()


def apply_policy(
    model: nn.Module,
    policy: str | Path | Policy,
    *,
    force: bool = False,
    repair: bool = True,
    checkpoint: str | Path | None = None,
) -> nn.Module:
    """Makes a loaded model run under a policy; gives the same model.

    Args:
        model: a `...ForCausalLM` of transformers.
        policy: the file, its refitted weights beside it, or what `read_policy` gave.
        force: whether a policy of another model of as many layers will do.
        repair: whether the refitted weights are used.
        checkpoint: the directory that the model was loaded from, where the model does not say; its fingerprint is
            compared with the policy's.

    Raises:
        PolicyError: if the policy cannot be read, was made for another model, or cannot be honoured here. The model
            is then as it was.
    """
    read = policy if isinstance(policy, Policy) else read_policy(policy)
    if getattr(model, _ATTRIBUTE, None) is not None:
        raise PolicyError("The model runs under a policy already. Take it away with kvshare.remove_policy(model).")
    applied = _Applied(model, read)
    applied.check(force, None if checkpoint is None else Path(checkpoint))
    weights = applied.read_weights() if repair else {}
    try:
        applied.install(weights)
    except BaseException:
        applied.remove()
        raise
    setattr(model, _ATTRIBUTE, applied)
    return model


def remove_policy(model: nn.Module) -> nn.Module:
    """Makes a model run as it did before `apply_policy`; caches filled under the policy are of no more use."""
    applied = getattr(model, _ATTRIBUTE, None)
    if applied is None:
        raise PolicyError("The model runs under no policy.")
    applied.remove()
    delattr(model, _ATTRIBUTE)
    return model


@dataclass(frozen=True)
class _Rule:
    """What a layer sees of its source's columns where the model's own mask does not say it."""

    owner: int
    first: int
    window: int


@dataclass
class _Pass:
    """One call of the decoder: masks [1 or B, 1, T, K] by rule, None where all columns are seen."""

    cache: Any = None
    exact: bool = False
    masks: dict[_Rule, torch.Tensor | None] = field(default_factory=dict)


class _Applied:
    """A policy on a model: what was hooked, and how to undo it."""

    def __init__(self, model: Any, policy: Policy) -> None:
        self.model = model
        self.policy = policy
        self.plan = policy.plan
        self.config = model.config
        self.key = f"kvshare-{next(_NUMBERS)}"
        self.current = _Pass()
        self.undo: list[Callable[[], None]] = []

    # What is refused.

    def check(self, force: bool, checkpoint: Path | None) -> None:
        family = self.config.model_type
        if family not in _FAMILIES:
            raise UnsupportedError(
                f"Models of the family {family} are not supported; those of {', '.join(_FAMILIES)} are."
            )
        upward = [layer for layer, source in enumerate(self.plan.kv_source) if source > layer]
        if upward:
            layer = upward[0]
            raise UnsupportedError(
                f"The policy has layer {layer} read the keys and values of layer {self.plan.kv_source[layer]} above "
                "it: transformers runs each layer once, so plan.kv_source must lie below its readers. Such a policy "
                "runs in the Java runtime."
            )
        found = ModelIdentity.of(self.config, self._fingerprint(checkpoint))
        differences = self.policy.model.differences(found)
        alike = self.plan.layers == found.num_hidden_layers
        if differences and not (force and alike):
            raise MismatchError(
                f"{self.policy.path}: The policy was made for another model (policy against model: "
                f"{', '.join(differences)}). Use the model it was made for, or calibrate this one with `kvshare "
                f"calibrate`{'; or apply it all the same with force=True' if alike else ''}."
            )
        self.decoder = self.model.get_decoder()
        self.arguments = [name for name in inspect.signature(type(self.decoder).forward).parameters if name != "self"]
        self.model_windows = self._model_windows()
        for layer, source in enumerate(self.plan.kv_source):
            kinds = self.model_windows[layer], self.model_windows[source]
            if kinds[0] != kinds[1] and not (force or self.policy.across_kinds):
                raise MismatchError(
                    f"The policy has layer {layer} (window {kinds[0]}) read the keys and values of layer {source} "
                    f"(window {kinds[1]}; 0 is full attention), which calibration does not do. Calibrate this model, "
                    "or apply the policy all the same with force=True."
                )
        self.rules = [self._rule(layer) for layer in range(self.plan.layers)]
        self._check_attention()

    def _fingerprint(self, checkpoint: Path | None) -> str | None:
        if self.policy.model.fingerprint is None:
            return None
        directory = checkpoint or self._directory()
        if directory is None or not is_checkpoint(directory):
            if checkpoint is not None:
                raise PolicyError(f"{checkpoint} holds no config.json with model.safetensors or its index.")
            _LOGGER.warning(
                "The fingerprint of the policy %s is not checked: the model does not say which safetensors directory "
                "it was loaded from. Name it by checkpoint=.",
                self.policy.path,
            )
            return None
        return fingerprint(directory)

    def _directory(self) -> Path | None:
        """The local directory of the model's files, also where the hub's cache holds them."""
        name = getattr(self.model, "name_or_path", "") or ""
        if not name or Path(name).is_dir():
            return Path(name) if name else None
        try:
            from transformers.utils import cached_file

            found = cached_file(name, "config.json", local_files_only=True)
        except Exception:  # Whatever the hub's client raises where a file is not there.
            return None
        return None if found is None else Path(found).parent

    def _model_windows(self) -> list[int]:
        """The sliding window of each layer of the model, 0 for none."""
        window = getattr(self.config, "sliding_window", None) or 0
        kinds = getattr(self.config, "layer_types", None)
        if kinds is None:
            sliding = getattr(self.config, "use_sliding_window", True)
            return [window if sliding else 0] * self.plan.layers
        unknown = set(kinds) - {"full_attention", "sliding_attention"}
        if unknown:
            raise UnsupportedError(f"The model has layers of the kinds {sorted(unknown)}, which are not supported.")
        return [window if kind == "sliding_attention" else 0 for kind in kinds]

    def _rule(self, layer: int) -> _Rule | None:
        """None where the mask that the model makes will do."""
        owner = self.plan.kv_source[layer]
        own = self.model_windows[layer]
        window = self.plan.window(layer, own)
        if not self._across(owner) and not self.plan.is_windowed(layer):
            return None
        return _Rule(owner, self.plan.first(layer, own), window)

    def _check_attention(self) -> None:
        kind = self.config._attn_implementation
        if kind not in _MASKED_ATTENTION and any(rule is not None for rule in self.rules):
            raise UnsupportedError(
                f"The policy gives layers windows, which need masks of their own; the attention {kind!r} takes none. "
                "Use model.set_attn_implementation('sdpa'), or a policy that only shares."
            )

    # What is installed.

    def read_weights(self) -> dict[str, torch.Tensor]:
        return read_refitted(self.policy, self._problem)

    def _problem(self, name: str, tensor: torch.Tensor) -> str | None:
        expected = self._shape(name)
        if expected is None:
            return "is none that a policy may replace in this model"
        if list(tensor.shape) != expected:
            return f"has the shape {list(tensor.shape)}, expected {expected}"
        return None

    def _shape(self, name: str) -> list[int] | None:
        match = _REPLACEABLE.fullmatch(name)
        if match is None or int(match[1]) >= self.plan.layers:
            return None
        layer = self.decoder.layers[int(match[1])]
        hidden = self.config.hidden_size
        if match[2] == "own_proj":
            return [hidden, hidden] if match[4] == "weight" else None
        module = getattr(layer.mlp if match[3] else layer.self_attn, match[3] or match[2], None)
        if module is None:
            return None
        return [module.out_features] if match[4] == "bias" else [module.out_features, module.in_features]

    def install(self, weights: dict[str, torch.Tensor]) -> None:
        by_layer: dict[int, dict[str, dict[str, torch.Tensor]]] = {}
        for name, tensor in weights.items():
            match = _REPLACEABLE.fullmatch(name)
            assert match is not None
            by_layer.setdefault(int(match[1]), {}).setdefault(match[2] or match[3], {})[match[4]] = tensor
        for index, layer in enumerate(self.decoder.layers):
            self._install_layer(index, layer, by_layer.get(index, {}))
        self._hook(self.decoder.register_forward_pre_hook(self._before, with_kwargs=True))
        self._hook(self.decoder.register_forward_hook(self._after, always_call=True))
        if hasattr(self.model, "_prepare_cache_for_generation"):
            self._replace(self.model, "_prepare_cache_for_generation", self._prepared_cache)

    def _install_layer(self, index: int, layer: Any, weights: dict[str, dict[str, torch.Tensor]]) -> None:
        attention = layer.self_attn
        own = weights.pop("own_proj", {}).get("weight")
        shares = self.plan.shares(index)
        for name, tensors in weights.items():
            module = layer.mlp if name == "down_proj" else attention
            self._refit(getattr(module, name), tensors, shares and name == "qkv_proj")
        if shares:
            if hasattr(attention, "qkv_proj"):
                if "qkv_proj" not in weights:
                    self._refit(attention.qkv_proj, {}, True)
            else:
                for name in ("k_proj", "v_proj"):
                    self._replace(getattr(attention, name), "forward", self._no_projection(attention.head_dim))
        if own is not None:
            self._buffer(attention, "kvshare_own", own, attention.o_proj)
            self._hook(attention.register_forward_hook(self._add_own, with_kwargs=True))
        rule = self.rules[index]
        if rule is not None:
            self._hook(
                attention.register_forward_pre_hook(
                    lambda module, args, kwargs: self._with_mask(rule, kwargs) if kwargs else None,
                    with_kwargs=True,
                )
            )

    def _hook(self, handle: Any) -> None:
        self.undo.append(handle.remove)

    def _replace(self, target: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Sets an attribute of the instance to what `make` gives for the present one."""
        present = target.__dict__.get(name)
        setattr(target, name, make(getattr(target, name)))

        def undo() -> None:
            if present is None:
                delattr(target, name)
            else:
                setattr(target, name, present)

        self.undo.append(undo)

    def _buffer(self, module: Any, name: str, tensor: torch.Tensor, like: Any) -> None:
        """Beside the module's parameters, so that it moves with them; not part of a saved model."""
        weight = like.weight
        dtype = weight.dtype if weight.is_floating_point() else self.model.dtype
        module.register_buffer(name, tensor.to(device=weight.device, dtype=dtype), persistent=False)
        self.undo.append(lambda: module._buffers.pop(name, None))

    def _no_projection(self, head_size: int) -> Callable[[Any], Any]:
        """Zeros of one head, a view of a single number: nothing is computed, and the cache gives the source's."""

        def make(original: Any) -> Any:
            def forward(x: torch.Tensor) -> Any:
                return original(x) if self.current.exact else x.new_zeros(1).expand(*x.shape[:-1], head_size)

            return forward

        return make

    def _refit(self, module: Any, tensors: dict[str, torch.Tensor], queries_only: bool) -> None:
        """Computes with refitted weights; of a fused projection in a layer that shares, the query rows alone."""
        for part, tensor in tensors.items():
            self._buffer(module, "kvshare_" + part, tensor, module)
        config = self.config
        head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        rows = config.num_attention_heads * head_size if queries_only else module.out_features
        padding = module.out_features - rows

        def make(original: Any) -> Any:
            def forward(x: torch.Tensor) -> Any:
                if self.current.exact:
                    return original(x)
                weight = module._buffers.get("kvshare_weight", module.weight)
                bias = module._buffers.get("kvshare_bias", module.bias)
                y = nn.functional.linear(x, weight[:rows], None if bias is None else bias[:rows])
                return nn.functional.pad(y, (0, padding)) if padding else y

            return forward

        self._replace(module, "forward", make)

    def _prepared_cache(self, original: Any) -> Any:
        def prepare(generation_config: Any, model_kwargs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            if self.plan.exact_prefill and getattr(generation_config, "prefill_chunk_size", None) is not None:
                raise UnsupportedError(
                    "A prompt that is computed exactly ('prefill': 'exact') cannot come in chunks: leave "
                    "prefill_chunk_size out, or set 'prefill' to 'plan' in a copy of the policy without weights."
                )
            result = original(generation_config, model_kwargs, *args, **kwargs)
            cache = model_kwargs.get("cache", model_kwargs.get("past_key_values"))
            if isinstance(cache, Cache):
                adopt(cache, self.plan, self.model_windows, self.key)
                mode = kwargs.get("generation_mode", args[0] if args else None)
                assisted = str(getattr(mode, "value", mode)) == "assisted_generation"
                if assisted or getattr(generation_config, "is_assistant", False):
                    for layer in cache.layers:
                        if isinstance(layer, WindowLayer):
                            layer.activate_past_recording()
            return result

        return prepare

    def remove(self) -> None:
        while self.undo:
            self.undo.pop()()
        # A static cache that `generate` keeps for the next call has layers of the plan.
        if getattr(getattr(self.model, "_cache", None), "kvshare_state", None) is not None:
            del self.model._cache

    # What runs in each pass.

    def _before(
        self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        kwargs = {**dict(zip(self.arguments, args, strict=False)), **kwargs}
        name = "cache" if "cache" in self.arguments else "past_key_values"
        if kwargs.get("past_key_values") is not None and name == "cache":
            kwargs["cache"] = kwargs.pop("past_key_values")
        if kwargs.get(name) is None:
            kwargs[name] = DynamicCache(config=self.config)
        cache = kwargs[name]
        state = adopt(cache, self.plan, self.model_windows, self.key)
        exact = self.plan.exact_prefill and int(cache.get_seq_length()) == 0
        state.exact = exact
        self.current = _Pass(cache, exact)
        if any(rule is not None for rule in self.rules):
            self._check_attention()
            self._see(kwargs, cache, state)
        return (), kwargs

    def _after(self, module: Any, args: Any, output: Any) -> None:
        cache, self.current = self.current.cache, _Pass()
        if cache is not None:
            cache.kvshare_state.exact = False
            release(cache)

    def _see(self, kwargs: dict[str, Any], cache: Any, state: CacheState) -> None:
        """Finds the padding and builds the masks of the pass."""
        embeds = kwargs.get("inputs_embeds")
        new = kwargs.get("input_ids") if embeds is None else embeds
        assert new is not None
        batch, tokens = new.shape[:2]
        start = cache.get_seq_length()
        mask = kwargs.get("attention_mask")
        if mask is not None and not (isinstance(mask, torch.Tensor) and mask.ndim == 2):
            raise UnsupportedError("A policy with windows takes an attention_mask of the shape [batch, tokens] alone.")
        self._find_padding(mask, state, batch, start, tokens)
        if self.current.exact:
            return
        queries = torch.arange(start, start + tokens, device=new.device)
        built: dict[tuple[int, int, Columns], torch.Tensor | None] = {}
        for rule in {rule for rule in self.rules if rule is not None}:
            layer = cache.layers[rule.owner]
            columns = self._columns(layer, start, tokens)
            whole = columns.tail_from == 0 and rule.window and columns.end <= rule.first + rule.window
            if whole and not self._across(rule.owner):
                continue  # Nothing is hidden yet, and the model's own mask is that of the whole text.
            alike = rule.first, rule.window, columns
            if alike not in built:
                built[alike] = self._mask(rule, columns, queries, state)
            self.current.masks[rule] = built[alike]

    def _across(self, owner: int) -> bool:
        return len({self.model_windows[reader] for reader in self.plan.readers(owner)}) > 1

    @staticmethod
    def _columns(layer: Any, start: int, tokens: int) -> Columns:
        if isinstance(layer, WindowLayer):
            return layer.seen_by(tokens)
        length, offset = layer.get_mask_sizes(_sizes_argument(layer, start, tokens))
        return Columns(0, offset, offset + length)

    @staticmethod
    def _find_padding(mask: Any, state: CacheState, batch: int, start: int, tokens: int) -> None:
        """Single tokens behind a text without padding ask nothing, so that the device need not be waited for."""
        if start == 0:
            state.begin = state.visible = None
        if mask is None:
            if state.visible is not None:
                state.visible = nn.functional.pad(
                    state.visible, (0, start + tokens - state.visible.shape[1]), value=True
                )
        elif mask.shape[1] != start + tokens:
            raise UnsupportedError(
                f"The attention_mask has {mask.shape[1]} columns, but the text has {start + tokens}: a policy with "
                "windows needs the mask of the whole text."
            )
        elif state.visible is not None or tokens > 1 or start == 0:
            visible = mask.bool()
            if bool(visible.all()):
                state.begin = state.visible = None
            else:
                state.visible = visible
                state.begin = visible.int().argmax(1)

    @staticmethod
    def _hides_nothing(rule: _Rule, columns: Columns) -> bool:
        """Whether a single last token sees all columns."""
        if rule.window == 0:
            return columns.tail_from == 0
        if columns.tail_from == 0:
            return columns.end <= rule.first + rule.window
        return columns.first == rule.first and columns.tail_from == columns.end - rule.window

    def _mask(self, rule: _Rule, columns: Columns, queries: torch.Tensor, state: CacheState) -> torch.Tensor | None:
        if len(queries) == 1 and state.visible is None and self._hides_nothing(rule, columns):
            return None
        begin = state.begin
        column = columns.numbers(begin, queries.device)
        key, query = column.unsqueeze(1), queries[None, :, None]
        seen = key <= query
        if rule.window:
            near = key > query - rule.window
            if rule.first:
                near = near | (key < (rule.first if begin is None else (begin + rule.first)[:, None, None]))
            seen = seen & near
        if state.visible is not None:
            tokens = state.visible.gather(1, column.expand(state.visible.shape[0], -1))
            # A column of padding sees itself, so that no row of the softmax is empty.
            seen = (seen & tokens.unsqueeze(1)) | (key == query)
        seen = seen.unsqueeze(1)
        if self.config._attn_implementation == "sdpa":
            return seen
        dtype = self.model.dtype
        zeros = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
        return zeros.masked_fill(~seen, torch.finfo(dtype).min)

    def _with_mask(self, rule: _Rule, kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if rule not in self.current.masks:
            return None
        mask = self.current.masks[rule]
        states = kwargs["hidden_states"]
        return (), {**kwargs, "attention_mask": mask if mask is None else mask.to(states.device)}

    def _add_own(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        """What the foreign values lack of the own token, from the layer's normed input [B, T, E]."""
        if self.current.exact:
            return None
        states = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
        own = nn.functional.linear(states, module.kvshare_own)
        return (output[0] + own, *output[1:]) if isinstance(output, tuple) else output + own


def _sizes_argument(layer: Any, start: int, tokens: int) -> Any:
    """Older transformers ask for the mask of places, newer ones for that of a number of tokens."""
    (name, *_) = inspect.signature(layer.get_mask_sizes).parameters
    return torch.arange(start, start + tokens) if name == "cache_position" else tokens
