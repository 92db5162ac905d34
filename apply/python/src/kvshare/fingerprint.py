"""Identifies a checkpoint by its content, digit for digit as the Java runtime does.

SHA-256 over UTF-8 lines, each ended by a line feed:

    kvshare.fingerprint/1
    config KEY=JSON              for each key that can change the computation, sorted
    tensor NAME TYPE [SHAPE]     for each tensor, sorted; then four runs of stored bytes

A run has up to 256 bytes; runs are spread evenly from the first to the last byte of a tensor.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from pathlib import Path
from typing import Any

from kvshare.errors import MismatchError

_SAMPLES = 4
_SAMPLE_BYTES = 256
_DESCRIPTIVE_KEYS = frozenset(
    """
    _name_or_path architectures attention_dropout attn_implementation auto_map bos_token_id
    kvshare_policy dtype embd_pdrop attn_pdrop resid_pdrop eos_token_id hidden_dropout initializer_range
    pad_token_id pretraining_tp torch_dtype transformers_version unsloth_fixed use_cache
    """.split()
)
_ROPE_KEYS = ("rope_theta", "rope_scaling", "rope_parameters")
_INDEX = "model.safetensors.index.json"


def fingerprint(directory: Path) -> str:
    """The fingerprint of a Hugging Face directory, `sha256:` and 64 hexadecimal digits."""
    digest = hashlib.sha256(b"kvshare.fingerprint/1\n")
    config = json.loads((directory / "config.json").read_text("utf-8"))
    for key, value in sorted(_computation(config).items()):
        digest.update(f"config {key}={value}\n".encode())
    tensors: dict[str, tuple[Path, int, dict[str, Any]]] = {}
    for file in _files(directory):
        start, header = _header(file)
        tensors.update((name, (file, start, entry)) for name, entry in header.items() if name != "__metadata__")
    for name, (file, start, entry) in sorted(tensors.items()):
        shape = "[" + ", ".join(str(size) for size in entry["shape"]) + "]"
        digest.update(f"tensor {name} {entry['dtype']} {shape}\n".encode())
        begin, end = entry["data_offsets"]
        length = min(_SAMPLE_BYTES, end - begin)
        with file.open("rb") as opened:
            for sample in range(_SAMPLES):
                opened.seek(start + begin + (end - begin - length) * sample // (_SAMPLES - 1))
                digest.update(opened.read(length))
    return "sha256:" + digest.hexdigest()


def is_checkpoint(directory: Path) -> bool:
    """Whether a directory has what `fingerprint` reads."""
    return (directory / "config.json").is_file() and (
        (directory / "model.safetensors").is_file() or (directory / _INDEX).is_file()
    )


def _files(directory: Path) -> list[Path]:
    single = directory / "model.safetensors"
    if single.is_file():
        return [single]
    index = json.loads((directory / _INDEX).read_text("utf-8"))
    return [directory / name for name in sorted(set(index["weight_map"].values()))]


def _header(file: Path) -> tuple[int, dict[str, Any]]:
    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        if length > file.stat().st_size:
            raise MismatchError(f"{file} is no safetensors file: its header would be longer than the file.")
        return 8 + length, json.loads(opened.read(length))


def _computation(config: dict[str, Any]) -> dict[str, str]:
    """Keys and values in a form that both generations of `config.json` share."""
    values: dict[str, str] = {}

    def put(key: str, value: Any) -> None:
        if value is not None:
            values[key] = _canonical(value)

    for key in config.keys() - _DESCRIPTIVE_KEYS - set(_ROPE_KEYS):
        put(key, config[key])
    put("rope.rope_theta", config.get("rope_theta"))
    for key in _ROPE_KEYS:
        rope = config.get(key)
        if not isinstance(rope, dict):
            continue
        for name in sorted(rope):
            put("rope." + ("rope_type" if name == "type" else name), rope[name])
    if values.get("rope.rope_type") == '"default"':
        del values["rope.rope_type"]
    return values


def _canonical(value: Any) -> str:
    """JSON with sorted keys and without nulls, numbers as hexadecimal doubles."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _hexadecimal(float(value))
    if isinstance(value, list):
        return "[" + "".join(_canonical(entry) + "," for entry in value) + "]"
    if isinstance(value, dict):
        fields = ((name, value[name]) for name in sorted(value) if value[name] is not None)
        return "{" + "".join(f"{name}:{_canonical(field)}," for name, field in fields) + "}"
    return json.dumps(value, ensure_ascii=False)


def _hexadecimal(value: float) -> str:
    """A double as Java's `Double.toHexString` writes it: no trailing zeros, no sign of the exponent."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("-" if value < 0 else "") + "Infinity"
    digits, exponent = value.hex().split("p")
    if "." in digits:
        head, fraction = digits.split(".")
        digits = head + "." + (fraction.rstrip("0") or "0")
    else:
        digits += ".0"
    return f"{digits}p{int(exponent)}"
