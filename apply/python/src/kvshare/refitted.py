"""The refitted weights beside a policy, read once for transformers and for vLLM."""

from __future__ import annotations

from collections.abc import Callable

import torch

from kvshare.errors import FormatError
from kvshare.policy import Policy


def read_refitted(policy: Policy, problem: Callable[[str, torch.Tensor], str | None]) -> dict[str, torch.Tensor]:
    """The tensors of a policy's repair by name; none if it has no repair.

    Args:
        problem: says what forbids one of them in the model at hand, or None.

    Raises:
        FormatError: if the file is no safetensors file, holds other tensors than the policy names, numbers that are
            not finite, or a tensor that has a problem.
    """
    file = policy.weights_file()
    if file is None or policy.repair is None:
        return {}
    from safetensors.torch import load_file

    try:
        tensors: dict[str, torch.Tensor] = load_file(str(file))
    except Exception as e:  # safetensors has an exception of its own kind a release.
        raise FormatError(f"{file} is no safetensors file: {e}. Calibrate again, or leave the repair out.") from e
    problems = [
        f"the tensor '{name}' is {'not there' if name not in tensors else 'not named by the policy'}"
        for name in sorted(set(policy.repair.tensors) ^ tensors.keys())
    ]
    for name, tensor in sorted(tensors.items()):
        found = problem(name, tensor)
        if found is not None:
            problems.append(f"the tensor '{name}' {found}")
        elif not tensor.isfinite().all():
            problems.append(f"the tensor '{name}' has NaN or infinity")
    if problems:
        raise FormatError(
            f"{file} has refitted weights that cannot be applied: {'; '.join(problems)}. Calibrate this model again, "
            "or leave the repair out (repair=False with transformers, a policy of `--no-repair` with vLLM)."
        )
    return tensors
