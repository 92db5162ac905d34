"""kvshare: runs a model under a policy, so that layers share, or keep the ends of, the KV cache.

import kvshare
kvshare.apply_policy(model, "policy.json")     # a ...ForCausalLM of transformers
model.generate(...)
kvshare.remove_policy(model)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kvshare.errors import FormatError, MismatchError, PolicyError, UnsupportedError
from kvshare.policy import Policy, read_policy

if TYPE_CHECKING:
    from kvshare.applied import apply_policy, remove_policy
    from kvshare.cache import stored_bytes

__version__ = "0.1.0"
__all__ = [
    "FormatError",
    "MismatchError",
    "Policy",
    "PolicyError",
    "UnsupportedError",
    "apply_policy",
    "read_policy",
    "remove_policy",
    "stored_bytes",
]


def __getattr__(name: str) -> Any:
    """What needs torch and transformers is imported when it is first asked for."""
    if name in ("apply_policy", "remove_policy"):
        from kvshare import applied

        return getattr(applied, name)
    if name == "stored_bytes":
        from kvshare import cache

        return cache.stored_bytes
    raise AttributeError(f"module 'kvshare' has no attribute {name!r}")
