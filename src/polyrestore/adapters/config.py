"""What an adapter is as plain data: its configuration and its tensors, tied to no network yet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor

from polyrestore.errors import AdapterError

MAXIMUM_ADAPTER_BYTES = 1_900_000
"""How large a shipped adapter may be on disk: a new degradation must stay a light download."""

MAXIMUM_RANK = 4096
"""More than any layer has channels."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank updates of convolutions and linear layers (Hu et al., ICLR 2022, arXiv 2106.09685).

    Attributes:
        rank: inner width of every update.
        alpha: the update is multiplied by ``alpha / rank``, as PEFT does.
        targets: module paths to adapt; None means those that the backbone names, or where it names none,
            every layer that can be (1x1 and 3x3 convolutions without groups, and linear layers).
        ranks: by module path, the ranks of the layers that have another one than ``rank``.
        alphas: likewise for ``alpha``.

    Raises:
        AdapterError: a value is out of range.
    """

    rank: int = 4
    alpha: float = 4.0
    targets: tuple[str, ...] | None = None
    kind: str = "lora"
    ranks: Mapping[str, int] = field(default_factory=dict)
    alphas: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_kind(self.kind, "lora")
        for rank in (self.rank, *self.ranks.values()):
            if isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= MAXIMUM_RANK:
                raise AdapterError(
                    f"a LoRA rank must be a whole number from 1 to {MAXIMUM_RANK}, not {rank!r}"
                )
        for alpha in (self.alpha, *self.alphas.values()):
            if not 0 < alpha < float("inf"):
                raise AdapterError(f"LoRA alpha must be positive and finite, not {alpha!r}")

    def at(self, path: str) -> LoraConfig:
        """Return what holds for one layer: its own rank and alpha."""
        rank, alpha = self.ranks.get(path, self.rank), self.alphas.get(path, self.alpha)
        return replace(self, rank=rank, alpha=alpha, ranks={}, alphas={})

    def scaling_at(self, path: str) -> float:
        """Return what the update of one layer is multiplied by."""
        return self.at(path).alpha / self.at(path).rank


@dataclass(frozen=True)
class BottleneckConfig:
    """AdaIR's convolutional adapter beside convolutions (arXiv 2404.11475).

    Attributes:
        reduction: the bottleneck has this many times fewer channels than its layer's narrower side.
        targets: module paths to adapt; None means those that the backbone names, or where it names none,
            every 1x1 or 3x3 convolution that keeps the image size.

    Raises:
        AdapterError: a value is out of range.
    """

    reduction: int = 4
    targets: tuple[str, ...] | None = None
    kind: str = "bottleneck"

    def __post_init__(self) -> None:
        _check_kind(self.kind, "bottleneck")
        if isinstance(self.reduction, bool) or not isinstance(self.reduction, int) or self.reduction < 1:
            raise AdapterError(
                f"a bottleneck reduction must be a whole number of at least 1, not {self.reduction!r}"
            )

    def at(self, path: str) -> Self:
        """Return what holds for one layer: the same for all."""
        return self


AdapterConfig = LoraConfig | BottleneckConfig


@dataclass(frozen=True, eq=False)
class Adapter:
    """One trained adapter: enough to be saved, or to be added to a bank.

    Attributes:
        name: letters, digits, ``_`` and ``-``; usually the degradation it was trained for.
        config: its kind and sizes.
        tensors: weights by "<module path>.<part>", such as ``encoders.0.0.conv1.lora_A.weight``.
        base_sha256: of the other model's weights that its backbone runs on, where it does and it is known.

    Raises:
        AdapterError: the name cannot be used.
    """

    name: str
    config: AdapterConfig
    tensors: dict[str, Tensor]
    base_sha256: str = ""

    def __post_init__(self) -> None:
        check_adapter_name(self.name)

    @property
    def parameter_count(self) -> int:
        """How many numbers the adapter holds."""
        return sum(tensor.numel() for tensor in self.tensors.values())

    @property
    def layer_count(self) -> int:
        """How many layers the adapter sits beside."""
        # Every kind has as many tensors in each of its layers; what precedes the last two parts is the layer.
        return len({key.rsplit(".", 2)[0] for key in self.tensors})

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
            f"adapter {adapter.name!r} takes {size} bytes, more than {limit_bytes}; "
            "lower its rank (lora), raise its reduction (bottleneck), or name fewer targets"
        )


def _check_kind(kind: str, expected: str) -> None:
    if kind != expected:
        raise AdapterError(f"this configuration is of kind {expected!r}, not {kind!r}")
