"""Adapters on disk, in PEFT's layout: one folder with a configuration and a safetensors file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyrestore.adapters.checking import check_values, split_tensors
from polyrestore.adapters.config import Adapter, AdapterConfig, BottleneckConfig, LoraConfig
from polyrestore.adapters.peft_config import from_peft, to_peft
from polyrestore.errors import AdapterError, UnknownNameError, nearest_names
from polyrestore.files import write_text
from polyrestore.storage.tensors import read_tensors, write_tensors

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"

_PREFIX = "base_model.model."
_BASE_KEY = "base_sha256"
_BOTTLENECK_KEYS = {"kind", "reduction", "targets", "base_model_name_or_path"}


def save_adapter(
    folder: Path, adapter: Adapter, base_description: str, dtype: torch.dtype = torch.float32
) -> None:
    """Write an adapter; ``lora`` ones can be read by PEFT.

    Args:
        folder: made when missing; its two files are each replaced whole.
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
    config = _config_to_json(adapter.config, targets, base_description)
    write_text(folder / CONFIG_FILE, json.dumps(config, indent=2, sort_keys=True) + "\n")
    # Beside the tensors, since PEFT warns of keys in the configuration that it does not know.
    base = {_BASE_KEY: adapter.base_sha256} if adapter.base_sha256 else {}
    write_tensors(folder / WEIGHTS_FILE, tensors, dtype, AdapterError, base)


def load_adapter(folder: Path, name: str | None = None) -> Adapter:
    """Read an adapter that was written by :func:`save_adapter`, or a LoRA written by PEFT.

    Of PEFT's features, ranks and alphas by layer and rank-stabilised LoRA are read. Others that may change
    what is computed are refused by the name of their key.

    Args:
        folder: with the two files.
        name: the adapter's name; the folder's own name when None.

    Returns:
        the adapter, float32 on the CPU. Whether it fits a backbone is checked when it is added to a bank.

    Raises:
        AdapterError: a file is missing, damaged, or asks for something that cannot be done faithfully.
    """
    config_path, weights_path = folder / CONFIG_FILE, folder / WEIGHTS_FILE
    try:
        raw = json.loads(config_path.read_text(encoding="utf-8"))
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
        )
    except (AdapterError, UnknownNameError) as error:
        raise AdapterError(f"{folder}: {error}") from error


def _assemble(name: str, raw: dict[str, Any], stored: dict[str, Tensor]) -> Adapter:
    foreign = sorted(key for key in stored if not key.startswith(_PREFIX))
    if foreign:
        raise AdapterError(f"tensor {foreign[0]!r} does not start with {_PREFIX!r}; not an adapter file")
    tensors = {key.removeprefix(_PREFIX): tensor for key, tensor in stored.items()}
    kind = "lora" if "peft_type" in raw else raw.get("kind", "lora")
    targets = tuple(sorted(split_tensors(str(kind), tensors)))
    config = from_peft(raw, targets) if kind == "lora" else _bottleneck_from_json(raw, targets)
    adapter = Adapter(name, config, tensors)
    check_values(adapter)
    if isinstance(config, LoraConfig):
        _check_ranks(config, tensors)
    return Adapter(name, config, {key: tensor.float() for key, tensor in tensors.items()})


def _config_to_json(config: AdapterConfig, targets: list[str], base_description: str) -> dict[str, Any]:
    if isinstance(config, BottleneckConfig):
        return {
            "kind": config.kind,
            "reduction": config.reduction,
            "targets": targets,
            "base_model_name_or_path": base_description,
        }
    return to_peft(config, targets, base_description)


def _bottleneck_from_json(raw: dict[str, Any], targets: tuple[str, ...]) -> BottleneckConfig:
    unknown = sorted(set(raw) - _BOTTLENECK_KEYS)
    if unknown:
        raise AdapterError(f"unknown key {unknown[0]!r}; {nearest_names(unknown[0], _BOTTLENECK_KEYS)}")
    if raw.get("targets") != list(targets):
        raise AdapterError("targets in the configuration and tensors in the weights file name other layers")
    return BottleneckConfig(reduction=raw.get("reduction", 0), targets=targets)


def _check_ranks(config: LoraConfig, tensors: dict[str, Tensor]) -> None:
    for key, tensor in sorted(tensors.items()):
        rank = config.at(key.rsplit(".", 2)[0]).rank
        found = tensor.shape[0 if key.endswith("lora_A.weight") else 1] if tensor.ndim >= 2 else 0
        if found != rank:
            raise AdapterError(f"{key} has rank {found}, but the configuration says {rank}")
