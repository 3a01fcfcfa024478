"""What an adapter is as plain data: its configuration and its tensors, tied to no network yet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from polyrestore.errors import AdapterError, nearest_names

MAXIMUM_ADAPTER_BYTES = 1_900_000
"""How large a shipped adapter may be on disk: a new degradation must stay a light download."""

_DESCRIPTION_KEY = "base_model_name_or_path"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """What the configurations of all kinds have in common; each kind's own is a frozen dataclass below it.

    A kind whose fields are plain JSON values with bounds of its own needs no more than those fields.

    Attributes:
        kind: its name in :data:`polyrestore.adapters.ADAPTER_KINDS`.
        targets: module paths to adapt; None means those that the backbone names, or where it names none,
            every layer that can be.
    """

    kind: ClassVar[str]
    targets: tuple[str, ...] | None = None

    def at(self, path: str) -> Self:
        """Return what holds for one layer: the same for all, unless a kind says otherwise."""
        return self

    def own_layers(self) -> frozenset[str]:
        """Return the paths of the layers that have values of their own; they must be targets."""
        return frozenset()

    def size_text(self) -> str:
        """Return how large the adapter is, for people: "reduction 4"."""
        return ", ".join(f"{name} {getattr(self, name)}" for name in sorted(_own_names(type(self))))

    @classmethod
    def shrink_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of a recipe with sizes for a trial run of a few seconds."""
        return dict(options)

    def to_json(self, targets: Sequence[str], base_description: str) -> dict[str, Any]:
        """Return the content of ``adapter_config.json``.

        Args:
            targets: the paths of the adapter's layers.
            base_description: which backbone it belongs to, for the reader of the file.
        """
        own = {name: getattr(self, name) for name in _own_names(type(self))}
        return {**own, "kind": self.kind, "targets": list(targets), _DESCRIPTION_KEY: base_description}

    @classmethod
    def reads(cls, raw: Mapping[str, Any]) -> bool:
        """Return whether the content of an ``adapter_config.json`` is of this kind."""
        return raw.get("kind") == cls.kind

    @classmethod
    def from_json(cls, raw: Mapping[str, Any], tensors: Mapping[str, Mapping[str, Tensor]]) -> Self:
        """Return the configuration that ``adapter_config.json`` describes.

        Args:
            raw: the content of the file.
            tensors: the adapter's tensors by module path, then by name within the layer.

        Raises:
            AdapterError: a key is unknown or missing, a value is out of range, or other layers have tensors.
        """
        names = _own_names(cls)
        known = {*names, "kind", "targets", _DESCRIPTION_KEY}
        for key in sorted(set(raw) - known):
            raise AdapterError(f"unknown key {key!r}; {nearest_names(key, known)}")
        for key in sorted(names - set(raw)):
            raise AdapterError(f"the configuration lacks {key!r}; save the adapter again")
        targets = sorted(tensors)
        if raw.get("targets") != targets:
            raise AdapterError(
                "targets in the configuration and tensors in the weights file name other layers"
            )
        return cls(**{name: raw[name] for name in names}, targets=tuple(targets))


def _own_names(kind: type[AdapterConfig]) -> set[str]:
    """Return the names of the fields that a kind has beside those of all kinds."""
    return {each.name for each in fields(kind)} - {each.name for each in fields(AdapterConfig)}


@dataclass(frozen=True, eq=False)
class Prototype:
    """How what an adapter is for is recognised.

    Attributes:
        embedding: (D,) unit vector, float32; an image like it asks for the adapter. It may be as long as
            what a recogniser's ``describe`` returns.
        recogniser_sha256: of the recogniser whose embeddings it is to be compared with.
        least_share: how probable the degradation has to be before the adapter acts, from 0 to 1; None for
            what holds for all adapters of a bundle.
        supersedes: other adapters that do not act beside this one.
        least_change: how much the adapter has to find to do before it acts: the root mean square, in grey
            levels of 255, by which it changes what the others make of the image; None for nothing.
        beside_share: as ``least_share``, where another adapter plainly has to act; None for no less.
    """

    embedding: Tensor
    recogniser_sha256: str
    least_share: float | None = None
    supersedes: tuple[str, ...] = ()
    least_change: float | None = None
    beside_share: float | None = None


@dataclass(frozen=True, eq=False)
class Adapter:
    """One trained adapter: enough to be saved, or to be added to a bank.

    Attributes:
        name: letters, digits, ``_`` and ``-``; usually the degradation it was trained for.
        config: its kind and sizes.
        tensors: weights by "<module path>.<part>", such as ``encoders.0.0.conv1.lora_A.weight``.
        base_sha256: of the backbone that it was trained beside, see :func:`polyrestore.adapters.base_sha256`;
            empty where it is not known.
        prototype: how what it is for is recognised; None where it is only named, and in a bundle, which has
            the prototypes of all its adapters in one place.
        record: how it was made and what it was measured to be worth, as plain JSON values; empty where
            nothing is recorded.

    Raises:
        AdapterError: the name cannot be used.
    """

    name: str
    config: AdapterConfig
    tensors: dict[str, Tensor]
    base_sha256: str = ""
    prototype: Prototype | None = None
    record: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_adapter_name(self.name)

    @property
    def parameter_count(self) -> int:
        """How many numbers the adapter holds."""
        return sum(tensor.numel() for tensor in self.tensors.values())

    def size_bytes(self, dtype: torch.dtype = torch.float16) -> int:
        """Return how many bytes the weights take on disk in ``dtype``, the small file header apart."""
        return self.parameter_count * dtype.itemsize


def check_adapter_name(name: str) -> None:
    """Refuse a name that could not be a folder, or a part of a parameter's name.

    Raises:
        AdapterError: the name has other characters than letters, digits, ``_`` and ``-``.
    """
    if not _NAME.fullmatch(name):
        raise AdapterError(f"adapter name {name!r} may only have letters, digits, '_' and '-'")


def check_adapter_size(
    adapter: Adapter, dtype: torch.dtype = torch.float16, limit_bytes: int = MAXIMUM_ADAPTER_BYTES
) -> None:
    """Refuse an adapter that would be too large on disk.

    Raises:
        AdapterError: it takes more than ``limit_bytes`` in ``dtype``.
    """
    size = adapter.size_bytes(dtype)
    if size > limit_bytes:
        raise AdapterError(
            f"adapter {adapter.name!r} ({adapter.config.size_text()}) takes {size} bytes, more than "
            f"{limit_bytes}; make it smaller, or name fewer targets"
        )
