"""Adapters on disk, in PEFT's layout: one folder with a configuration and a safetensors file.

Beside them, in a file that PEFT does not look at, is the prototype by which the adapter is chosen.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyrestore.adapters.card import adapter_card
from polyrestore.adapters.checking import check_values, split_tensors
from polyrestore.adapters.config import Adapter, Prototype, check_adapter_name
from polyrestore.adapters.registry import ADAPTER_KINDS, adapter_kind
from polyrestore.errors import AdapterError
from polyrestore.files import read_text, write_text
from polyrestore.storage.tensors import check_finite, read_tensors, write_tensors

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
PROTOTYPE_FILE = "prototype.safetensors"
# For people; written where there is something to tell beside the configuration.
ADAPTER_CARD_FILE = "README.md"

_PREFIX = "base_model.model."
_BASE_KEY = "base_sha256"
_EMBEDDING_KEY = "prototype"
_RECOGNISER_KEY = "recogniser_sha256"
_SUPERSEDES_KEY = "supersedes"
# Numbers of a prototype that are noted where it has them, and how large each may be.
_LARGEST = {"least_share": 1.0, "least_change": 255.0, "beside_share": 1.0}
_RECORD_KEY = "record"
_RECORD_DEPTH = 8


def save_adapter(
    folder: Path, adapter: Adapter, base_description: str, dtype: torch.dtype = torch.float32
) -> None:
    """Write an adapter; ``lora`` ones can be read by PEFT.

    Args:
        folder: made when missing; its files are each replaced whole.
        adapter: what to write.
        base_description: which backbone it belongs to, for the reader of the file.
        dtype: of the weights on disk; float32 keeps them exactly.

    Raises:
        AdapterError: values are not finite, or not any more in ``dtype``.
        OutputError: the folder cannot be written.
    """
    tensors = {
        f"{_PREFIX}{key}": tensor.detach().to("cpu", dtype).contiguous()
        for key, tensor in sorted(adapter.tensors.items())
    }
    check_values(Adapter(adapter.name, adapter.config, tensors))
    targets = sorted(split_tensors(adapter.config.kind, adapter.tensors))
    config = adapter.config.to_json(targets, base_description)
    write_text(folder / CONFIG_FILE, json.dumps(config, indent=2, sort_keys=True) + "\n")
    # Beside the tensors, since PEFT warns of keys in the configuration that it does not know.
    notes = {_BASE_KEY: adapter.base_sha256} if adapter.base_sha256 else {}
    if adapter.record:
        notes[_RECORD_KEY] = json.dumps(dict(adapter.record), sort_keys=True)
        write_text(folder / ADAPTER_CARD_FILE, adapter_card(adapter, base_description))
    write_tensors(folder / WEIGHTS_FILE, tensors, dtype, AdapterError, notes)
    if adapter.prototype is not None:
        _save_prototype(folder / PROTOTYPE_FILE, adapter.prototype)


def load_adapter(folder: Path, name: str | None = None) -> Adapter:
    """Read an adapter that was written by :func:`save_adapter`, or a LoRA written by PEFT.

    Of PEFT's features, ranks and alphas by layer and rank-stabilised LoRA are read. Others that may change
    what is computed are refused by the name of their key.

    Args:
        folder: with the two files, and with a third one where the adapter brings its prototype.
        name: the adapter's name; the folder's own name when None.

    Returns:
        the adapter, float32 on the CPU. Whether it fits a backbone is checked when it is added to a bank.

    Raises:
        AdapterError: a file is missing, damaged, or asks for something that cannot be done faithfully.
    """
    config_path, weights_path = folder / CONFIG_FILE, folder / WEIGHTS_FILE
    try:
        raw = json.loads(read_text(config_path))
    except OSError as error:
        raise AdapterError(f"cannot read {config_path}: {error.strerror}; not an adapter folder?") from error
    except ValueError as error:
        raise AdapterError(f"{config_path} is not valid JSON: {error}; save the adapter again") from error
    except RecursionError as error:
        raise AdapterError(f"{config_path} is nested too deeply; save the adapter again") from error
    stored = read_tensors(weights_path, AdapterError, "copy or save the adapter again")
    if not isinstance(raw, dict):
        raise AdapterError(f"{config_path} must hold a JSON object, not a {type(raw).__name__}")
    try:
        return replace(
            _assemble(name or folder.resolve().name, raw, stored.tensors),
            base_sha256=stored.notes.get(_BASE_KEY, ""),
            record=_record_of(stored.notes),
            prototype=_load_prototype(folder / PROTOTYPE_FILE),
        )
    except AdapterError as error:
        raise AdapterError(f"{folder}: {error}") from error


def _assemble(name: str, raw: dict[str, Any], stored: dict[str, Tensor]) -> Adapter:
    foreign = sorted(key for key in stored if not key.startswith(_PREFIX))
    if foreign:
        raise AdapterError(f"tensor {foreign[0]!r} does not start with {_PREFIX!r}; not an adapter file")
    tensors = {key.removeprefix(_PREFIX): tensor for key, tensor in stored.items()}
    kinds = [kind for kind, part in ADAPTER_KINDS.items() if part.config_class.reads(raw)]
    part_class = adapter_kind(kinds[0] if kinds else str(raw.get("kind")))
    by_path = split_tensors(part_class.config_class.kind, tensors)
    adapter = Adapter(name, part_class.config_class.from_json(raw, by_path), tensors)
    check_values(adapter)
    return replace(adapter, tensors={key: tensor.float() for key, tensor in tensors.items()})


def _save_prototype(path: Path, prototype: Prototype) -> None:
    notes = {_RECOGNISER_KEY: prototype.recogniser_sha256}
    if prototype.supersedes:
        notes[_SUPERSEDES_KEY] = ",".join(prototype.supersedes)
    numbers = {key: getattr(prototype, key) for key in _LARGEST}
    notes |= {key: repr(value) for key, value in numbers.items() if value is not None}
    # The thresholds of the recognition were set with the exact values.
    write_tensors(path, {_EMBEDDING_KEY: prototype.embedding}, torch.float32, AdapterError, notes)


def _load_prototype(path: Path) -> Prototype | None:
    if not path.exists():
        return None
    stored = read_tensors(path, AdapterError, "copy or save the adapter again")
    embedding = stored.tensors.get(_EMBEDDING_KEY)
    if set(stored.tensors) != {_EMBEDDING_KEY} or embedding is None or embedding.ndim != 1:
        raise AdapterError(f"{path.name} must hold one vector {_EMBEDDING_KEY!r} and nothing else")
    check_finite(stored.tensors, path, AdapterError, "save the adapter again")
    numbers = {key: _noted(stored.notes, key, largest, path) for key, largest in _LARGEST.items()}
    others = tuple(name for name in stored.notes.get(_SUPERSEDES_KEY, "").split(",") if name)
    for name in others:
        check_adapter_name(name)
    recogniser = stored.notes.get(_RECOGNISER_KEY, "")
    return Prototype(embedding.float(), recogniser, supersedes=others, **numbers)


def _noted(notes: Mapping[str, str], key: str, largest: float, path: Path) -> float | None:
    """Return the number from 0 to ``largest`` that a note holds; None where there is none."""
    text = notes.get(key)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= largest:
        raise AdapterError(f"{path.name}: {key} must be a number from 0 to {largest:g}, not {text!r}")
    return value


def _record_of(notes: Mapping[str, str]) -> dict[str, Any]:
    try:
        record = json.loads(notes.get(_RECORD_KEY, "{}"))
    except (ValueError, RecursionError) as error:
        raise AdapterError(f"its record is not valid JSON: {error}; save the adapter again") from error
    if not isinstance(record, dict):
        raise AdapterError(f"its record must be a JSON object, not a {type(record).__name__}")
    if not _is_shallow(record, _RECORD_DEPTH):
        raise AdapterError("its record is nested too deeply; save the adapter again")
    return record


def _is_shallow(value: object, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_shallow(each, levels - 1) for each in inner)
