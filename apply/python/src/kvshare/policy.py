"""The policy file, versions 1 and 2 (docs/policy-format.md): read, checked, and asked what a layer does.

Only what changes the computation is read; provenance and savings are left alone.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvshare.errors import FormatError, MismatchError, PolicyError

_LOGGER = logging.getLogger("kvshare")
_VERSION = re.compile(r"kvshare\.policy/(\d{1,9})(\.\d+)?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ROOT_FIELDS = {"schema", "model", "plan", "repair", "savings", "calibration", "tool"}
_MODEL_FIELDS = {
    "model_type",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "fingerprint",
}
_PLAN_FIELDS = {"kv_source", "window", "prefill", "upward"}


@dataclass(frozen=True)
class Windows:
    """The layers that see the first and last tokens of a text only.

    `last` counts the current token. Where the model has a window of its own, there are no first tokens.
    """

    layers: tuple[int, ...]
    first: int
    last: int


@dataclass(frozen=True)
class Kept:
    """The tokens of an owning layer that its readers may still see; `None` stands for all."""

    first: int
    last: int


@dataclass(frozen=True)
class Plan:
    """What every layer does with keys and values, and how prompts are processed.

    `kv_source[i]` is the layer whose keys and values layer i reads; i itself means that it keeps its own.
    """

    kv_source: tuple[int, ...]
    windows: Windows | None = None
    exact_prefill: bool = False
    upward: Mapping[str, Any] | None = None

    @property
    def layers(self) -> int:
        """The number of layers."""
        return len(self.kv_source)

    def shares(self, layer: int) -> bool:
        """Whether `layer` keeps nothing and reads another layer."""
        return self.kv_source[layer] != layer

    def readers(self, owner: int) -> list[int]:
        """The layers that read the keys and values of `owner`, itself included."""
        return [layer for layer in range(self.layers) if self.kv_source[layer] == owner]

    def is_windowed(self, layer: int) -> bool:
        """Whether the plan gives `layer` a window."""
        return self.windows is not None and layer in self.windows.layers

    def window(self, layer: int, model_window: int) -> int:
        """The last tokens that `layer` sees, the current one included; 0 for all."""
        if self.windows is None or layer not in self.windows.layers:
            return model_window
        return min(model_window, self.windows.last) if model_window else self.windows.last

    def first(self, layer: int, model_window: int) -> int:
        """The first tokens of a text that `layer` sees besides its window."""
        if self.windows is None or layer not in self.windows.layers or model_window:
            return 0
        return self.windows.first

    def kept(self, owner: int, model_windows: Sequence[int]) -> Kept | None:
        """What `owner` keeps where windows of the plan bound all of its readers; else None, all tokens."""
        readers = self.readers(owner)
        if not readers or not all(self.is_windowed(reader) for reader in readers):
            return None
        return Kept(
            max(self.first(reader, model_windows[reader]) for reader in readers),
            max(self.window(reader, model_windows[reader]) for reader in readers),
        )

    def sha256(self) -> str:
        """What `repair.plan_sha256` is compared with: over the plan on one line, all fields, sorted keys."""
        windows = self.windows
        tree = {
            "kv_source": list(self.kv_source),
            "prefill": "exact" if self.exact_prefill else "plan",
            "upward": None if self.upward is None else dict(self.upward),
            "window": None
            if windows is None
            else {"first": windows.first, "last": windows.last, "layers": list(windows.layers)},
        }
        return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class ModelIdentity:
    """The model that a policy was made for; None where the policy does not say."""

    num_hidden_layers: int
    model_type: str | None = None
    num_attention_heads: int | None = None
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    fingerprint: str | None = None

    @classmethod
    def of(cls, config: Any, fingerprint: str | None) -> ModelIdentity:
        """The identity that a configuration of transformers gives a model."""
        heads = config.num_attention_heads
        return cls(
            num_hidden_layers=config.num_hidden_layers,
            model_type=config.model_type,
            num_attention_heads=heads,
            num_key_value_heads=getattr(config, "num_key_value_heads", None) or heads,
            head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
            fingerprint=fingerprint,
        )

    def differences(self, found: ModelIdentity) -> list[str]:
        """What differs of `found`, as far as both sides are known."""
        return [
            f"{name} {mine} against {other}"
            for name in self.__dataclass_fields__
            if (mine := getattr(self, name)) is not None
            and (other := getattr(found, name)) is not None
            and mine != other
        ]


@dataclass(frozen=True)
class Repair:
    """The refitted weights beside a policy."""

    file: str
    sha256: str
    plan_sha256: str | None
    tensors: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """A plan for one model; `path` is where it was read from."""

    path: Path
    model: ModelIdentity
    plan: Plan
    repair: Repair | None
    across_kinds: bool

    def weights_file(self) -> Path | None:
        """The checked file of the refitted weights; None where there are none, or the file is missing."""
        if self.repair is None or not self.repair.tensors:
            return None
        plan = self.plan.sha256()
        if self.repair.plan_sha256 not in (None, plan):
            raise MismatchError(
                f"The plan of {self.path} is not the one that its refitted weights were fitted for: its "
                f"SHA-256 is {plan}, but 'repair.plan_sha256' is {self.repair.plan_sha256}. Undo the change of "
                "'plan', calibrate again, or leave the refitted weights out by repair=False."
            )
        weights = self.path.parent / self.repair.file
        candidates = [weights, weights.with_name(weights.name + ".new")]
        digests = {file: _sha256(file) for file in candidates if file.is_file()}
        for file, digest in digests.items():
            if digest == self.repair.sha256:
                return file
        if weights in digests:
            raise MismatchError(
                f"{weights} is not the file that the policy was written with: its SHA-256 is "
                f"{digests[weights]}, but the policy says {self.repair.sha256}. Put the right file there, or "
                "leave the refitted weights out by repair=False."
            )
        _LOGGER.warning(
            "%s has refitted weights in %s, which is not there: the quality is that of the plain plan. "
            "Put the file beside the policy, or say repair=False.",
            self.path,
            self.repair.file,
        )
        return None


def read_policy(path: str | Path) -> Policy:
    """Reads and checks a policy file of version 1 or 2."""
    path = Path(path)
    if path.is_dir():
        raise PolicyError(f"The policy {path} is a directory. Give the policy file itself.")
    if not path.is_file():
        raise PolicyError(f"There is no policy file {path}. Check the name, or write one with `kvshare calibrate`.")
    try:
        root = json.loads(path.read_bytes().decode("utf-8-sig"), object_pairs_hook=_unique)
    except ValueError as e:
        raise FormatError(f"The policy {path} is not JSON: {e}. Write it again with `kvshare calibrate`.") from e
    return parse_policy(root, path)


def parse_policy(root: Any, path: str | Path) -> Policy:
    """Checks the tree of a policy; its refitted weights lie beside `path`, which messages name."""
    return _Reader(Path(path)).policy(root)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise ValueError(f"a name stands twice among {[name for name, _ in pairs]}")
    return tree


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        digest = hashlib.sha256()
        while block := opened.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class _Reader:
    """Turns the tree of a policy file into a `Policy`; collects every problem before it refuses."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []

    def policy(self, root: Any) -> Policy:
        if not isinstance(root, dict):
            raise self.refusal(["$: expected an object"])
        major = self.version(root.get("schema"))
        if major == 1:
            root = self.upgraded(root)
        for name in root.keys() - _ROOT_FIELDS:
            _LOGGER.warning(
                "%s has the field $.%s, which this release does not know: it changes nothing.",
                self.path,
                name,
            )
        plan = self.plan(self.object(root, "$", "plan", required=True))
        model = self.model(self.object(root, "$", "model"), len(plan.kv_source))
        repair = self.repair(self.object(root, "$", "repair"))
        calibration = self.object(root, "$", "calibration")
        if self.problems:
            raise self.refusal(self.problems)
        return Policy(self.path, model, plan, repair, calibration.get("across_kinds") is True)

    def version(self, schema: Any) -> int:
        match = _VERSION.fullmatch(schema) if isinstance(schema, str) else None
        if match is None:
            raise self.refusal([f'$.schema: found {json.dumps(schema)}, expected "kvshare.policy/2"'])
        if int(match[1]) not in (1, 2):
            raise FormatError(
                f"The policy {self.path} has the schema version {schema!r}: this release reads kvshare.policy/1 "
                "and kvshare.policy/2. Install a newer kvshare, or write the policy again with `kvshare calibrate`."
            )
        return int(match[1])

    def upgraded(self, root: dict[str, Any]) -> dict[str, Any]:
        """The tree of version 1 as one of version 2: there the plan was spread over the root."""
        old = dict(root)
        plan: dict[str, Any] = {"kv_source": old.pop("kv_source", None)}
        layers = old.pop("windowed_layers", None)
        last = old.pop("sliding_window", None)
        first = old.pop("attention_sinks", None)
        if layers:
            if last is None:
                self.problems.append("$.windowed_layers names layers, but $.sliding_window is null")
            else:
                plan["window"] = {"layers": layers, "first": first or 0, "last": last}
        elif first:
            self.problems.append("$.attention_sinks belongs to windows, but $.windowed_layers names no layer")
        upper = old.pop("upper", None)
        if isinstance(upper, dict):
            plan["upward"] = {
                name: upper[name] for name in ("forward_passes", "backward_passes", "sequential") if name in upper
            }
        model = old.get("model")
        if isinstance(model, dict):
            old["model"] = {name: value for name, value in model.items() if name in _MODEL_FIELDS}
        return {**old, "plan": plan}

    def plan(self, tree: dict[str, Any]) -> Plan:
        self.known(tree, "$.plan", _PLAN_FIELDS)
        source = self.numbers(tree.get("kv_source"), "$.plan.kv_source")
        if not source:
            self.problems.append("$.plan.kv_source: a list with one entry a layer is needed")
        for layer, target in enumerate(source):
            if target >= len(source):
                self.problems.append(f"$.plan.kv_source: layer {layer} reads layer {target}, which does not exist")
            elif source[target] != target:
                self.problems.append(
                    f"$.plan.kv_source: layer {layer} reads layer {target}, which itself reads layer "
                    f"{source[target]}: a source must keep its own keys and values"
                )
        prefill = tree.get("prefill", "plan")
        if prefill not in ("plan", "exact"):
            self.problems.append(f'$.plan.prefill: found {json.dumps(prefill)}, expected "plan" or "exact"')
        upward = tree.get("upward")
        if upward is not None:
            upward = self.upward(self.object(tree, "$.plan", "upward"))
        if upward is None and any(target > layer for layer, target in enumerate(source)):
            self.problems.append("$.plan.kv_source has a source above its reader, but $.plan.upward is null")
        return Plan(tuple(source), self.windows(tree, len(source)), prefill == "exact", upward)

    def upward(self, tree: dict[str, Any]) -> dict[str, Any]:
        self.known(tree, "$.plan.upward", {"forward_passes", "backward_passes", "sequential"})
        if tree.get("sequential") is True and len(tree) == 1:
            return {"sequential": True}
        passes = {
            name: self.number(tree, "$.plan.upward", name, 0)
            for name in ("forward_passes", "backward_passes")
            if name == "forward_passes" or tree.get(name)
        }
        return dict(passes)

    def windows(self, tree: dict[str, Any], layers: int) -> Windows | None:
        if tree.get("window") is None:
            return None
        window = self.object(tree, "$.plan", "window")
        self.known(window, "$.plan.window", {"layers", "first", "last"})
        windowed = self.numbers(window.get("layers"), "$.plan.window.layers")
        if not windowed:
            self.problems.append("$.plan.window.layers: at least one layer is needed")
        for layer in windowed:
            if layer >= layers:
                self.problems.append(f"$.plan.window.layers names layer {layer}: the layers are 0 to {layers - 1}")
        first = self.number(window, "$.plan.window", "first", 0) if "first" in window else 0
        return Windows(tuple(sorted(set(windowed))), first, self.number(window, "$.plan.window", "last", 1))

    def model(self, tree: dict[str, Any], layers: int) -> ModelIdentity:
        if not tree:
            return ModelIdentity(layers)
        self.known(tree, "$.model", _MODEL_FIELDS)
        count = self.number(tree, "$.model", "num_hidden_layers", 1)
        if count != layers:
            self.problems.append(
                f"$.plan.kv_source has {layers} entries, but $.model.num_hidden_layers is {count}: "
                "one entry a layer is needed"
            )
        known = {name: tree[name] for name in _MODEL_FIELDS if tree.get(name) is not None}
        return ModelIdentity(**{**known, "num_hidden_layers": count})

    def repair(self, tree: dict[str, Any]) -> Repair | None:
        if not tree:
            return None
        file, digest, names = tree.get("file"), tree.get("sha256"), tree.get("tensors")
        if not isinstance(file, str) or Path(file).name != file or file in ("", ".", ".."):
            self.problems.append(
                f"$.repair.file: found {json.dumps(file)}, expected the name of a file beside the policy"
            )
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            self.problems.append("$.repair.sha256: 64 hexadecimal digits are expected")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self.problems.append("$.repair.tensors: a list of names is expected")
            names = []
        return Repair(str(file), str(digest), tree.get("plan_sha256"), tuple(names))

    def object(self, tree: dict[str, Any], path: str, name: str, required: bool = False) -> dict[str, Any]:
        value = tree.get(name)
        if value is None and not required:
            return {}
        if not isinstance(value, dict):
            self.problems.append(f"{path}.{name}: an object is expected")
            return {}
        return value

    def number(self, tree: dict[str, Any], path: str, name: str, least: int) -> int:
        value = tree.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            self.problems.append(
                f"{path}.{name}: found {json.dumps(value)}, expected a whole number of at least {least}"
            )
            return least
        return value

    def numbers(self, value: Any, path: str) -> list[int]:
        if not isinstance(value, list) or not all(type(entry) is int and entry >= 0 for entry in value):
            self.problems.append(f"{path}: a list of numbers of layers is expected")
            return []
        return value

    def known(self, tree: dict[str, Any], path: str, names: set[str]) -> None:
        for name in sorted(tree.keys() - names):
            self.problems.append(f"{path}.{name} is no field of a policy; there it would change what is computed")

    def refusal(self, problems: list[str]) -> FormatError:
        listed = "; ".join(problems[:20])
        return FormatError(
            f"The policy {self.path} is not usable: {listed}. Correct the file, or write a new one with "
            "`kvshare calibrate`."
        )
