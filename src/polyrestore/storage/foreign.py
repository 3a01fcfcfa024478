"""Checkpoints that other software wrote: a state dict is taken out of them, and no code is ever run."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyrestore.errors import CheckpointError
from polyrestore.files import require_regular
from polyrestore.storage.tensors import check_finite, read_tensors

# In order of preference: where averaged weights are kept beside the last ones, they are the better network.
_WRAPPERS = ("params_ema", "state_dict_ema", "model_ema", "params", "state_dict", "model", "net")
# What training programs put around the network's own names.
_PREFIXES = {"_orig_mod", "backbone", "generator", "model", "module", "net", "net_g", "network"}
_DEEPEST = 4
_CODE = re.compile(r"GLOBAL:?\s+([\w.]+)")


@dataclass(frozen=True)
class ForeignState:
    """A network's state dict, and where in its file it was.

    Attributes:
        tensors: by the network's own keys.
        wrappers: names of the mappings around it, the outermost first.
        prefix: what preceded every key, with its dots; often empty.
    """

    tensors: dict[str, Tensor]
    wrappers: tuple[str, ...]
    prefix: str


def read_checkpoint(path: Path) -> ForeignState:
    """Read the state dict in a ``.safetensors`` file, or in one of torch under any other name.

    Wrappers around it (``params``, ``state_dict``, ...) and prefixes of all keys (``net.``, ``module.``, ...)
    are taken off.

    Raises:
        CheckpointError: the file cannot be read, needs code to be run, holds no state dict, or one with
            values that are not finite.
    """
    content = _load(path)
    found = _state_dict(content)
    if found is None:
        raise CheckpointError(
            f"{path} holds no state dict, a mapping from names to tensors, but {_what(content)}"
        )
    tensors, wrappers = found
    for key, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
            raise CheckpointError(f"{path}: {key} is not a plain tensor; save the weights as float32 first")
    check_finite(tensors, path, CheckpointError, "the weights are damaged")
    prefix = _common_prefix(tensors)
    own = {key.removeprefix(prefix): tensor.detach() for key, tensor in tensors.items()}
    return ForeignState(own, wrappers, prefix)


def _load(path: Path) -> Any:
    if path.suffix.lower() == ".safetensors":
        return read_tensors(path, CheckpointError, "download it again").tensors
    try:
        require_regular(path)
        with warnings.catch_warnings():
            # Torch warns about programs in its own archive format before it refuses them.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:
        # A damaged file can make the reader raise anything at all.
        code = _CODE.search(str(error))
        if code is not None:
            raise CheckpointError(
                f"{path} holds more than tensors ({code[1]}), and reading that could run code; where you "
                "trust the file, save its state_dict() alone with the program that wrote it"
            ) from error
        # What torch adds after the first sentence is advice to its own callers.
        reason = re.split(r"\.\s|\n", str(error))[0] if isinstance(error, RuntimeError) else ""
        raise CheckpointError(
            f"{path} is not a checkpoint, or was cut short{reason and f' ({reason})'}; download it again"
        ) from error


def _state_dict(content: Any, depth: int = 0) -> tuple[dict[str, Tensor], tuple[str, ...]] | None:
    """Return the state dict in nested mappings, and the names on the way to it."""
    if not isinstance(content, Mapping) or not content or depth > _DEEPEST:
        return None
    if not all(isinstance(key, str) for key in content):
        return None
    if all(isinstance(value, Tensor) for value in content.values()):
        return dict(content), ()
    found = {key: _state_dict(value, depth + 1) for key, value in content.items()}
    found = {key: inner for key, inner in found.items() if inner is not None}
    known = [key for key in _WRAPPERS if key in found]
    if not known and len(found) > 1:
        return None
    for key in known or found:
        inner = found[key]
        if inner is not None:
            return inner[0], (key, *inner[1])
    return None


def _common_prefix(tensors: Mapping[str, Tensor]) -> str:
    """Return the known words that precede every key."""
    prefix = ""
    while True:
        heads = {key.removeprefix(prefix).partition(".")[0] for key in tensors}
        word = heads.pop()
        longer = f"{prefix}{word}."
        if heads or word not in _PREFIXES or not all(len(key) > len(longer) for key in tensors):
            return prefix
        prefix = longer


def _what(content: Any) -> str:
    if isinstance(content, Mapping):
        return "the entries " + ", ".join(sorted(str(key) for key in content)[:8]) if content else "nothing"
    return f"a {type(content).__name__}"
