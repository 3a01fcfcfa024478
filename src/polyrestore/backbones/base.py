"""What every backbone says about itself, so that callers never special-case one by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from polyrestore.backbones.bounds import Bound
from polyrestore.backbones.layers import pad_to_multiple
from polyrestore.backbones.shapes import PublishedOptions, Shapes


@dataclass(frozen=True)
class BackboneDescription:
    """The facts a caller needs to feed a backbone and to tile it.

    Attributes:
        name: the registry name.
        size_multiple: heights and widths must be multiples of this; ``Backbone.forward`` pads by itself.
        minimum_size_px: smaller images are padded up to this size.
        receptive_radius_px: how far an input pixel can reach an output pixel, apart from the global context.
            Tiles that overlap by this much on each side equal the untiled result if ``exact_tiles``.
        global_context: True when ``Backbone.context`` must be computed once on the whole image.
        dtypes: number formats to compute in whose results stay within 1/255 of those in float32.
        exact_tiles: False when pixels may reach further, so that tiles only come close to the whole.
        tile_px: largest side of a tile that suits the network; None for the common default.
    """

    name: str
    size_multiple: int
    minimum_size_px: int
    receptive_radius_px: int
    global_context: bool
    dtypes: tuple[torch.dtype, ...] = (torch.float32,)
    exact_tiles: bool = True
    tile_px: int | None = None


@dataclass(frozen=True)
class AdaptableLayers:
    """Where adapters sit in a backbone unless their configuration names other layers.

    Attributes:
        updated: paths of the layers whose weights an update changes; None for every layer that can be.
        paralleled: paths of the convolutions over feature maps beside which a module runs; None likewise.
        idle: paths of the modules that restoring never runs; an adapter in them would do nothing.
        on_request: paths of the modules that adapters leave alone unless their configuration names a layer
            in them.
    """

    updated: tuple[str, ...] | None = None
    paralleled: tuple[str, ...] | None = None
    idle: tuple[str, ...] = ()
    on_request: tuple[str, ...] = ()

    def runs(self, path: str) -> bool:
        """Return whether restoring runs the layer at ``path``."""
        return not _lies_in(path, self.idle)

    def offered(self, path: str) -> bool:
        """Return whether adapters sit beside the layer at ``path`` without naming it."""
        return not _lies_in(path, self.on_request)


class Backbone(nn.Module):
    """The shared network: image in, restored image out.

    ``options`` are the keyword arguments that rebuild the same architecture through the registry;
    ``tiny_options`` are some that make a network of a few thousand parameters, for trial runs and tests.
    ``padding_mode`` is how images are filled up to whole multiples, one of ``pad_to_multiple``'s.
    ``bounds`` says what each option may be; where it is empty, the constructor alone decides.
    What only some networks can do is in :mod:`polyrestore.backbones.capabilities`.
    """

    tiny_options: ClassVar[Mapping[str, Any]] = {}
    padding_mode: ClassVar[str] = "replicate"
    bounds: ClassVar[Mapping[str, Bound]] = {}
    description: BackboneDescription
    options: dict[str, object]

    @classmethod
    def published_options(cls, shapes: Shapes) -> PublishedOptions | None:
        """Return the options of the network that a state dict under the published names belongs to.

        Whether every key and shape fits is checked by the caller: only what the options need is read here.

        Args:
            shapes: of the state dict, without wrappers and prefixes around its keys.

        Returns:
            None when the state dict is not one of this architecture.

        Raises:
            BackboneError: it is one, but a part that decides about an option is missing or makes no sense.
        """
        return None

    def skippable_keys(self) -> frozenset[str]:
        """Return the state dict's keys that a foreign checkpoint may lack or have in another shape.

        They hold what training alone needs. Whoever loads such a checkpoint keeps this network's values.
        """
        return frozenset()

    def copied_keys(self) -> Mapping[str, str]:
        """Return the keys that a foreign checkpoint may lack because another key's tensor belongs there too.

        They hold what training alone needs, and begin as copies. Where a checkpoint has them, they count.
        """
        return {}

    def output_layer(self) -> nn.Conv2d:
        """Return the convolution that makes the image out of the decoder's last features."""
        raise NotImplementedError

    def moving_state(self) -> dict[str, Tensor]:
        """Return the tensors that training changes without a gradient, by name: the buffers at least."""
        return dict(self.named_buffers())

    def adaptable_layers(self) -> AdaptableLayers:
        """Return where adapters sit by default, and where none can; the same before and after they do."""
        return AdaptableLayers()

    def runs_whole(self, height_px: int, width_px: int, device: torch.device) -> bool:
        """Return whether an image of this size is best run at once, unless a size of tiles is asked for.

        So it is where the global context costs as much as the result, and where the memory allows it now.
        """
        return False

    def pad(self, image: Tensor) -> Tensor:
        """Pad images (B, C, H, W) on the right and at the bottom, as :meth:`forward` does by itself."""
        facts = self.description
        return pad_to_multiple(image, facts.size_multiple, facts.minimum_size_px, self.padding_mode)

    def context(self, image: Tensor) -> Tensor:
        """Return the global context of whole images.

        Args:
            image: (B, 3, H, W), RGB in [0, 1], the whole image and not a tile of it.

        Returns:
            (B, D), to be passed to ``forward`` together with any tile of the same image.
        """
        return image.new_zeros(image.shape[0], 0)

    def context_at(self, context: Tensor, top: int, left: int) -> Tensor:
        """Return the context for one tile of the image; the same for all, unless the network sees positions.

        Args:
            context: (B, D) from :meth:`context` on the whole images.
            top: the image row of the tile's first pixel, a multiple of ``size_multiple``.
            left: its column, likewise.

        Returns:
            (B, D), to be passed to ``forward`` with this tile.
        """
        return context

    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        """Restore images or tiles of images.

        Args:
            image: (B, 3, H, W), RGB in [0, 1], any size from 1x1.
            context: (B, D) from :meth:`context` on the whole images; computed from ``image`` when None.

        Returns:
            (B, 3, H, W), not clipped.
        """
        raise NotImplementedError


def _lies_in(path: str, modules: Sequence[str]) -> bool:
    return any(path == module or path.startswith(f"{module}.") for module in modules)


def layers_in(network: nn.Module, block: type[nn.Module], names: Sequence[str]) -> tuple[str, ...]:
    """Return the paths of the layers called ``names`` in every block of one type, block by block."""
    blocks = [path for path, module in network.named_modules() if isinstance(module, block)]
    return tuple(f"{path}.{name}" for path in blocks for name in names)
