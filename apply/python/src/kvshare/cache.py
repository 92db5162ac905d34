"""The layers of a transformers cache under a plan: owners, layers that share, layers that keep the ends.

Shapes: B batch, H key/value heads, T new tokens, K cached columns, D head size. A column is a place in the
padded text; keys and values are [B, H, K, D].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import (
    Cache,
    CacheLayerMixin,
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    StaticCache,
    StaticLayer,
    StaticSlidingWindowLayer,
)

from kvshare.errors import UnsupportedError
from kvshare.policy import Kept, Plan

KeysAndValues = tuple[torch.Tensor, torch.Tensor]


@dataclass
class CacheState:
    """What the layers of one cache have in common.

    `begin` int64 [B] is the first real column of each row, None where nothing is padded. `visible` bool [B, K] says
    which columns are tokens, None where all are. `exact` is true while a prompt is computed exactly.
    """

    key: str
    begin: torch.Tensor | None = None
    visible: torch.Tensor | None = None
    exact: bool = False


class _Source:
    """A stock layer that others read: remembers until the end of the pass what its own attention was given."""

    given: KeysAndValues | None = None

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> KeysAndValues:
        given: KeysAndValues = super().update(key_states, value_states, *args, **kwargs)  # type: ignore[misc]
        self.given = given
        return given


class _DynamicSource(_Source, DynamicLayer):  # type: ignore[misc]
    pass


class _SlidingSource(_Source, DynamicSlidingWindowLayer):  # type: ignore[misc]
    pass


class _StaticSource(_Source, StaticLayer):  # type: ignore[misc]
    pass


class _StaticSlidingSource(_Source, StaticSlidingWindowLayer):  # type: ignore[misc]
    pass


_SOURCES: dict[type, Any] = {
    DynamicLayer: _DynamicSource,
    DynamicSlidingWindowLayer: _SlidingSource,
    StaticLayer: _StaticSource,
    StaticSlidingWindowLayer: _StaticSlidingSource,
}


class SharedLayer(CacheLayerMixin):  # type: ignore[misc]
    """Stores nothing: gives what its source gave in the same pass.

    Outsiders that prune a cache (kvpress) see the tensors of the source; what they set here is ignored, as the
    source has it already.
    """

    is_sliding = False
    is_croppable = True

    def __init__(self, source: Any, state: CacheState) -> None:
        self.source = source
        self.state = state
        self.is_initialized = True

    @property
    def is_compileable(self) -> bool:
        """Whether the cache has a fixed length."""
        return bool(self.source.is_compileable)

    @property
    def max_batch_size(self) -> int:
        """Rows of a static cache, as older transformers ask for them."""
        return int(self.source.max_batch_size)

    @property
    def max_cache_len(self) -> int:
        """Tokens of a static cache, as older transformers ask for them."""
        return int(self.source.max_cache_len)

    @property
    def keys(self) -> torch.Tensor | None:
        """Those of the source [B, H, K, D]."""
        return self.source.keys

    @keys.setter
    def keys(self, value: torch.Tensor | None) -> None:
        pass

    @property
    def values(self) -> torch.Tensor | None:
        """Those of the source [B, H, K, D]."""
        return self.source.values

    @values.setter
    def values(self, value: torch.Tensor | None) -> None:
        pass

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to make."""

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> KeysAndValues:
        """What attention reads; a prompt that is computed exactly reads the layer's own keys and values."""
        if self.state.exact:
            return key_states, value_states
        if self.source.given is None:
            raise RuntimeError("the source of a shared layer was not run in this pass")
        keys, values = self.source.given
        return keys.to(key_states.device), values.to(key_states.device)

    def get_mask_sizes(self, query_length: Any) -> tuple[int, int]:
        """Those of the source."""
        return self.source.get_mask_sizes(query_length)  # type: ignore[no-any-return]

    def get_seq_length(self, *args: Any) -> int:
        """That of the source."""
        return self.source.get_seq_length(*args)  # type: ignore[no-any-return]

    def get_max_length(self) -> int:
        """That of the source."""
        return self.source.get_max_length()  # type: ignore[no-any-return]

    def get_max_cache_shape(self) -> int:
        """That of the source, as older transformers ask for it."""
        return self.source.get_max_cache_shape()  # type: ignore[no-any-return]

    def offload(self) -> None:
        """Nothing is stored."""

    def prefetch(self) -> None:
        """Nothing is stored."""

    def reset(self) -> None:
        """Nothing is stored."""

    def crop(self, *args: Any) -> None:
        """Nothing is stored."""

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Nothing is stored."""

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Nothing is stored."""

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Nothing is stored."""


@dataclass(frozen=True)
class Columns:
    """Which columns of the text a stored tensor holds: `first` of each row, then `tail_from` up to `end`.

    Where nothing was dropped yet, `tail_from` is 0 and there are no separate first ones. A row whose padding reaches
    into the tail holds the columns just before the tail instead of its first tokens.
    """

    first: int
    tail_from: int
    end: int

    def first_from(self, begin: torch.Tensor | None) -> torch.Tensor | None:
        """The column of each row's separate first ones, int64 [B]; None where it is 0 for all."""
        return None if begin is None else begin.clamp(max=max(0, self.tail_from - self.first))

    def numbers(self, begin: torch.Tensor | None, device: torch.device) -> torch.Tensor:
        """Int64 [1 or B, K]."""
        tail = torch.arange(self.tail_from, self.end, device=device).unsqueeze(0)
        if self.tail_from == 0 or self.first == 0:
            return tail
        first = torch.arange(self.first, device=device).unsqueeze(0)
        start = self.first_from(begin)
        if start is not None:
            first = first + start.to(device).unsqueeze(1)
            tail = tail.expand(first.shape[0], -1)
        return torch.cat([first, tail], 1)


