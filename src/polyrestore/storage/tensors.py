"""Safetensors files: read whole, checked for values that are not finite, and written whole.

Whose weights they are is known to the caller, who says which error refuses a file and what its user can do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from polyrestore.errors import PolyrestoreError
from polyrestore.files import require_regular, write_bytes

Refusal = type[PolyrestoreError]


@dataclass(frozen=True)
class StoredTensors:
    """What a safetensors file holds.

    Attributes:
        tensors: by key, on the CPU and in the type that they were stored in.
        notes: the texts that were written beside them.
    """

    tensors: dict[str, Tensor]
    notes: dict[str, str]


def read_tensors(path: Path, refusal: Refusal, remedy: str) -> StoredTensors:
    """Read a safetensors file; what comes of it does not depend on the file any more.

    Args:
        path: the file.
        refusal: the class of the error that is raised.
        remedy: what to do about a file that cannot be used, as the end of a sentence.

    Raises:
        PolyrestoreError: of the class ``refusal``; the file is missing, cut short or of another format.
    """
    with _refusing(path, refusal, remedy), safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
        return StoredTensors(tensors, dict(file.metadata() or {}))


def read_shapes(path: Path, refusal: Refusal, remedy: str) -> dict[str, tuple[int, ...]]:
    """Read the shapes of the tensors from the head of a safetensors file, without its weights.

    Args:
        path: the file.
        refusal: the class of the error that is raised.
        remedy: what to do about a file that cannot be used, as the end of a sentence.

    Raises:
        PolyrestoreError: of the class ``refusal``; the file is missing, cut short or of another format.
    """
    with _refusing(path, refusal, remedy), safe_open(path, framework="pt") as file:
        return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118


def check_finite(tensors: Mapping[str, Tensor], place: Path, refusal: Refusal, remedy: str) -> None:
    """Refuse tensors with values that are infinite or no numbers.

    Args:
        tensors: by key.
        place: the file or folder that they came from, for the message.
        refusal: the class of the error that is raised.
        remedy: what to do about such weights, as the end of a sentence.

    Raises:
        PolyrestoreError: of the class ``refusal``; it names the first such tensor.
    """
    for key, tensor in sorted(tensors.items()):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise refusal(f"{place}: {key} holds values that are not finite; {remedy}")


def write_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    dtype: torch.dtype,
    refusal: Refusal,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write tensors as a safetensors file, whole or not at all.

    Args:
        path: the file, replaced when it is there.
        tensors: by key; they may share memory and be on any device.
        dtype: what those that hold fractions are stored as.
        refusal: the class of the error for values that are not finite.
        notes: texts to keep beside the tensors.

    Raises:
        PolyrestoreError: of the class ``refusal``; a value is not finite as ``dtype``.
        OutputError: the file cannot be written.
    """
    converted = {}
    for key, tensor in tensors.items():
        stored = tensor.detach().to("cpu", dtype if tensor.is_floating_point() else tensor.dtype)
        if stored.is_floating_point() and not bool(torch.isfinite(stored).all()):
            raise refusal(
                f"{key} of {path.name} is not finite as {dtype}; check the training, or use float32"
            )
        # A copy: safetensors refuses tensors that share memory, as tied weights do.
        converted[key] = stored.clone(memory_format=torch.contiguous_format)
    content = save(converted, metadata={"format": "pt", **(notes or {})})
    write_bytes(path, _with_sorted_notes(content) if notes else content)


def _with_sorted_notes(content: bytes) -> bytes:
    """Return a file with the notes in its head sorted; safetensors writes them in any order."""
    length = int.from_bytes(content[:8], "little")
    head = json.loads(content[8 : 8 + length])
    head["__metadata__"] = dict(sorted(head["__metadata__"].items()))
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def tensors_sha256(tensors: Mapping[str, Tensor], heading: str = "") -> str:
    """Return a SHA-256 of tensors that does not depend on the type, order or place in which they are kept.

    It is taken over the heading and then, in the order of the keys, each tensor's key, its shape, and its
    values row by row: those that hold fractions rounded to float16, all others as int64, both little-endian.
    Rounded so, weights are the same ones whether they were saved in float32 or in float16.

    Args:
        tensors: by key, on any device and in any memory format.
        heading: what else decides what the tensors mean.
    """
    digest = hashlib.sha256(f"{heading}\n".encode())
    for key, tensor in sorted(tensors.items()):
        digest.update(f"{key} {list(tensor.shape)}\n".encode())
        dtype = torch.float16 if tensor.is_floating_point() else torch.int64
        values = tensor.detach().to("cpu", dtype).contiguous().numpy()
        digest.update(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


@contextmanager
def _refusing(path: Path, refusal: Refusal, remedy: str) -> Iterator[None]:
    try:
        require_regular(path)
        yield
    except OSError as error:
        raise refusal(f"cannot read {path}: {error.strerror or error}; {remedy}") from error
    except (SafetensorError, ValueError) as error:
        raise refusal(f"{path} is not a safetensors file, or is damaged: {error}; {remedy}") from error
