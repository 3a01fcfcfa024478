"""Global statistics of an image: recorded once on the whole of it, replayed in each of its tiles.

NAFNet's channel attention averages feature maps, and Restormer's transposed attention compares channels over
all pixels. On a tile they would see the tile alone, and tiles of one photograph would disagree. Nothing else
in these networks is global, so with the whole image's statistics a tile with enough overlap equals the whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from polyrestore.backbones.base import Backbone
from polyrestore.backbones.layers import pad_to_multiple
from polyrestore.errors import BackboneError

CONTEXT_LIMIT_PX = 512
_PLACE = 4
_SMALLEST_NORM = 1e-20


@dataclass(frozen=True)
class Window:
    """Where a tile lies in its padded image, in pixels."""

    image_height: int
    image_width: int
    top: int
    left: int


class Statistics:
    """The statistics of whatever the network is given: the published behaviour, which keeps nothing.

    One object serves one pass and is handed from layer to layer, so that no module holds any state.

    Attributes:
        window: where the input lies in its image; None when it is the image.
    """

    def __init__(self, window: Window | None = None) -> None:
        self.window = window

    def mean(self, features: Tensor) -> Tensor:
        """Return the mean over pixels: (B, C, H, W) to (B, C, 1, 1)."""
        return features.mean(dim=(2, 3), keepdim=True)

    def cosines(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Return the channels' cosines over pixels: two of (B, heads, C, N) to (B, heads, C, C)."""
        return functional.normalize(queries, dim=-1) @ functional.normalize(keys, dim=-1).transpose(-2, -1)


class RecordedStatistics(Statistics):
    """Statistics that are also kept, as means over pixels, so that those of several crops can be averaged."""

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self._values: list[Tensor] = []

    def mean(self, features: Tensor) -> Tensor:
        """Return the mean over pixels and keep it."""
        mean = super().mean(features)
        self._values.append(mean.flatten(1))
        return mean

    def cosines(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Return the cosines; keep the channels' mean squares and mean products, which determine them."""
        cosines = super().cosines(queries, keys)
        # Root mean squares: they stay in range however many pixels there are.
        scale = queries.shape[-1] ** -0.5
        query_sizes, key_sizes = queries.norm(dim=-1) * scale, keys.norm(dim=-1) * scale
        products = cosines * query_sizes[..., :, None] * key_sizes[..., None, :]
        for value in (products, query_sizes.square(), key_sizes.square()):
            self._values.append(value.flatten(1))
        return cosines

    def vector(self) -> Tensor:
        """Return all that was kept, in order: (B, D)."""
        return torch.cat(
            [value.to(torch.promote_types(value.dtype, torch.float32)) for value in self._values], 1
        )


class ReplayedStatistics(Statistics):
    """The statistics in a context vector instead of those of the input."""

    def __init__(self, context: Tensor) -> None:
        if context.shape[1] < _PLACE:
            raise BackboneError(f"a context of {context.shape[1]} values was not made by this network")
        height, width, top, left = (round(value) for value in context[0, :_PLACE].tolist())
        super().__init__(Window(height, width, top, left))
        self._context = context
        self._position = _PLACE

    def mean(self, features: Tensor) -> Tensor:
        """Return the recorded mean, (B, C, 1, 1)."""
        return self._take(features.shape[1])[:, :, None, None].to(features.dtype)

    def cosines(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Return the cosines (B, heads, C, C) of the recorded mean products and mean squares."""
        heads, channels = queries.shape[1:3]
        products = self._take(heads * channels * channels).reshape(-1, heads, channels, channels)
        query_squares = self._take(heads * channels).reshape(-1, heads, channels, 1)
        key_squares = self._take(heads * channels).reshape(-1, heads, 1, channels)
        sizes = query_squares.sqrt() * key_squares.sqrt()
        return (products / sizes.clamp_min(_SMALLEST_NORM)).to(queries.dtype)

    def check_finished(self) -> None:
        """Raise BackboneError unless the whole vector has been read."""
        if self._position != self._context.shape[1]:
            raise BackboneError(self._wrong_length())

    def _take(self, count: int) -> Tensor:
        start, self._position = self._position, self._position + count
        if self._position > self._context.shape[1]:
            raise BackboneError(self._wrong_length())
        return self._context[:, start : self._position]

    def _wrong_length(self) -> str:
        return (
            f"a context of {self._context.shape[1]} values does not belong to this network; "
            "pass what its own context() returned"
        )


class StatisticsBackbone(Backbone):
    """A backbone whose only global parts are the statistics of this module.

    ``forward(image)`` is the published network. ``forward(tile, context_at(context(image), top, left))`` is
    the part of it that the tile covers, apart from a border of ``receptive_radius_px``.

    Args:
        context_limit_px: images with a longer side have their statistics averaged over a grid of crops of at
            most this size, rounded up to ``size_multiple``, which bounds the memory; each crop then sees its
            own statistics only.
    """

    padding_mode = "replicate"

    def __init__(self, context_limit_px: int = CONTEXT_LIMIT_PX) -> None:
        super().__init__()
        if context_limit_px < 1:
            raise ValueError(f"context_limit_px must be at least 1, not {context_limit_px}")
        self.context_limit_px = context_limit_px

    def context(self, image: Tensor) -> Tensor:
        """Return the statistics (B, D) of whole images (B, 3, H, W); no gradient passes through them."""
        height, width = image.shape[-2:]
        multiple = self.description.size_multiple
        # Lengths that padding makes equal have to stay equal: the whole padded image is what counts.
        full = [max(-(-length // multiple) * multiple, multiple) for length in (height, width)]
        total: Tensor | None = None
        with torch.no_grad():
            for top, bottom in self._spans(height):
                for left, right in self._spans(width):
                    crop = image[..., top:bottom, left:right]
                    statistics = RecordedStatistics(Window(full[0], full[1], top, left))
                    self._restore(self._padded(crop), statistics)
                    share = (bottom - top) * (right - left) / (height * width)
                    vector = statistics.vector() * share
                    total = vector if total is None else total + vector
            assert total is not None
            place = total.new_tensor([full[0], full[1], 0, 0]).expand(len(total), _PLACE)
            return torch.cat([place, total], dim=1)

    def context_at(self, context: Tensor, top: int, left: int) -> Tensor:
        """Return the context (B, D) for the tile whose first pixel is in row ``top``, column ``left``."""
        placed = context.clone()
        placed[:, 2], placed[:, 3] = top, left
        return placed

    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        """Restore (B, 3, H, W), whole images or tiles of them with the context of the whole.

        Raises:
            BackboneError: the context does not belong to this network.
        """
        height, width = image.shape[-2:]
        statistics = Statistics() if context is None else ReplayedStatistics(context)
        restored = self._restore(self._padded(image), statistics)
        if isinstance(statistics, ReplayedStatistics):
            statistics.check_finished()
        return restored[..., :height, :width]

    def _restore(self, padded: Tensor, statistics: Statistics) -> Tensor:
        """Map (B, 3, H, W) of whole multiples to the same shape."""
        raise NotImplementedError

    def _padded(self, image: Tensor) -> Tensor:
        return pad_to_multiple(
            image, self.description.size_multiple, self.description.minimum_size_px, self.padding_mode
        )

    def _spans(self, length: int) -> Iterator[tuple[int, int]]:
        multiple = self.description.size_multiple
        count = math.ceil(length / self.context_limit_px)
        step = math.ceil(length / count / multiple) * multiple
        return pairwise([*range(0, length, step), length])
