"""What restoring asks of whatever runs the network, so that it never calls a module of torch itself."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import Tensor

from polyrestore.backbones import BackboneDescription
from polyrestore.devices import computes_fast_in
from polyrestore.errors import (
    BackboneError,
    UnknownRuntimeError,
    unknown_name,
)

PRECISIONS: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
"""The number formats that a network can be asked to compute in, by name."""


class Runtime(Protocol):
    """A network with its adapters, ready to run on one device.

    It may hold one composition at a time. Whoever shares it between threads lets them take turns.

    Attributes:
        name: of the runtime, as in the registry.
        chosen: why this runtime was just chosen among others, as a sentence; None where it was not.
    """

    name: str
    chosen: str | None

    @property
    def description(self) -> BackboneDescription:
        """How the network is fed and tiled."""

    @property
    def device(self) -> torch.device:
        """Where images have to be, and where results are."""

    @property
    def precision(self) -> str:
        """The number format that it computes in, a key of :data:`PRECISIONS`; in and out is float32."""

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names of the adapters, sorted."""

    @property
    def weight_bytes(self) -> int:
        """How much memory the weights take, adapters included."""

    @property
    def equal_tiles(self) -> bool:
        """True when all tiles of one image must have one size, because shapes are fixed before a run."""

    @property
    def reach_px(self) -> int:
        """How far an input pixel reaches an output pixel as the network is composed now, context apart."""

    def composed(self, weights: Mapping[str, float]) -> AbstractContextManager[None]:
        """Let a composition act for the length of a block, then what acted before; none acts at first.

        Args:
            weights: by adapter, at least 0; without any, the bare backbone runs.

        Raises:
            CompositionError: an unknown adapter, or a weight that is negative or not finite.
        """

    def runs_whole(self, height_px: int, width_px: int) -> bool:
        """Return whether an image of this size is best run at once and without a context.

        So it is where the context costs as much as the result, and where the memory allows it now.
        """

    def pad(self, image: Tensor) -> Tensor:
        """Pad (B, 3, H, W) on the right and at the bottom to sizes that :meth:`run` takes without padding."""

    def context(self, image: Tensor) -> Tensor:
        """Return the global context (B, D) of whole images (B, 3, H, W), computed in float32."""

    def context_at(self, context: Tensor, top: int, left: int) -> Tensor:
        """Return the context (B, D) for the tile whose first pixel is in row ``top``, column ``left``."""

    def run(self, tile: Tensor, context: Tensor | None, *, in_float32: bool = False) -> Tensor:
        """Restore a tile.

        Args:
            tile: (B, 3, H, W) float32, RGB in [0, 1], on the device.
            context: (B, D) from :meth:`context_at`; None where the tile is the whole image.
            in_float32: compute in float32, whatever the precision is.

        Returns:
            (B, 3, H, W) float32, not clipped.
        """


def require_precision(precision: str, description: BackboneDescription, device: torch.device) -> None:
    """Refuse a number format that the network gives wrong results in, or that the device is slow at.

    Raises:
        UnknownNameError: there is no such precision.
        BackboneError: the network or the device does not support it.
    """
    if precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS, UnknownRuntimeError)
    dtype = PRECISIONS[precision]
    if dtype not in description.dtypes:
        supported = ", ".join(name for name, known in PRECISIONS.items() if known in description.dtypes)
        raise BackboneError(
            f"backbone {description.name!r} does not give its results in {precision}; it does in {supported}"
        )
    if not computes_fast_in(dtype, device):
        raise BackboneError(
            f"{device} has no instructions of its own for {precision} and would only be slower; use float32"
        )
