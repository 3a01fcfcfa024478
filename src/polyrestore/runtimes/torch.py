"""The network as torch runs it: adapters merged into the weights once for a composition."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from polyrestore.adapters import Adapter, AdapterBank, added_radius_px
from polyrestore.backbones import Backbone, BackboneDescription
from polyrestore.backbones.capabilities import borrowed_keys
from polyrestore.devices import require_memory
from polyrestore.runtimes.base import PRECISIONS, require_precision


class TorchRuntime:
    """Runs a copy of a backbone in eager torch, with a bank of adapters around it.

    Half precisions are autocast: weights stay float32, so that adapters are merged exactly.

    Args:
        backbone: copied, so that it may serve others; weights of another model share their memory.
        adapters: what can be composed.
        device: where it computes.
        precision: a key of :data:`~polyrestore.runtimes.base.PRECISIONS`.

    Raises:
        AdapterError: an adapter does not fit the backbone.
        BackboneError: the network or the device does not support the precision, or the weights do not fit
            into the device's memory.
        UnknownNameError: there is no such precision.
    """

    equal_tiles = False
    name = "torch"

    def __init__(
        self,
        backbone: Backbone,
        adapters: Iterable[Adapter] = (),
        device: torch.device | None = None,
        precision: str = "float32",
    ) -> None:
        self.device = device or torch.device("cpu")
        self.precision = precision
        self.chosen: str | None = None
        require_precision(precision, backbone.description, self.device)
        self._backbone = _on_device(_copied(backbone), self.device)
        self._bank = AdapterBank(self._backbone)
        for adapter in adapters:
            self._bank.add(adapter)
        self._added_reach_px = 0
        self._reach_by_names: dict[frozenset[str], int] = {}

    @property
    def description(self) -> BackboneDescription:
        """How the network is fed and tiled."""
        return self._backbone.description

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names of the adapters, sorted."""
        return self._bank.names

    @property
    def weight_bytes(self) -> int:
        """How much memory the weights take, adapters included."""
        return _size_bytes(self._backbone)

    @property
    def reach_px(self) -> int:
        """How far an input pixel reaches an output pixel as the network is composed now, context apart."""
        return self.description.receptive_radius_px + self._added_reach_px

    @contextmanager
    def composed(self, weights: Mapping[str, float]) -> Iterator[None]:
        """Let a composition act for the length of a block, then what acted before.

        Raises:
            CompositionError: an unknown adapter, or a weight that is negative or not finite.
        """
        # Weights of another model are gigabytes, which need not be there twice.
        merged = not borrowed_keys(self._backbone)
        before = self._added_reach_px
        with self._bank.composed(weights, merged=merged):
            try:
                self._added_reach_px = self._reach_of(
                    frozenset(name for name, weight in weights.items() if weight)
                )
                yield
            finally:
                self._added_reach_px = before

    def _reach_of(self, names: frozenset[str]) -> int:
        """Return what the adapters that act now add, found by running the network once for these."""
        if names not in self._reach_by_names:
            self._reach_by_names[names] = added_radius_px(self._bank, _probe_px(self.description))
        return self._reach_by_names[names]

    def runs_whole(self, height_px: int, width_px: int) -> bool:
        """Return whether an image of this size is best run at once and without a context."""
        # A context would be made in half precision too.
        in_full = self.precision == "float32"
        return in_full and self._backbone.runs_whole(height_px, width_px, self.device)

    def pad(self, image: Tensor) -> Tensor:
        """Pad (B, 3, H, W) on the right and at the bottom, as the network does by itself."""
        return self._backbone.pad(image)

    def context(self, image: Tensor) -> Tensor:
        """Return the global context (B, D) of whole images (B, 3, H, W), computed in float32."""
        # Whatever the precision: it is one small vector, and every tile depends on it.
        return self._backbone.context(image)

    def context_at(self, context: Tensor, top: int, left: int) -> Tensor:
        """Return the context (B, D) for the tile whose first pixel is in row ``top``, column ``left``."""
        return self._backbone.context_at(context, top, left)

    def run(self, tile: Tensor, context: Tensor | None, *, in_float32: bool = False) -> Tensor:
        """Restore a tile (B, 3, H, W) of float32 in [0, 1]: float32 of the same shape, not clipped."""
        with self._computing(in_float32):
            restored: Tensor = self._backbone(tile, context)
        return restored.float()

    def _computing(self, in_float32: bool) -> AbstractContextManager[object]:
        if in_float32 or self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=PRECISIONS[self.precision])


def _copied(backbone: Backbone) -> Backbone:
    """Return a copy whose weights may be replaced; those of another model share their memory.

    Nobody writes into them: they are frozen, and a merge puts a new tensor in their place.
    """
    outside = borrowed_keys(backbone)
    shared: dict[int, object] = {
        id(parameter): nn.Parameter(parameter.detach(), requires_grad=False)
        for key, parameter in backbone.named_parameters()
        if key in outside
    }
    return copy.deepcopy(backbone, shared).eval().requires_grad_(False)


def _on_device(backbone: Backbone, device: torch.device) -> Backbone:
    if borrowed_keys(backbone) and any(parameter.device != device for parameter in backbone.parameters()):
        require_memory(_size_bytes(backbone), device, f"backbone {backbone.description.name!r}")
    return backbone.to(device)


def _size_bytes(network: nn.Module) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())


def _probe_px(description: BackboneDescription) -> int:
    """Return the side of a small image that a network takes unpadded, with several coarsest pixels."""
    multiple = description.size_multiple
    return -(-max(description.minimum_size_px, 4 * multiple) // multiple) * multiple
