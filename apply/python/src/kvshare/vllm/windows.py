"""Layers of vLLM that keep the first and last tokens of a text: the cache's blocks, and attention over them.

`EndsSpec` tells vLLM what such a layer keeps, `EndsManager` gives blocks between the ends back, and `EndsBackend`
computes attention with PyTorch, alike on every device. A prefix of another request is never taken over: blocks that
were given back cannot serve it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from vllm.model_executor.layers.attention import Attention
from vllm.utils.math_utils import cdiv
from vllm.v1.attention.backend import AttentionBackend, AttentionImpl, AttentionMetadataBuilder
from vllm.v1.attention.backends.registry import AttentionBackendEnum, register_backend
from vllm.v1.core.single_type_kv_cache_manager import SlidingWindowManager
from vllm.v1.kv_cache_interface import SlidingWindowSpec
from vllm.v1.kv_cache_spec_registry import KVCacheSpecRegistry

_QUERIES = 256
"""Tokens of a prompt whose attention is computed at once: the keys they see are this many and the two ends."""


@dataclass(frozen=True, kw_only=True)
class EndsSpec(SlidingWindowSpec):
    """What a layer keeps: the first tokens of a text besides those of a sliding window."""

    first: int

    def max_admission_blocks_per_request(self, max_in_flight_tokens: int, max_model_len: int) -> int:
        """The most blocks that a request holds."""
        last = int(super().max_admission_blocks_per_request(max_in_flight_tokens, max_model_len))
        return last + int(cdiv(self.first, self.block_size))

    def is_uniform_with_collection(self, kv_cache_specs: dict[str, Any]) -> bool:
        """Whether all layers keep the same."""
        ends = {(type(spec), getattr(spec, "first", None), spec.sliding_window) for spec in kv_cache_specs.values()}
        return ends == {(EndsSpec, self.first, self.sliding_window)}


class EndsManager(SlidingWindowManager):
    """Gives back the blocks between the first tokens and the window."""

    def remove_skipped_blocks(
        self, request_id: str, processed_computed_tokens: int, num_prompt_tokens: int | None = None
    ) -> None:
        """Frees what no coming token sees."""
        skipped = self.get_num_skipped_tokens(processed_computed_tokens) // self.block_size
        first = cdiv(self.kv_cache_spec.first, self.block_size)
        self._remove_blocks_in_range(request_id, first, skipped)

    @classmethod
    def find_longest_cache_hit(
        cls, block_hashes: Any, max_length: int, kv_cache_group_ids: list[int], *args: Any, **named: Any
    ) -> tuple[tuple[list[Any], ...], int]:
        """No hit."""
        return tuple([] for _ in kv_cache_group_ids), 0


KVCacheSpecRegistry._ensure_registered()
KVCacheSpecRegistry.register(EndsSpec, EndsManager, EndsSpec)


class EndsAttention(Attention):
    """Attention that keeps the ends of a text."""

    first: int

    def get_kv_cache_spec(self, vllm_config: Any) -> EndsSpec:
        """What is kept."""
        spec = super().get_kv_cache_spec(vllm_config)
        known = {field.name: getattr(spec, field.name) for field in fields(spec) if field.init}
        return EndsSpec(**known, first=self.first)


@dataclass
class EndsMetadata:
    """A batch, alike for all layers that keep the same.

    `prompts` has for each request with more than one token its row, where its tokens begin and end in the batch, and
    the length of its text up to them. Requests with one token see the keys at `positions` [B, first + window] as far
    as `seen` says; `rows` and `places` [B] are their rows and where their tokens stand.
    """

    prompts: list[tuple[int, int, int, int]]
    block_table: torch.Tensor
    rows: torch.Tensor
    places: torch.Tensor
    positions: torch.Tensor
    seen: torch.Tensor


class EndsMetadataBuilder(AttentionMetadataBuilder[EndsMetadata]):
    """Makes `EndsMetadata`."""

    def __init__(self, kv_cache_spec: Any, layer_names: list[str], vllm_config: Any, device: torch.device) -> None:
        super().__init__(kv_cache_spec, layer_names, vllm_config, device)

    def build(self, common_prefix_len: int, common_attn_metadata: Any, fast_build: bool = False) -> EndsMetadata:
        """Makes it."""
        common, spec = common_attn_metadata, self.kv_cache_spec
        starts = common.query_start_loc_cpu[: common.num_reqs + 1].tolist()
        texts = common.seq_lens[: common.num_reqs].tolist()
        requests = list(zip(itertools.count(), itertools.pairwise(starts), texts, strict=False))
        decoding = [(row, start, length) for row, (start, end), length in requests if end - start == 1]
        rows, places, lengths = torch.tensor(decoding, dtype=torch.long, device=self.device).reshape(-1, 3).unbind(1)
        lengths = lengths[:, None]
        first = torch.arange(spec.first, device=self.device).expand(len(decoding), -1)
        last = lengths - 1 - torch.arange(spec.sliding_window, device=self.device)
        return EndsMetadata(
            [(row, start, end, length) for row, (start, end), length in requests if end - start > 1],
            common.block_table_tensor.long(),
            rows,
            places,
            positions=torch.cat((first, last), 1).clamp(min=0).minimum(lengths - 1),
            seen=torch.cat((first < lengths, last >= spec.first), 1),
        )


class EndsImpl(AttentionImpl[EndsMetadata]):
    """Attention over the first tokens and a window."""

    first = 0
    exact = False

    def __init__(
        self,
        num_heads: int,
        head_size: int,
        scale: float,
        num_kv_heads: int,
        alibi_slopes: list[float] | None,
        sliding_window: int,
        kv_cache_dtype: str,
        logits_soft_cap: float | None = None,
        attn_type: str = "decoder",
        kv_sharing_target_layer_name: str | None = None,
        **unsupported: Any,
    ) -> None:
        if alibi_slopes is not None or logits_soft_cap or kv_cache_dtype not in ("auto", "float16", "bfloat16"):
            raise NotImplementedError("Layers with first tokens take no ALiBi, no soft cap and no quantized cache.")
        self.head_size = head_size
        self.scale = float(scale)
        self.window = sliding_window
        self.kv_cache_dtype = kv_cache_dtype

    def do_kv_cache_update(
        self, layer: Any, key: torch.Tensor, value: torch.Tensor, kv_cache: torch.Tensor, slot_mapping: torch.Tensor
    ) -> None:
        """Writes keys and values [T, H, D] into the cache [blocks, H, tokens of a block, 2 D]."""
        used = slot_mapping >= 0
        slots = slot_mapping[used]
        tokens = kv_cache.shape[2]
        rows = torch.cat((key, value), -1)[: len(slot_mapping)][used].to(kv_cache.dtype)
        kv_cache[slots // tokens, :, slots % tokens] = rows

    def forward(
        self,
        layer: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        kv_cache: torch.Tensor,
        attn_metadata: EndsMetadata | None,
        output: torch.Tensor,
        output_scale: torch.Tensor | None = None,
        output_block_scale: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attention of queries [T, Q, D] into `output`, which has the same shape."""
        if attn_metadata is None:
            return output
        for row, start, end, length in attn_metadata.prompts:
            if self.exact and end - start == length:
                output[start:end] = self._attend(query[start:end], key[start:end], value[start:end], None)
                continue
            table = attn_metadata.block_table[row]
            for at in range(start, end, _QUERIES):
                to = min(end, at + _QUERIES)
                output[at:to] = self._chunk(query[at:to], kv_cache, table, length - end + at)
        if len(attn_metadata.rows):
            self._decode(query, kv_cache, attn_metadata, output)
        return output

    def _chunk(self, query: torch.Tensor, kv_cache: torch.Tensor, table: torch.Tensor, place: int) -> torch.Tensor:
        """Queries [T, Q, D] at the positions from `place` on."""
        end = place + len(query)
        begin = max(self.first, place + 1 - self.window)
        device = query.device
        positions = torch.cat(
            (torch.arange(min(self.first, end), device=device), torch.arange(begin, end, device=device))
        )
        at = torch.arange(place, end, device=device)[:, None]
        seen = (positions <= at) & ((positions < self.first) | (positions > at - self.window))
        key, value = self._read(kv_cache, table, positions)
        return self._attend(query, key, value, seen)

    def _decode(self, query: torch.Tensor, kv_cache: torch.Tensor, batch: EndsMetadata, output: torch.Tensor) -> None:
        """All requests with one token at once."""
        key, value = self._read(kv_cache, batch.block_table[batch.rows], batch.positions)
        found = torch.nn.functional.scaled_dot_product_attention(
            query[batch.places].unsqueeze(2),
            key.transpose(1, 2),
            value.transpose(1, 2),
            attn_mask=batch.seen[:, None, None],
            scale=self.scale,
            enable_gqa=True,
        )
        output[batch.places] = found.squeeze(2)

    def _read(
        self, kv_cache: torch.Tensor, table: torch.Tensor, positions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values [..., H, D] at positions [...] of the texts whose blocks stand in the table."""
        tokens = kv_cache.shape[2]
        blocks = table.gather(-1, positions // tokens)
        rows = kv_cache[blocks, :, positions % tokens]
        return rows[..., : self.head_size], rows[..., self.head_size :]

    def _attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, seen: torch.Tensor | None
    ) -> torch.Tensor:
        """Queries [T, Q, D], keys and values [K, H, D], mask [T, K]; without one all up to their own."""
        found = torch.nn.functional.scaled_dot_product_attention(
            query.transpose(0, 1).unsqueeze(0),
            key.transpose(0, 1).unsqueeze(0),
            value.transpose(0, 1).unsqueeze(0),
            attn_mask=seen,
            is_causal=seen is None,
            scale=self.scale,
            enable_gqa=True,
        )
        return found.squeeze(0).transpose(0, 1)


@register_backend(AttentionBackendEnum.CUSTOM)
class EndsBackend(AttentionBackend):
    """Attention over the first tokens and a window, by PyTorch."""

    forward_includes_kv_cache_update = False
    supported_dtypes: ClassVar[list[torch.dtype]] = [torch.float16, torch.bfloat16, torch.float32]

    @staticmethod
    def get_name() -> str:
        """As it is registered."""
        return "CUSTOM"

    @staticmethod
    def get_impl_cls() -> type[EndsImpl]:
        """What computes."""
        return EndsImpl

    @staticmethod
    def get_builder_cls() -> type[EndsMetadataBuilder]:
        """What describes a batch."""
        return EndsMetadataBuilder

    @classmethod
    def supports_sliding_window(cls) -> bool:
        """They are what it is for."""
        return True