class WindowLayer(CacheLayerMixin):  # type: ignore[misc]
    """Keeps the first and the last tokens of each row.

    Between two passes it holds `first + last` columns, as the Java runtime does. While the past is recorded (assisted
    decoding) it drops nothing until it is cropped.
    """

    is_sliding = False
    is_croppable = True
    _keys: torch.Tensor | None
    _values: torch.Tensor | None

    def __init__(self, kept: Kept, state: CacheState) -> None:
        super().__init__()
        self.kept = kept
        self.state = state
        self.is_source = False
        self.record_past = False
        self.given: KeysAndValues | None = None
        self.reset()

    @property
    def keys(self) -> torch.Tensor | None:
        """The stored ones [B, H, K, D]."""
        return self._keys

    @keys.setter
    def keys(self, value: torch.Tensor | None) -> None:
        self._keys = self._settable(value, getattr(self, "_keys", None))

    @property
    def values(self) -> torch.Tensor | None:
        """The stored ones [B, H, K, D]."""
        return self._values

    @values.setter
    def values(self, value: torch.Tensor | None) -> None:
        self._values = self._settable(value, getattr(self, "_values", None))

    @staticmethod
    def _settable(value: torch.Tensor | None, present: torch.Tensor | None) -> torch.Tensor | None:
        if value is not None and (present is None or value.shape != present.shape):
            raise UnsupportedError(
                "A layer with a window of the policy keeps its first and last tokens; other methods (kvpress) cannot "
                "drop more of it. Use a policy that only shares, or none of them."
            )
        return value

    @property
    def columns(self) -> Columns:
        """Those that are stored."""
        return Columns(self.kept.first, self._tail_from, self.cumulative_length)

    def reset(self) -> None:
        """Forgets everything."""
        self._keys = self._values = None
        self._tail_from = 0
        self.cumulative_length = 0
        self.is_initialized = False

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Takes device and number format from the first keys and values."""
        self.device = key_states.device
        self._keys = key_states[:, :, :0]
        self._values = value_states[:, :, :0]
        self.is_initialized = True

    def seen_by(self, tokens: int) -> Columns:
        """The columns that `update` will give for so many new tokens."""
        end = self.cumulative_length + tokens
        tail = self._tail_behind(end) if tokens == 1 and not self.record_past else self._tail_from
        return Columns(self.kept.first, tail, end)

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> KeysAndValues:
        """Adds T tokens; gives the columns of `seen_by`."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self._keys is not None and self._values is not None
        begin = self.state.begin
        if begin is not None and begin.shape[0] != key_states.shape[0]:
            raise UnsupportedError(
                f"The batch has {key_states.shape[0]} rows, but the padding of {begin.shape[0]} is known: "
                "give the attention_mask of the whole text with each call."
            )
        self._keys = torch.cat([self._keys, key_states], 2)
        self._values = torch.cat([self._values, value_states], 2)
        self.cumulative_length += key_states.shape[2]
        given = self._keys, self._values
        if not self.record_past:
            self._drop()
            if key_states.shape[2] == 1 and not self.state.exact:
                given = self._keys, self._values
        self.given = given if self.is_source and not self.state.exact else None
        return given

    def get_mask_sizes(self, query_length: Any) -> tuple[int, int]:
        """Those of the whole text: a mask of its own replaces the model's where they matter."""
        tokens = (
            query_length.shape[0] if isinstance(query_length, torch.Tensor) and query_length.dim() else query_length
        )
        return self.cumulative_length + int(tokens), 0

    def get_seq_length(self, *args: Any) -> int:
        """Tokens of the text."""
        return self.cumulative_length

    def get_max_length(self) -> int:
        """No maximum."""
        return -1

    def get_max_cache_shape(self) -> int:
        """No maximum, as older transformers ask for it."""
        return -1

    def activate_past_recording(self) -> None:
        """From now on tokens are dropped by `crop` alone."""
        self.record_past = True

    def crop(self, tokens: int) -> None:
        """Removes `-tokens` last tokens, or (older transformers) leaves `tokens` of the text."""
        if not self.is_initialized:
            return
        removed = -tokens if tokens <= 0 else max(0, self.cumulative_length - tokens)
        end = self.cumulative_length - removed
        if self._tail_from > max(0, end - self.kept.last + 1):
            raise RuntimeError(
                f"the last {removed} tokens cannot be taken back: a layer with a window has dropped what stood before"
            )
        if removed:
            assert self._keys is not None and self._values is not None
            self._keys = self._keys[:, :, :-removed]
            self._values = self._values[:, :, :-removed]
            self.cumulative_length = end
        self._drop()

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Takes rows in another order; beams of a prompt have its padding."""
        self._rows(lambda tensor: tensor.index_select(0, beam_idx.to(tensor.device)))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeats each row."""
        self._rows(lambda tensor: tensor.repeat_interleave(repeats, 0))

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Leaves some rows."""
        self._rows(lambda tensor: tensor[indices, ...])

    def _rows(self, change: Any) -> None:
        if self._keys is not None and self._values is not None:
            self._keys, self._values = change(self._keys), change(self._values)

    def _tail_behind(self, end: int) -> int:
        """Where the tail begins once no more than first and last tokens are kept of `end`."""
        return max(self._tail_from, end - self.kept.last) if end > self.kept.first + self.kept.last else self._tail_from

    def _drop(self) -> None:
        before = self.columns
        after = Columns(before.first, self._tail_behind(before.end), before.end)
        if after.tail_from > before.tail_from:
            assert self._keys is not None and self._values is not None
            self._keys, self._values = (self._ends(tensor, before, after) for tensor in (self._keys, self._values))
            self._tail_from = after.tail_from

    def _ends(self, tensor: torch.Tensor, before: Columns, after: Columns) -> torch.Tensor:
        count = after.end - after.tail_from
        tail = tensor[:, :, tensor.shape[2] - count :]
        if after.first == 0:
            return tail.clone()
        begin = self.state.begin
        old, new = before.first_from(begin), after.first_from(begin)
        if old is None or new is None:
            return torch.cat([tensor[:, :, : after.first], tail], 2)
        if before.tail_from == 0:
            old = torch.zeros_like(new)
        places = (new - old).unsqueeze(1) + torch.arange(after.first, device=new.device)
        places = places.to(tensor.device)[:, None, :, None].expand(-1, tensor.shape[1], -1, tensor.shape[3])
        return torch.cat([tensor.gather(2, places), tail], 2)


def adopt(cache: Any, plan: Plan, model_windows: list[int], key: str) -> CacheState:
    """Makes the layers of an empty cache those of a plan, or finds that they are already.

    `model_windows` has the sliding window of each layer of the model, 0 for none; `key` names the applied policy.
    """
    state = getattr(cache, "kvshare_state", None)
    if isinstance(state, CacheState):
        if state.key != key:
            raise UnsupportedError("The cache was filled under another policy. Begin with a new cache.")
        return state
    kind = type(cache)
    if kind not in (DynamicCache, StaticCache) or getattr(cache, "offloading", False):
        raise UnsupportedError(
            f"A cache of the kind {kind.__name__}{' with offloading' if kind is DynamicCache else ''} cannot be used "
            "under a policy: use DynamicCache, or StaticCache where the plan only shares."
        )
    static = kind is StaticCache
    if static and (plan.windows is not None or plan.exact_prefill):
        raise UnsupportedError(
            "A static cache cannot be used under a policy with windows or an exact prefill: its layers have a fixed "
            "length. Use the dynamic cache."
        )
    if int(cache.get_seq_length()) != 0:
        raise UnsupportedError("The cache was filled before the policy was applied. Begin with a new cache.")
    stock = list(cache.layers) or [DynamicLayer() for _ in range(plan.layers)]
    if len(stock) != plan.layers:
        raise UnsupportedError(f"The cache has {len(stock)} layers, but the policy is for {plan.layers}.")
    state = CacheState(key)
    layers: list[Any] = []
    for layer, own in enumerate(stock):
        readers = plan.readers(layer)
        kept = plan.kept(layer, model_windows)
        if plan.shares(layer):
            layers.append(SharedLayer(layers[plan.kv_source[layer]], state))
        elif kept is not None:
            window = WindowLayer(kept, state)
            window.is_source = len(readers) > 1
            layers.append(window)
        elif len(readers) > 1:
            # A full reader of a sliding layer needs all of it.
            whole = any(not model_windows[reader] for reader in readers) and model_windows[layer] > 0
            if whole and static:
                raise UnsupportedError(
                    f"A static cache cannot be used where layers with full attention read layer {layer}, which "
                    "slides. Use the dynamic cache."
                )
            layers.append(_source(DynamicLayer() if whole else own))
        else:
            layers.append(own)
    cache.layers = layers
    cache.layer_class_to_replicate = None
    cache.kvshare_state = state
    return state


def _source(own: Any) -> Any:
    adopted_class = _SOURCES.get(type(own))
    if adopted_class is None:
        raise UnsupportedError(f"A cache layer of the kind {type(own).__name__} cannot be shared.")
    adopted: Any = object.__new__(adopted_class)
    adopted.__dict__.update(own.__dict__)
    return adopted


def release(cache: Cache) -> None:
    """Forgets at the end of a pass what sources gave in it."""
    for layer in cache.layers:
        if getattr(layer, "given", None) is not None:
            layer.given = None


def stored_bytes(cache: Cache) -> int:
    """Bytes of all keys and values that a cache holds."""
    return sum(
        tensor.numel() * tensor.element_size()
        for layer in cache.layers
        if not isinstance(layer, SharedLayer)
        for tensor in (layer.keys, layer.values)
        if tensor is not None
    )
